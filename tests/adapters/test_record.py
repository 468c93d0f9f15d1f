"""coremerge.json: what it says of a merge, and an input that is not what the record beside it says."""

import hashlib
import json
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import adapter_folders as folders
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from said import parts

import coremerge_ref as cm
from coremerge_ref.adapters import Adapter, merge_folders
from coremerge_ref.adapters.record import (
    Hashes,
    check_recorded,
    described,
    described_space,
    plain,
    record,
    sha256,
)
from coremerge_ref.adapters.renaming import Renaming
from coremerge_ref.adapters.writing import Outcome
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.errors import AdapterError

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def single_file(path: Path) -> Path:
    factors = {"down": np.ones((2, 5), np.float32), "up": np.ones((6, 2), np.float32)}
    save_file({f"lora_unet_a.lora_{name}.weight": array for name, array in factors.items()}, path)
    return path


def digests(adapter: Adapter) -> dict[str, str]:
    return {path.name: digest(path) for path in adapter.files}


def test_a_merge_is_what_its_record_says(tmp_path: Path) -> None:
    merge_folders([folders.write(tmp_path / "a")], tmp_path / "out")
    merge_folders([single_file(tmp_path / "a.safetensors")], tmp_path / "out.safetensors")
    for path in (tmp_path / "out", tmp_path / "out.safetensors", tmp_path / "a", tmp_path / "a.safetensors"):
        adapter = Adapter(path)
        check_recorded(adapter, digests(adapter))


@pytest.mark.parametrize("content", [{}, {"outputs": None}, {"outputs": [WEIGHTS]}, {"outputs": {"other": "0"}}])
def test_records_that_say_nothing_of_the_files_say_nothing_against_them(content: Any, tmp_path: Path) -> None:
    folders.write(tmp_path / "a")
    (tmp_path / "a" / "coremerge.json").write_text(json.dumps(content))
    adapter = Adapter(tmp_path / "a")
    check_recorded(adapter, digests(adapter))


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG])
def test_a_folder_that_was_edited_is_refused(name: str, tmp_path: Path) -> None:
    merge_folders([folders.write(tmp_path / "a")], tmp_path / "out")
    path = tmp_path / "out" / name
    if name == CONFIG:
        path.write_text(path.read_text() + " ")
    else:
        save_file({name: 2 * array for name, array in load_file(path).items()}, path)
    adapter = Adapter(tmp_path / "out")
    with pytest.raises(AdapterError, match=parts(f"'{path}': … coremerge.json … edited … remove coremerge.json")):
        check_recorded(adapter, digests(adapter))


def test_a_file_that_was_edited_is_refused_by_the_record_that_has_its_name(tmp_path: Path) -> None:
    """Other files beside it have records of their own, and a folder's record may lie there, too."""
    given = single_file(tmp_path / "a.safetensors")
    for name in ("out", "other"):
        merge_folders([given], tmp_path / f"{name}.safetensors")
    outputs = dict.fromkeys(("other.safetensors", "out.safetensors"), "0")
    (tmp_path / "coremerge.json").write_text(json.dumps({"outputs": outputs}))
    path = tmp_path / "out.safetensors"
    path.write_bytes(given.read_bytes())
    edited, untouched = Adapter(path), Adapter(tmp_path / "other.safetensors")
    with pytest.raises(AdapterError, match=parts(f"'{path}': … out.coremerge.json … edited … coremerge.json")):
        check_recorded(edited, digests(edited))
    check_recorded(untouched, digests(untouched))


def test_an_adapter_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    adapter = Adapter(folders.write(tmp_path / "a"))
    before = digests(adapter)
    folders.write(tmp_path / "a", folders.lora_tensors(9))
    with pytest.raises(AdapterError, match="changed"):
        check_recorded(adapter, before)


class Recording(Executor):
    """Does the work at once, and remembers it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.down = False

    def submit(self, function: Any, /, *words: Any, **more: Any) -> "Future[Any]":
        self.calls.append(words)
        future: Future[Any] = Future()
        future.set_result(function(*words))
        return future

    def shutdown(self, *words: Any, **more: Any) -> None:
        self.down = True


def test_every_file_is_hashed_and_those_of_an_initial_adapter_are_marked(tmp_path: Path) -> None:
    for seed, name in enumerate("ti"):
        folders.write(tmp_path / name, folders.lora_tensors(seed), init_lora_weights="pissa")
    adapters = [Adapter(f"{tmp_path / 't'}@{tmp_path / 'i'}"), Adapter(single_file(tmp_path / "a.safetensors"))]
    wanted = [
        {
            mark + name: digest(tmp_path / folder / name)
            for mark, folder in (("", "t"), ("@", "i"))
            for name in (WEIGHTS, CONFIG)
        },
        {"a.safetensors": digest(tmp_path / "a.safetensors")},
    ]
    with Hashes(adapters) as hashes:
        assert hashes.results() == wanted
    executor = Recording()
    with Hashes(adapters, executor) as hashes:
        assert hashes.results() == wanted
    assert not executor.down  # it is somebody else's
    assert all(Path(path).is_absolute() for path, _ in executor.calls)


def test_work_is_told_apart_from_that_of_another_merge(tmp_path: Path) -> None:
    """dask gives back what it has done before for the same words, though the files are others now."""
    adapter, executor = Adapter(folders.write(tmp_path / "a")), Recording()
    for _ in range(2):
        with Hashes([adapter], executor):
            pass
    tokens = [token for _, token in executor.calls]
    assert len(tokens) == 2 * len(adapter.files)
    assert len(set(tokens)) == 2


def test_nothing_is_hashed_on_after_a_merge_failed(tmp_path: Path) -> None:
    gate, started = Event(), Event()
    adapter = Adapter(folders.write(tmp_path / "a"))
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(lambda: (started.set(), gate.wait(10)))
        started.wait(10)
        with Hashes([adapter], pool) as hashes:
            futures = [future for files in hashes._made for future in files.values()]
        assert all(future.cancelled() for future in futures)
        gate.set()
        blocked.result()
    with Hashes([adapter]) as mine:
        executor = mine._executor
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(int)


def test_what_a_record_holds() -> None:
    config = SimpleNamespace(peft_type="LORA", base_model_name_or_path="base")
    adapters: Any = [SimpleNamespace(called=name, config=config) for name in "ab"]
    outcome = Outcome(facts={"q": {"rank": 2}})
    renaming = Renaming("by hand", {"x": "y"}, str)
    made = record(
        adapters, {"method": "ta"}, outcome, ("said",), [None, renaming], [{"f": "1"}, {"f": "2"}], {"o": "3"}
    )
    assert list(made) == ["coremerge_ref", "method", "inputs", "outputs", "layers", "notes"]
    one = {"path": "a", "peft_type": "LORA", "base_model_name_or_path": "base", "sha256": {"f": "1"}}
    two = {**one, "path": "b", "sha256": {"f": "2"}, "renamed": {"how": "by hand", "names": {"x": "y"}}}
    assert made["inputs"] == [one, two]
    assert (made["outputs"], made["layers"], made["notes"]) == ({"o": "3"}, {"q": {"rank": 2}}, ["said"])
    with pytest.raises(ValueError, match="zip"):
        record(adapters, {}, outcome, (), [None], [{}, {}], {})


def test_methods_and_spaces_are_told_with_every_parameter() -> None:
    told = described(Pipeline.parse("dare+ties"))
    assert told["method"] == "dare+ties"
    assert told["parameters"].keys() == {"dare", "ties"}
    assert told["parameters"]["ties"]["density"] == 0.2
    assert described_space(cm.Core("tucker")) == {"name": "core", "basis": "tucker"}


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (None, None), (True, True), (3, 3), (0.5, 0.5), ("x", "x"), ((1, (2.0, "y")), [1, [2.0, "y"]]), ([], []),
        (np.ones(2), "<ndarray>"), ([np.ones(2)], ["<ndarray>"]), (len, "<builtin_function_or_method>"),
    ],
)  # fmt: skip
def test_values_as_json_has_them(value: Any, json: Any) -> None:
    assert plain(value) == json
    assert type(plain(value)) is type(json)


def test_the_hash_is_of_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 100_000)
    assert sha256(path) == sha256(path, "token") == digest(path)
