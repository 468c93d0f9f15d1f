"""Polar factors of matrices of full rank by matrix products alone, proven on the spot.

Newton–Schulz of fifth order (Higham, Functions of Matrices, 2008, section 8.6): X ← X (I + E/2 + 3E²/8), E = I − XᵀX,
leaves singular vectors and takes σ to σ (15 − 10σ² + 3σ⁴) / 8, hence ‖E‖ to at most ‖E‖³ where ‖E‖ ≤ 1. Products are
what a GPU is made for; of a batch of SVDs, its libraries take one after the other.
"""

from collections.abc import Sequence

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace

_STEPS = 10  # enough for a condition number of a few hundred
_NEAR = 0.75  # ‖E‖ (Frobenius) that they must have led to
_LEAST = (1 - _NEAR) ** 0.5 * (8 / 15) ** _STEPS  # what a σ of the scaled X must have been then: no step does more
_MORE = 5  # steps from there to rounding: 0.75 to the power 3⁵ is 4e-31
_LOST = 8.0  # ‖E‖ at the end, in units of eps · n


def polar_factors(given: Sequence[Array], level: Array, relative: bool) -> list[Array] | None:
    """The polar factor (…, m, n) of each X (…, m, n), all of whose singular values are above `level` (…) beyond doubt.

    relative: the level is to be multiplied with each X's largest singular value. None where it cannot prove itself: a
    matrix that is not of full rank, or has a condition number far above a few hundred, values that cannot be looked at,
    a derivative that may be asked for. The host waits once, however many matrices there are.
    """
    if any(arrays.may_differentiate(X) or not arrays.is_concrete(X) or not arrays.count(X) for X in given):
        return None
    xp, eps = array_namespace(*given), arrays.eps(given[0].dtype)
    tall = [X if X.shape[-2] >= X.shape[-1] else xp.matrix_transpose(X) for X in given]
    with arrays.overflow_checked():
        units = [_unit(X) for X in tall]  # (…), so that no σ² is above 2
        walks = [X / xp.where(u > 0, u, 1.0)[..., None, None] for X, u in zip(tall, units, strict=True)]
        eyes = [arrays.identity(X, X.shape[-1]) for X in walks]  # sent to the device once
        walks = [_walk(X, eye, _STEPS) for X, eye in zip(walks, eyes, strict=True)]
        distances = [_squared(_defect(X, eye)) for X, eye in zip(walks, eyes, strict=True)]
        near = [xp.all(distance <= _NEAR**2) for distance in distances]  # NaN is not
        walks = [_walk(X, eye, _MORE) for X, eye in zip(walks, eyes, strict=True)]
        distances = [_squared(_defect(X, eye)) for X, eye in zip(walks, eyes, strict=True)]
        bounds = [(_LOST * eps * X.shape[-1]) ** 2 for X in walks]
        proven = [xp.all(distance <= bound) for distance, bound in zip(distances, bounds, strict=True)]
        above = [xp.all(level < _LEAST * (2**-0.5 * xp.ones_like(u) if relative else u)) for u in units]
        if not all(arrays.look(*near, *proven, *above)):
            return None
    return [P if P.shape == X.shape else xp.matrix_transpose(P) for P, X in zip(walks, given, strict=True)]


def _unit(X: Array) -> Array:
    """√(‖XᵀX‖_∞ / 2) (…), at least σ_1 / √2."""
    xp = array_namespace(X)
    gram = xp.matrix_transpose(X) @ X
    return xp.sqrt(xp.max(xp.sum(xp.abs(gram), axis=-1), axis=-1) / 2)


def _defect(X: Array, eye: Array) -> Array:
    """E = I − XᵀX (…, n, n)."""
    return eye - array_namespace(X).matrix_transpose(X) @ X


def _walk(X: Array, eye: Array, steps: int) -> Array:
    for _ in range(steps):
        E = _defect(X, eye)
        X = X + X @ (0.5 * E + 0.375 * (E @ E))
    return X


def _squared(X: Array) -> Array:
    """‖X‖² (…) of X (…, a, b)."""
    return array_namespace(X).sum(X * X, axis=(-2, -1))
