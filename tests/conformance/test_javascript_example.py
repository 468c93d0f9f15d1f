"""The worked example in JavaScript passes the kit, and a mistake planted in it is named. Runs where Node is present."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from coremerge_ref.conformance import check, export

NODE = shutil.which("node")
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "javascript"

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export(tmp_path_factory.mktemp("vectors") / "cases")


def outputs_of(example, cases, folder):
    outputs = folder / "outputs.safetensors"
    subprocess.run([NODE, example / "merge.mjs", cases, outputs], check=True, capture_output=True, timeout=60)
    return outputs


def test_the_example_is_right_in_every_case_that_it_answers(exported, tmp_path):
    report = check(exported, outputs_of(EXAMPLE, exported, tmp_path), allow_partial=True)
    assert report.ok, report.summary()
    assert not report.failures
    right = Counter(r.case.method for r in report.results if r.verdict in ("pass", "ambiguous"))
    assert min(right[method] for method in ("ta", "mean", "ties")) >= 9
    assert all(r.verdict == "unsupported" for r in report.results if r.case.method not in ("ta", "mean", "ties"))
    assert all(
        r.verdict != "unsupported"
        for r in report.results
        if r.case.method in ("ta", "mean")
        or (r.case.method == "ties" and r.case.space == "full" and r.case.params["ties"]["scope"] == "tensor")
    )


@pytest.mark.parametrize(
    ("right", "wrong", "diagnosis"),
    [
        ("[d - K - 1]", "[d - K]", "trim-off-by-one"),
        ("mass: (value) => value", "mass: Math.sign", "election-by-count"),
        ('p.zero_sign === "positive" || ', "true || ", "zero-sums-positive"),
    ],
)
def test_a_mistake_in_it_is_found_and_named(right, wrong, diagnosis, exported, tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "js")
    source = tmp_path / "js" / "methods.mjs"
    text = source.read_text()
    assert text.count(right) == 1
    source.write_text(text.replace(right, wrong))
    report = check(exported, outputs_of(tmp_path / "js", exported, tmp_path))
    assert not report.ok
    assert any(cause.startswith(diagnosis) for cause in report.diagnoses()), report.summary()
