"""The benchmark on a card, and what `make gpu` makes of it, on the double of CuPy."""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import cupy_double
import pytest
from backends import CARD

from benchmarks import gpu, gpu_check

pytestmark = pytest.mark.skipif(CARD, reason="`make gpu` runs the thing itself")


@pytest.fixture(autouse=True)
def double(monkeypatch: pytest.MonkeyPatch) -> None:
    """One card, and layers of 32 and 16 rows."""
    card = gpu.Card("cupy", "double", cupy_double.asarray, lambda X: X.get(), lambda: None)
    monkeypatch.setattr(gpu, "cards", lambda: iter([card]))
    monkeypatch.setattr(gpu, "LLAMA_8B", {"q_proj": (256, 256), "k_proj": (128, 256)})


def test_it_writes_what_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--quick", "--methods", "ta,tsv", "--rounds", "1", "--no-dense", "--output", str(tmp_path / "gpu.json")])
    (found,) = json.loads((tmp_path / "gpu.json").read_text())
    assert (found["library"], found["card"], found["dense"]) == ("cupy", "double", {})
    assert list(found["methods"]) == ["ta", "tsv"]
    for times in found["methods"].values():
        assert times["parity"] < 1e4
        assert min(times["ours"], times["paper"], times["paper, batched"]) > 0
    assert [line.split(":")[0].strip() for line in capsys.readouterr().out.splitlines()[1:]] == ["ta", "tsv"]


@pytest.mark.parametrize("methods", ["ta", "tsv"])
def test_dense_algorithms_of_the_methods_alone(methods: str, tmp_path: Path) -> None:
    gpu.main(["--quick", "--methods", methods, "--rounds", "1", "--output", str(tmp_path / "gpu.json")])
    (found,) = json.loads((tmp_path / "gpu.json").read_text())
    assert set(found["dense"]) == {"ta": set(), "tsv": {"full tsv", "knots tsv"}}[methods]


def test_what_was_measured_is_kept_when_it_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = gpu.seconds

    def stopped(layers: Any, card: Any, method: str, rounds: int) -> dict[str, float]:
        if method == "tsv":
            raise KeyboardInterrupt
        return measured(layers, card, method, rounds)

    monkeypatch.setattr(gpu, "seconds", stopped)
    with pytest.raises(SystemExit, match="stopped; what was measured is kept"):
        gpu.main(["--quick", "--methods", "ta,tsv", "--rounds", "1", "--output", str(tmp_path / "gpu.json")])
    (found,) = json.loads((tmp_path / "gpu.json").read_text())
    assert list(found["methods"]) == ["ta"]


@pytest.mark.parametrize(("options", "message"), [(["--methods", "ta,nope"], "got nope"), (["--rounds", "0"], "got 0")])
def test_options_that_mean_nothing(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.main(options)
    assert message in capsys.readouterr().err


def test_what_is_missing_is_what_the_tests_need_and_no_array_library(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_check.missing() == []
    monkeypatch.setattr(gpu_check, "_installed", lambda name: False)
    project = tomllib.loads((gpu_check.ROOT / "pyproject.toml").read_text())["project"]
    assert set(gpu_check.missing()) == {*project["dependencies"], *project["optional-dependencies"]["conformance"]}
    assert not any(text.startswith(("torch", "cupy", "jax")) for text in gpu_check.missing())


def test_a_part_that_takes_too_long_is_stopped_and_writes_what_it_has(tmp_path: Path) -> None:
    code = f"""
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    time.sleep(60)
except KeyboardInterrupt:
    open({str(tmp_path / "said")!r}, "w").write("so far")
"""
    assert gpu_check.run(
        [sys.executable, "-c", "import signal; signal.signal(2, signal.default_int_handler)" + code], 3
    )
    assert (tmp_path / "said").read_text() == "so far"
    assert gpu_check.run([sys.executable, "-c", ""], 60) == "finished"
    assert gpu_check.run([sys.executable, "-c", "raise SystemExit(3)"], 60) == "failed"


def test_one_page(tmp_path: Path) -> None:
    (tmp_path / "tests.xml").write_text(
        '<testsuites><testsuite><testcase classname="a" name="x"/>'
        '<testcase classname="a" name="y"><skipped/></testcase>'
        '<testcase classname="b" name="z"><failure message="1 is\nnot 2"/></testcase></testsuite></testsuites>'
    )
    tests = gpu_check.read_tests(tmp_path / "tests.xml")
    assert tests == {"passed": 1, "skipped": 1, "failed": [{"test": "b::z", "why": "1 is not 2"}]}
    assert gpu_check.read_tests(tmp_path / "none.xml")["passed"] == 0
    times = {"ours": 0.5, "paper": 1.0, "paper, batched": 0.75, "parity": 12.0}
    cards = [{"library": "cupy", "card": "H", "quick": False, "methods": {"ta": times}, "dense": {}}, {}]
    machine = {"cards": {"cupy": ["H"], "torch": []}, "driver": 12}
    results = {
        "machine": machine,
        "tests": {"state": "failed", **tests},
        "benchmark": {"state": "stopped after 270 s", "cards": cards},
    }
    gpu_check.write(tmp_path, results)
    page = (tmp_path / "results.md").read_text()
    assert json.loads((tmp_path / "results.json").read_text()) == results
    for text in ("cupy: H; torch: none", "1 passed, 1 skipped, 1 failed", "`b::z`: 1 is not 2", "stopped after 270 s"):
        assert text in page
    assert "| cupy, H | `ta` | 0.500 s | 2.0× | 1.5× | – | – | – | 12 eps |" in page
