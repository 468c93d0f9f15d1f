"""What errors make of entries at a threshold and of elections, by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from examples import stack_of

from coremerge_ref.methods._votes import Votes, cut_at, elected, emptied, pruned, rescaled, zeroed
from coremerge_ref.perturbation.carried import Errors, Level


class Stage:
    name = "a stage"
    remedy = "something else"


def errors_of(entry: Any, name: str = "input", gauge_free: bool = False) -> Errors:
    entry = np.asarray(entry, dtype=float)
    T, p, q = entry.shape
    delta = np.sqrt(np.sum(entry**2, axis=(1, 2)))
    level = Level(name, "float64", 1e-16, 1.0)
    return Errors(level, (p, q), delta, entry, np.full(T, min(p, q)), tuple(range(T)), gauge_free, {}, 1e-16)


def cut(x: list[float], error: float, K: int, keep: str = "exact", slack: float = 0.0, kept: Any = None) -> Any:
    sizes = np.asarray(x)
    kept = np.isin(np.arange(len(x)), np.argsort(-sizes, kind="stable")[:K]) if kept is None else np.asarray(kept)
    return cut_at(sizes, np.full(len(x), error), kept, K, keep, np.full(len(x), slack))


def test_clear_entries_stay_on_their_side_of_the_cut() -> None:
    found = cut([4.0, 3.0, 1.0], 0.1, 2)
    assert not found.unsure.any()
    assert not found.faint.any()
    assert found.gap == pytest.approx(2 / 3)  # of the last kept


def test_entries_whose_errors_meet_may_change_sides() -> None:
    assert cut([4.0, 3.0, 2.9, 1.0], 0.1, 2).unsure.tolist() == [False, True, True, False]


@pytest.mark.parametrize("K", [0, 3])
def test_where_all_or_none_are_kept_there_is_no_cut(K: int) -> None:
    found = cut([4.0, 3.0, 2.9], 1.0, K)
    assert not found.unsure.any()
    assert found.gap == 1.0


def test_dropped_entries_no_larger_than_their_errors_are_faint() -> None:
    found = cut([0.3, 0.2, 0.05], 0.25, 1)
    assert found.unsure.tolist() == [True, False, False]
    assert found.faint.tolist() == [False, True, True]


def test_at_a_threshold_equals_are_kept_as_long_as_errors_leave_them_equal() -> None:
    """Beyond the K + 1 largest only for being within the slack of the threshold."""
    equal = cut([4.0, 3.0, 3.0, 1.0], 0.001, 1, "threshold", 0.1, [True, True, True, False])
    assert not equal.unsure.any()
    nearly = cut([4.0, 3.0, 2.91, 1.0], 0.02, 1, "threshold", 0.1, [True, True, True, False])
    assert nearly.unsure.tolist() == [False, False, True, False]


def test_what_surely_counts_as_zero_has_no_error_left_and_what_may_has_the_level() -> None:
    stack = stack_of([[[1.0, 0.05, 0.01]]], [0.06])
    errors = errors_of([[[0.02, 0.02, 0.02]]])
    errors.factors = ["columns"]
    zeroed(errors, stack)
    assert errors.unsure.tolist() == [[[False, True, False]]]
    np.testing.assert_allclose(errors.entry, [[[0.02, 0.08, 0.0]]])
    assert errors.jumped
    assert errors.factors is None  # the matrix is that of the factors no more


def test_clear_entries_keep_errors_and_factors() -> None:
    errors = errors_of([[[0.02, 0.02]]])
    errors.factors = ["columns"]
    zeroed(errors, stack_of([[[1.0, 0.5]]], [0.06]))
    assert not errors.unsure.any()
    assert not errors.jumped
    assert errors.factors == ["columns"]
    np.testing.assert_allclose(errors.entry, 0.02)


def test_what_is_pruned_is_exact_and_what_may_be_brings_its_whole_size() -> None:
    stack, errors = stack_of([[[1.0, 0.5, 2.0]]], [0.0]), errors_of([[[0.1, 0.1, 0.1]]])
    pruned(errors, stack, np.asarray([[[True, False, True]]]), np.asarray([[[False, False, True]]]))
    np.testing.assert_allclose(errors.entry, [[[0.1, 0.0, 2.1]]])
    assert errors.delta[0] == pytest.approx(np.hypot(0.1, 2.1))
    assert errors.jumped


def test_an_empty_task_is_exact() -> None:
    errors = errors_of(np.ones((2, 1, 2)))
    errors.unsure = np.ones((2, 1, 2), dtype=bool)
    emptied(errors, 1)
    assert errors.delta.tolist() == [pytest.approx(2**0.5), 0.0]
    assert errors.entry.tolist() == [[[1.0, 1.0]], [[0.0, 0.0]]]
    assert errors.unsure.tolist() == [[[True, True]], [[False, False]]]


def scaled_up(before: Any, after: Any, factor: float, errors: Errors, l1: Any = None) -> Errors:
    errors.unsure = np.zeros(errors.entry.shape, dtype=bool)
    rescaled(Stage, errors, stack_of(before, [1e-3]), stack_of(after, [factor * 1e-3]), l1)
    return errors


def test_errors_grow_by_the_factor_that_the_level_grew_by() -> None:
    errors = scaled_up([[[1.0, 2.0]]], [[[0.0, 6.0]]], 3.0, errors_of([[[0.0, 0.1]]]))
    np.testing.assert_allclose(errors.entry, [[[0.0, 0.3]]])
    assert errors.delta[0] == pytest.approx(0.3)


def test_a_single_entry_that_is_left_takes_the_norm_of_all_and_its_own_error_cancels() -> None:
    """It becomes ‖M‖₁, so what is left is the error of that, here 0.3 in all."""
    errors = scaled_up([[[1.0, 2.0]]], [[[0.0, 3.0]]], 1.5, errors_of([[[0.0, 0.1]]]), np.asarray([0.3]))
    assert errors.entry[0, 0, 1] == pytest.approx(0.3)


def test_of_two_that_are_left_each_moves_by_the_share_of_the_other() -> None:
    """M_1 3 / (M_1 + M_2), M_1 = M_2 = 1: 3/4 of either error, and second-order terms."""
    errors = scaled_up([[[1.0, 1.0, 1.0]]], [[[1.5, 1.5, 0.0]]], 1.5, errors_of([[[1e-6, 1e-6, 0.0]]]), np.zeros(1))
    np.testing.assert_allclose(errors.entry[0, 0], [1.5e-6, 1.5e-6, 0.0], rtol=1e-5)


def votes_of(X: list[float], E: float = 0.01, **rest: Any) -> Votes:
    M = np.asarray(X)[:, None, None]
    there = M != 0
    return Votes(M, np.full(M.shape, E), np.ones((len(X), 1, 1)), there, there, rest.pop("zero", 0.0), **rest)


@pytest.mark.parametrize(
    ("X", "undecided"), [([1.0, -0.5], False), ([1.0, -1.0], True), ([1.0, -0.985], True), ([1.0, 0.0], False)]
)
def test_a_sum_within_the_errors_of_zero_elects_nobody(X: list[float], undecided: bool) -> None:
    assert votes_of(X).undecided.item() is undecided


@pytest.mark.parametrize(("at_zero", "undecided"), [(0, True), (1, False), (-1, False)])
def test_an_even_count_is_decided_where_the_sign_of_ties_is(at_zero: int, undecided: bool) -> None:
    assert votes_of([1.0, -1.0], count=True, at_zero=at_zero).undecided.item() is undecided


def test_a_voter_that_may_not_be_there_leaves_the_count_open() -> None:
    votes = votes_of([1.0, -1.0, 0.005], count=True, at_zero=1)
    sure = votes.sure & (np.abs(votes.X) > votes.E)
    assert replace(votes, sure=sure).undecided.item()
    assert replace(votes, sure=sure).error.item() == 1.0


def test_possible_outcomes_lie_between_the_largest_of_either_sign_and_zero() -> None:
    W = np.ones((2, 1, 1))
    assert votes_of([1.0, -3.0]).spread(W).item() == pytest.approx(4.02)
    assert votes_of([1.0, 3.0]).spread(W).item() == pytest.approx(3.01)


def test_the_margin_is_the_smallest_majority_of_a_decided_entry() -> None:
    assert votes_of([1.0, -0.5]).margin == pytest.approx(1 / 3)
    assert votes_of([1.0, -1.0]).margin == 1.0  # none is decided


def test_an_open_election_moves_the_entry_by_the_spread_and_is_a_doubt() -> None:
    votes = votes_of([1.0, -1.0])
    errors = elected(Stage, errors_of(np.full((2, 1, 1), 0.01)), votes, np.ones((1, 1)), np.full((1, 1), 0.02), 0.02,
                     np.full((1, 1), 2.0))  # fmt: skip
    assert errors.entry.item() == 2.0
    assert float(errors.delta) == 2.0
    assert [remedy for _, remedy in errors.doubts] == ["something else"]
    assert errors.undecided is not None
    assert errors.undecided.item()


def test_an_open_election_whose_outcomes_are_all_rounding_is_none() -> None:
    votes = votes_of([1e-9, -1e-9])
    errors = elected(Stage, errors_of(np.full((2, 1, 1), 0.01)), votes, np.ones((1, 1)), np.zeros((1, 1)), 0.0,
                     np.full((1, 1), 0.02))  # fmt: skip
    assert not errors.doubts
    assert float(errors.delta) == 0.02


def test_a_decided_election_keeps_the_smooth_bound() -> None:
    votes = votes_of([1.0, -0.5])
    errors = elected(Stage, errors_of(np.full((2, 1, 1), 0.01)), votes, np.ones((1, 1)), np.full((1, 1), 0.02), 0.5,
                     np.zeros((1, 1)))  # fmt: skip
    assert not errors.doubts
    assert errors.entry.item() == 0.02
    assert float(errors.delta) == 0.02  # the least of both


def test_where_all_that_is_left_may_be_rounding_the_factor_is_in_doubt() -> None:
    errors = errors_of([[[0.0, 0.4]]])
    errors.unsure = np.asarray([[[False, True]]])
    rescaled(Stage, errors, stack_of([[[3.0, 0.3]]], [0.2]), stack_of([[[0.0, 3.3]]], [2.2]), np.asarray([0.5]))
    assert "level that counts as zero" in errors.doubts[0][0]
    # it may have none of the norm, 3.3 up to 0.5, or all of it with the other sign
    assert errors.entry[0, 0, 1] == pytest.approx(3.3 + 3.3 + 0.5)


@pytest.mark.parametrize("error", [1e-3, 0.03, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_entries_that_come_and_go_change_the_factor_of_all_by_no_more_than_is_said(seed: int, error: float) -> None:
    """Σ |M_ij| goes to what is kept. One entry may be kept or not, and each is off by its error."""
    rng = np.random.default_rng(seed)
    M = rng.standard_normal((1, 2, 3))
    E, kept, may = error * rng.random(M.shape), rng.random(M.shape) < 0.6, np.zeros(M.shape, dtype=bool)
    kept[0, 0], may[0, 0, 0] = (True, True, False), True  # two are kept beside one that may be dropped

    def scaled(X: np.ndarray, which: np.ndarray) -> np.ndarray:
        return np.where(which, X, 0.0) * np.sum(np.abs(X)) / np.sum(np.abs(X[which]))

    before, after = stack_of(M, [1e-6]), scaled(M, kept)
    errors = errors_of(E.copy())
    pruned(errors, before, kept, may)
    rescaled(
        Stage, errors, before, stack_of(after, [1e-6 * np.abs(after).sum() / np.abs(M[kept]).sum()]), E.sum(axis=(1, 2))
    )
    for _ in range(300):
        changed = scaled(M + E * rng.choice([-1, 1], M.shape), kept ^ (may & (rng.random() < 0.5))) - after
        assert (np.abs(changed) <= errors.entry * (1 + 1e-12)).all()
        assert np.linalg.norm(changed) <= errors.delta[0] * (1 + 1e-12)
