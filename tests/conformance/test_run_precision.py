"""run judges in the precision asked, finds the one that the answers show, and says both."""

import json

import numpy as np

from coremerge_ref import conformance

ONLY = ["ta/*", "mean/*"]


def single(case):
    """Linear merges in float32 throughout."""
    weights = np.asarray(next(iter(case.params.values()))["weights"], dtype=np.float32)
    with np.errstate(all="ignore"):
        parts = [w * np.float32(s) * (b.astype(np.float32) @ a.astype(np.float32))
                 for w, (b, a, s) in zip(weights, case.updates, strict=True)]  # fmt: skip
        return np.sum(parts, 0) / (np.sum(weights) if case.method == "mean" else np.float32(1))


def test_float32_fails_as_float64_and_is_told():
    report = conformance.run(single, only=ONLY)
    assert not report.ok
    assert report.provenance.precision == "float64"
    assert report.provenance.shown == "float32"
    assert "float64, computes in float32" in report.summary().splitlines()[0]


def test_float32_passes_as_what_it_is():
    for precision in ("float32", "auto"):
        report = conformance.run(single, only=ONLY, precision=precision)
        assert report.ok, report.summary()
        assert report.provenance.precision == report.provenance.shown == "float32"
        assert {r.case.precision.name for r in report.results} == {"float32"}
        assert report.provenance.cases == len(conformance.cases(precision="float32"))
        assert json.loads(report.to_json())["provenance"]["precision"] == "float32"


def test_auto_takes_float64_for_what_it_is():
    report = conformance.run(lambda case: single(case) * 3, only=ONLY, precision="auto")
    assert not report.ok
    known = {c.name: c.expected for c in conformance.cases()}
    assert conformance.run(lambda case: known[case.name], only=ONLY, precision="auto").provenance.precision == "float64"
