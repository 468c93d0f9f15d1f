"""What errors of single columns and entries do to singular triplets, beside errors that are made."""

import warnings

import numpy as np
import pytest

from coremerge_ref.methods._graded import (
    Factors,
    Turns,
    first_order,
    joined,
    known,
    known_turns,
    met_by_columns,
    met_by_entries_through,
    met_through,
    polar_moved,
    retold,
    scaled,
)
from coremerge_ref.methods._subspaces import Leading
from coremerge_ref.perturbation.carried import Errors, Level
from coremerge_ref.perturbation.theorems import beyond, turns

STEP = 1e-7


def decaying(m: int, n: int, r: int, decades: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """L (m, r) of orthonormal columns times a decaying spectrum, R (n, r) orthonormal."""
    rng = np.random.default_rng(seed)
    L, R = (np.linalg.qr(rng.standard_normal((size, r)))[0] for size in (m, n))
    return L * 10.0 ** -np.linspace(0, decades, r), R


def factors_of(L: np.ndarray, R: np.ndarray) -> Factors:
    return L, R, STEP * np.linalg.norm(L, axis=0), STEP * np.linalg.norm(R, axis=0)


def thin(M: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    P, S, Qh = np.linalg.svd(M, full_matrices=False)
    return P, S, Qh


def moved_columns(L: np.ndarray, R: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """L Rᵀ when every column of L and R moves by STEP of its norm, in a random direction."""
    moved = []
    for X in (L, R):
        E = rng.standard_normal(X.shape)
        moved.append(X + STEP * E / np.linalg.norm(E, axis=0) * np.linalg.norm(X, axis=0))
    return moved[0] @ moved[1].T


def turned(M: np.ndarray, moved: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """How far the first k triplets of `moved` are from those of M, in the terms of Turns."""
    (P, S, Qh), (U, T, Vh) = thin(M), thin(moved)
    left, right = (Y[:, :k] - X[:, :k] @ (X[:, :k].T @ Y[:, :k]) for X, Y in ((P, U), (Qh.T, Vh.T)))
    # of each vector of the span itself, whatever the new basis of the span is
    into = [Y[:, :k].T @ X[:, :k] for X, Y in ((P, U), (Qh.T, Vh.T))]
    left, right = left @ into[0], right @ into[1]
    D = into[0] - into[1]
    return (
        np.linalg.norm(left, axis=0),
        np.linalg.norm(right, axis=0),
        float(np.linalg.norm(D)),
        abs(float(np.sum(T[:k] - S[:k]))),
    )


def check(bounds: Turns, M: np.ndarray, moved: np.ndarray, k: int) -> None:
    left, right, pairing, values = turned(M, moved, k)
    slack = 1e-10  # of second order, and of the arithmetic
    assert (left <= bounds.left * (1 + 1e-3) + slack).all()
    assert (right <= bounds.right * (1 + 1e-3) + slack).all()
    assert pairing <= bounds.pairing * (1 + 1e-3) + slack
    assert values <= bounds.values * (1 + 1e-3) + slack


def errors_of(entry: np.ndarray, shape: tuple[int, int], closed: bool = True) -> Errors:
    level = Level("input", "float64", STEP, 0.5)
    rank = np.asarray(min(entry.shape))
    return Errors(level, shape, np.asarray(0.0), entry, rank, (0,), True, {}, 2.0**-52, closed=closed)


@pytest.mark.parametrize("shape", [(12, 9), (9, 12), (5, 5), (20, 3)])
@pytest.mark.parametrize("decades", [0.5, 2, 4])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_first_order_bounds_hold(shape: tuple[int, int], decades: float, k: int) -> None:
    L, R = decaying(*shape, 3, decades, seed=k)
    bounds = first_order(met_by_columns(thin(L @ R.T), factors_of(L, R)), thin(L @ R.T), k)
    for seed in range(20):
        check(bounds, L @ R.T, moved_columns(L, R, np.random.default_rng(seed)), k)


@pytest.mark.parametrize("shape", [(12, 9), (9, 12), (5, 5), (20, 3)])
@pytest.mark.parametrize("decades", [0.5, 2, 4])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_bounds_by_entries_hold(shape: tuple[int, int], decades: float, k: int) -> None:
    """Of rows and columns that decay, and errors of each entry to its own size."""
    rng = np.random.default_rng(k)
    M = rng.standard_normal(shape) * np.outer(*(10.0 ** -np.linspace(0, decades, size) for size in shape))
    errors = errors_of(STEP * np.abs(M), shape)
    bounds = first_order(known(errors, thin(M), None, errors.entry), thin(M), k)
    assert np.isfinite([*bounds.left, *bounds.right]).all()
    for _ in range(20):
        check(bounds, M, M * (1 + STEP * rng.uniform(-1, 1, shape)), k)


@pytest.mark.parametrize("by", ["columns", "entries"])
@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (5, 5)])
@pytest.mark.parametrize("c", [0.0, 1.0, -2.0])
def test_bounds_of_what_is_multiplied_from_both_sides_hold(by: str, shape: tuple[int, int], c: float) -> None:
    """G E (c I − X Yᵀ), E of columns or of entries, and singular vectors of another matrix."""
    rng = np.random.default_rng(3)
    (p, q), triplets = shape, thin(rng.standard_normal(shape))
    G, X, Y = (rng.standard_normal(size) for size in ((p, p), (q, 2), (q, 2)))
    L, R = decaying(*shape, 3, 2.0, seed=1)
    factors, entry = factors_of(L, R), STEP * np.abs(rng.standard_normal(shape)) ** 3
    if by == "columns":
        met = met_through(triplets, factors, G, (c, X, Y))
    else:
        met = met_by_entries_through(triplets, errors_of(entry, (99, 99)), entry, G, (c, X, Y))
    (P, _, Qh), most = triplets, 0.0
    for _ in range(100):
        E = moved_columns(L, R, rng) - L @ R.T if by == "columns" else entry * rng.choice([-1.0, 1.0], shape)
        Z = G @ E @ (c * np.eye(q) - X @ Y.T)
        within, left, right = np.abs(P.T @ Z @ Qh.T), Z @ Qh.T - P @ (P.T @ Z @ Qh.T), Z.T @ P - Qh.T @ (Qh @ Z.T @ P)
        beyond = (np.linalg.norm(x, axis=0) for x in (left, right))
        for x, y in zip((within, *beyond), (met.within, met.left, met.right), strict=True):
            assert (x <= y * (1 + 1e-6) + 1e-14).all(), (x, y)
        most = max(most, float(np.max(within / met.within)))
    assert most > 0.1


def test_vectors_of_equal_values_turn_into_each_other_as_far_as_they_like_without_a_warning() -> None:
    M = np.diag([2.0, 2.0, 1.0])
    errors = errors_of(STEP * np.ones((3, 3)), (3, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, both = (first_order(known(errors, thin(M), None, errors.entry), thin(M), k) for k in (1, 2))
    assert np.isinf(one.left).all()
    assert np.isinf(one.right).all()
    assert (both.left <= 3 * STEP).all()  # out of the span of both they turn by little


def test_entries_say_nothing_beyond_frames_that_do_not_turn_along() -> None:
    M = np.diag([2.0, 1.0])
    errors = errors_of(STEP * np.ones((2, 2)), (9, 2), closed=False)
    met = known(errors, thin(M), None, errors.entry)
    assert np.isinf(met.left).all()  # of nine rows two are in the frame
    assert (met.right == 0).all()  # and of two columns both
    assert (met.within <= 2 * STEP).all()


def test_columns_of_which_nothing_is_known_say_nothing() -> None:
    M = np.diag([2.0, 0.0])
    met = met_by_columns(thin(M), (M, np.eye(2), np.asarray([STEP, np.inf]), np.zeros(2)))
    assert all(np.isinf(part).all() for part in (met.within, met.left, met.right))


def test_of_columns_and_entries_the_better_one_counts_and_errors_add_up() -> None:
    M = np.diag([2.0, 1.0])
    errors = errors_of(STEP * np.ones((2, 2)), (9, 2), closed=False)
    columns = M, np.eye(2), np.full(2, STEP), np.zeros(2)
    one = known(errors, thin(M), columns, errors.entry)
    np.testing.assert_allclose(one.left, STEP)
    both = known(errors, thin(M), columns, errors.entry, columns)
    np.testing.assert_allclose(both.left, 2 * STEP)
    np.testing.assert_allclose(both.within, one.within + met_by_columns(thin(M), columns).within)


def test_small_values_of_small_columns_turn_no_more_than_large_ones() -> None:
    """Where a bound by the norm of the error alone grows as the spectrum decays, over four decades by as much."""
    L, R = decaying(12, 12, 4, 4, seed=0)
    bounds = first_order(met_by_columns(thin(L @ R.T), factors_of(L, R)), thin(L @ R.T), 4)
    assert bounds.left.max() < 20 * STEP
    assert bounds.right.max() < 20 * STEP


def test_the_sum_has_the_columns_of_all_and_weights_multiply_them() -> None:
    L, R = decaying(6, 5, 2, 1, seed=1)
    both = joined(scaled([factors_of(L, R), factors_of(L, R)], [2.0, -3.0]))
    assert both[0].shape == (6, 4)
    np.testing.assert_allclose(both[2], STEP * np.array([2, 0.2, 3, 0.3]))
    np.testing.assert_allclose(both[3], STEP * np.ones(4))


def test_where_nothing_finer_is_known_vectors_turn_by_the_norm_of_the_error() -> None:
    M, errors = np.diag([4.0, 2.0, 0.5]), errors_of(np.full((3, 3), np.inf), (9, 9))
    S = np.asarray([4.0, 2.0, 0.5])
    part = Leading(np.eye(3)[:, :2], S[:2], np.eye(3)[:, :2], 0.0, turns(S, 2), 3)
    found = known_turns(errors, M, part, STEP, known(errors, thin(M), None, errors.entry))
    np.testing.assert_allclose(found.left, STEP * part.turns)
    np.testing.assert_allclose(found.right, found.left)
    assert found.pairing == pytest.approx(STEP * 2 / (4 + 2))
    assert found.values == pytest.approx(STEP * 2**0.5)


def test_columns_of_a_product_are_known_as_its_triplets_are() -> None:
    """Of P diag(S) Qᵀ: S_i times what P_i turns by beside what diag(S) changes in that column, and what Q_i turns."""
    P, S, Q, within = np.eye(3)[:, :2], np.asarray([2.0, 0.5]), np.eye(4)[:, :2], np.asarray([[3.0, 0.0], [4.0, 1.0]])
    L, R, b, a = retold(P, S, Q, np.asarray([0.1, 0.2]), 0.3, within)
    np.testing.assert_allclose(L @ R.T, P * S @ Q.T)
    np.testing.assert_allclose(b, [5.2, 1.1])
    np.testing.assert_allclose(a, [0.3, 0.3])


def polar(M: np.ndarray) -> np.ndarray:
    P, _, Qh = thin(M)
    return P @ Qh


@pytest.mark.parametrize("shape", [(8, 2), (2, 8), (6, 6), (9, 4)])
@pytest.mark.parametrize("step", [1e-7, 5e-4])
def test_polar_factors_move_no_further_where_errors_of_large_columns_are_as_large_as_small_values(
    shape: tuple[int, int], step: float
) -> None:
    """One column of norm 900, known to 5e-4 of itself, beside values of 1: of norms the first order would be all."""
    rng, r = np.random.default_rng(4), min(shape)
    L, R = (np.linalg.qr(rng.standard_normal((size, r)))[0] for size in shape)
    L = L * np.asarray([900.0, *[1.0] * (r - 1)])
    factors = L, R, step * np.linalg.norm(L, axis=0), step * np.linalg.norm(R, axis=0)
    bound = polar_moved(met_by_columns(thin(L @ R.T), factors), thin(L @ R.T)[1])
    assert bound < 30 * r * step
    most = 0.0
    for _ in range(300):
        E, F = (rng.standard_normal(X.shape) for X in (L, R))
        E, F = (x * y / np.linalg.norm(x, axis=0) for x, y in ((E, factors[2]), (F, factors[3])))
        most = max(most, float(np.linalg.norm(polar((L + E) @ (R + F).T) - polar(L @ R.T))))
    assert most <= bound * beyond(bound) + 1e-12
    assert most > bound / 30


def test_no_bound_is_known_where_second_order_terms_are_no_smaller_than_the_first() -> None:
    M = np.diag([1.0, 1e-3])
    met = met_by_columns(thin(M), (M, np.eye(2), np.full(2, 0.1), np.full(2, 0.1)))
    assert polar_moved(met, thin(M)[1]) == np.inf
    assert polar_moved(met_by_columns(thin(M), (M, np.eye(2), np.full(2, np.inf), np.zeros(2))), thin(M)[1]) == np.inf


def test_what_is_not_known_of_entries_is_not_known_of_zeros_either_and_the_norm_remains() -> None:
    """Values 4, 2, 0, the first triplet, errors of norm 1e-3: it turns by δ √(σ_1² + σ_2²) / (σ_1² − σ_2²)."""
    M = np.diag([4.0, 2.0, 0.0])
    errors = errors_of(np.full((3, 3), np.inf), (3, 3))
    P, S, Qh = thin(M)
    part = Leading(P[:, :1], S[:1], Qh[:1].T, 0.0, turns(S, 1), 1)
    found = known_turns(errors, M, part, 1e-3, known(errors, (P, S, Qh), None, errors.entry))
    np.testing.assert_allclose([*found.left, *found.right], 1e-3 * 20**0.5 / 12)
