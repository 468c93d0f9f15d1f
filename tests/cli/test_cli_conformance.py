"""coremerge conformance and coremerge vectors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

Run = Callable[..., Any]
Refused = Callable[..., str]

SOURCE = """
import numpy as np
def total(case, scaled=True):
    if case.method != "ta":
        raise NotImplementedError("linear merges alone")
    w = case.params["ta"]["weights"]
    return sum(
        w[t] * (s if scaled else 1.0) * (b.astype(float) @ a.astype(float)) for t, (b, a, s) in enumerate(case.updates)
    )
def unscaled(case):
    return total(case, scaled=False)
def nothing(case):
    raise NotImplementedError
def exits(case):
    raise SystemExit(0)
def ends(case):
    __import__("os")._exit(0)
def helps(case):
    __import__("argparse").ArgumentParser().parse_args(["--help"])
def prints(case):
    print("{not JSON")
    return total(case)
def hangs(case):
    while True:
        pass
number = 3
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of somebody's implementation in the current folder, as conformance finds it."""
    name = f"implementation_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_a_right_implementation(run: Run, mine: str) -> None:
    result = run("conformance", f"{mine}:total", "--only", "/generic")
    assert result.exit_code == 0, result.output
    assert " pass" in result.stdout
    assert "unsupported" in result.stdout


def test_a_wrong_one_fails_with_the_mistake_named_in_all_formats(run: Run, mine: str) -> None:
    words = ("conformance", f"{mine}:unscaled", "--only", "ta/full/generic")
    result = run(*words, "--junit", "report.xml", "--report", "report.json", "--badge", "badge.json")
    assert result.exit_code == 1
    assert "scaling-ignored" in result.stdout
    assert ET.parse("report.xml").getroot().attrib["failures"] == "1"
    assert json.loads(Path("badge.json").read_text())["color"] == "red"
    result = run(*words, "--json")
    assert result.exit_code == 1
    (case,) = json.loads(result.stdout)["results"]
    assert (case["case"], case["verdict"], case["mistakes"][0]) == ("ta/full/generic", "fail", "scaling-ignored")
    (case,) = json.loads(Path("report.json").read_text())["results"]
    assert case["relative_error"] > 0.1


def test_expected_failures_with_their_reasons(run: Run, refused: Refused, mine: str) -> None:
    words = ("conformance", f"{mine}:unscaled", "--only", "ta/full/generic")
    result = run(*words, "--expected-failure", "*/full/generic=alpha is not read yet")
    assert result.exit_code == 0
    assert "alpha is not read yet" in result.stdout
    Path("known.txt").write_text("# what we know\n\nta/full=alpha is not read yet\n")
    assert run(*words, "--expected-failures", "known.txt").exit_code == 0
    assert "'drm'" in refused(*words, "--expected-failure", "drm=another")
    stale = run("conformance", f"{mine}:total", "--only", "ta/full/generic", "--expected-failure", "ta/=mended")
    assert stale.exit_code == 1
    assert "ta/" in stale.stdout.splitlines()[-1]


def test_a_file_globs_lists_and_tables(run: Run, mine: str) -> None:
    chosen = ("--only", "ta/*/generic", "--only", "mean/core/generic", "--skip", "*/knots/*")
    result = run("conformance", "--list", *chosen)
    assert result.stdout.split() == [
        "ta/full/generic", "ta/core/generic", "ta/knots-unscaled/generic", "mean/core/generic",
    ]  # fmt: skip
    assert json.loads(run("conformance", "--list", "--json", *chosen).stdout)["cases"] == result.stdout.split()
    result = run("conformance", f"{mine}.py:total", *chosen, "--all")
    assert result.exit_code == 0, result.output
    assert all(name in result.stdout for name in ("ta/full/generic", "ta/core/generic", "mean/core/generic"))


def test_nothing_answered(run: Run, mine: str) -> None:
    result = run("conformance", f"{mine}:nothing", "--only", "/generic", "--skip", "core")
    assert result.exit_code == 1
    assert "supports nothing" in result.stdout


@pytest.mark.parametrize("isolation", ["--isolate", "--no-isolate"])
@pytest.mark.parametrize("function", ["exits", "ends", "helps", "prints"])
def test_no_green_light_and_clean_json_whatever_it_does(run: Run, mine: str, isolation: str, function: str) -> None:
    result = run("conformance", f"{mine}:{function}", "--only", "ta/core/generic", isolation, "--json")
    assert result.exit_code == (0 if function == "prints" else 1)
    report = json.loads(result.stdout)
    assert report["ok"] is (function == "prints")
    assert report["provenance"]["isolated"] is (isolation == "--isolate")


@pytest.mark.parametrize("isolation", ["--isolate", "--no-isolate"])
def test_a_module_that_ends_the_process_is_refused(refused: Refused, tmp_path: Path, isolation: str) -> None:
    for source in ("import sys; sys.exit(0)", "import os; os._exit(0)"):
        (tmp_path / "ends.py").write_text(source)
        assert "cannot be imported" in refused("conformance", f"{tmp_path}/ends.py:merge", isolation)


def test_a_hang_ends(run: Run, mine: str) -> None:
    result = run("conformance", f"{mine}:hangs", "--only", "ta/core/generic", "--timeout", "0.5")
    assert result.exit_code == 1
    assert "no answer within 0.5 s" in result.stdout


def test_properties_and_generated_cases(run: Run, mine: str) -> None:
    result = run("conformance", f"{mine}:unscaled", "--properties", "--seed", "3", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["seed"] == 3
    failed = {p["name"]: p for p in report["properties"] if p["verdict"] == "fail"}
    assert "lossless" in failed
    assert f"{mine}:unscaled" in failed["lossless"]["code"]
    result = run(
        "conformance", f"{mine}:total", "--only", "ta/core/generic", "--generated", "3", "--seed", "5", "--json"
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert len(report["results"]) == 4
    assert report["provenance"]["seed"] == 5


def test_refusals(refused: Refused, mine: str) -> None:
    assert "MODULE:FUNCTION" in refused("conformance", mine)
    assert "MODULE:FUNCTION" in refused("conformance")
    assert "no_such" in refused("conformance", "no_such_module_at_all:f")
    assert "no_such_file.py" in refused("conformance", "no_such_file.py:f")
    assert "gone" in refused("conformance", f"{mine}:gone")
    assert "int" in refused("conformance", f"{mine}:number")
    assert "no_case" in refused("conformance", f"{mine}:total", "--only", "no_case")
    assert "reason" in refused("conformance", f"{mine}:total", "--expected-failure", "drm")
    assert "gone.txt" in refused("conformance", f"{mine}:total", "--expected-failures", "gone.txt")
    assert "float16" in refused("conformance", f"{mine}:total", "--precision", "float16")
    assert "timeout" in refused("conformance", f"{mine}:total", "--no-isolate", "--timeout", "3")
    words = ("conformance", f"{mine}:total", "--only", "ta/core/generic")
    for option in ("--report", "--junit", "--badge"):
        assert "elsewhere" in refused(*words, option, "elsewhere/file")


def test_vectors_there_and_back(run: Run, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("vectors", "export", "cases", "--only", "/full/generic")
    assert result.exit_code == 0, result.output
    assert "manifest.json" in result.stdout
    expected = {
        name.removeprefix("expected/"): x
        for name, x in load_file("cases/vectors.safetensors").items()
        if name.startswith("expected/")
    }
    right = {f"output/{name}": x for name, x in expected.items() if name.startswith("ta")}
    save_file(right, "right.safetensors")
    for words, code in (((), 1), (("--allow-partial",), 0), (("--only", "ta*/full/generic"), 0)):
        result = run("vectors", "check", "cases", "right.safetensors", "--json", *words)
        assert result.exit_code == code, result.output
        report = json.loads(result.stdout)
        assert report["counts"]["pass"] == len(right)
        assert bool(report["missing"]) is (words != ("--only", "ta*/full/generic"))
    assert "no output" in run("vectors", "check", "cases", "right.safetensors").stdout
    save_file({name: np.ascontiguousarray(-x) for name, x in right.items()}, "wrong.safetensors")
    result = run("vectors", "check", "cases", "wrong.safetensors", "--junit", "report.xml")
    assert result.exit_code == 1
    assert "result-negated" in result.stdout
    assert ET.parse("report.xml").getroot().attrib["failures"] == str(len(right) + 1)  # and the outputs missing
    assert "not empty" in refused("vectors", "export", "cases")
    assert "no case" in refused("vectors", "export", "others", "--only", "no_such")
    assert "outputs" in refused("vectors", "check", "cases")
    assert "gone" in refused("vectors", "check", "cases", "gone.safetensors")
    assert "manifest" in refused("vectors", "check", "nowhere", "right.safetensors")
    Path("junk.safetensors").write_bytes(b"junk")
    refused("vectors", "check", "cases", "junk.safetensors")
    save_file({"output/no_such": np.zeros((2, 2))}, "strange.safetensors")
    assert "no_such" in refused("vectors", "check", "cases", "strange.safetensors")


def test_vectors_in_single_precision(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("vectors", "export", "cases", "--only", "ta/", "--precision", "float32").exit_code == 0
    tensors = load_file("cases/vectors.safetensors")
    single = {n.replace("expected", "output"): x.astype("f4") for n, x in tensors.items() if n.startswith("expected")}
    save_file(single, "outputs.safetensors")
    result = run("vectors", "check", "cases", "outputs.safetensors", "--only", "ta/", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["provenance"]["precision"] == "float32"


def test_a_mistake_is_explained_by_its_id(run: Run, refused: Refused, mine: str) -> None:
    result = run("conformance", "--explain", "scaling-ignored")
    assert result.exit_code == 0
    assert "To mend it: " in result.stdout
    screen = run("conformance", f"{mine}:unscaled", "--only", "ta/full/generic").stdout
    assert "--explain scaling-ignored" in screen
    assert result.stdout.split("To mend it: ")[1].strip() in screen
    assert "scaling-ignored" in refused("conformance", "--explain", "scaling-ignore")


def test_a_mistake_is_explained_in_json_too(run: Run) -> None:
    from coremerge_ref.conformance.pages import pages

    name, page = next(iter(pages().items()))
    assert json.loads(run("conformance", "--explain", name, "--json").stdout) == {"id": name, **page}
