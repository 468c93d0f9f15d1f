"""Which entries of renormalized rows `drm` keeps, by hand, and which of them errors may bring or take."""

import itertools
from typing import Any

import numpy as np
import pytest
from examples import stack_of

import coremerge_ref as cm
from coremerge_ref.methods._votes import Votes
from coremerge_ref.methods.drm import _crossing, apart, together
from coremerge_ref.perturbation.carried import Errors, Level

PART = "a task's part in a direction is at the level that counts as zero"


def voted(
    Y: Any,
    E: Any,
    drop: float = 0.5,
    own: Any = 0.0,
    level: float = 0.0,
    S: Any = None,
    formed: float = 0.0,
    unit: float = 2.0**-52,
    **rest: bool,
) -> tuple[Votes, bool, Errors]:
    """What becomes of rows Y (T, k, q) with errors E."""
    Y = np.asarray(Y, dtype=float)
    E, S = np.broadcast_to(np.asarray(E, dtype=float), Y.shape), np.full(1, 1e9) if S is None else np.asarray(S)
    T, _, q = Y.shape
    of = Level("compute" if formed else "input", "float64", formed or 1e-9, 1.0)
    e = Errors(of, (q, q), np.ones(T), E, np.full(T, q), tuple(range(T)), False, {}, unit, **rest)
    stack = stack_of(Y, np.broadcast_to(np.asarray(own, dtype=float), (len(Y),)))
    return *cm.Drm(drop=drop)._votes(e, stack, Y, E, S, level), e


# of norms 13 and 0.3: 12, 3, 4 of 13 and 2, 1, 2 of 3. Half of six are three, and the next one is the threshold
ROWS = [[[12.0, 3.0, 4.0]], [[0.2, 0.1, -0.2]]]
GAP = "relative gap between the last entry kept and the first one pruned"


def test_the_largest_of_entries_of_rows_of_norm_1_are_kept() -> None:
    votes, near, e = voted(ROWS, 1e-6)
    assert votes.sure.tolist() == votes.possible.tolist() == [[[True, False, False]], [[True, True, True]]]
    np.testing.assert_allclose(votes.X, ROWS)
    np.testing.assert_allclose(votes.E, 1e-6)
    np.testing.assert_allclose(votes.W, 1.0)
    assert votes.W.shape == (2, 1, 1)
    assert [m.value for m in e.margins if m.what == GAP] == [pytest.approx(1 / 13)]
    assert (near, e.doubts, votes.zero) == (False, [], 0.0)
    assert voted(ROWS, 1e-6, level=0.25)[0].zero == 0.25


@pytest.mark.parametrize(("error", "unsure"), [(0.0057, 0), (0.0058, 2)])
def test_an_error_of_an_entry_moves_its_own_share_of_the_row_and_the_norm(error: float, unsure: int) -> None:
    """e (1 + 1/3) / 0.3 of 1/3, which is 4/13 and 1/39."""
    votes, near, e = voted(ROWS, [[[0, 0, 0]], [[0, error, 0]]])
    assert [f"{unsure} entries lie at the threshold" in doubt for doubt, _ in e.doubts] == [True] * bool(unsure)
    assert votes.sure[1, 0].tolist() == [True, not unsure, True]
    assert votes.possible[0, 0].tolist() == [True, False, bool(unsure)]
    assert not near


def test_nothing_is_pruned_where_all_are_asked_for() -> None:
    for drop in (0.0, 0.05):  # 6 and 5.7, rounded
        votes, _, e = voted(ROWS, 0.05, drop)
        assert votes.sure.tolist() == [[[True, True, True]], [[True, True, True]]]
        assert not any(m.what == GAP for m in e.margins)
    assert any(m.what == GAP for m in voted(ROWS, 1e-6, 0.1)[2].margins)  # 5.4 are 5


@pytest.mark.parametrize(
    ("length", "moved", "formed", "jumped", "near"),
    [
        (1.05, 0.1, 0.0, False, True),
        (1.15, 0.1, 0.0, False, False),
        (0.95, 0.1, 0.0, False, True),
        (0.85, 0.1, 0.0, False, False),
        (0.0, 0.1, 0.0, False, False),
        (0.0, 1.1, 0.0, False, True),
        (0.0, 1.1, 1e-9, False, False),  # arithmetic takes its own for none
        (1.4, 1.1, 1e-9, False, True),
        (1.6, 1.1, 1e-9, False, False),
        (5.9, 5.0, 1e-9, False, False),
        (5.9, 5.0, 1e-9, True, True),  # unless entries came and went
    ],
)
def test_a_part_as_long_as_the_level_may_be_none(
    length: float, moved: float, formed: float, jumped: bool, near: bool
) -> None:
    """The level is 1; a second task's part, with 3 and 4 of entries, is long."""
    Y = [[[0.6 * length, 0.8 * length]], [[30.0, 40.0]]]
    votes, found, e = voted(Y, [[[0.6 * moved, 0.8 * moved]], [[0, 0]]], 0.0, [1.0, 0.0], formed=formed, jumped=jumped)
    assert found is near
    assert [PART in doubt for doubt, _ in e.doubts] == [True] * near
    assert votes.sure[1].all()


@pytest.mark.parametrize(
    ("value", "error", "sure", "possible"),
    [
        (1.25, 0.3, False, True),
        (1.35, 0.3, True, True),
        (0.35, 0.3, False, True),  # is none, but counts as zero
        (0.25, 0.3, False, False),  # is zero
        (0.25, 0.8, False, True),  # may be above the level as well
        (0.15, 0.8, False, False),
    ],
)
def test_an_entry_near_the_level_may_count_as_zero(value: float, error: float, sure: bool, possible: bool) -> None:
    """The level is 1."""
    votes, _, _ = voted([[[50.0, value]]], error, 0.0, 1.0)
    assert votes.sure[0, 0].tolist() == [True, sure]
    assert votes.possible[0, 0].tolist() == [True, possible]


@pytest.mark.parametrize(
    ("value", "unit", "near"),
    [(1.25, 1.0, True), (1.45, 1.0, False), (1.15, 1.0, False), (0.85, 1e-4, True), (1.25, 1e-4, False)],
)
def test_the_level_of_a_row_grows_as_its_vector_turns(value: float, unit: float, near: bool) -> None:
    """By level / gap, here 0.1 / 5, but half of the digits at most, of the norm 50, beside the task's own 0.3."""
    Y = [[[50.0, 0.0], [0.0, value]]]
    _, found, _ = voted(Y, [[[0, 0], [0, 0.1]]], 0.0, 0.3, 0.1, [1e9, 5.0], unit=unit)
    assert found is near


@pytest.mark.parametrize(
    ("formed", "jumped", "possible"), [(0.0, False, True), (1e-9, False, False), (1e-9, True, True)]
)
def test_what_is_too_small_to_be_told_from_zero_may_be_kept_unless_arithmetic_knows_it(
    formed: float, jumped: bool, possible: bool
) -> None:
    """Of four entries, two of which are zeros, one and the next are kept: one of the zeros may be."""
    votes, _, e = voted([[[1.0, 0.0, 0.0, 0.0]]], [[[0, 0.1, 0.1, 0]]], 0.75, formed=formed, jumped=jumped)
    assert votes.sure[0, 0].tolist() == [True, False, False, False]
    assert votes.possible[0, 0].tolist() == [True, possible, possible, False]
    assert not e.doubts
    votes, _, _ = voted([[[1.0, 0.0, 0.0, 0.0]]], [[[0, 0.1, 0.3, 0]]], 0.75, 0.2, formed=formed, jumped=jumped)
    assert votes.possible[0, 0].tolist() == [True, False, possible, False]  # above the level alone


def test_an_entry_no_larger_than_its_error_stays_pruned_where_that_does_not_reach_the_threshold() -> None:
    votes, _, _ = voted([[[8.0, 6.0, 0.01, 0.0]]], [[[0, 0, 0.05, 0]]], 0.75)
    assert votes.possible[0, 0].tolist() == [True, True, False, False]


def test_arithmetic_knows_a_part_that_is_zero_though_values_were_divided_out() -> None:
    _, near, _ = voted([[[0.0, 0.0]], [[30.0, 40.0]]], [[[1.1, 0]], [[0, 0]]], 0.0, [1.0, 0], formed=1e-9, divided=True)
    assert not near


# _crossing


def kept(x: np.ndarray, width: np.ndarray, K: int) -> np.ndarray:
    """Whose upper end reaches the lower end of the K + 1 highest."""
    cut = np.sort(x - width / 2, axis=-1)[..., -K - 1, None]
    return np.asarray(x + width / 2 >= cut)


@pytest.mark.parametrize("K", range(4))
def test_entries_cross_the_cut_where_some_errors_make_them(K: int) -> None:
    """Whole numbers, so that ends that meet do; every error both ways. K + 1 of four are all."""
    rng, signs = np.random.default_rng(K), np.asarray(list(itertools.product((-1, 0, 1), repeat=4)))
    for _ in range(200):
        x, error, width = rng.integers(0, 9, 4) * 1.0, rng.integers(0, 3, 4) * 1.0, rng.integers(0, 3, 4) * 2.0
        now = kept(x, width, K)
        crosses = np.any(kept(x + error * signs, width, K) != now, axis=0)
        assert _crossing(x, error, width, now, K).tolist() == crosses.tolist()


# the stage


def test_entries_of_a_batch_of_layers_are_put_together_task_by_task_and_apart_again() -> None:
    X = np.arange(24.0).reshape(2, 2, 2, 3)  # tasks, layers, rows, columns
    flat = together(X)
    assert flat[1].tolist() == [6, 7, 8, 9, 10, 11, 18, 19, 20, 21, 22, 23]
    np.testing.assert_array_equal(apart(flat, X.shape), X)


@pytest.mark.parametrize(("level", "last"), [(0.04, 0.0), (0.06, 2.9)])
def test_entries_within_the_level_of_the_threshold_are_equal_to_it(level: float, last: float) -> None:
    """Two of four and the next, 2.95, are kept, and what is no more than the level below it."""
    merged = cm.Drm(drop=0.5).apply(stack_of([[[4.0, 3.0, 2.95, 2.9]]], [level], (1.0,)))
    np.testing.assert_allclose(merged.M, [[4.0, 3.0, 2.95, last]])
    assert int(merged.info["rank"]) == 1


def test_entries_and_rows_within_the_level_are_none() -> None:
    """0.05 of the first is below 0.1, and so is all of the second, 0.06 √2; below 0.01 nothing is."""
    M = [[[3.0, 0.05, 2.0]], [[0.06, 0.06, 0.0]]]
    np.testing.assert_allclose(cm.Drm(drop=0.0).apply(stack_of(M, [0.1, 0.1])).M, [[3.0, 0.0, 2.0]])
    np.testing.assert_allclose(cm.Drm(drop=0.0).apply(stack_of(M, [0.01, 0.01])).M, [[1.53, 0.055, 2.0]])


@pytest.mark.parametrize("drop", [0.0, 0.1, 0.3])
def test_an_entry_that_cancels_to_zero_may_vote_once_it_is_rounded(drop: float) -> None:
    """ΔW_2 = [[1 − 1, 2]]: half an eps of a factor brings a second voter to 4, and the mean is 2."""
    f = np.float32
    one = np.asarray([[1.0]], f), np.asarray([[4.0, 3.0]], f)
    other = np.asarray([[1.0, 1.0]], f), np.asarray([[1.0, 1.0], [-1.0, 1.0]], f)
    assert cm.explain([one, other], cm.Drm(drop=drop), "full").input_bound.verdict == "ill-posed"
    rounded = other[0], np.asarray([[1 + 2.0**-25, 1.0], [-1.0, 1.0]])
    results = [np.asarray(cm.merge([one, x], cm.Drm(drop=0.0), "full").to_dense()) for x in (other, rounded)]
    np.testing.assert_allclose(results, [[[4, 2.5]], [[2, 2.5]]], rtol=1e-6)
