"""Parts of a merge joined: what one merge writes, whatever its settings; and which parts do not belong together."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adapter_folders as folders
import many_layers
import numpy as np
import pytest
from many_layers import taken
from safetensors.numpy import save_file
from said import parts as words

from coremerge_ref.adapters import join_parts, merge_folders
from coremerge_ref.errors import AdapterError

RECORD = "coremerge-part.json"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adapters a and b in the current folder; every layer is a batch, and so a piece."""
    many_layers.pair(tmp_path, monkeypatch)


def merged_both_ways(given: list[str], **more: Any) -> dict[str, bytes]:
    """What parts give, which is what one merge writes."""
    merge_folders(given, "out", **more)
    alone = taken(Path("out"))
    for i in (2, 1):
        merge_folders(given, f"p{i}", **more, layers=(i, 2))
    join_parts(["p2", "p1"], "out")
    joined = taken(Path("out"))
    assert list(joined) == list(alone)
    for name, content in alone.items():
        assert joined[name] == content, name
    return joined


@pytest.mark.parametrize(
    "setting",
    [
        {"method": "ties", "scale": 0.5, "weights": [1, -2]},
        {"ragged": True, "rank": {"retain": 0.8}},
        {"dense": True, "max_shard_size": 200, "dtype": "float64"},
        {"max_shard_size": 300},
        {"include": ["layers.[0-4]"], "exclude": ["layers.2"]},
        {"rename": [r"^layers\.=blocks."]},
    ],
    ids=str,
)
def test_parts_become_what_one_merge_writes(setting: dict[str, Any]) -> None:
    merged_both_ways(["a", "b"], **setting)


def test_parts_of_adapters_that_share_no_module(tmp_path: Path) -> None:
    tensors = {f"{folders.PREFIX}other.lora_A.weight": np.ones((2, 5), np.float32)}
    tensors[f"{folders.PREFIX}other.lora_B.weight"] = np.ones((3, 2), np.float32)
    folders.write(tmp_path / "c", tensors, target_modules=["other"])
    with pytest.raises(AdapterError, match="--allow-missing"):
        merge_folders(["a", "c"], "out")
    assert b"other" in merged_both_ways(["a", "c"], allow_missing=True)["adapter_model.safetensors"]


@pytest.mark.parametrize("dtype", [None, "float16"])
@pytest.mark.parametrize("others", ["first", "mean", "drop"])
def test_parts_of_adapters_with_heads(others: str, dtype: str | None, tmp_path: Path) -> None:
    for seed, name in enumerate(("x", "y")):
        head = {f"{folders.PREFIX}head.weight": np.full((3, 4), seed, np.float32)}
        folders.write(tmp_path / name, folders.lora_tensors(seed) | head, modules_to_save=["head"])
    joined = merged_both_ways(["x", "y"], others=others, dtype=dtype)
    assert (b"head.weight" in joined["adapter_model.safetensors"]) == (others != "drop")


def test_parts_of_adapters_that_need_their_base(tmp_path: Path) -> None:
    """VeRA's two layers here are of two widths, which the base alone says."""
    tensors = folders.vera_tensors()
    tensors[f"{folders.PREFIX}k.vera_lambda_b"] = np.ones(3, np.float32)
    folders.write(tmp_path / "v", tensors, peft_type="VERA")
    save_file({"q.weight": np.ones((4, 5)), "k.weight": np.ones((3, 2))}, "base.safetensors")
    merged_both_ways(["v"], base="base.safetensors")


def test_parts_of_single_files_become_one_file(tmp_path: Path) -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        factors = {"down": (2, 5), "up": (6, 2)}
        tensors = {
            f"lora_unet_{name}.lora_{factor}.weight": rng.standard_normal(shape).astype(np.float32)
            for name in "ab"
            for factor, shape in factors.items()
        }
        save_file(tensors, f"{seed}.safetensors")
    given = ["0.safetensors", "1.safetensors"]
    merge_folders(given, "out.safetensors")
    for i in (1, 2):
        merge_folders(given, f"p{i}", layers=(i, 2))
    report = join_parts(["p1", "p2"], "joined.safetensors")
    assert Path("joined.safetensors").read_bytes() == Path("out.safetensors").read_bytes()
    assert (report.output, report.written, report.adapters, report.layers) == ("joined.safetensors", True, 2, 2)


def test_the_report_and_the_record_are_those_of_the_merge() -> None:
    for i in (1, 2):
        merge_folders(["a", "b"], f"p{i}", "ties", scale=0.5, layers=(i, 2))
    report = join_parts(["p1", "p2"], Path("out"))
    alone = merge_folders(["a", "b"], "alone", "ties", scale=0.5)
    told, wanted = report.as_json(), alone.as_json()
    assert (told.pop("output"), wanted.pop("output")) == ("out", "alone")
    assert told.pop("load") == wanted.pop("load").replace("alone", "out")
    assert told.pop("seconds") >= 0 <= wanted.pop("seconds")
    assert told == wanted
    assert report.facts == alone.facts
    assert json.loads(Path("out/coremerge.json").read_text())["recipe"]["output"] == "out"


def test_force_replaces_an_adapter_and_nothing_else(tmp_path: Path) -> None:
    for i in (1, 2):
        merge_folders(["a", "b"], f"p{i}", layers=(i, 2))
    merge_folders(["a"], "out")
    with pytest.raises(AdapterError, match=words("'out': … already … --force")):
        join_parts(["p1", "p2"], "out")
    for place in ("p2", "a"):
        with pytest.raises(AdapterError, match=words(f"'{place}': … an input")):
            join_parts(["p1", "p2"], place, force=True)
    join_parts(["p1", "p2"], "out", force=True)
    assert json.loads(Path("out/coremerge.json").read_text())["inputs"][1]["path"] == "b"


def edit(folder: str, **fields: Any) -> None:
    path = Path(folder) / RECORD
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def how(folder: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((Path(folder) / RECORD).read_text())["how"]
    return made


def touch() -> None:
    os.utime("b/adapter_model.safetensors", (0, 0))


def pieces(folder: str) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = json.loads((Path(folder) / RECORD).read_text())["pieces"]
    return made


def renumber() -> None:
    [piece] = pieces("p2")
    edit("p2", pieces=[{**piece, "groups": {g: (0, sizes) for g, (_, sizes) in piece["groups"].items()}}])


def other_groups() -> None:
    for folder in ("p1", "p2"):
        [piece] = pieces(folder)
        edit(folder, pieces=[{**piece, "groups": {f"{g}x": each for g, each in piece["groups"].items()}}])


BOTH = ["p1", "p2"]
PIECE = "piece-00000.safetensors"
WRONG: dict[str, tuple[list[str], Callable[[], object], str]] = {
    "nothing": ([], lambda: None, "parts: … none"),
    "one of two": (["p2"], lambda: None, "parts: … all 2, got 1: part 1 is missing … --layers 1/2"),
    "one twice": (["p1", "p2", "p1"], lambda: None, "'p1': part 1 of 2 … 'p1'"),
    "of three": (BOTH, lambda: edit("p2", part=[2, 3]), "'p2': … one of 2 … 'p1' … part 2 of 3"),
    "another version": (BOTH, lambda: edit("p2", versions="v"), "'p2': versions: … as in 'p1', got '\"v\"'; join"),
    "another setting": (
        BOTH, lambda: edit("p2", how={**how("p2"), "scale": 3}), "'p2': scale: … '1.0' as in 'p1', got '3'; join",
    ),
    "a setting more": (
        BOTH, lambda: edit("p2", how={**how("p2"), "x": 3}), "'p2': x: … 'null' as in 'p1', got '3'; join",
    ),
    "a setting less": (
        BOTH, lambda: edit("p1", how={**how("p1"), "x": 3}), "'p2': x: … '3' as in 'p1', got 'null'; join",
    ),
    "an input touched": (BOTH, touch, "'b/adapter_model.safetensors': changed … merge them again"),
    "a piece gone": (BOTH, lambda: os.unlink(f"p2/{PIECE}"), f"'p2/{PIECE}': … {RECORD} … merge this part again"),
    "a piece a folder": (
        BOTH, lambda: (os.unlink(f"p1/{PIECE}"), os.mkdir(f"p1/{PIECE}")),
        f"'p1/{PIECE}': … {RECORD} … merge this part again",
    ),
    "a piece changed": (
        BOTH, lambda: save_file({"x": np.ones(1)}, f"p2/{PIECE}"), f"'p2/{PIECE}': … {RECORD} … merge this part again",
    ),
    "no pieces": (BOTH, lambda: edit("p2", pieces=[]), "'p1': … every module once; merge them again"),
    "numbers twice": (BOTH, renumber, "'p1': … every module once; merge them again"),
    "of other modules": (BOTH, other_groups, "'p1': … 'a', 'b' … other modules; merge again"),
    "no part": (["p1", "a"], lambda: None, f"'a': … {RECORD}"),
    "nowhere": (["p1", "x"], lambda: None, "'x': … nothing is there"),
    "lies about the ranks": (
        BOTH, lambda: edit("p1", pieces=[{**pieces("p1")[0], "ranks": {}}]), "'p1': … fit together: KeyError: … again",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_parts_that_do_not_belong_together(what: str) -> None:
    for i in (1, 2):
        merge_folders(["a", "b"], f"p{i}", "ta", layers=(i, 2))
    given, spoil, message = WRONG[what]
    spoil()
    before = sorted(Path().rglob("*"))
    with pytest.raises(AdapterError, match=words(message)) as caught:
        join_parts(given, "out")
    assert "\n" not in str(caught.value)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("there", "missing", "more"),
    [
        ((1, 2, 3, 5), "4, 6, 7, 8, 9", ""),
        ((1, 2, 3), "4, 5, 6, 7, 8", "and 1 more"),
        ((9,), "1, 2, 3, 4, 5", "and 3 more"),
    ],
)
def test_few_of_many_missing_parts_are_named(there: tuple[int, ...], missing: str, more: str) -> None:
    for i in there:
        if i == there[0]:
            merge_folders(["a", "b"], f"p{i}", "ta", layers=(i, 9))
        else:
            shutil.copytree(f"p{there[0]}", f"p{i}")
            edit(f"p{i}", part=[i, 9])
    wanted = f"parts: … all 9, got {len(there)}: part {missing} {more} … missing … --layers {missing[0]}/9"
    with pytest.raises(AdapterError, match=words(" ".join(wanted.split()))) as caught:
        join_parts([f"p{i}" for i in there], "out")
    assert ("more" in str(caught.value)) == bool(more)
