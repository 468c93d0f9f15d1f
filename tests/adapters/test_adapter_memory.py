"""Full-size matrices: what memory they need is said before, is what they take, and is refused where it is not there."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import adapter_folders as folders
import numpy as np
import pytest
from said import parts

from coremerge_ref.adapters import memory, merge_folders
from coremerge_ref.core.pipeline import as_pipeline
from coremerge_ref.core.spaces import Full
from coremerge_ref.errors import ParameterError
from coremerge_ref.methods.dare import Dare


def adapter(folder: Path, side: int, layers: int = 1) -> Path:
    tensors = {}
    for i in range(layers):
        tensors[f"base_model.model.l{i}.q.lora_A.weight"] = np.ones((2, side), np.float32)
        tensors[f"base_model.model.l{i}.q.lora_B.weight"] = np.ones((side, 2), np.float32)
    return folders.write(folder, tensors)


@pytest.mark.slow
def test_what_is_said_is_what_is_taken(tmp_path: Path) -> None:
    """Never less, and never four times as much, for every method in the table."""
    words = [sys.executable, str(Path(__file__).parent / "measuring.py"), str(tmp_path), "1000"]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    for method, (taken, said) in json.loads(ran.stdout).items():
        assert taken <= said <= 4 * taken, (method, taken / 1e6, said / 1e6)


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({"method": "ties", "space": "full", "rank": 2}, False),
        ({"method": "ta", "dense": True}, False),
        ({"method": "ta", "space": "full"}, True),  # factors all the way
        ({"method": "ties"}, True),
    ],
)
def test_what_does_not_fit_is_refused(
    given: dict[str, Any], fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [adapter(tmp_path / "a", 300), adapter(tmp_path / "b", 300)]
    monkeypatch.setattr(memory, "free_memory", lambda: 1e6)
    if fits:
        merge_folders(paths, tmp_path / "out", **given)
    else:
        for dry in (True, False):
            with pytest.raises(ParameterError, match=r"need about .* and 1 MB are free; .*--ignore-memory"):
                merge_folders(paths, tmp_path / "out", **given, dry_run=dry)
        assert sorted(os.listdir(tmp_path)) == ["a", "b"]
        merge_folders(paths, tmp_path / "out", **given, ignore_memory=True)
    assert (tmp_path / "out" / "coremerge.json").exists()


def test_small_files_that_ask_for_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter of 160 kB whose layers are 20,000 × 20,000: 8 GB a layer, 3.2 of them for one matrix alone."""
    path, said = adapter(tmp_path / "a", 20_000, layers=3), list[str]()
    monkeypatch.setattr(memory, "free_memory", lambda: 10e9)
    merge_folders([path], tmp_path / "out", "ta", dense=True, dry_run=True, tell=said.append)
    assert said == [
        "full-size matrices of layer 'l0.q' (20000, 20000) and its like need about 8.0 GB of memory, of 10.0 GB that "
        "are free"
    ]
    monkeypatch.setattr(memory, "free_memory", lambda: 7.9e9)
    with pytest.raises(ParameterError, match=r"need about 8\.0 GB"):
        merge_folders([path], tmp_path / "out", "ta", dense=True, dry_run=True)
    monkeypatch.setattr(memory, "free_memory", lambda: None)  # where nothing says it, nothing is refused
    merge_folders([path], tmp_path / "out", "ta", dense=True, dry_run=True)


@pytest.mark.parametrize(("free", "ignored"), [(None, False), (1e7, False), (20_000, True), (20_000, False)])
def test_matrices_to_be_looked_at_are_counted_by_the_largest_layer(
    free: float | None, ignored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four matrices of 30 × 20 in float64, and a quarter more: 24 kB."""
    monkeypatch.setattr(memory, "free_memory", lambda: free)
    given = {"wide": (4, 100), "large": (30, 20), "long": (500, 1)}
    if ignored or free != 20_000:
        assert memory.check_memory(given, 4, ignored, lambda text: pytest.fail(text)) is (free != 20_000)
        return
    wanted = "'large' (30, 20) … 0 MB … 0 MB are free; look in core space … --ignore-memory"
    with pytest.raises(ParameterError, match=parts(wanted)):
        memory.check_memory(given, 4, ignored, lambda text: pytest.fail(text))


@pytest.mark.parametrize(("side", "told"), [(9_999, False), (10_000, True)])
def test_a_gigabyte_is_told(side: int, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    assert memory.check_memory({"q": (side, side)}, 1.0, False, said.append)  # 8 · 1.25 bytes an entry
    assert len(said) == told
    for text in said:
        assert "'q' (10000, 10000)" in text
        assert "about 1.0 GB" in text
        assert "free" not in text  # where nothing says it


def test_weights_of_fewer_tasks_are_found_out_without_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that only some adapters have: its weights are chosen later, and merging three by two would fail."""
    asked: list[Any] = []
    monkeypatch.setattr(memory, "matrices", lambda pipeline, space, tasks, weights: asked.append((tasks, weights)) or 0)
    one, two = adapter(tmp_path / "a", 8, layers=2), adapter(tmp_path / "b", 8, layers=1)
    merge_folders([one, two], tmp_path / "out", "ta", weights=[1, 2], dry_run=True)
    assert sorted(asked, key=str) == [(1, None), (2, [1, 2])]


def test_merges_beside_one_another_fit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = []
    real = memory.replace

    def seen(thing: Any, **fields: Any) -> Any:
        workers.append(fields.get("workers"))
        return real(thing, **fields)

    monkeypatch.setattr(memory, "replace", seen)
    monkeypatch.setattr("coremerge_ref.adapters.backends._processors", lambda: 4)
    path = adapter(tmp_path / "a", 20_000, layers=4)
    for free in (10e9, 33e9, 1e12):
        monkeypatch.setattr(memory, "free_memory", lambda free=free: free)
        merge_folders([path], tmp_path / "out", "ta", dense=True, dry_run=True)
    assert [count for count in workers if count] == [1, 2, 4]


def test_free_memory_is_what_the_system_says() -> None:
    free = memory.free_memory()
    assert free is None or 1e6 < free < 1e14


@pytest.mark.parametrize("layers", [None, (1, 1)], ids=["a merge", "a part"])
def test_what_merges_take_is_found_out_before_threads_merge(
    layers: tuple[int, int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tracemalloc, stopped while another thread allocates, crashed Python."""
    monkeypatch.setattr(memory, "_measured", {})
    where: list[str] = []

    def watched(*given: Any, real: Any = memory.measured) -> float:
        where.append(threading.current_thread().name)
        return float(real(*given))

    monkeypatch.setattr(memory, "measured", watched)
    inputs = [folders.write(tmp_path / name, folders.lora_tensors(t)) for t, name in enumerate("ab")]
    with ThreadPoolExecutor(2) as executor:
        merge_folders(inputs, tmp_path / "out", "ties", space="full", dense=True, executor=executor, layers=layers)
    assert where == [threading.main_thread().name]


class Function:
    """Merges by a sum, beside so many matrices that it holds; all of these print alike, as functions may."""

    def __init__(self, held: int) -> None:
        self.held = held

    def __call__(self, M: np.ndarray) -> np.ndarray:
        kept = [M[0] + i for i in range(self.held)]
        return M.sum(axis=0) + 0 * sum(kept)

    def __repr__(self) -> str:
        return "<function merge at 0x7f>"


def test_functions_that_print_alike_are_measured_each() -> None:
    few, many = (memory.matrices(as_pipeline(Function(held)), Full(), 2, None) for held in (1, 40))
    assert many > few + 30


def test_parameters_that_cannot_be_hashed_are_measured_all_the_same() -> None:
    masks = np.ones((2, memory._SMALL, memory._SMALL), dtype=bool)
    assert memory.matrices(as_pipeline(Dare(masks=masks)), Full(), 2, (1.0, 2.0)) > 0
