"""What single columns' errors do to singular triplets, beside errors that are made."""

import numpy as np
import pytest

from coremerge_ref.methods._graded import Factors, first_order, joined, scaled

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


def turned(L: np.ndarray, R: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """What moves when every column of L and R moves by STEP of its norm, in a random direction."""
    rng = np.random.default_rng(seed)
    moved = []
    for X in (L, R):
        E = rng.standard_normal(X.shape)
        moved.append(X + STEP * E / np.linalg.norm(E, axis=0) * np.linalg.norm(X, axis=0))
    (P, S, Qh), (U, T, Vh) = thin(L @ R.T), thin(moved[0] @ moved[1].T)
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


@pytest.mark.parametrize("shape", [(12, 9), (9, 12), (5, 5), (20, 3)])
@pytest.mark.parametrize("decades", [0.5, 2, 4])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_first_order_bounds_hold(shape: tuple[int, int], decades: float, k: int) -> None:
    L, R = decaying(*shape, 3, decades, seed=k)
    bounds = first_order(factors_of(L, R), thin(L @ R.T), k)
    for seed in range(20):
        left, right, pairing, values = turned(L, R, k, seed)
        slack = 1e-10  # of second order, and of the arithmetic
        assert (left <= bounds.left * (1 + 1e-3) + slack).all()
        assert (right <= bounds.right * (1 + 1e-3) + slack).all()
        assert pairing <= bounds.pairing * (1 + 1e-3) + slack
        assert values <= bounds.values * (1 + 1e-3) + slack


def test_small_values_of_small_columns_turn_no_more_than_large_ones() -> None:
    """Where a bound by the norm of the error alone grows as the spectrum decays, over four decades by as much."""
    L, R = decaying(12, 12, 4, 4, seed=0)
    bounds = first_order(factors_of(L, R), thin(L @ R.T), 4)
    assert bounds.left.max() < 20 * STEP
    assert bounds.right.max() < 20 * STEP


def test_the_sum_has_the_columns_of_all_and_weights_multiply_them() -> None:
    L, R = decaying(6, 5, 2, 1, seed=1)
    both = joined(scaled([factors_of(L, R), factors_of(L, R)], [2.0, -3.0]))
    assert both[0].shape == (6, 4)
    np.testing.assert_allclose(both[2], STEP * np.array([2, 0.2, 3, 0.3]))
    np.testing.assert_allclose(both[3], STEP * np.ones(4))
