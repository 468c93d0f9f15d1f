"""Properties of anybody's implementation: right ones hold, wrong ones fail and are shrunk to code that shows it."""

import contextlib
import io
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from doubles import Double, KeepingFrames

from coremerge_ref import conformance
from coremerge_ref.conformance.claims import METHODS, THEOREMS
from coremerge_ref.conformance.configs import SPACES

FILE = str(Path(__file__).parent / "strangers.py")
NAMES = [t.name for t in THEOREMS]


def test_a_right_implementation_holds():
    report = conformance.check_properties(Double(), seed=0)
    assert report.ok, report.summary()
    assert {o.verdict for o in report.outcomes} == {"pass"}
    assert [o.name for o in report.outcomes] == NAMES
    assert {pair for o in report.outcomes for pair in o.tested} == {(m, s) for m in METHODS for s in SPACES}


@pytest.mark.parametrize(
    ("mistake", "theorem"),
    [
        ("scaling-ignored", "lossless"),
        ("scaling-ignored", "scale"),
        ("scaling-twice", "refactoring"),
        ("first-task-dropped", "linear"),
        ("last-task-dropped", "order"),
        ("frame-one-short", "lossless"),
        ("frames-of-first-task", "spaces"),
        (None, "turns"),
        ("left-frame-on-both-sides", "lossless"),
        ("null-vectors-in-tsv", "spaces"),
        ("null-vectors-in-iso", "spaces"),
        ("svd-of-gram-matrix", "spaces"),
        ("weights-ignored", "linear"),
        ("updates-averaged", "linear"),
        ("factors-averaged-apart", "linear"),
    ],
)
def test_a_mistake_breaks_a_theorem(mistake, theorem):
    fn = Double(mistake) if mistake else Double(make=KeepingFrames)
    report = conformance.check_properties(fn, only=[theorem], seed=1)
    assert not report.ok


def test_a_failure_is_shrunk_to_code_that_shows_it():
    report = conformance.check_properties(unscaled, only=["lossless", "refactoring", "scale"], seed=0)
    for outcome in report.outcomes:
        assert outcome.verdict == "fail"
        assert len(outcome.code.splitlines()) <= 10
        assert outcome.code in report.summary()
        assert max(len(line) for line in outcome.code.splitlines()) < 300
        given, said = {}, io.StringIO()
        code = re.sub(r"load\('.*?'\)", f"load('{__file__}:unscaled')", outcome.code)
        with contextlib.redirect_stdout(said):
            exec(code, given)
        assert np.linalg.norm(given["left"] - given["right"]) > 1e-3 * np.linalg.norm(given["right"])
        assert said.getvalue().strip().startswith("[[")


def unscaled(case):
    if case.method != "ta":
        raise NotImplementedError
    w = case.params["ta"]["weights"]
    return sum(x * (B @ A) for x, (B, A, _) in zip(w, case.updates, strict=True))


def test_the_seed_is_told_and_draws_the_same_again():
    first = conformance.check_properties(unscaled, only=["scale"])
    again = conformance.check_properties(unscaled, only=["scale"], seed=first.seed)
    assert f"--seed {first.seed}" in first.summary()
    assert [o.code for o in again.outcomes] == [o.code for o in first.outcomes]


def test_what_is_not_supported_is_not_drawn():
    report = conformance.check_properties(f"{FILE}:linear", seed=0)
    assert report.ok, report.summary()
    tested = {pair for o in report.outcomes for pair in o.tested}
    assert tested == {("ta", "core"), ("ta", "full")}


def nothing(case):
    raise NotImplementedError


def test_nothing_supported_is_no_success():
    report = conformance.check_properties(nothing)
    assert not report.ok
    assert {o.verdict for o in report.outcomes} == {"unsupported"}
    assert "supports nothing" in report.summary()


@pytest.mark.parametrize("function", ["ends", "mute", "nothing", "huge", "complex_numbers"])
def test_in_a_process_of_its_own(function):
    report = conformance.check_properties(f"{FILE}:{function}", only=["lossless"], seed=0, examples=2, isolate=True)
    assert not report.ok
    json.loads(report.to_json())
    assert report.outcomes[0].code


def test_float32():
    def single(case):
        if case.method not in ("ta", "tsv") or case.space == "knots":
            raise NotImplementedError
        return Double()(case).astype(np.float32)

    assert not conformance.check_properties(single, only=["lossless", "spaces"], seed=0).ok
    report = conformance.check_properties(single, seed=0, precision="float32")
    assert report.ok, report.summary()


def test_names_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="lossles"):
        conformance.check_properties(nothing, only=["lossles"])


@conformance.parametrize_with_properties(Double(), only=["lossless", "order"])
def test_parametrized(check):
    check()


def test_parametrized_failures_show_the_code():
    mark = conformance.parametrize_with_properties(unscaled, only=["scale"])
    (param,) = mark.args[1]
    with pytest.raises(pytest.fail.Exception, match="question"):
        param.values[0]()
    (param,) = conformance.parametrize_with_properties(nothing, only=["scale"]).args[1]
    with pytest.raises(pytest.skip.Exception):
        param.values[0]()


def test_numbers_that_overflow_warn_nobody():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        conformance.check_properties(lambda case: np.full(case.shape, np.inf), only=["scale"], seed=0, examples=2)
