"""The worked example in C++ passes the kit, and a mistake planted in it is named. Runs where its compiler is."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from coremerge_ref.conformance import cases, check, export

COMPILER = shutil.which("g++") or shutil.which("clang++")
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "cpp"
EIGEN = next((p for p in map(Path, ("/usr/include/eigen3", "/usr/local/include/eigen3")) if p.is_dir()), None)
JSON = any(Path(p, "nlohmann", "json.hpp").is_file() for p in ("/usr/include", "/usr/local/include"))
METHODS = ("ta", "mean", "tsv", "cart", "ta+iso", "mean+iso", "tsv+iso")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (COMPILER and EIGEN and JSON), reason="a C++ compiler, Eigen or nlohmann/json is missing"),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export(tmp_path_factory.mktemp("vectors") / "cases")


def built(source, folder):
    program = folder / "merge"
    words = [COMPILER, "-std=c++17", "-O0", "-Wall", "-Wextra", "-isystem", EIGEN, source / "main.cpp", "-o", program]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "warning" not in done.stderr
    return program


def outputs_of(program, exported, folder):
    outputs = folder / "outputs.safetensors"
    subprocess.run([program, exported, outputs], check=True, capture_output=True, timeout=60)
    return outputs


def test_the_example_is_right_in_every_case_that_it_answers(exported, tmp_path):
    report = check(exported, outputs_of(built(EXAMPLE, tmp_path), exported, tmp_path), allow_partial=True)
    assert report.ok, report.summary()
    answered = Counter(r.case.method for r in report.results if r.verdict in ("pass", "ambiguous"))
    asked = Counter(
        c.method
        for c in cases()
        if c.method in METHODS and c.space != "knots-unscaled" and c.params.get("iso", {}).get("support") != "size"
    )
    assert answered == asked


@pytest.mark.weekly  # the example in JavaScript is told the same of three mistakes, and needs no compiler
def test_a_mistake_in_it_is_found_and_named(exported, tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "cpp")
    header = tmp_path / "cpp" / "merge.hpp"
    text = header.read_text()
    right = "svd.cut(std::max(level, RTOL) * svd.top());"
    assert text.count(right) == 1
    header.write_text(text.replace(right, "svd.cut(0 * level);"))
    outputs = outputs_of(built(tmp_path / "cpp", tmp_path), exported, tmp_path)
    report = check(exported, outputs, only=["tsv/*", "tsv-*"])
    assert not report.ok
    assert any(cause.startswith("null-vectors") for cause in report.diagnoses()), report.summary()
