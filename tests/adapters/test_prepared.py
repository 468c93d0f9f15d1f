"""Adapters opened once for many merges: the same files as merging each time, with nothing read twice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adapter_folders as folders
import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.adapters import Adapter, merge_folders, prepare_folders
from coremerge_ref.errors import AdapterError, ParameterError

SETTINGS: list[dict[str, Any]] = [
    {},
    {"method": "ties", "scale": 0.7},
    {"method": "dare+ties+iso", "weights": (1.0, 0.5), "rank": 2},
    {"method": "ta", "weights": (2, -1), "dtype": "float16", "ragged": True},
    {"method": cm.Ties(scope="model")},
    {"method": [{"match": "q", "value": "tsv"}, {"match": "k", "value": "iso"}]},
    {"method": "tsv", "dense": True},
]


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [folders.write(tmp_path / name, folders.lora_tensors(seed)) for seed, name in enumerate("ab")]


@pytest.mark.parametrize("space", ["core", "knots", "full", cm.Core("tucker")], ids=str)
def test_every_merge_is_what_merging_alone_writes(space: Any, two: list[Path], tmp_path: Path) -> None:
    prepared = cm.prepare(two, space)
    for i, setting in enumerate(SETTINGS):
        setting = {"rank": None if setting.get("dense") else 3, **setting} if space == "full" else setting
        for again in range(2):
            report = prepared.merge(tmp_path / f"prepared-{i}-{again}", **setting)
            alone = merge_folders(two, tmp_path / f"alone-{i}-{again}", space=space, **setting)
            assert (report.method, report.layers, report.ranks) == (alone.method, alone.layers, alone.ranks)
            records = [json.loads((Path(r.output) / "coremerge.json").read_text()) for r in (report, alone)]
            for record in records:
                if record["recipe"]:
                    record["recipe"].pop("output")
            assert records[0] == records[1]  # the hashes of what was written among it


def test_nothing_is_read_twice(two: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare_folders(two)
    prepared.merge(tmp_path / "first", "tsv")
    prepared.merge(tmp_path / "second", "ties")

    def read(*_: Any) -> Any:
        raise AssertionError("read again")

    monkeypatch.setattr(Adapter, "load", read)
    for i, method in enumerate(("iso", "cart", "dare+ta", "drm")):
        prepared.merge(tmp_path / str(i), method, scale=0.5)
    with pytest.raises(AssertionError, match="read again"):
        merge_folders(two, tmp_path / "alone", "tsv")


def test_full_size_matrices_are_not_kept(two: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared, loads = prepare_folders(two, "full"), []
    load = Adapter.load
    monkeypatch.setattr(Adapter, "load", lambda self, names: loads.append(self) or load(self, names))
    for i, (method, read) in enumerate((("tsv", True), ("iso", False), ("ties", True), ("ties", True), ("tsv", False))):
        loads.clear()
        prepared.merge(tmp_path / str(i), method, rank=2)
        assert bool(loads) == read, (i, method)


def test_an_adapter_that_changed_is_refused(two: list[Path], tmp_path: Path) -> None:
    prepared = prepare_folders(two)
    prepared.merge(tmp_path / "before")
    folders.write(two[0], folders.lora_tensors(9))
    with pytest.raises(AdapterError, match="changed"):
        prepared.merge(tmp_path / "after")
    assert not (tmp_path / "after").exists()


def test_more_goes_into_the_record_when_asked(two: list[Path], tmp_path: Path) -> None:
    prepare_folders(two).merge(tmp_path / "out", about={"search": {"trials": 3}})
    assert json.loads((tmp_path / "out" / "coremerge.json").read_text())["search"] == {"trials": 3}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda paths: prepare_folders([]), ParameterError),
        (lambda paths: prepare_folders(paths, "moon"), ParameterError),
        (lambda paths: prepare_folders([*paths, "gone"]), AdapterError),
        (lambda paths: prepare_folders(paths, others="some"), ParameterError),
        (lambda paths: cm.prepare(paths, compute_dtype="float32"), ParameterError),
        (lambda paths: cm.prepare(paths).merge("out", "tvs"), ParameterError),
        (lambda paths: cm.prepare(paths).merge("out", weights=[1]), ParameterError),
        (lambda paths: cm.prepare(paths, "full").merge("out", "ties"), ParameterError),
        (lambda paths: cm.prepare([np.ones(3)]), cm.CoreMergeError),
    ],
)
def test_errors(call: Callable[[list[Path]], Any], error: type[Exception], two: list[Path]) -> None:
    with pytest.raises(error):
        call(two)
