"""Elections entry by entry: who votes, which sums errors may turn, and what an open one leaves of the errors."""

from typing import Any

import numpy as np
import pytest
from carrying import doubts_of, errors_of

from coremerge_ref.methods._votes import Votes, elected
from coremerge_ref.perturbation.carried import Errors


class Stage:
    name = "a stage"
    remedy = "something else"


def votes_of(X: Any, E: Any = 0.0, W: Any = None, sure: Any = None, possible: Any = None, **rest: Any) -> Votes:
    """Of one entry, X (T), or of several, X (T, q): all that are not zero are there, unless said otherwise."""
    M = np.asarray(X, dtype=float).reshape(len(X), 1, -1)
    w = np.ones(len(M)) if W is None else np.asarray(W)

    def like(given: Any, otherwise: Any) -> np.ndarray:
        chosen = otherwise if given is None else np.asarray(given)
        return np.broadcast_to(chosen.reshape(len(M), 1, -1) if chosen.ndim else chosen, M.shape)

    there = M != 0
    return Votes(
        M, like(E, None).astype(float), w[:, None, None], like(sure, there), like(possible, there),
        **{"zero": 0.0, **rest},
    )  # fmt: skip


@pytest.mark.parametrize(("count", "total", "error"), [(False, 2 * 3 - 0.5, 1.25 + 4.5), (True, 2 - 0.5, 3.0)])
def test_the_sure_are_summed_and_of_others_that_may_be_there_all_is_error(
    count: bool, total: float, error: float
) -> None:
    """2 · 3, −1/2 · 1 and perhaps −3 · 1, with errors of 1/2: values by 2/2 and 1/4 and as much as 3 · 3/2; signs are
    none off, but −3 may be there. 9 is not there at all."""
    votes = votes_of([3.0, 1.0, 1.0, 9.0], 0.5, [2.0, -0.5, -3.0, 1.0], [True, True, False, False],
                     [True, True, True, False], count=count)  # fmt: skip
    assert (votes.total.item(), votes.error.item()) == (total, error)


# values, errors, which are there beyond doubt (all), zero, what sums of zero take; whether the sign is open
SUMS: dict[str, tuple[Any, ...]] = {
    "clear": ([3.0, -1.0], 0.5, None, 0.5, 1, False),
    "reaches the level": ([3.0, -1.0], 0.75, None, 0.5, 1, True),
    "just": ([3.0, -1.0], 0.5, None, 1.0, 1, True),
    "nothing beyond doubt": ([1.0, -1.0], 0.25, None, 0.75, 1, False),
    "just no more than counts as zero": ([1.0, -1.0], 0.25, None, 0.5, -1, False),
    "but zeros are undecided": ([1.0, -1.0], 0.25, None, 0.75, 0, True),
    "a sum as large as its error": ([1.5, -1.0], 0.25, None, 1.0, 1, False),
    "one that is larger": ([1.625, -1.0], 0.25, None, 2.0, 1, True),  # what is no zero is no even vote
    "more than counts as zero": ([1.0, -1.0], 0.5, None, 0.75, 1, True),
    "perhaps another voter": ([3.0, 0.25], 0.0, [True, False], 0.0, 1, True),
    "nobody": ([0.0, 0.0], 0.5, None, 0.0, 0, False),
}


@pytest.mark.parametrize("case", SUMS)
def test_a_sign_is_open_where_errors_may_turn_it_or_bring_a_voter(case: str) -> None:
    X, E, sure, zero, at_zero, undecided = SUMS[case]
    assert votes_of(X, E, sure=sure, zero=zero, at_zero=at_zero).undecided.item() is undecided


@pytest.mark.parametrize(
    ("X", "at_zero", "undecided"), [([2, 3, -1], 0, False), ([1, -9], 0, True), ([1, -9], 1, False)]
)
def test_counted_signs_are_whole_whatever_counts_as_zero_among_values(X: Any, at_zero: int, undecided: bool) -> None:
    assert votes_of(X, 0.5, zero=2.0, at_zero=at_zero, count=True).undecided.item() is undecided


@pytest.mark.parametrize(
    ("X", "W", "possible", "spread"),
    [
        ([1.0, 3.0], [1.0, 1.0], None, 3.25),
        ([-1.0, -3.0], [1.0, 1.0], None, 3.25),
        ([1.0, -3.0], [1.0, 1.0], None, 4.5),
        ([1.0, -3.0], [2.0, -0.5], None, 2.5),  # 2 ± 1/2 and 3/2 ± 1/8
        ([1.0, -3.0], [1.0, 1.0], [True, False], 1.25),
        ([0.125, 0.0], [1.0, 1.0], [True, False], 0.5),  # of either sign
    ],
)
def test_outcomes_of_a_mean_lie_between_zero_and_its_possible_terms(
    X: Any, W: Any, possible: Any, spread: float
) -> None:
    assert votes_of(X, 0.25, possible=possible).spread(np.reshape(W, (2, 1, 1))).item() == spread


@pytest.mark.parametrize(
    ("second", "W", "count", "margin"),
    [
        ([-3.0, -3.0, 0.0, 0.0, -6.0], [3.0, 0.5], False, 1.5 / 4.5),  # the others: 13.5 of 16.5, 3 of 3, 0 of 6: open
        ([-0.6, -3.0, 0.0, 0.0, -1.0], [1.0, 1.0], False, 0.4 / 1.6),  # 2 of 8, too
        ([-0.5, -9.0, 0.0, 0.0, -9.0], [2.0, 1.0], True, 1 / 3),  # by signs, of which none is open
    ],
)
def test_the_margin_is_the_smallest_relative_majority_among_decided_entries(
    second: list[float], W: list[float], count: bool, margin: float
) -> None:
    assert votes_of([[1.0, 5.0, 1.0, 0.0, 1.0], second], 0.0, W, count=count).margin == pytest.approx(margin)


def test_a_margin_of_nothing_decided_is_one_and_what_is_not_sure_has_no_part_in_it() -> None:
    assert votes_of([1.0, -1.0]).margin == 1.0
    assert votes_of([0.0, 0.0]).margin == 1.0
    assert votes_of([[3.0, 4.0], [-1.0, -1.0]], sure=[[True, True], [True, False]]).margin == 0.5


def outcome(votes: Votes, smooth: Any, delta: float, jump: Any, **rest: Any) -> Errors:
    shape = votes.total.shape
    made = [np.broadcast_to(np.asarray(x, dtype=float), shape) for x in (smooth, jump)]
    return elected(Stage, errors_of(votes.E, **rest), votes, np.ones(shape), made[0], delta, made[1])


def margin_of(errors: Errors) -> Any:
    (margin,) = errors.margins
    return margin.stage, margin.what, margin.value, margin.task, margin.amplifies


@pytest.mark.parametrize(("delta", "bound", "entry"), [(9.0, 5.0, [3.0, 4.0]), (3.5, 3.5, [3.0, 3.5])])
def test_where_all_is_decided_errors_are_smooth(delta: float, bound: float, entry: list[float]) -> None:
    errors = outcome(votes_of([[3.0, 3.0], [-1.0, 0.0]], 0.25), [[3.0, 4.0]], delta, 0.0)
    assert (float(errors.delta), errors.entry.tolist(), int(errors.rank)) == (bound, [entry], 1)
    assert errors.undecided is not None
    assert errors.undecided.tolist() == [[False, False]]
    assert not errors.jumped
    assert not errors.doubts
    assert margin_of(errors) == ("a stage", "smallest relative majority of a decided entry", 0.5, None, 0.0)


def test_an_open_entry_jumps_and_the_others_stay_smooth() -> None:
    """Of three entries two are open; both jump, but the first by no more than 4 times what the errors sum up to, 1/2
    times (1 + 2): that is no discontinuity."""
    X = [[1.0, 3.0, 1.0], [-0.5, -1.0, -0.5]]
    votes = votes_of(np.asarray(X) * [[1.0], [-0.5]], 0.5, [1.0, -2.0], sure=[[True] * 3] * 2)
    errors = outcome(votes, [[9.0, 3.0, 9.0]], 9.0, [[6.0, 9.0, 8.0]])
    assert errors.undecided is not None
    assert errors.undecided.tolist() == [[False, False, True]]
    assert errors.entry.tolist() == [[6.0, 3.0, 8.0]]
    assert float(errors.delta) == 3.0 + 10.0
    assert errors.jumped
    assert int(errors.rank) == 1
    sentence = "a stage: 1 of 3 entries have a sign or voters that are not determined, within the rounding of float64"
    assert doubts_of(errors) == [sentence]
    assert margin_of(errors) == ("a stage", "smallest relative majority of a decided entry", 0.5, None, 0.0)


@pytest.mark.parametrize(("delta", "bound"), [(2.0, 12.0), (9.0, 13.0)])
def test_the_norm_is_that_of_the_smooth_and_of_the_jumps(delta: float, bound: float) -> None:
    votes = votes_of([[1.0, 3.0, 1.0], [-1.0, -1.0, -1.0]], 0.5)
    errors = outcome(votes, [[9.0, 3.0, 9.0]], delta, [[6.0, 9.0, 8.0]])
    assert float(errors.delta) == bound
    assert errors.entry.tolist() == [[6.0, 3.0, 8.0]]
    assert int(errors.lost) == 1


def test_an_open_entry_without_a_jump_is_no_doubt_but_no_zero_of_arithmetic_either() -> None:
    errors = outcome(votes_of([1.0, -1.0], 0.5), 9.0, 9.0, 4.0)
    assert (errors.entry.item(), float(errors.delta), errors.jumped, errors.doubts) == (4.0, 4.0, True, [])
    assert errors.undecided is not None
    assert not errors.undecided.item()
    assert margin_of(errors)[2] == 1.0
