"""The condition of a drawn example: its size, and how much an answer moves with it."""

from typing import Any

import numpy as np
import pytest

from coremerge_ref.conformance import properties
from coremerge_ref.conformance.answers import ANSWERED, BROKEN, CHANGED, UNSUPPORTED, Answer
from coremerge_ref.conformance.claims import Claim, question
from coremerge_ref.conformance.configs import TIES
from coremerge_ref.conformance.isolate import Here
from coremerge_ref.conformance.properties import violation
from coremerge_ref.conformance.sensitivity import conditioned, sensitivity, total

B, A = np.array([[3.0], [4.0]]), np.array([[0.0, 2, 0]])  # of the lengths 5 and 2


def asked(*scales: float, method: str = "ta", weights: Any = None, **params: Any) -> Any:
    given = {} if weights is None else {"weights": weights}
    return question([(B, A, s) for s in scales], method, "full", {method: {**params, **given}})


# ---- sizes -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("scales", "weights", "size"),
    [
        ((1.0,), None, 10),
        ((1.0, -3.0), None, 40),
        ((1.0, -3.0), [0.5, 1.0], 40),  # weights below 1 count as 1
        ((1.0, -3.0), [-2.0, 1.0], 50),
        ((0.0, 1.0), [4.0, -4.0], 40),
        ((0.0,), None, 0),
    ],
)
def test_the_size_of_a_question_is_that_of_its_weighted_products(
    scales: tuple[float, ...], weights: list[float] | None, size: float
) -> None:
    assert total(asked(*scales, weights=weights)) == pytest.approx(size)
    assert total(asked(*scales, method="tsv", k=1)) == pytest.approx(10 * sum(map(abs, scales)))


def test_a_claim_is_as_large_as_the_larger_of_its_questions() -> None:
    small, large = asked(1.0), asked(4.0)
    assert conditioned(Claim(small, large)) == (1.0, pytest.approx(40))
    assert conditioned(Claim(large, small)) == (1.0, pytest.approx(40))
    assert conditioned(Claim(small, known=np.zeros((2, 3)))) == (1.0, pytest.approx(10))


# ---- sensitivities -----------------------------------------------------------------------------------------------
def test_linear_merges_and_zeros_amplify_nothing() -> None:
    assert [sensitivity(asked(1.0, -1.0, method=m)) for m in ("ta", "mean")] == [1.0, 1.0]
    assert sensitivity(asked(0.0, 0.0, method="tsv", k=1)) == 1.0


def test_an_answer_at_a_gap_amplifies_by_its_inverse() -> None:
    """Of diag(1 + gap, 1) the first direction alone: a change of norm 2 turns it by 2 / gap at most, on either side."""
    found = []
    for gap in (1.0, 1e-1, 1e-2):
        updates = [(np.diag([1 + gap, 1.0]), np.eye(2), 1.0)]
        found.append(sensitivity(question(updates, "tsv", "full", {"tsv": {"k": 1}})))
    assert 4 < found[0] < 16
    for gap, kappa in zip((1e-1, 1e-2), found[1:], strict=True):
        assert 1 / gap < kappa < 4 * 4 / gap
    assert found[2] == pytest.approx(10 * found[1], rel=0.2)


@pytest.mark.parametrize("method", ["tsv", "ties"])
def test_a_condition_does_not_hang_on_the_size_of_the_factors(method: str) -> None:
    """They move relative to themselves."""
    params = {"tsv": {"k": 1}, "ties": {**TIES, "density": 0.5}}
    B, A = np.array([[1.5, 0.3], [0.2, 1.0]]), np.array([[1.0, 0.1], [-0.4, 1.2]])
    found = [
        sensitivity(question([(b * B, a * A, s), (b * B.T, a * A, s)], method, "full", {method: params[method]}))
        for b, a, s in ((1.0, 1.0, 1.0), (2.0**20, 1.0, 1.0), (1.0, 2.0**20, 1.0), (2.0**-20, 2.0**-20, 4.0))
    ]
    assert found[0] > 1
    assert found == [pytest.approx(found[0], rel=1e-2)] * 4


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_numbers_that_overflow_or_underflow_warn_nobody(size: float) -> None:
    updates = [(np.full((2, 2), size), np.full((2, 2), size), 1.0)]
    assert sensitivity(question(updates, "tsv", "full", {"tsv": {"k": 1}})) >= 1


def test_a_claim_is_as_sensitive_as_the_worse_of_its_questions() -> None:
    def near(gap: float) -> Any:
        return question([(np.diag([1 + gap, 1.0]), np.eye(2), 1.0)], "tsv", "full", {"tsv": {"k": 1}})

    easy, hard = near(1.0), near(1e-3)
    assert sensitivity(hard) > 100 * sensitivity(easy)
    for pair in ((easy, hard), (hard, easy)):
        assert conditioned(Claim(*pair))[0] == sensitivity(hard)
    assert conditioned(Claim(hard, known=np.eye(2)))[0] == 1.0
    assert sensitivity(hard) == sensitivity(hard)  # nothing is drawn anew


# ---- one example -------------------------------------------------------------------------------------------------
FIRST, SECOND, RIGHT = asked(1.0, 1.0), asked(2.0), 2 * B @ A


class Answering:
    """A way to ask that has one answer after the other."""

    supports = None

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)

    def answer(self, case: Any) -> Answer:
        return self.answers.pop(0)


RIGHTLY = Answer(ANSWERED, RIGHT)


NUMBERS = ("NaN, infinity or complex numbers in the result", True)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (RIGHTLY, RIGHTLY, ("", True)),
        (Answer(UNSUPPORTED), RIGHTLY, ("", False)),
        (RIGHTLY, Answer(UNSUPPORTED), ("", False)),
        (Answer(BROKEN, message="KeyError: 'k'"), RIGHTLY, ("KeyError: 'k'", True)),
        (RIGHTLY, Answer(BROKEN, message="KeyError: 'k'"), ("KeyError: 'k'", True)),
        (Answer(ANSWERED, None, "lost"), RIGHTLY, ("lost", True)),
        (Answer(CHANGED, RIGHT), RIGHTLY, ("the inputs were changed in place", True)),
        (RIGHTLY, Answer(CHANGED, RIGHT), ("the inputs were changed in place", True)),
        (Answer(ANSWERED, RIGHT.T), RIGHTLY, ("shape (3, 2) where (2, 3) is expected", True)),
        (RIGHTLY, Answer(ANSWERED, RIGHT[0]), ("shape (3,) where (2, 3) is expected", True)),
        (Answer(ANSWERED, 3 * RIGHT), RIGHTLY, ("the two sides differ by 2 of their size", True)),
        (RIGHTLY, Answer(ANSWERED, 0 * RIGHT), ("the two sides differ by inf of their size", True)),
    ],
)
def test_an_example_holds_fails_or_says_nothing(first: Answer, second: Answer, expected: tuple[str, bool]) -> None:
    with np.errstate(invalid="ignore"):
        assert violation(Answering(first, second), Claim(FIRST, SECOND)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Answer(ANSWERED, RIGHT * np.nan), RIGHTLY),
        (RIGHTLY, Answer(ANSWERED, RIGHT + 0j)),
        (Answer(ANSWERED, np.full((2, 3), np.inf)), RIGHTLY),
    ],
)
def test_what_is_no_number_fails(first: Answer, second: Answer) -> None:
    assert violation(Answering(first, second), Claim(FIRST, SECOND)) == NUMBERS  # type: ignore[arg-type]


@pytest.mark.parametrize(("precision", "eps"), [("float64", 2.0**-52), ("float32", 2.0**-23)])
@pytest.mark.parametrize(("off", "holds"), [(49, True), (51, False)])
def test_two_sides_agree_within_fifty_roundings_of_what_went_in(
    precision: str, eps: float, off: float, holds: bool
) -> None:
    wrong = RIGHT + np.array([[off * eps * 20, 0, 0], [0, 0, 0]])  # two products of the size 10
    why, telling = violation(Answering(Answer(ANSWERED, wrong)), Claim(FIRST, known=RIGHT), precision)  # type: ignore[arg-type]
    assert telling
    assert (why == "") is holds


def test_an_example_that_is_too_badly_conditioned_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for kappa, telling in ((1e-3 / 50 * 2.0**52 * 0.99, True), (1e-3 / 50 * 2.0**52 * 1.01, False), (np.inf, False)):
        monkeypatch.setattr(properties, "conditioned", lambda claim, kappa=kappa: (kappa, 1.0))
        found = violation(Answering(RIGHTLY), Claim(FIRST, known=RIGHT))  # type: ignore[arg-type]
        assert found == ("", telling)


def test_questions_are_asked_of_what_a_function_does() -> None:
    def linear(case: Any) -> Any:
        if case.space == "knots":
            raise NotImplementedError
        return 1 / 0  # broken is not unsupported

    linear.supports = {"methods": ["ta", "tsv"]}  # type: ignore[attr-defined]
    pairs = properties.supported_pairs(Here(linear))
    assert pairs == [("ta", "full"), ("ta", "core"), ("tsv", "full"), ("tsv", "core")]
