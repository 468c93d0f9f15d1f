"""One case in pytest: right answers pass, what is not done is skipped, and a failure says all that is known of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from said import parts

from coremerge_ref.conformance import cases, parametrize_with_checks, parametrize_with_properties
from coremerge_ref.conformance.answers import ANSWERED, BROKEN, UNSUPPORTED, Answer
from coremerge_ref.conformance.checks import _ask

CASE = cases("ta/core/generic")[0]
Failed, Skipped = pytest.fail.Exception, pytest.skip.Exception


class Answering:
    """A way to ask that has one answer."""

    def __init__(self, answer: Answer, supports: dict[str, list[str]] | None = None) -> None:
        self.given, self.supports = answer, supports

    def answer(self, case: Any) -> Answer:
        return self.given


def said(error: type[BaseException], answer: Answer, **options: Any) -> str:
    with pytest.raises(error) as caught:
        _ask(Answering(answer, **options), CASE)
    return str(caught.value)


def test_a_right_answer_passes() -> None:
    assert _ask(Answering(Answer(ANSWERED, CASE.expected)), CASE) is None


def test_a_failure_has_the_case_the_verdict_both_errors_and_the_mistake_in_one_line() -> None:
    text = said(Failed, Answer(ANSWERED, 3 * CASE.expected))
    ratio = 2 * np.linalg.norm(CASE.expected) / CASE.tolerance
    assert text.startswith(f"{CASE.name}: fail, ")
    assert f" {ratio:.3g} times the tolerance" in text
    assert "relative error 2:" in text
    assert "result-multiplied-by-count" in text
    assert "\n" not in text


def test_a_failure_of_no_known_mistake_says_so() -> None:
    wrong = np.random.default_rng(0).standard_normal(CASE.shape)
    assert said(Failed, Answer(ANSWERED, wrong)).endswith(": not a known mistake")


@pytest.mark.parametrize(
    ("trace", "printed", "lines"),
    [
        ("in mine.py", "on my way", ["in mine.py", "on my way"]),
        ("in mine.py", "", ["in mine.py"]),
        ("", "on my way", ["on my way"]),
        ("", "", []),
        ("two\nlines", "two\nmore\n", ["two", "lines", "two", "more"]),
    ],
)
def test_an_error_is_followed_by_its_traceback_and_by_what_was_printed(
    trace: str, printed: str, lines: list[str]
) -> None:
    text = said(Failed, Answer(BROKEN, None, "KeyError: 'k'", trace, printed=printed))
    first, *rest = text.split("\n")
    assert first.startswith(f"{CASE.name}: error, ")
    assert first.endswith(": KeyError: 'k'")
    assert rest == lines


def test_a_failure_has_no_traceback_of_the_kit() -> None:
    with pytest.raises(Failed) as caught:
        _ask(Answering(Answer(BROKEN)), CASE)
    assert not caught.value.pytrace


def test_what_is_not_done_is_skipped_with_its_reason() -> None:
    assert said(Skipped, Answer(UNSUPPORTED, message="later")) == "later"
    assert said(Skipped, Answer(UNSUPPORTED)) == "unsupported"
    assert "declares" in said(Skipped, Answer(ANSWERED, CASE.expected), supports={"methods": ["ties"]})


# ---- the decorator -----------------------------------------------------------------------------------------------
def marked(decorator: Any) -> Any:
    """What pytest is given: the name of the argument, and one parameter a case."""

    def test(check: Callable[[], None]) -> None:
        check()

    (mark,) = decorator(test).pytestmark
    assert (mark.name, mark.args[0]) == ("parametrize", "check")
    return mark.args[1]


def right(case: Any) -> np.ndarray:
    return next(c for c in cases(case.name, precision=case.precision) if c.name == case.name).expected


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_each_case_chosen_is_one_parameter_that_asks_it(precision: str) -> None:
    params = marked(parametrize_with_checks(right, only="ta/", skip=["ta/*/hetero", "full"], precision=precision))
    chosen = cases("ta/", ["ta/*/hetero", "full"], precision)
    assert [param.id for param in params] == [case.name for case in chosen]
    assert not any(param.marks for param in params)
    for param in params[:3]:
        param.values[0]()
    asked = [param.values[0].args[1] for param in params]
    assert [(case.name, case.precision.name) for case in asked] == [(case.name, precision) for case in chosen]


def test_expected_failures_are_strict_and_carry_their_reason() -> None:
    known = {"ta/core/": "issue 1"}
    params = marked(parametrize_with_checks(right, only="ta/", expected_failures=known))
    assert any(param.marks for param in params)
    for param in params:
        marks = [(mark.name, mark.kwargs) for mark in param.marks]
        expected = [("xfail", {"reason": "issue 1", "strict": True})] if param.id.startswith("ta/core/") else []
        assert marks == expected


def test_what_makes_no_sense_is_refused_when_the_tests_are_collected() -> None:
    with pytest.raises(ValueError, match=parts("'tis/' … none")):
        parametrize_with_checks(right, only="ta/", expected_failures={"tis/": "misspelt"})
    with pytest.raises(ValueError, match=parts("timeout … isolate=True")):
        parametrize_with_checks(right, timeout=3.0)
    with pytest.raises(ValueError, match=parts("timeout … isolate=True")):
        parametrize_with_properties(right, timeout=3.0)
