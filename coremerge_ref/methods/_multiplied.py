"""Errors of factors as factors: L Rᵀ + E = (I + X) L Rᵀ (I + Y)ᵀ, by which small singular values move but little."""

from typing import Any

import numpy as np

from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import LIMIT, beyond, coupling, lengths, spectral

Factors = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # L, R, b, a, see Errors.factors


def multipliers(errors: Errors, factors: Factors | None) -> tuple[float, float]:
    """Bounds on ‖X‖ and ‖Y‖; infinite where columns of L, or R, that are not zero in L Rᵀ depend on each other.

    X = E_L L⁺, of which E_L has c columns up to b, and L⁺ rows that are those of columns of norm 1 over ‖l_i‖.
    """
    if factors is None or errors.divided:
        return np.inf, np.inf
    x, y = (_multiplier(errors, *side) for side in _sides(factors))
    return x, y


def shares(errors: Errors, factors: list[Factors]) -> np.ndarray:
    """Bounds (T,) on ‖(L Rᵀ)⁺ L_t R_tᵀ‖₂, L = [L_1 … L_T] and so on, where `multipliers` are finite: the rows of R⁺ at
    those of R_t, ‖N_t‖₂ / σ_c of columns N of norm 1."""
    units = [X / size for X, size, _ in (_sides(one)[1] for one in factors)]
    return np.asarray([spectral(N) for N in units]) / _least(errors, np.concatenate(units, axis=1))


def _sides(factors: Factors) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of L and of R: columns, their norms and errors, but for those of which nothing is in L Rᵀ, errors or not."""
    L, R, b, a = factors
    sides = [(X, lengths(X), error) for X, error in ((L, b), (R, a))]
    there = np.all([(size > 0) | (error > 0) for _, size, error in sides], axis=0)
    return [(X[:, there], size[there], error[there]) for X, size, error in sides]


def _multiplier(errors: Errors, X: np.ndarray, size: np.ndarray, error: np.ndarray) -> float:
    """Bound on ‖E X⁺‖ where columns of X (p, c) have norms `size` and those of E at most `error` (c)."""
    if not error.any():
        return 0.0
    if not (size.all() and X.shape[1] <= X.shape[0]):
        return np.inf
    least = _least(errors, X / size)
    return float(np.max(error / size)) * len(size) ** 0.5 / least if least > 0 else np.inf


def _least(errors: Errors, N: np.ndarray) -> float:
    """The smallest singular value of N (p, c), less what its rounding may be."""
    least: float = errors.singular_values(N)[-1] - 8 * N.shape[1] * errors.unit
    return least


def relatively(S: np.ndarray, level: float, delta: float, relative: float, apart: float = 0.0) -> Any:
    """Bounds on how far singular values S (s), computed up to `level`, move: by delta, or by `relative` of them and
    `apart`."""
    return np.minimum(delta, (S + level) * relative + apart) if relative < np.inf else delta


def beside(bounds: tuple[float, float, float], last: float, after: float, apart: float) -> tuple[float, float, float]:
    """`Leading.multiplied` where an error of norm `apart` comes to what multiplies the matrix; last, after: its
    singular values on either side of the cut.

    That meets values which the other has moved, by `relative` of them at most.
    """
    span, pairing, relative = bounds
    if not apart:
        return bounds
    low, high = last * (1 - relative), after * (1 + relative)
    turn = 2 * float(apart * coupling(low, high)) if low > high else np.inf  # both move towards each other
    if not turn <= LIMIT:
        return np.inf, np.inf, np.inf
    return span + turn * beyond(turn), pairing + apart / low * beyond(turn), relative + apart / last
