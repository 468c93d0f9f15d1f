"""Polar factors of matrices of full rank by matrix products alone, proven on the spot.

Newton–Schulz of fifth order (Higham, Functions of Matrices, 2008, section 8.6): X ← X (I + E/2 + 3E²/8), E = I − XᵀX,
leaves singular vectors and takes σ to σ (15 − 10σ² + 3σ⁴) / 8, hence ‖E‖ to at most ‖E‖³ where ‖E‖ ≤ 1. Products are
what a GPU is made for; of a batch of SVDs, its libraries take one after the other.
"""

from collections.abc import Sequence

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.linalg.norms import squared

_STEPS = 10  # enough for a condition number of a few hundred
_NEAR = 0.75  # ‖E‖ (Frobenius) that they must have led to
_LEAST = (1 - _NEAR) ** 0.5 * (8 / 15) ** _STEPS  # what a σ of the scaled X must have been then: no step does more
_MORE = 5  # steps from there to rounding: 0.75 to the power 3⁵ is 4e-31
_LOST = 8.0  # ‖E‖ at the end, in units of eps · n


def polar_factors(given: Sequence[Array], level: Array, relative: bool) -> list[tuple[Array, list[int]]] | None:
    """The polar factor (…, m, n) of each X (…, m, n), and which of its layers, in row-major order, are not proven.

    Proven are those all of whose singular values are above `level` (…) beyond doubt. relative: the level is to be
    multiplied with each X's largest singular value. Not proven is a matrix that is not of full rank, or has a condition
    number far above a few hundred. None for values that cannot be looked at or a derivative that may be asked for. The
    host waits once, however many matrices there are.
    """
    if any(arrays.may_differentiate(X) or not arrays.is_concrete(X) or not arrays.count(X) for X in given):
        return None
    xp = array_namespace(*given)
    tall = [X if X.shape[-2] >= X.shape[-1] else xp.matrix_transpose(X) for X in given]
    one = len({X.shape for X in tall}) == 1
    with arrays.overflow_checked():
        found = [_walked(X, level, relative) for X in ([xp.stack(tall)] if one else [X[None, ...] for X in tall])]
        flags = [xp.reshape(flag[i, ...], (-1,)) for _, flag in found for i in range(flag.shape[0])]
        missing = arrays.unproven(*flags)
    factors = [walk[i, ...] for walk, _ in found for i in range(walk.shape[0])]
    upright = [P if P.shape == X.shape else xp.matrix_transpose(P) for P, X in zip(factors, given, strict=True)]
    return list(zip(upright, missing, strict=True))


def _walked(X: Array, level: Array, relative: bool) -> tuple[Array, Array]:
    """The factors (…, m, n) of X, and which are proven (…)."""
    xp, eps = array_namespace(X), arrays.eps(X.dtype)
    gram, eye = xp.matrix_transpose(X) @ X, arrays.identity(X, X.shape[-1])
    square = xp.max(xp.sum(xp.abs(gram), axis=-1), axis=-1) / 2  # (…), of u, at least σ_1 / √2: no σ² is above 2 then
    sound = square > arrays.smallest_normal(X.dtype) / eps  # smaller squares lose digits to underflow
    square = xp.where(sound, square, 1.0)
    u = xp.sqrt(square)
    walk = X / u[..., None, None]
    E = eye - gram / square[..., None, None]
    for step in range(_STEPS + _MORE):
        if step == _STEPS:
            proven = squared(E) <= _NEAR**2  # NaN is not
        walk = walk + walk @ (0.5 * E + 0.375 * (E @ E))
        E = eye - xp.matrix_transpose(walk) @ walk
    proven = proven & sound & (squared(E) <= (_LOST * eps * X.shape[-1]) ** 2)
    return walk, proven & (level < _LEAST * (2**-0.5 * xp.ones_like(u) if relative else u))
