"""Polar factors over the support of a matrix, with their derivative.

Decompositions are constants to automatic differentiation; the derivative is added as a correction D(M − M₀), M₀ the
same numbers held constant: its value is zero and its derivative the right one.
"""

from collections.abc import Sequence

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.linalg import newton
from coremerge_ref.core.linalg.mending import mended
from coremerge_ref.core.linalg.svds import svd
from coremerge_ref.core.linalg.zero import masked


def polar(X: Array, rtol: Array) -> Array:
    """The canonical polar factor P Qᵀ (…, m, n) of X = P S Qᵀ, over the support σ > rtol · σ_1 only; rtol (…)."""
    return polars([X], rtol)[0]


def polars(given: Sequence[Array], rtol: Array) -> list[Array]:
    """`polar` of each X of equal batch shape: by products where decompositions are slow and the support is full."""
    found = newton.polar_factors(given, rtol, relative=True) if arrays.loops_over_batches(given[0]) else None
    if found is None:
        return [_polar(X, rtol)[0] for X in given]
    return [mended((P,), missing, _polar, X, rtol)[0] for X, (P, missing) in zip(given, found, strict=True)]


def _polar(X: Array, rtol: Array) -> tuple[Array]:
    P, S, Qh = svd(X)
    return (spread(X, P, S, Qh, S > rtol[..., None] * S[..., :1]),)


def polar_above(X: Array, level: Array) -> tuple[Array, Array]:
    """The polar factor (…, m, n) of X over its singular values above `level` (…), and how many there are (…)."""
    found = newton.polar_factors([X], level, relative=False) if arrays.loops_over_batches(X) else None
    if found is None:
        return _polar_above(X, level)
    ((factor, missing),) = found
    count = array_namespace(X).full_like(level, float(min(X.shape[-2:])))
    factor, count = mended((factor, count), missing, _polar_above, X, level)
    return factor, count


def _polar_above(X: Array, level: Array) -> tuple[Array, Array]:
    xp = array_namespace(X)
    P, S, Qh = svd(X)
    live = S > level[..., None]  # (…, k)
    return spread(X, P, S, Qh, live), xp.sum(xp.astype(live, S.dtype), axis=-1)


def spread(X: Array, P: Array, S: Array, Qh: Array, live: Array) -> Array:
    """P Qᵀ (…, m, n) over `live` (…, k) of the SVD P, S, Qh of X, with its derivative on matrices of that rank.

    For E = Pᵀ dX Q it is d(P Qᵀ) = P (E − Eᵀ)_ij / (σ_i + σ_j) Qᵀ over live i, j, and dX / σ beyond either span.
    """
    xp = array_namespace(X)
    P, Qh = masked(P, live), xp.where(live[..., None], Qh, 0.0)
    if not arrays.may_differentiate(X):
        return P @ Qh
    dX = X - arrays.detached(X)
    Ph, Q = xp.matrix_transpose(P), xp.matrix_transpose(Qh)
    inverse = xp.where(live, 1 / xp.where(live, S, 1.0), 0.0)  # (…, k)
    both = live[..., :, None] & live[..., None, :]
    total = xp.where(both, S[..., :, None] + S[..., None, :], 1.0)
    left, right = dX @ Q, Ph @ dX  # (…, m, k), (…, k, n)
    E = Ph @ left
    inner = xp.where(both, (E - xp.matrix_transpose(E)) / total, 0.0)
    outer = (left - P @ E) * inverse[..., None, :] @ Qh + P @ (inverse[..., :, None] * (right - E @ Qh))
    return P @ (Qh + inner @ Qh) + outer
