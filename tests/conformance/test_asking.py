"""A run: what it was asked stands in its provenance, its progress is told, and each answer has its verdict."""

import numpy as np
import pytest

from coremerge_ref import conformance
from coremerge_ref.conformance import asking
from coremerge_ref.conformance.answers import ANSWERED, BROKEN, CHANGED, UNSUPPORTED, Answer
from coremerge_ref.conformance.questions import Case

ONLY, SKIP = ("ta/core/*", "ta/full"), ("ta/core/hetero", "square")
CASE = conformance.cases("ta/core/generic")[0]
HUGE = next(c for c in conformance.cases("ta/core/huge"))


def right(case: Case) -> np.ndarray:
    weights = case.params["ta"]["weights"]
    terms = zip(weights, case.updates, strict=True)
    return sum(w * s * (B.astype(float) @ A.astype(float)) for w, (B, A, s) in terms)


# ---- what was asked ----------------------------------------------------------------------------------------------
def test_provenance_says_what_was_asked_and_of_whom() -> None:
    report = conformance.run(right, only=ONLY, skip=SKIP, generated=0, seed=5, repeat=False)
    asked = conformance.cases(ONLY, SKIP)
    assert [r.case.name for r in report.results] == [case.name for case in asked]
    told = report.provenance
    assert told.function.endswith("right")
    assert (told.only, told.skip) == (ONLY, SKIP)
    assert (told.precision, told.shown) == ("float64", "float64")
    assert (told.isolated, told.generated, told.seed) == (False, 0, None)  # nothing was drawn
    assert told.cases == len(conformance.cases())
    assert report.seconds > 0


@pytest.mark.parametrize("one", ["ta/core/generic", ["ta/core/generic"], ("", "ta/core/generic")])
def test_one_pattern_is_told_as_several_are(one: object) -> None:
    told = conformance.run(right, only=one, repeat=False).provenance
    assert (told.only, told.skip) == (("ta/core/generic",), ())
    told = conformance.run(right, only="ta/core/ge", skip=["", "no_such"], repeat=False).provenance
    assert (told.only, told.skip) == (("ta/core/ge",), ("no_such",))


def test_cases_given_are_asked_as_they_are_and_no_invalid_input_with_them() -> None:
    given = [CASE, HUGE]
    report = conformance.run(right, cases=iter(given), repeat=False)
    assert [r.case for r in report.results] == given
    assert not report.invalid


def test_invalid_input_is_chosen_as_cases_are() -> None:
    report = conformance.run(right, only=["ta/core/generic", "invalid/nan-in"], skip="*/ties", repeat=False)
    assert [r.case.name for r in report.results] == ["ta/core/generic"]
    expected = [f"invalid/nan-in-{letter}/{method}" for letter in "ba" for method in ("ta-plain", "tsv")]
    assert [reaction.case for reaction in report.invalid] == expected


def test_progress_is_told_after_every_case() -> None:
    told = []
    conformance.run(right, only="ta/core/", repeat=False, progress=lambda done, of: told.append((done, of)))
    count = len(conformance.cases("ta/core/"))
    assert told == [(i + 1, count) for i in range(count)]


# ---- verdicts ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("answer", "verdict", "diagnosis"),
    [
        (Answer(ANSWERED, CASE.expected), "pass", ""),
        (Answer(CHANGED, CASE.expected), "fail", asking.CHANGED),
        (Answer(UNSUPPORTED, message="later"), "unsupported", "later"),
        (Answer(BROKEN, message="KeyError: 'k'"), "error", "KeyError: 'k'"),
        (Answer(ANSWERED, None, "lost"), "error", "lost"),
    ],
)
def test_every_kind_of_answer_has_its_verdict(answer: Answer, verdict: str, diagnosis: str) -> None:
    answer.traceback, answer.printed = "in mine.py", "on my way"
    result = asking.judged(CASE, answer)
    assert (result.verdict, result.diagnosis) == (verdict, diagnosis)
    assert (result.traceback, result.printed) == ("in mine.py", "on my way")
    assert result.ratio == (np.inf if verdict in ("error", "fail") else 0)
    assert result.relative == (0 if verdict == "pass" else np.inf)


@pytest.mark.parametrize(("numeric", "case", "hinted"), [(True, HUGE, True), (False, HUGE, False), (True, CASE, False)])
def test_failed_arithmetic_on_what_single_precision_cannot_hold_has_a_hint(
    numeric: bool, case: Case, hinted: bool
) -> None:
    said = asking.judged(case, Answer(BROKEN, message="OverflowError", numeric=numeric)).diagnosis
    assert said.startswith("OverflowError")
    assert ("single precision" in said) is hinted


def test_errors_are_relative_to_the_right_answer() -> None:
    x = CASE.expected
    for array, expected in ((x, 0), (3 * x, 2), (0 * x, 1), (x.T, np.inf), (x + 0j, np.inf), (x * np.nan, np.inf)):
        assert asking.relative_error(CASE, array) == pytest.approx(expected)
    zero = next(c for c in conformance.cases("ta/core/all_zero"))
    assert asking.relative_error(zero, zero.expected) == 0
    assert asking.relative_error(zero, zero.expected + 1e-300) == np.inf
