"""What errors make of PCB's merge, by hand: one row of few entries, each known up to an error, in full space."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from examples import stack_of

import coremerge_ref as cm
from coremerge_ref.core.stack import Stack
from coremerge_ref.methods.pcb import _unit
from coremerge_ref.perturbation.carried import Errors, Level
from coremerge_ref.perturbation.theorems import sizes

EPS = 2.0**-52
e = 1e-7  # so small that errors count to first order
CLOSE = 1e-4


def explained(
    M: Any, E: Any, ratio: float, level: float = 0.0, weights: tuple[float, ...] = (), *, name: str = "input",
    eps: float = EPS, unit: float = EPS, doubt: str = "", live: tuple[float, float] | None = None,
) -> Errors:  # fmt: skip
    """The errors of PCB; M (T, d) or (T, p, q), entries known up to E, which broadcasts against them."""
    M = np.asarray(M, dtype=float)
    entry = np.array(np.broadcast_to(np.asarray(E, dtype=float), M.shape))
    M, entry = (X[:, None, :] if X.ndim == 2 else X for X in (M, entry))
    T, p, q = M.shape
    rows, cols = (np.asarray(float(size)) for size in live or (p, q))
    before = Stack(M, np.full(T, level), rows, cols, weights or (1.0,) * T, tuple(range(T)), ("",))
    errors = Errors(
        Level(name, "float64", eps, 1.0), (p, q), sizes(entry), entry, np.full(T, 1), tuple(range(T)), False, {}, unit,
        size_doubt=doubt,
    )  # fmt: skip
    return cm.Pcb(ratio).carry(errors, before, cm.Pcb(ratio).apply(before))


def moved(M: Any, E: Any, ratio: float, level: float = 0.0) -> np.ndarray:
    """How far merged entries (N, d) move where inputs move by their errors one way, the other, half as far or not."""
    M = np.asarray(M, dtype=float)
    T = len(M)
    signs = np.random.default_rng(0).choice([-1, 0, 1, 0.5], (300, *M.shape))
    batch = np.concatenate([M[None], M + signs * E]).swapaxes(0, 1)[:, :, None, :]  # (T, N, 1, d)
    rows, cols = np.ones(301), np.full(301, float(M.shape[1]))
    stack = Stack(batch, np.full((T, 301), level), rows, cols, (1.0,) * T, tuple(range(T)), ("",) * 301)
    found = cm.Pcb(ratio).apply(stack).M[:, 0, :]
    return np.asarray(np.abs(found - found[0]))


def texts(errors: Errors) -> str:
    return " ".join(text for text, _ in errors.doubts)


def first_order(M: np.ndarray, E: np.ndarray, place: int) -> np.ndarray:
    """How far entries move by the rules of sums, products and quotients, each step's changes taken for independent.

    For fewer than 10⁴ entries, none zero, whose sizes and scores are not close. What is the greatest stays 1.
    Where both s_t and τ_t move, what they are in between counts: the width of either, twice its change.
    """
    T, t = len(M), np.arange(len(M))[:, None]
    order = np.argsort(np.abs(M), axis=1)
    source = np.tile(np.arange(M.shape[1]), (T, 1))
    source[t, order[:, -1:]] = order[:, -2:-1]  # the largest is as large as the second
    tau, own = np.abs(M)[t, source], E[t, source]
    least, most, top = order[:, :1], order[:, -2:-1], order[:, -2:]
    width = tau[t, most] - tau[t, least]
    a = (tau - tau[t, least]) / width
    down = (own + (1 - a) * own[t, least] + a * own[t, most]) / width
    down[t, top] = 0.0
    up = down.copy()
    S = M.sum(axis=0)
    cross, factor = np.tanh(M * S), np.exp(T * (a**2 - 1))
    change = (1 - cross**2) * (np.abs(M) * E.sum(axis=0) + np.abs(S) * E)
    growing = [2 * T * a * factor * x * np.abs(cross) for x in np.where(cross > 0, (down, up), (up, down))]
    score, (down, up) = factor * cross, (x + factor * change for x in growing)
    ranked = np.argsort(score, axis=1)
    least, most = ranked[:, place : place + 1], ranked[:, -1:]
    width = score[t, most] - score[t, least]
    s = np.maximum((score - score[t, least]) / width, 0.0)
    down, up = (
        (down + (1 - s) * up[t, least] + s * up[t, most]) / width,
        (up + (1 - s) * down[t, least] + s * down[t, most]) / width,
    )
    up[t, most] = down[t, most] = 0.0
    tau, there = np.sign(M) * tau, s > 0
    total = np.where(there.any(axis=0), s.sum(axis=0), 1.0)
    v = np.sum(s * tau, axis=0) / total
    smooth = np.sum(np.where(there, 2 * s * own + (down + up) * np.abs(tau - v), 0.0), axis=0) / total
    return np.minimum(smooth, np.max(np.where(there, np.abs(tau - v) + own, 0.0), axis=0))  # between those there are


@pytest.mark.parametrize("where", ["largest", "one", "all"])
@pytest.mark.parametrize(
    ("T", "d", "ratio", "place"), [(2, 5, 1.0, 0), (2, 4, 0.75, 1), (3, 6, 0.5, 3), (1, 5, 0.6, 2)]
)
def test_scores_and_sizes_move_by_the_rules_of_sums_products_and_quotients(
    T: int, d: int, ratio: float, place: int, where: str
) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        M = 0.2 + 0.15 * np.stack([rng.permutation(d) for _ in range(T)]) + 0.1 * rng.random((T, d))
        M = M * rng.choice([-1, 1], (T, d), p=[0.3, 0.7])
        E = e * rng.random((T, d))
        if where == "one":
            E = E * (np.arange(E.size) == seed % E.size).reshape(E.shape)
        if where == "largest":
            E = E * (np.abs(M) == np.abs(M).max(axis=1, keepdims=True))
        found = explained(M, E, ratio)
        np.testing.assert_allclose(found.entry[0], first_order(M, E, place), rtol=CLOSE, atol=1e-13)
        assert (moved(M, E, ratio) <= found.entry[0] * (1 + 1e-9) + 1e-15).all()
        assert not found.doubts


def test_arithmetic_is_off_by_scores_and_by_the_result() -> None:
    """Scores by T + 8 = 10 eps of themselves, the result by eps.

    Clamped to 0.5, 0.5, 0 and 0.3, 0, 0.3; scores tanh(0.5 · 0.8), tanh(0.7²), 0 and tanh(0.3 · 0.8), 0, tanh(0.4²),
    so that the first entry has the weights s = tanh 0.4 / tanh 0.49 and 1. Both of a quotient are off, to either side;
    what is 1 is the greatest, whatever that is.
    """
    found = explained([[0.5, 0.7, 0.0], [0.3, 0.0, 0.4]], 0.0, 1.0, name="compute", eps=1e-6)
    s = np.tanh(0.4) / np.tanh(0.49)
    v = (0.5 * s + 0.3) / (s + 1)
    expected = 4 * 10 * s * (0.5 - v) / (s + 1) + v
    np.testing.assert_allclose(found.entry, [[1e-6 * expected, 0.5e-6, 0.3e-6]], rtol=CLOSE)
    inputs = explained([[0.5, 0.7, 0.0], [0.3, 0.0, 0.4]], 0.0, 1.0, eps=1e-6)  # whose scores are those of float64
    assert EPS * (expected - v) < inputs.entry[0, 0] < 3 * EPS * (expected - v)
    assert not inputs.entry[0, 1:].any()  # of one task each


@pytest.mark.parametrize("scale", [1e6, 1.0, 1e-3])
def test_errors_below_rounding_are_as_large_as_it(scale: float) -> None:
    """Of two entries both are as large as the smaller, and with equal scores as both are there."""
    found = explained([[scale, 2 * scale]], [[1e-3 * EPS * scale, 0.0]], 0.1)
    assert (found.entry >= 1e-3 * EPS * scale).all()
    assert (found.entry <= 2 * EPS * scale).all()


def test_a_single_entry_is_the_mean_of_those_there_are() -> None:
    found = explained([[3], [-1], [0]], [[0.01], [0.02], [0.0]], 0.1)
    assert found.entry.item() == pytest.approx(0.01 + 0.02, rel=1e-9)  # (3 − 1) / 2, and widths, twice the errors
    assert float(found.delta) == pytest.approx(found.entry.item())
    assert not found.doubts


def test_what_is_no_larger_than_its_error_may_be_there_with_either_sign() -> None:
    """Two entries, each clamped to the smaller, whose scores are equal: 2 and 2, and 0.05 and −0.05, up to 0.15.

    Means 1.025 and 0.975: the first moves by half the widths 0.02 and 0.15 of what it is made of. Of the second, −0.15
    may be all there is.
    """
    found = explained([[2, 4], [3, -0.05]], [[0.01, 0.02], [0.03, 0.1]], 0.5)
    np.testing.assert_allclose(found.entry, [[(0.02 + 0.15) / 2, 0.975 + 0.15]], rtol=1e-9)
    assert not found.doubts


def test_zeros_become_what_the_largest_error_makes_of_them() -> None:
    found = explained(np.zeros((2, 2)), [[0.1, 0.2], [0.3, 0.05]], 0.5)
    assert float(found.delta) == pytest.approx(np.hypot(0.3, 0.2))
    np.testing.assert_allclose(found.entry, float(found.delta))
    assert not found.doubts
    assert float(explained([[0.01, -0.02]], 0.001, 0.5, 0.1).delta) == 0.0  # they surely count as zero


@pytest.mark.parametrize("tasks", [1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_scores_at_the_quantile_leave_it_open_which_entry_is_there(sign: int, tasks: int) -> None:
    """Of 5 the upper 2 compete, and 0.8 and 0.8002 may swap: either is there or not. The largest is the second."""
    M = sign * np.asarray([[0.3, 0.6, 0.8, 0.8002, 1.2]] * tasks)
    found = explained(M, 1e-3, 0.5)
    assert "2 of 5 entries have a score at the quantile" in texts(found)
    np.testing.assert_allclose(found.entry, [[0, 0, 0.801, 0.8002, 0.001]], rtol=1e-9)
    assert moved(M, 1e-3, 0.5)[:, 2].max() > 0.79
    assert found.undecided is None
    clear = explained(M, 1e-6, 0.5)
    assert not clear.doubts
    np.testing.assert_allclose(clear.entry, [[0, 0, 0, 1e-6, 1e-6]], rtol=1e-4, atol=1e-14)


def test_where_all_scores_may_be_equal_each_entry_is_there_or_not() -> None:
    M = [[0.3, 0.6, 1.1998, 1.2]]
    found = explained(M, 0.3, 0.5)
    assert "4 of 4" in texts(found)
    np.testing.assert_allclose(found.entry, [[0.6, 0.9, 1.4998, 1.1998]], rtol=1e-9)  # none was there but the last


@pytest.mark.parametrize(
    ("second", "inputs", "arithmetic"),  # whether it is open
    [(-0.7, False, False), (-0.65, False, True), (-0.6, True, True), (-0.55, False, False)],
)
@pytest.mark.parametrize("name", ["input", "compute"])
def test_sums_at_the_level_count_as_zero_or_not(second: float, inputs: bool, arithmetic: bool, name: str) -> None:
    """0.7 and these sum to 0, 0.05, 0.1 and 0.15; the level is 0.1. 0.05 counts as zero without being so."""
    M = [[0.5, 0.7, 0.2], [0.3, second, 0.4]]
    found, open_ = explained(M, 1e-6, 1.0, 0.1, name=name), inputs if name == "input" else arithmetic
    assert ("1 of 3" in texts(found)) is open_
    assert (bool(found.doubts), found.jumped) == (open_, open_)
    # what cancels has no score; else there is the first task's, whose second largest is 0.5
    assert found.entry[0, 1] >= 0.5 * (1 - 1e-9) if open_ else found.entry[0, 1] < 1e-5
    assert (moved(M, 1e-6, 1.0, 0.1) <= found.entry[0] + 1e-15).all()


def test_a_task_whose_entries_are_equally_large_scores_by_sums_alone() -> None:
    """All are as far from the least as from the greatest, beyond doubt: nothing is open but rounding."""
    found = explained([[0.5, -0.5, 0.5], [0.3, -0.1, 0.4]], 0.0, 1.0)
    assert found.entry.max() < 100 * EPS
    assert not found.doubts


def test_entries_that_may_be_equally_large_may_also_be_far_apart_in_their_task() -> None:
    """Errors bring the first task's others down to its least, 0.5, which is exact, and no further.

    As long as one differs from it, sizes are scaled to [0, 1] all the same, so that e² in scores hangs on the errors.
    """
    larger = np.asarray([0, 2, 4, 4]) * 2.0**-12
    M, E = np.asarray([0.5 + larger, [-0.45, 5, 5, 5]]), np.zeros((2, 4))
    E[0, 1:] = (larger - EPS * (0.5 + larger))[1:]  # ends of intervals are further out by EPS of the entry
    changes = moved(M, E, 1.0)
    assert (changes.max(axis=0)[1:] > 1).all()
    assert (changes <= explained(M, E, 1.0).entry[0]).all()


@pytest.mark.parametrize("name", ["input", "compute"])
def test_where_all_sums_count_as_zero_without_being_so_all_score_alike_or_none_does(name: str) -> None:
    """Sums 0.05, 0.06 and 0.07 at the level 0.1 count as zero; what arithmetic made of zeros they may be."""
    found = explained([[0.5, 0.5, 0.5], [-0.45, -0.44, -0.43]], 0.0, 0.5, 0.1, name=name)
    assert ("3 of 3" in texts(found)) is (name == "compute")


@pytest.mark.parametrize(
    ("scale", "unit", "open_"), [(1e-160, EPS, True), (1e-25, 2.0**-23, True), (1e-25, EPS, False)]
)
def test_products_that_underflow_have_any_score(scale: float, unit: float, open_: bool) -> None:
    """Of one task the least entry scores 0; where all products are 0, all score alike and are there."""
    found = explained(scale * np.asarray([[0.3, 0.6, 0.9]]), 0.0, 1.0, unit=unit)
    assert bool(found.doubts) is open_
    assert (float(found.delta) >= 0.3 * scale) is open_


def test_errors_are_those_of_entries_times_their_weights() -> None:
    M, E, w = np.asarray([[0.5, 0.7, 0.2], [0.3, 0.1, 0.4]]), np.asarray([[1e-3, 0.0, 1e-4], [0.0] * 3]), (2.0, -0.5)
    found = explained(M, E, 1.0, 0.01, w)
    expected = explained(M * np.asarray(w)[:, None], E * np.abs(w)[:, None], 1.0, 0.01)
    np.testing.assert_allclose(found.entry, expected.entry, rtol=1e-12)
    assert found.entry.max() > 1e-3


def test_where_the_size_is_in_doubt_other_entries_may_be_there() -> None:
    M = [[0.3, -0.6, 0.9, 1.2]]
    found, known = explained(M, 1e-3, 0.5, doubt="the size"), explained(M, 1e-3, 0.5)
    assert "the size" in texts(found)
    assert not known.doubts
    # what is there, 0.9, and what may be
    assert float(found.delta) == pytest.approx(0.9 + float(known.delta) + np.linalg.norm(M))
    np.testing.assert_allclose(found.entry, float(found.delta))


def test_dead_rows_and_columns_have_no_part() -> None:
    M = 0.1 + np.random.default_rng(1).random((2, 2, 3))
    known = explained(M, 1e-6, 0.6)
    found = explained(np.pad(M, ((0, 0), (0, 2), (0, 1))), 1e-6, 0.6, live=(2.0, 3.0))
    np.testing.assert_allclose(found.entry, np.pad(known.entry, ((0, 2), (0, 1))), rtol=1e-9)
    assert float(found.delta) == pytest.approx(float(known.delta))
    assert known.entry.max() > 0
    assert float(explained(0 * M, 0.0, 0.6, live=(0.0, 3.0)).delta) == 0.0


@pytest.mark.parametrize(
    ("ratio", "error", "entries"),
    [
        # k / 10⁴, k to 20000: the third is the least, and the third from above the greatest
        (1.0, 3, [2, 3]),  # 1 has the least score: none
        (1.0, 2, []),
        (0.5, 19998, [19998, 19999, 20000]),
        (0.5, 19999, []),
        (0.5, 20000, []),
        (0.5, 10002, [10002]),
        (0.5, 10001, []),  # the quantile
    ],
)
def test_a_ten_thousandth_is_clamped_at_either_end(ratio: float, error: int, entries: list[int]) -> None:
    M = np.arange(1.0, 20001.0)[None] / 1e4
    at = np.random.default_rng(0).permutation(20000)
    v = cm.Pcb(ratio).apply(stack_of(M[:, None, at], [0.0], (1.0,))).M[0]
    expected = np.clip(M[0], 3e-4, 1.9998) * (np.arange(1, 20001) > (1 if ratio == 1 else 10001))
    np.testing.assert_allclose(v, expected[at], rtol=1e-14)
    found = explained(M[:, at], e * (np.arange(1, 20001) == error)[at], ratio)
    assert sorted(at[found.entry[0] > 1e-12] + 1) == entries
    assert found.entry.max() == pytest.approx(e if entries else 0.0, rel=1e-6)


@pytest.mark.parametrize("error", [1e-3, 0.03, 0.2, 0.6])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0])
def test_no_error_moves_an_entry_by_more_than_is_said(ratio: float, error: float) -> None:
    for seed in range(8):
        rng, level = np.random.default_rng(seed), 0.1 * (seed % 2)
        M = np.round(rng.standard_normal((int(rng.integers(1, 4)), int(rng.integers(2, 6)))), 1)
        E = error * rng.random(M.shape) * (rng.random(M.shape) < 0.7)
        found, changes = explained(M, E, ratio, level), moved(M, E, ratio, level)
        assert (changes <= found.entry[0] * (1 + 1e-9) + 1e-14).all()
        assert (np.linalg.norm(changes, axis=1) <= float(found.delta) * (1 + 1e-9) + 1e-14).all()


def test_a_place_in_a_range_lies_within_its_interval_however_it_is_rounded() -> None:
    for least, x, most in np.sort(np.random.default_rng(0).random((500, 3)), axis=1):
        low, high = _unit((x, x), (least, least), (most, most), np.asarray(False))
        exact = (Fraction(x) - Fraction(least)) / (Fraction(most) - Fraction(least))
        assert low < exact < high
        assert high - low < 40 * EPS


def test_in_a_range_that_may_be_none_any_place_is_possible_and_none_is_outside() -> None:
    one, two, three = ((np.full(1, x),) * 2 for x in (1.0, 2.0, 3.0))
    either = one[0], two[0]
    for X, least, most, places in (
        (one, one, one, [0, 1]), (two, either, two, [0, 1]), (one, two, three, [0, 0]), (three, one, two, [1, 1])
    ):  # fmt: skip
        assert np.concatenate(_unit(X, least, most, np.zeros(1, bool))).tolist() == places
        assert np.concatenate(_unit(X, least, most, np.ones(1, bool))).tolist() == [1, 1]
