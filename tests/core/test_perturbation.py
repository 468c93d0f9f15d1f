"""The perturbation formulas against matrices that are perturbed."""

import numpy as np
import pytest

from coremerge_ref.core import perturbation as formulas
from coremerge_ref.testing import orthonormal

H = 1e-7


def matrix(rng: np.random.Generator, S: list[float], m: int, n: int) -> np.ndarray:
    return orthonormal(rng, m, len(S)) * np.asarray(S) @ orthonormal(rng, n, len(S)).T


def moved(function: object, X: np.ndarray) -> float:
    """Norm of the derivative of a matrix function at X, largest singular value of its Jacobian."""
    J = []
    for place in range(X.size):
        E = np.zeros(X.size)
        E[place] = H
        E = E.reshape(X.shape)
        J.append(((function(X + E) - function(X - E)) / (2 * H)).ravel())
    return float(np.linalg.norm(np.stack(J), 2))


def truncated(X: np.ndarray, k: int = 2) -> np.ndarray:
    P, S, Qh = np.linalg.svd(X, full_matrices=False)
    return (P[:, :k] * S[:k]) @ Qh[:k]


def polar(X: np.ndarray) -> np.ndarray:
    P, _, Qh = np.linalg.svd(X, full_matrices=False)
    return P @ Qh


def projector(X: np.ndarray, k: int = 2) -> np.ndarray:
    P = np.linalg.svd(X, full_matrices=False)[0][:, :k]
    return P @ P.T


@pytest.mark.parametrize("gap", [0.5, 0.1, 0.01])
def test_the_condition_number_of_truncation_is_exact(gap: float) -> None:
    S = [2.0, 1.0, 1.0 - gap, 0.2]
    X = matrix(np.random.default_rng(1), S, 5, 4)
    assert moved(truncated, X) == pytest.approx(formulas.truncation(np.asarray(S), 2), rel=1e-5)
    assert formulas.truncation(np.asarray(S), 2) == pytest.approx(1 / gap)


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (3, 4)])
def test_the_condition_number_of_the_polar_factor_is_exact(shape: tuple[int, int]) -> None:
    S = [2.0, 0.9, 0.3]
    X = matrix(np.random.default_rng(2), S, *shape)
    assert moved(polar, X) == pytest.approx(formulas.polar(np.asarray(S), shape), rel=1e-5)


def test_singular_subspaces_turn_by_the_coupling() -> None:
    S = np.asarray([2.0, 1.0, 0.7, 0.2])
    X = matrix(np.random.default_rng(3), list(S), 4, 4)
    # the projector changes by √2 the turn, in two blocks
    assert moved(projector, X) == pytest.approx(2**0.5 * formulas.coupling(S[1], S[2]), rel=1e-5)
    assert formulas.turns(S, 2)[1] == formulas.coupling(S[1], S[2])


def test_coupling_lies_between_one_over_the_larger_and_one_over_the_distance() -> None:
    a, b = np.abs(np.random.default_rng(4).standard_normal((2, 100)))
    found = formulas.coupling(a, b)
    assert np.all(found <= 1 / np.abs(a - b))
    assert np.all(found >= 1 / np.maximum(a, b))
    assert formulas.coupling(1.0, 1.0) == np.inf
    assert formulas.coupling(3.0, 0.0) == pytest.approx(1 / 3)


def test_values_near_a_level() -> None:
    values = np.asarray([0.0, 0.5, 2.0, 9.0, 10.5, 12.0])
    assert formulas.near(values, 10.0, 1.0).tolist() == [False, False, True, True, True, False]
    assert formulas.near(values, 10.0, 11.0).all()


def test_norm_does_not_overflow() -> None:
    assert formulas.norm(np.full(4, 1e200)) == pytest.approx(2e200)
    assert formulas.norm(np.zeros((0, 3))) == 0.0
