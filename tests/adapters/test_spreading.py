"""Merges by an executor's workers: the bytes that one process writes, and what a worker refuses to work with.

Threads of this process here; tests/machines has processes and machines.
"""

import hashlib
import json
import os
import socket
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import many_layers
import numpy as np
import pytest
from many_layers import LAYERS, SHAPES, WRITTEN, taken
from safetensors.numpy import load_file, save_file
from said import parts

from coremerge_ref.adapters import memory, merge_folders, record, spreading
from coremerge_ref.adapters.assembling import Shard
from coremerge_ref.adapters.order import Order
from coremerge_ref.adapters.prepared import PreparedFolders
from coremerge_ref.adapters.ready import Options
from coremerge_ref.adapters.spreading import Counted, do_file, do_piece, do_shard, known_here, pieces_folder
from coremerge_ref.errors import AdapterError, ParameterError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adapters a and b and models base and base.safetensors in the current folder; every layer is a batch."""
    many_layers.pair(tmp_path, monkeypatch)
    rng = np.random.default_rng(5)
    weights = {f"{name}.weight": rng.standard_normal(SHAPES[i % 2]).astype(np.float32) for i, name in enumerate(LAYERS)}
    save_file(weights, "base.safetensors")
    Path("base").mkdir()
    names = list(weights)
    places = {name: f"model-{1 + (i > 4):05d}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in dict.fromkeys(places.values()):
        save_file({name: weights[name] for name in names if places[name] == file}, Path("base") / file)
    Path("base/model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    Path("base/config.json").write_text("{}")


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


SETTINGS: list[dict[str, Any]] = [
    {},
    {"ragged": True},
    {"rank": {"retain": 0.9}, "dtype": "float16"},
    {"dense": True},
    {"dense": True, "max_shard_size": 100},
    {"max_shard_size": 300},
    {"max_shard_size": 300, "ragged": True},
    {"into": "base"},
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_workers_write_what_one_process_writes(setting: dict[str, Any], threads: Executor) -> None:
    merge_folders(["a", "b"], "out", **setting)
    alone = taken(Path("out"))
    merge_folders(["a", "b"], "out", **setting, executor=threads)
    together = taken(Path("out"))
    assert list(alone) == list(together)
    for name, content in alone.items():
        assert together[name] == content, name
    assert sorted(os.listdir()) == ["a", "b", "base", "base.safetensors"]


@pytest.mark.parametrize("setting", [{"into": "base.safetensors"}], ids=str)
def test_workers_write_the_one_file_that_one_process_writes(setting: dict[str, Any], threads: Executor) -> None:
    merge_folders(["a", "b"], "one.safetensors", "ta", **setting)
    merge_folders(["a", "b"], "two.safetensors", "ta", **setting, executor=threads)
    assert Path("one.safetensors").read_bytes() == Path("two.safetensors").read_bytes()
    one, two = (json.loads(Path(f"{name}.coremerge.json").read_text()) for name in ("one", "two"))
    assert one["outputs"]["one.safetensors"] == two["outputs"]["two.safetensors"]
    assert (one["layers"], one["base"], one["inputs"]) == (two["layers"], two["base"], two["inputs"])


def test_tensors_lie_as_the_merge_came_to_them(threads: Executor) -> None:
    """Not by name: in a file of several hundred gigabytes, readers go on from where they are."""
    merge_folders(["a", "b"], "out", ragged=True, executor=threads)
    modules = [name.rpartition(".lora_")[0] for name in many_layers.order(Path("out/adapter_model.safetensors"))]
    assert list(dict.fromkeys(modules)) == [f"base_model.model.{name}" for name in WRITTEN]
    assert WRITTEN != sorted(WRITTEN)


@pytest.mark.parametrize(("more", "steps"), [({}, [1] * 10), ({"into": "base"}, [1, 1])], ids=["layers", "files"])
def test_progress_counts_what_is_done(more: Any, steps: list[int], threads: Executor) -> None:
    told: list[tuple[int, int, str]] = []
    merge_folders(["a", "b"], "out", **more, executor=threads, progress=lambda *words: told.append(words))
    assert [done for done, _, _ in told] == list(np.cumsum(steps))
    assert {total for _, total, _ in told} == {sum(steps)}
    names = LAYERS if not more else [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert sorted(name for _, _, name in told) == sorted(names)


def test_progress_of_pieces_of_several_sizes() -> None:
    told: list[tuple[int, int, str]] = []
    counted = Counted(lambda *words: told.append(words), [3, 1, 2], ["x", "y", "z"])
    for i in (2, 0, 1):
        counted.tell(i)
    assert told == [(2, 6, "z"), (5, 6, "x"), (6, 6, "y")]


@pytest.fixture
def order() -> Iterator[Order]:
    """Of a merge of a and b, which this process has not opened."""
    spreading._OPEN.clear()
    yield Order.of(prepared(), Options(method="ta"), False, 1)
    spreading._OPEN.clear()


def prepared(**more: Any) -> PreparedFolders:
    return PreparedFolders(["a", "b"], Options(method="ta", **more), "refuse", None, keep=False)


def test_a_worker_opens_the_adapters_once_and_keeps_few(order: Order) -> None:
    opened = spreading._opened(order)
    assert spreading._opened(order) is opened
    others = [replace(order, token=str(i)) for i in range(2)]
    for other in others:
        assert spreading._opened(other) is not opened
    assert list(spreading._OPEN) == ["0", "1"]
    assert spreading._opened(order) is not opened
    assert list(spreading._OPEN) == ["1", order.token]


def test_threads_use_what_is_open_here(order: Order) -> None:
    mine = prepared()
    with known_here(order, mine):
        assert spreading._opened(order) is mine
    assert order.token not in spreading._OPEN


def test_a_worker_of_another_version_refuses(order: Order) -> None:
    wanted = f"{socket.gethostname()}: … coremerge_ref 0, numpy 1 … got coremerge_ref … numpy {np.__version__}"
    with pytest.raises(AdapterError, match=parts(wanted)):
        do_piece(replace(order, versions="coremerge_ref 0, numpy 1"), [["layers.0"]], "x.safetensors")
    assert not Path("x.safetensors").exists()


@pytest.mark.parametrize("changed", ["time", "size"])
def test_a_worker_that_sees_other_files_refuses_and_names_the_first(changed: str, order: Order) -> None:
    path = Path("b/adapter_model.safetensors")
    if changed == "time":
        os.utime(path, (0, 0))
    else:
        about = os.stat(path)
        save_file({**load_file(path)}, path, {"more": "text"})
        os.utime(path, (about.st_atime, about.st_mtime))
    with pytest.raises(AdapterError, match=parts(f"'{path.absolute()}': … {socket.gethostname()} … not the file")):
        do_piece(order, [["layers.0"]], "x.safetensors")
    assert not Path("x.safetensors").exists()


def test_a_piece_is_the_layers_that_were_asked_for(order: Order) -> None:
    piece = do_piece(order, [["layers.3"], ["layers.0", "layers.2"]], os.path.abspath("x.safetensors"))
    groups = [f"base_model.model.layers.{i}" for i in (3, 0, 2)]
    assert list(piece.groups) == groups
    assert piece.file == "x.safetensors"
    found = load_file("x.safetensors")
    names = [f"{group}.lora_{factor}.weight" for group in groups for factor in "AB"]
    assert found.keys() == set(names)
    for sizes in piece.groups.values():
        assert sizes == {name: found[name].nbytes for name in sizes}
    assert piece.outcome.ranks == dict(zip(groups, [3, 4, 4], strict=True))  # 5 × 3 has no more than 3
    assert sorted(os.listdir()) == ["a", "b", "base", "base.safetensors", "x.safetensors"]


def test_a_piece_keeps_room_for_the_names_of_its_own_tensors_alone(order: Order) -> None:
    """There may be as many pieces as layers: headers with room for all would grow with the square."""
    headers = []
    for count in (1, 10):
        do_piece(order, [[name] for name in LAYERS[:count]], os.path.abspath(f"{count}.safetensors"))
        headers.append(int.from_bytes(Path(f"{count}.safetensors").read_bytes()[:8], "little"))
    assert headers[0] < headers[1] / 5


def test_a_file_of_a_fused_model_is_hashed_where_it_was_written(order: Order) -> None:
    place = "model-00002-of-00002.safetensors"
    options = replace(order.options, into=os.path.abspath("base"))
    outcome = do_file(replace(order, options=options, token="fused"), place, os.path.abspath("x.safetensors"))
    content = Path("x.safetensors").read_bytes()
    assert outcome.digests == {place: hashlib.sha256(content).hexdigest()}
    merge_folders(["a", "b"], "out", "ta", into="base")
    assert content == Path("out", place).read_bytes()


def test_a_shard_of_pieces_is_hashed_where_it_was_written(order: Order, tmp_path: Path) -> None:
    group = "base_model.model.layers.0"
    names = [f"{group}.lora_{factor}.weight" for factor in "AB"]
    do_piece(order, [["layers.0"]], os.path.abspath("piece.safetensors"))
    shard = Shard(tmp_path / "x.safetensors", names, dict.fromkeys(names, "piece.safetensors"), tmp_path)
    digest = do_shard(order, shard, {group: 7})
    assert digest == hashlib.sha256(Path("x.safetensors").read_bytes()).hexdigest()
    padded, piece = load_file("x.safetensors"), load_file("piece.safetensors")
    assert {name: array.shape for name, array in padded.items()} == {names[0]: (7, 6), names[1]: (4, 7)}
    np.testing.assert_array_equal(padded[names[0]][:4], piece[names[0]])
    assert not padded[names[0]][4:].any()
    dense = replace(order, options=replace(order.options, dense=True), token="dense")
    do_shard(dense, replace(shard, path=tmp_path / "y.safetensors"), {})
    assert {name: array.shape for name, array in load_file("y.safetensors").items()} == {
        name: array.shape for name, array in piece.items()
    }


def test_files_that_workers_hashed_are_not_hashed_again(threads: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(record, "sha256", lambda path, *_: hashed.append(Path(path).name) or "0" * 64)
    merge_folders(["a", "b"], "out", executor=threads, max_shard_size=300)
    outputs = json.loads(Path("out/coremerge.json").read_text())["outputs"]
    assert "adapter_config.json" in hashed
    assert not [name for name in hashed if "-of-" in name]
    for name, digest in outputs.items():
        if "-of-" in name:
            assert digest == hashlib.sha256(Path("out", name).read_bytes()).hexdigest()


@pytest.mark.parametrize("what", ["piece", "file"])
@pytest.mark.parametrize(("ignored", "share", "fits"), [(False, 1, False), (True, 1, True), (False, 50, False)])
def test_a_worker_needs_the_memory_that_a_merge_needs(
    what: str, ignored: bool, share: int, fits: bool, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full-size matrices here take a few hundred bytes; of what is free, other workers of the machine take as much."""
    monkeypatch.setattr(memory, "free_memory", lambda: 20_000.0 if share > 1 else 10.0)
    options = replace(order.options, method="ties", space="full", **(
        {"dense": True} if what == "piece" else {"into": os.path.abspath("base")}
    ))  # fmt: skip
    told = replace(order, options=options, ignore_memory=ignored, share=share, token=f"{what} {ignored} {share}")

    def work() -> None:
        if what == "piece":
            do_piece(told, [["layers.0"]], os.path.abspath("x.safetensors"))
        else:
            do_file(told, "model-00001-of-00002.safetensors", os.path.abspath("x.safetensors"))

    if fits:
        work()
    else:
        with pytest.raises(ParameterError, match=parts("full-size … 'layers.0' … --ignore-memory")) as caught:
            work()
        assert ("fewer than 50 workers" in str(caught.value)) == (share > 1)
    assert Path("x.safetensors").exists() is fits


def test_the_folder_of_pieces_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()

    def fail(folder: Path) -> None:
        assert folder.parent == tmp_path / "place"
        assert os.stat(folder).st_mode & 0o777 == 0o700
        (folder / "x").write_text("x")
        raise KeyError("failed in between")

    with pytest.raises(KeyError, match="in between"), pieces_folder(tmp_path / "place") as folder:
        fail(folder)
    assert os.listdir(tmp_path / "place") == []
