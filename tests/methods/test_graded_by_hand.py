"""Bounds from errors of columns and of entries on matrices along the axes, where each is a sum of a few numbers."""

from typing import Any

import numpy as np
import pytest

from coremerge_ref.methods._graded import (
    Met,
    bounded,
    first_order,
    known,
    known_turns,
    met_by_columns,
    met_by_entries,
    met_by_entries_through,
    met_through,
    polar_moved,
)
from coremerge_ref.methods._subspaces import Leading
from coremerge_ref.perturbation.carried import Errors, Level

P, S, QH = np.eye(3)[:, :2], np.asarray([2.0, 1.0]), np.eye(4)[:2]
TRIPLETS = P, S, QH
L, R = np.asarray([[1.0, -2], [0, 1], [3, 4]]), np.asarray([[2.0, -1], [1, 0], [6, 1], [8, 0]])
B, A = np.asarray([0.3, 0.5]), np.asarray([0.1, 0.2])  # errors of columns of L and of R
BOTH = 0.3 * 0.1 + 0.5 * 0.2
ENTRY = np.asarray([[1.0, 2, 0, 4], [0, 0, 3, 4], [4, 3, 0, 1]])
G, X, Y = (
    np.asarray([[2.0, 1, 0], [0, 1, 0], [1, 0, 3]]),
    np.asarray([[0.0], [0], [0], [2]]),
    np.asarray([[0.0, 1, 0, 3]]).T,
)


def errors_of(shape: tuple[int, int] = (9, 9), closed: bool = True, unit: float = 0.0, divided: bool = False) -> Errors:
    level, none = Level("input", "float64", 1e-7, 0.5), np.zeros((3, 4))
    return Errors(
        level, shape, np.asarray(0.0), none, np.asarray(2), (0,), True, {}, unit, closed=closed, divided=divided
    )


def equal(met: Met, within: Any, left: Any, right: Any, rtol: float = 1e-7) -> None:
    np.testing.assert_allclose(met.within, within, rtol=rtol)
    np.testing.assert_allclose(met.left, left, rtol=rtol)
    np.testing.assert_allclose(met.right, right, rtol=rtol)


def test_columns_meet_vectors_by_what_they_have_of_them() -> None:
    """e = |Lᵀ p_i| a of rows 1 and 2, f = |Rᵀ q_j| b; the third row of L, and the last two of R, lie beyond."""
    e, f = np.asarray([0.1 + 0.4, 0.2]), np.asarray([0.6 + 0.5, 0.3])
    beyond_left, beyond_right = 0.1 * 3 + 0.2 * 4, 0.3 * 10 + 0.5 * 1
    within = [[e[0] + f[0] + BOTH, e[0] + f[1] + BOTH], [e[1] + f[0] + BOTH, e[1] + f[1] + BOTH]]
    equal(met_by_columns(TRIPLETS, (L, R, B, A)), within, f + beyond_left + BOTH, e + beyond_right + BOTH)


@pytest.mark.parametrize("side", [2, 3])
def test_of_columns_without_a_bound_nothing_is_known(side: int) -> None:
    factors: list[Any] = [L, R, B, A]
    factors[side] = np.asarray([0.1, np.inf])
    none = np.zeros((4, 0))
    for met in (met_by_columns(TRIPLETS, tuple(factors)), met_through(TRIPLETS, tuple(factors), G, (1.0, none, none))):
        equal(met, np.full((2, 2), np.inf), [np.inf] * 2, [np.inf] * 2)


def test_entries_meet_vectors_along_the_axes_as_they_are() -> None:
    """Beyond, the sum of those in row 3, and in columns 3 and 4, or the norm of all: 3 + 4 or 5 of the second row."""
    equal(met_by_entries(TRIPLETS, errors_of(), ENTRY), [[1, 2], [0, 0]], [4, 3], [4, 5])
    equal(met_by_entries(TRIPLETS, errors_of(closed=False), ENTRY), [[1, 2], [0, 0]], [np.inf] * 2, [np.inf] * 2)
    # arithmetic knows the projection to 8 eps times the count of rows
    found = met_by_entries(TRIPLETS, errors_of(unit=2.0**-10), ENTRY)
    equal(found, [[1, 2], [0, 0]], [4 + 5 * 24 / 1024, 3 + 5 * 24 / 1024], [4 + 7 * 32 / 1024, 5])
    open_ended = np.where(np.eye(3, 4, 1) > 0, np.inf, ENTRY)
    equal(met_by_entries(TRIPLETS, errors_of(), open_ended), np.full((2, 2), np.inf), [np.inf] * 2, [np.inf] * 2)


def test_entries_beyond_a_vector_between_axes_count_by_what_the_axis_has_beside_it() -> None:
    """Beside (0.6, 0.8, 0) the first axis has 0.8, the second 0.6."""
    triplets = np.asarray([[0.6], [0.8], [0.0]]), np.ones(1), np.eye(1, 2)
    entry = np.asarray([[1.0, 0], [1, 0], [0, 0]])
    equal(met_by_entries(triplets, errors_of(), entry), [[1.4]], [min(0.8 + 0.6, 2**0.5)], [0])
    equal(met_by_entries(triplets, errors_of(), entry * [[1], [0], [1]]), [[0.6]], [0.8], [0])


def test_entries_between_two_matrices() -> None:
    """Rows of G are (2, 1, 0) and (0, 1, 0); of 2 I − X Yᵀ columns (2, 0, 0, 0) and (0, 2, 0, −2).

    |E| times those: (2, 0, 8) and (12, 8, 8), of which the third row of G, (1, 0, 3), makes 26 and 36 beyond. Rows of
    G |E|: (2, 4, 3, 12) and (0, 0, 3, 4), of which X sees 2 · 12 and 2 · 4, and Y, 3 of it beyond, 3 times that.
    """
    met = met_by_entries_through(TRIPLETS, errors_of(), ENTRY, G, (2.0, X, Y))
    equal(met, [[4, 24 + 8], [0, 8]], [26, 36], [2 * 173**0.5 + 3 * 24, 2 * 5 + 3 * 8])
    met = met_by_entries_through(TRIPLETS, errors_of(), ENTRY, G, (-2.0, np.hstack([X, X]), np.hstack([Y, 0 * Y])))
    equal(met, [[4, 24 + 8], [0, 8]], [26, 36], [2 * 173**0.5 + 3 * 24 * 2**0.5, 2 * 5 + 3 * 8 * 2**0.5])
    met = met_by_entries_through(TRIPLETS, errors_of(closed=False), ENTRY, G, (2.0, X, Y))
    equal(met, [[4, 32], [0, 8]], [np.inf] * 2, [np.inf] * 2)


def test_columns_between_two_matrices() -> None:
    """G L has rows (2, −3), (0, 1), (10, 10); 2 R − Y (Xᵀ R) has (4, −2), (−14, 0), (12, 2), (−32, 0)."""
    e, f = np.asarray([0.1 * 2 + 0.2 * 3, 0.2]), np.asarray([0.3 * 4 + 0.5 * 2, 0.3 * 14])
    g, h = np.asarray([5**0.5, 1.0]), np.asarray([2.0, 8**0.5])
    beyond_left, beyond_right = 0.1 * 10 + 0.2 * 10, 0.3 * 1168**0.5 + 0.5 * 2
    away = 2 + 2 * 3  # of 2 I and of X Yᵀ, of norm 2 and 3 beyond the span of all q_j
    within = [[g[i] * (f[j] + BOTH * h[j]) + e[i] * h[j] for j in (0, 1)] for i in (0, 1)]
    left, right = np.linalg.norm(G, 2) * (f + BOTH * h) + beyond_left * h, beyond_right * g + (e + BOTH * g) * away
    equal(met_through(TRIPLETS, (L, R, B, A), G, (2.0, X, Y)), within, left, right)


def test_nothing_of_columns_lies_beyond_all_vectors() -> None:
    none = np.zeros((2, 0))
    factors = L, R[:2], B, A
    f, e, beyond_left = np.asarray([1.1, 0.3]), np.asarray([0.1 + 0.4, 0.2]), 0.1 * 3 + 0.2 * 4
    found = met_through((P, S, np.eye(2)), factors, np.eye(3), (-1.0, none, none))
    np.testing.assert_allclose(found.left, f + BOTH + beyond_left, rtol=1e-7)
    assert (found.right == 0).all()
    found = met_through((np.eye(2), S, QH), (L[:2], R, B, A), np.eye(2), (-1.0, np.zeros((4, 0)), np.zeros((4, 0))))
    assert (found.left == 0).all()
    np.testing.assert_allclose(found.right, 0.3 * 10 + 0.5 + e + BOTH)


@pytest.mark.parametrize(("shape", "left", "right"), [((3, 3), 5, 6), ((2, 3), 0, 6), ((3, 2), 5, 0), ((2, 2), 0, 0)])
def test_as_many_vectors_as_rows_leave_nothing_beyond(shape: tuple[int, int], left: float, right: float) -> None:
    met = Met(np.ones((2, 2)), np.full(2, 5.0), np.full(2, 6.0))
    equal(bounded(errors_of(shape), met), np.ones((2, 2)), [left] * 2, [right] * 2)


def test_columns_say_nothing_of_what_was_divided() -> None:
    small = np.full(2, 1e-9)
    within = known(errors_of(), TRIPLETS, (L, R, small, small), ENTRY).within
    assert within.max() < 1e-7
    equal(known(errors_of(divided=True), TRIPLETS, (L, R, small, small), ENTRY), [[1, 2], [0, 0]], [4, 3], [4, 5])


M = np.diag([4.0, 2.0, 1.0])
E = 1e-4 * np.asarray([[1.0, 3, 1], [1, 2, 2], [2, 4, 7]])
FINER = Met(E, 1e-4 * np.asarray([3.2, 5.0, 9.0]), 1e-4 * np.asarray([1.2, 4.0, 9.0]))
TURNS = np.asarray([17**0.5 / 15, 5**0.5 / 3])  # √(σ_i² + 1) / (σ_i² − 1)


def part(k: int, turns: Any) -> Leading:
    return Leading(np.eye(3)[:, :k], np.diag(M)[:k], np.eye(3)[:, :k], 0.0, np.asarray(turns, dtype=float), k)


def test_first_order_turns_of_two_of_three_vectors() -> None:
    """Into the third (σ_i E_3i + E_i3) / (σ_i² − 1), and beyond all E q_i / σ_i; K_12 = (3 + 1) / (4 + 2) of 1e-4."""
    found = first_order(FINER, (np.eye(3), np.diag(M), np.eye(3)), 2)
    np.testing.assert_allclose(found.left, 1e-4 * np.hypot([(8 + 1) / 15, (8 + 2) / 3], [3.2 / 4, 5 / 2]))
    np.testing.assert_allclose(found.right, 1e-4 * np.hypot([(4 + 2) / 15, (4 + 4) / 3], [1.2 / 4, 4 / 2]))
    assert found.pairing == pytest.approx(1e-4 * 2**0.5 * 4 / 6)
    assert found.values == pytest.approx(3e-4)
    assert np.isinf(found.shared).all()


@pytest.mark.parametrize("small", [1e-160, 1e-310])
def test_turns_of_values_whose_squares_or_inverses_overflow_are_infinite_without_a_warning(small: float) -> None:
    met = Met(np.ones((3, 3)), np.ones(3), np.ones(3))
    found = first_order(met, (np.eye(3), np.asarray([1.0, small, 0.0]), np.eye(3)), 2)
    np.testing.assert_allclose([found.left[0], found.right[0]], 2**0.5)  # into the third, and beyond
    assert np.isinf([found.left[1], found.right[1]]).all()


@pytest.mark.parametrize("slack", [np.zeros(2), np.asarray([3e-5, 4e-5])])
@pytest.mark.parametrize("aside", [0.0, 2e-4])
def test_turns_that_are_known_better_than_by_the_norm(slack: np.ndarray, aside: float) -> None:
    """The first order above, and four times the squares of what 0.01 makes of it, and the slack."""
    found = known_turns(errors_of(), M, part(2, TURNS), 0.01, FINER, slack, aside)
    second = 4 * 1e-4 * np.asarray([17 / 225, 5 / 9]) + slack
    np.testing.assert_allclose(found.left, np.hypot([1e-4, 1e-4 * 25 / 6], aside) + second)
    np.testing.assert_allclose(found.right, np.asarray([0.5e-4, 1e-4 * 10 / 3]) + second)
    by_norm = 0.01 * 2 / 6
    assert found.pairing == pytest.approx(1e-4 * 2**0.5 * 4 / 6 + 4 * by_norm**2 + np.hypot(*second))
    more = 4 * 0.01 * (by_norm + 0.01 * TURNS[1]) + 4 * np.hypot(*slack)
    assert found.values == pytest.approx(3e-4 + more)
    np.testing.assert_allclose(found.shared, 0.01 * TURNS)


@pytest.mark.parametrize(
    ("k", "turns", "pairing"),
    [
        (1, TURNS[:1], 0),
        (2, TURNS, 2 / 6),
        (3, [1 / 4, 1 / 2, 1], 2 / 3),
        (2, [np.inf, 1], 2 / 6),
        (2, [1, np.inf], 2 / 6),
    ],
)
@pytest.mark.parametrize("finer", [None, FINER])
def test_turns_that_the_norm_of_a_small_error_bounds(k: int, turns: Any, pairing: float, finer: Met | None) -> None:
    """‖E‖ times the turn of each, 2 / (σ_k + σ_{k−1}) between both sides, √k for the sum of k values."""
    found = known_turns(errors_of(), M, part(k, turns), 1e-6, finer)
    for x in (found.left, found.right, found.shared):
        np.testing.assert_allclose(x, 1e-6 * np.asarray(turns))
    assert (found.pairing, found.values) == (pytest.approx(1e-6 * pairing), pytest.approx(1e-6 * k**0.5))


def test_no_vectors_do_not_turn() -> None:
    found = known_turns(errors_of(), M, part(0, []), 0.1, FINER)
    assert (found.left.shape, found.right.shape, found.shared.shape) == ((0,), (0,), (0,))
    assert (found.pairing, found.values) == (0.0, 0.0)


def polar_of(within: Any, left: Any = (0, 0), right: Any = (0, 0)) -> float:
    """Of a matrix with singular values 2 and 1."""
    return polar_moved(Met(*(np.asarray(x, dtype=float) for x in (within, left, right))), S)


def test_the_polar_factor_by_its_series() -> None:
    """Of F = (0.03, 0.15; 0, 0) beside values 1 and 1/2: K_12 = H_12 = 0.15 / 1.5 = 0.1, H_11 = 0.03.

    (K H + H K)_ij / (σ_i + σ_j) + K² / 2 is (0.015, 0.002; 0.002, 0.025), and counts twice. Beyond, B = (0.1, 0) of
    the left has B G = 0.1 (0.03, 0.3), and (0, 0.3) of the right 0.3 (0.15, 0).
    """
    F = [[0.06, 0.3], [0, 0]]
    inside = 2 * 0.104**2 + 0.03**2 + 0.05**2
    of_left, of_right = 0.106**2 + 0.06**2, 0.09**2 + 0.3**2
    assert polar_of(F) == pytest.approx(inside**0.5)
    assert polar_of(F, left=(0.2, 0)) == pytest.approx((inside + of_left) ** 0.5)
    assert polar_of(F, right=(0, 0.3)) == pytest.approx((inside + of_right) ** 0.5)
    assert polar_of(F, (0.2, 0), (0, 0.3)) == pytest.approx((inside + of_left + of_right) ** 0.5)
    assert polar_of([[0, 0.2], [0.1, 0]]) == pytest.approx(
        (2 * 0.1**2 + 4 * _second(0.1, 0.0833333333)) ** 0.5, rel=1e-6
    )


def _second(k: float, h: float) -> float:
    """Of K = (0, k; k, 0) and H = (0, h; h, 0): K H + H K = 2 k h I, over 2 and 1, and K² / 2 = k² / 2 I."""
    return (k * h + k * k / 2) ** 2 + (2 * k * h + k * k / 2) ** 2


@pytest.mark.parametrize(("g", "known"), [(0.49, True), (0.51, False)])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_series_whose_terms_do_not_halve_bounds_nothing(g: float, known: bool, side: str) -> None:
    """B, B g, B g² of a diagonal error, which by itself moves no polar factor."""
    F = [[2 * g, 0], [0, 0]]
    assert polar_of(F) == 0
    found = polar_of(F, **{side: (0.2, 0)})
    assert found == (pytest.approx(0.1 * (1 + 2 * g)) if known else np.inf)


@pytest.mark.parametrize(("k", "known"), [(0.215, True), (0.225, False)])
def test_nor_does_one_within_the_span(k: float, known: bool) -> None:
    """Second terms k² (1.5, 2.5) on the diagonal; third k³ (4 / 1.5 + 2.5) and k³ (4 / 1.5 + 1.5) beside it.

    Halves of norm 1.458 k² and 6.637 k³ meet at k = 0.2196.
    """
    found = polar_of([[0, 3 * k], [0, 0]])
    assert found == (pytest.approx((2 * k**2 + 34 * k**4) ** 0.5) if known else np.inf)


@pytest.mark.parametrize("place", range(3))
def test_polar_factors_without_a_bound(place: int) -> None:
    parts = [np.zeros((2, 2)), np.zeros(2), np.zeros(2)]
    assert polar_moved(Met(*parts), S) == 0
    assert polar_moved(Met(*parts), np.asarray([2.0, 0.0])) == np.inf
    parts[place] = parts[place] + np.inf
    assert polar_moved(Met(*parts), S) == np.inf
