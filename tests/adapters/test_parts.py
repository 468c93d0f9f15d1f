"""Parts of a merge on disk: what a part's record says of it, on what parts agree, and records that are none."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import many_layers
import numpy as np
import pytest
from many_layers import LAYERS, WRITTEN
from safetensors.numpy import load_file, save_file
from said import parts

from coremerge_ref.adapters import merge_folders
from coremerge_ref.adapters.parts import PartRecord, read_part
from coremerge_ref.errors import AdapterError, ParameterError

RECORD = "coremerge-part.json"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adapters a and b in the current folder; every layer is a batch, and so a piece."""
    many_layers.pair(tmp_path, monkeypatch)


def edit(folder: str, **fields: Any) -> None:
    path = Path(folder) / RECORD
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_part_says_what_it_holds_and_of_which_merge(tmp_path: Path) -> None:
    report = merge_folders(["a", "b"], "part", "ties", scale=0.5, layers="2/3")
    record = read_part(Path("part"))
    assert (record.part, record.groups, record.adapters, record.base) == ((2, 3), 10, ["a", "b"], None)
    assert (record.method, record.space, record.scale) == ("ties", "core", 0.5)
    assert record.how["recipe"]["adapters"] == ["a", "b"]
    files = [Path(name, file) for name in "ab" for file in ("adapter_config.json", "adapter_model.safetensors")]
    assert sorted(record.stamps) == sorted((os.stat(f).st_size, int(os.stat(f).st_mtime)) for f in files)
    held: dict[str, int] = {}
    [piece] = record.pieces
    path = Path("part", piece.file)
    assert piece.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    tensors = load_file(path)
    for group, (index, sizes) in piece.groups.items():
        held[group] = index
        assert sizes == {name: tensors.pop(name).nbytes for name in sizes}
    assert tensors == {}
    # every third of the batches, from the second on
    assert held == {f"base_model.model.{WRITTEN[i]}": i for i in (1, 4, 7)}
    assert piece.ranks.keys() == held.keys()
    assert piece.facts.keys() == {WRITTEN[i] for i in (1, 4, 7)}
    assert piece.zeros == []
    assert (report.written, report.output, report.layers, report.adapters) == (True, "part", 3, 2)
    assert (report.method, report.space, report.scale) == ("ties", "core", 0.5)
    assert report.ranks == (min(piece.ranks.values()), max(piece.ranks.values()))
    assert report.bytes == path.stat().st_size
    assert report.facts == piece.facts
    assert any(all(word in note for word in ("part 2 of 3", "3 of 10 layers", "join")) for note in report.notes)
    assert sorted(os.listdir()) == ["a", "b", "part"]


def test_workers_make_a_part_in_pieces() -> None:
    with ThreadPoolExecutor(2) as threads:
        report = merge_folders(["a", "b"], "part", "ta", layers="1/5", executor=threads)
    record = read_part(Path("part"))
    groups = [list(piece.groups) for piece in record.pieces]
    assert groups == [[f"base_model.model.{WRITTEN[i]}"] for i in (0, 5)]
    assert sorted(os.listdir("part")) == sorted([RECORD, *(piece.file for piece in record.pieces)])
    assert report.layers == 2


def test_a_dry_run_counts_the_part_and_writes_nothing() -> None:
    report = merge_folders(["a", "b"], "part", "ta", layers="1/5", dry_run=True)
    assert (report.written, report.layers, report.ranks, report.bytes) == (False, 2, None, 0)
    assert sorted(os.listdir()) == ["a", "b"]


def test_progress_counts_the_layers_of_the_part() -> None:
    told: list[tuple[int, int, str]] = []
    merge_folders(["a", "b"], "part", "ta", layers="2/2", progress=lambda *words: told.append(words))
    assert told[-1][:2] == (5, 5)
    assert {name for _, _, name in told} <= set(LAYERS)


def test_what_is_worth_knowing_of_the_adapters_and_the_folder_is_said() -> None:
    config = json.loads(Path("b/adapter_config.json").read_text())
    Path("b/adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "another base"}))
    merge_folders(["a"], "part", "ta", layers="1/1")
    Path("part/my notes.txt").write_text("x")
    report = merge_folders(["a", "b"], "part", "ta", layers="1/1", force=True)
    for word in ("another base", "my notes.txt"):
        assert any(word in note for note in report.notes), word
    assert not any("my notes.txt" in note for note in merge_folders(["a"], "new", "ta", layers="1/1").notes)


def test_an_adapter_that_changes_meanwhile_leaves_no_part() -> None:
    def touch(*_: Any) -> None:
        os.utime("b/adapter_model.safetensors", (0, 0))

    with pytest.raises(AdapterError, match=parts("'b/adapter_model.safetensors' … changed")):
        merge_folders(["a", "b"], "part", "ta", layers="1/2", progress=touch)
    assert sorted(os.listdir()) == ["a", "b"]


def test_an_input_is_no_place_for_a_part() -> None:
    with pytest.raises(AdapterError, match=parts("'b': … an input")):
        merge_folders(["a", "b"], "b", "ta", layers="1/2", force=True)


def test_parts_of_what_has_no_form_in_several_files_are_not_begun() -> None:
    tensors = {"lora_unet_a.lora_down.weight": np.ones((2, 5)), "lora_unet_a.lora_up.weight": np.ones((6, 2))}
    save_file(tensors, "x.safetensors")
    with pytest.raises(ParameterError, match=parts("max_shard_size: … leave it out")):
        merge_folders(["x.safetensors"], "part", "ta", layers="1/2", max_shard_size=300)


def test_a_part_needs_the_memory_of_its_largest_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coremerge_ref.adapters.memory.free_memory", lambda: 10.0)
    with pytest.raises(ParameterError, match=parts("'layers.0' … --ignore-memory")):
        merge_folders(["a", "b"], "part", "ties", "full", dense=True, layers="1/2")
    merge_folders(["a", "b"], "part", "ties", "full", dense=True, layers="1/2", ignore_memory=True)


def record(**fields: Any) -> PartRecord:
    made: dict[str, Any] = {
        "versions": "v", "part": (1, 2), "adapters": ["a"], "base": None, "method": "ta", "space": "core", "scale": 1.0,
        "how": {"scale": 1.0, "recipe": {"output": "x", "scale": 1.0}}, "stamps": [(1, 2)], "groups": 3, "pieces": [],
    }  # fmt: skip
    return PartRecord(**{**made, **fields})


@pytest.mark.parametrize(
    ("fields", "alike"),
    [
        ({"part": (2, 2)}, True),
        ({"pieces": [{"file": "x", "sha256": "", "groups": {}, "ranks": {}, "facts": {}, "zeros": []}]}, True),
        ({"how": {"scale": 1.0, "recipe": {"output": "other place", "scale": 1.0}}}, True),
        ({"how": {"scale": 1.0, "recipe": {"output": "x", "scale": 2.0}}}, False),
        ({"how": {"scale": 1.0, "recipe": None}}, False),
        ({"how": {"scale": 2.0, "recipe": {"output": "x", "scale": 1.0}}}, False),
        ({"versions": "w"}, False),
        ({"adapters": ["b"]}, False),
        ({"base": "b"}, False),
        ({"stamps": [(1, 3)]}, False),
        ({"groups": 4}, False),
        ({"method": "ties"}, False),
    ],
    ids=str,
)
def test_on_what_the_parts_of_a_merge_agree(fields: dict[str, Any], alike: bool) -> None:
    assert (record(**fields).settings() == record().settings()) is alike


def test_a_folder_without_a_record_is_no_part() -> None:
    with pytest.raises(AdapterError, match=parts(f"'a': … {RECORD} … none; coremerge merge --layers i/n")):
        read_part(Path("a"))
    Path("x", RECORD).mkdir(parents=True)
    with pytest.raises(AdapterError, match=f"'x': .*{RECORD}"):
        read_part(Path("x"))


PIECE = {"file": "p", "sha256": "0", "groups": {"g": (0, {"t": 4})}, "ranks": {"g": 1}, "facts": {}, "zeros": []}


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"groups": "many"}, "groups"),
        ({"more": 1}, "more"),
        ({"part": [1]}, "part.1"),
        ({"pieces": [PIECE, {**PIECE, "more": 1}]}, "pieces.1.more"),
        ({"pieces": [{**PIECE, "ranks": {"g": "x"}}]}, "pieces.0.ranks.g"),
        ({"pieces": [{**PIECE, "ranks": {"g" * 300: "x"}}]}, "pieces.0.ranks.ggg"),
    ],
    ids=["no number", "a field more", "half a pair", "a field more of a piece", "no rank", "a long name"],
)
def test_a_record_of_something_else_says_where(fields: dict[str, Any], where: str) -> None:
    Path("x").mkdir()
    Path("x", RECORD).write_text(record().model_dump_json())
    assert read_part(Path("x")) == record()
    edit("x", **fields)
    with pytest.raises(AdapterError, match=parts(f"'x/{RECORD}': … '{where} … merge this part again")) as caught:
        read_part(Path("x"))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["../a/adapter_model.safetensors", "/etc/passwd", "sub/p", "p/"])
def test_pieces_lie_beside_their_record(name: str) -> None:
    Path("x").mkdir()
    Path("x", RECORD).write_text(record(pieces=[PIECE, {**PIECE, "file": name}]).model_dump_json())
    with pytest.raises(AdapterError, match=parts(f"'x/{RECORD}': … '{name}'; merge this part again")):
        read_part(Path("x"))
    edit("x", pieces=[PIECE])
    assert read_part(Path("x")).pieces[0].file == "p"
