"""A run: what it was asked stands in its provenance, its progress is told, and each answer has its verdict."""

import numpy as np
import pytest

from coremerge_ref import conformance
from coremerge_ref.conformance import asking
from coremerge_ref.conformance.answers import ANSWERED, BROKEN, CHANGED, UNSUPPORTED, Answer
from coremerge_ref.conformance.questions import Case
from coremerge_ref.conformance.report import Result

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


# ---- the entries of the transpose --------------------------------------------------------------------------------
X = CASE.expected  # (10, 8)
BATCH = next(c for c in conformance.cases("ta/core/batch"))
ROW = next(c for c in conformance.cases("ta/core/row"))


def columns_first(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.swapaxes(x, -1, -2)).reshape(x.shape)


@pytest.mark.parametrize(
    ("case", "array", "told"),
    [
        (CASE, columns_first(X), True),
        (CASE, columns_first(X).astype(np.float32), False),  # single precision as well
        (CASE, X, False),
        (CASE, X.T, False),  # another shape
        (CASE, columns_first(X)[None], False),
        (CASE, columns_first(X) + 0j, False),
        (CASE, columns_first(X)[:5], False),
        (CASE, 2 * columns_first(X), False),
        (CASE, None, False),
        (BATCH, columns_first(BATCH.expected), True),
        (ROW, ROW.expected, False),  # one row is its own transpose
    ],
    ids=str,
)
def test_entries_in_the_order_of_the_transpose_are_told(case: Case, array: np.ndarray | None, told: bool) -> None:
    found = asking.column_major(case, array)
    assert bool(found) is told
    assert (found.text, found.mistakes) == (asking.COLUMNS if told else "", ())
    if told:
        result = asking.check(lambda _: array, case)
        assert (result.verdict, result.diagnosis, result.cause) == ("fail", asking.COLUMNS, asking.COLUMNS)


# ---- one case by itself ------------------------------------------------------------------------------------------
def test_one_case_is_judged_and_its_mistake_named() -> None:
    result = asking.check(lambda case: -X, CASE)
    assert (result.verdict, result.mistakes[0]) == ("fail", "result-negated")
    assert result.diagnosis == result.cause
    assert result.diagnosis.startswith("result-negated: ")
    assert result.relative == pytest.approx(2)
    assert asking.check(lambda case: X, CASE).diagnosis == ""
    unknown = asking.check(lambda case: np.ones(case.shape), CASE)
    assert (unknown.verdict, unknown.mistakes, unknown.cause) == ("fail", (), "")


def test_what_is_not_declared_is_not_asked() -> None:
    def one(case: Case) -> np.ndarray:
        raise AssertionError

    one.supports = {"methods": ["ties"]}  # type: ignore[attr-defined]
    result = asking.check(one, CASE)
    assert (result.verdict, result.diagnosis) == ("unsupported", asking.UNDECLARED)


# ---- asked again -------------------------------------------------------------------------------------------------
class Once:
    """A way to ask that answers rightly once, and notes what it is asked."""

    supports = None

    def __init__(self, again: Answer) -> None:
        self.asked: list[str] = []
        self.again = again

    def answer(self, case: Case) -> Answer:
        self.asked.append(case.name)
        return self.again


def test_one_case_of_each_method_and_space_that_was_right_is_asked_again() -> None:
    names = [("ta/core/generic", "fail"), ("ta/core/hetero", "pass"), ("ta/core/square", "pass")]
    names += [("ta/full/generic", "ambiguous"), ("ta-plain/full/generic", "pass"), ("ta/knots/hetero", "pass")]
    results = [Result(next(c for c in conformance.cases(name) if c.name == name), verdict) for name, verdict in names]
    way = Once(Answer(BROKEN, None, "KeyError", "File mine.py", printed="words"))
    asking._repeat(way, results)  # type: ignore[arg-type]
    again = ["ta/core/hetero", "ta-plain/full/generic", "ta/knots/hetero"]
    assert way.asked == again
    for result in results:
        if result.case.name not in again:
            assert (result.diagnosis, result.traceback) == ("", "")
            continue
        assert (result.verdict, result.diagnosis, result.ratio) == ("fail", asking.STATE, np.inf)
        assert (result.relative, result.traceback, result.printed) == (np.inf, "File mine.py", "words")
    right = [Result(CASE, "pass", 0.5)]
    asking._repeat(Once(Answer(ANSWERED, X)), right)  # type: ignore[arg-type]
    assert (right[0].verdict, right[0].ratio, right[0].diagnosis) == ("pass", 0.5, "")
    asking._repeat(Once(Answer(ANSWERED, 2 * X)), right)  # type: ignore[arg-type]
    assert (right[0].verdict, right[0].relative) == ("fail", pytest.approx(1))
    assert right[0].ratio > 1


@pytest.mark.parametrize(("repeat", "calls"), [(True, 4), (False, 3)])
def test_a_run_asks_again_unless_it_is_told_not_to(repeat: bool, calls: int) -> None:
    asked = []

    def counting(case: Case) -> np.ndarray:
        asked.append(case.name)
        return right(case)

    given = conformance.cases(["ta/core/generic", "ta/core/hetero", "ta/core/square"])
    assert conformance.run(counting, cases=given, repeat=repeat).ok
    assert len(asked) == calls


# ---- the whole run -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("diagnoses", "named"), [(True, True), (False, False)])
def test_mistakes_are_named_unless_a_run_is_told_not_to(diagnoses: bool, named: bool) -> None:
    report = conformance.run(lambda case: -right(case), cases=[CASE, HUGE], diagnoses=diagnoses, repeat=False)
    assert [r.verdict for r in report.results] == ["fail", "fail"]
    assert [bool(r.mistakes) and r.cause.startswith("result-negated") for r in report.results] == [named] * 2


def test_cases_drawn_come_after_those_given_and_bear_their_seed() -> None:
    report = conformance.run(lambda case: np.zeros(case.shape), cases=[CASE], generated=2, seed=7, diagnoses=False)
    assert [r.case.name for r in report.results] == [CASE.name, *(c.name for c in conformance.generate(7, 2))]
    assert (report.provenance.generated, report.provenance.seed) == (2, 7)


def test_each_answer_that_fails_has_its_own_diagnosis() -> None:
    """Columns first, a known mistake, one that is not known, no array."""
    unknown = np.random.default_rng(0).standard_normal(CASE.shape)
    given = {
        "ta/core/generic": columns_first(X),
        "ta/core/hetero": None,
        "ta/core/mixed": unknown,
        "ta/core/deficient": "none",
    }
    asked = [next(c for c in conformance.cases(name) if c.name == name) for name in given]

    def function(case: Case) -> object:
        return -right(case) if given[case.name] is None else given[case.name]

    found = conformance.run(function, cases=asked, repeat=False).results
    assert [r.verdict for r in found] == ["fail", "fail", "fail", "error"]
    assert found[0].diagnosis == asking.COLUMNS
    assert found[1].mistakes[0] == "result-negated"
    assert (found[2].mistakes, found[2].group) == ((), "not a known mistake")
    assert found[3].diagnosis.startswith("TypeError")
