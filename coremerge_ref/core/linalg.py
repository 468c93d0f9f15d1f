"""Decompositions, norms, and the one place where a number is judged to be zero.

Decompositions are constants to automatic differentiation, since the derivative of an SVD does not exist where singular
values coincide, although that of what is made of it does. `polar` and `leading` add the derivative themselves, as a
correction D(M − M₀), M₀ the same numbers held constant: its value is zero and its derivative the right one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from coremerge_ref.core import arrays, jacobi, newton, orthonormal
from coremerge_ref.core.arrays import Array, array_namespace


def thresholds(dtype: Any) -> tuple[float, float]:
    """What counts as zero, (64 eps, 8 eps) of the dtype computed in: the only two such numbers.

    64 eps: a singular value of a stack of columns of norm 1 (relative to the largest) or of a polar factor's argument
    that is no larger is none. Null ones stay below 10 eps up to n = 8192, R = 256, in float32 and float64.

    8 eps: times Σ_i ‖b_i‖ ‖a_i‖, over the rank-one terms b_i a_iᵀ of a task, it is ν_t, the rounding in anything that
    is computed from the task (`rounding_level`). Multiplying b_i and dividing a_i changes neither.

    `python -m benchmarks.margins` measures both again.
    """
    eps = arrays.eps(dtype)
    return 64 * eps, 8 * eps


def rounding_level(left: Array, right: Array, dtype: Any) -> Array:
    """ν (…) = 8 eps Σ_i ‖b_i‖ ‖a_i‖ from the norms (…, r) of the columns of B and of the rows of A."""
    xp = array_namespace(left)
    unit = thresholds(dtype)[1]
    # the larger norm first: unit times the smaller alone could underflow
    return xp.sum(unit * xp.maximum(left, right) * xp.minimum(left, right), axis=-1)


def masked(columns: Array, live: Array) -> Array:
    """`columns` (…, m, p) with those where `live` (…, p) is False set to zero."""
    return array_namespace(columns).where(live[..., None, :], columns, 0.0)


def first(count: Array, size: int) -> Array:
    """Boolean (…, size), True at the first `count` (…) positions."""
    return arrays.positions(size, count) < count[..., None]


def svd(X: Array, null_vectors: bool = False) -> tuple[Array, Array, Array]:
    """Thin SVD, a constant: P (…, m, k), S (…, k) descending, Qh (…, k, n), k = min(m, n); wide X by its transpose.

    A batch is decomposed by products where a library would take one matrix after the other; matrices for which that
    does not prove itself are left to the library. On the longer side, singular vectors of what is rounding in X are
    zero there, unless null_vectors asks for some.

    LAPACK's divide and conquer sometimes does not converge on a matrix whose transpose it has no trouble with, mostly
    one with many singular values that are rounding; the transpose is tried before giving up. Some libraries raise then,
    others return NaN.
    """
    X = arrays.detached(X)
    return _side_by_side(X, null_vectors) or _one_by_one(X)


_LARGE = 512  # the short side from which on one matrix keeps a GPU busy


def _side_by_side(X: Array, null_vectors: bool) -> tuple[Array, Array, Array] | None:
    """The SVD of a batch by products; None where there is nothing to gain, or no matrix proves itself."""
    (*batch, m, n), xp = X.shape, array_namespace(X)
    layers = math.prod(batch)
    if layers < 2 or max(m, n) <= jacobi.SIDE or not 0 < min(m, n) <= _LARGE or not arrays.is_concrete(X):
        return None
    if not arrays.loops_over_batches(X):
        return None
    wide = xp.reshape(X if m <= n else xp.matrix_transpose(X), (layers, min(m, n), max(m, n)))
    try:
        *parts, missing = jacobi.thin_svd(wide, null_vectors)
    except (ValueError, RuntimeError, ArithmeticError):  # its small SVDs: each library's own word for no convergence
        return None
    if len(missing) == layers:
        return None
    if missing:
        again = _one_by_one(arrays.some(wide, missing))
        parts = [arrays.patched(part, missing, other) for part, other in zip(parts, again, strict=True)]
    P, S, Qh = (xp.reshape(part, (*batch, *part.shape[1:])) for part in parts)
    return (P, S, Qh) if m <= n else (xp.matrix_transpose(Qh), S, xp.matrix_transpose(P))


def _one_by_one(X: Array) -> tuple[Array, Array, Array]:
    """The SVD by the library."""
    wide = X.shape[-2] < X.shape[-1]
    for mirrored in (wide, not wide):
        try:
            P, S, Qh = _mirrored_svd(X) if mirrored else _plain_svd(X)
            if arrays.is_finite(S):
                return P, S, Qh
        except (ValueError, RuntimeError, ArithmeticError):  # each library's own word for "did not converge"
            if mirrored != wide:
                raise
    return P, S, Qh


def _plain_svd(X: Array) -> tuple[Array, Array, Array]:
    P, S, Qh = array_namespace(X).linalg.svd(X, full_matrices=False)
    return P, S, Qh


def _mirrored_svd(X: Array) -> tuple[Array, Array, Array]:
    xp = array_namespace(X)
    Q, S, Ph = _plain_svd(xp.matrix_transpose(X))
    return xp.matrix_transpose(Ph), S, xp.matrix_transpose(Q)


def product_svd(B: Array, A: Array) -> tuple[Array, Array, Array]:
    """Thin SVD of the product B A, a constant, from B (…, m, r) and A (…, r, n): two QRs and one SVD of r × r."""
    xp = array_namespace(B)
    r = B.shape[-1]
    if not 0 < r < min(B.shape[-2], A.shape[-1]):
        return svd(B @ A)
    (QB, RB), (QA, RA) = _thin_qr([arrays.detached(B), xp.matrix_transpose(arrays.detached(A))])
    P, S, Qh = svd(RB @ xp.matrix_transpose(RA))
    return QB @ P, S, Qh @ xp.matrix_transpose(QA)


def _thin_qr(given: Sequence[Array]) -> list[tuple[Array, Array]]:
    """Q (…, m, r) orthonormal and some R (…, r, r) with Q R = X, of each X (…, m, r): by products on GPUs."""
    if not arrays.loops_over_batches(given[0]):
        return [_library_qr(X) for X in given]
    return [_proven_qr(X, found) for X, found in zip(given, orthonormal.cholesky_qr2(given), strict=True)]


def _library_qr(X: Array) -> tuple[Array, Array]:
    Q, R = array_namespace(X).linalg.qr(X)
    return Q, R


def _proven_qr(X: Array, found: orthonormal.Factored | None) -> tuple[Array, Array]:
    if found is None:
        return _library_qr(X)
    return _mended((found.Q @ found.Z, found.C), found.missing, lambda X, _: _library_qr(X), X, X[..., 0, 0])


def norm(X: Array) -> Array:
    """Frobenius norm (…) of X (…, m, n), without overflow or underflow on the way; 0 for an empty X."""
    entries = X.shape[-2] * X.shape[-1]
    return column_norms(array_namespace(X).reshape(X, (*X.shape[:-2], entries, 1)))[..., 0]


def largest(X: Array) -> Array:
    """The largest magnitude (…) of X (…, m, n), NaN where X has one; without a copy of X."""
    xp = array_namespace(X)
    return xp.maximum(xp.max(X, axis=(-2, -1)), -xp.min(X, axis=(-2, -1)))


def column_norms(X: Array) -> Array:
    """Norm (…, r) of each column of X (…, m, r), without overflow or underflow on the way; 0 for an empty X."""
    xp = array_namespace(X)
    if arrays.count(X) == 0:
        return xp.sum(X, axis=-2)
    largest = xp.max(xp.abs(X), axis=-2)
    unit = xp.where(largest > 0, largest, 1.0)
    return unit * xp.sqrt(xp.sum((X / unit[..., None, :]) ** 2, axis=-2))


def polar(X: Array, rtol: Array) -> Array:
    """The canonical polar factor P Qᵀ (…, m, n) of X = P S Qᵀ, over the support σ > rtol · σ_1 only; rtol (…)."""
    return polars([X], rtol)[0]


def polars(given: Sequence[Array], rtol: Array) -> list[Array]:
    """`polar` of each X of equal batch shape: by products where decompositions are slow and the support is full."""
    found = newton.polar_factors(given, rtol, relative=True) if arrays.loops_over_batches(given[0]) else None
    if found is None:
        return [_polar(X, rtol)[0] for X in given]
    return [_mended((P,), missing, _polar, X, rtol)[0] for X, (P, missing) in zip(given, found, strict=True)]


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
    return _mended((factor, count), missing, _polar_above, X, level)


def _polar_above(X: Array, level: Array) -> tuple[Array, Array]:
    xp = array_namespace(X)
    P, S, Qh = svd(X)
    live = S > level[..., None]  # (…, k)
    return spread(X, P, S, Qh, live), xp.sum(xp.astype(live, S.dtype), axis=-1)


Parts = TypeVar("Parts", bound=tuple[Array, ...])


def _mended(parts: Parts, missing: list[int], again: Callable[[Array, Array], Parts], X: Array, level: Array) -> Parts:
    """The `parts` of X (…, m, n), `again` of the layers that are `missing`, and of those alone."""
    if not missing:
        return parts
    xp, batch = array_namespace(X), X.shape[:-2]
    layers = math.prod(batch)
    if len(missing) == layers:
        return again(X, level)

    def flat(part: Array) -> Array:
        return xp.reshape(part, (layers, *part.shape[len(batch) :]))

    others = again(*(arrays.some(flat(x), missing) for x in (X, xp.broadcast_to(level, batch))))
    patched = (arrays.patched(flat(part), missing, other) for part, other in zip(parts, others, strict=True))
    return tuple(xp.reshape(new, part.shape) for new, part in zip(patched, parts, strict=True))  # type: ignore[return-value]


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


@dataclass(frozen=True, eq=False)
class Triplets:
    """P (…, m, s), S (…, s), Q (…, n, s) of a matrix M: leading singular triplets, columns not taken being zero.

    error (…): how far rounding may turn the span of what was taken. core (…, s, s) is Pᵀ M Q, diag(S) to the eye, with
    the derivative of M in it where one may be asked for, as P and Q have it; None otherwise.
    """

    P: Array
    S: Array
    Q: Array
    error: Array
    core: Array | None = None

    def product(self) -> Array:
        """P S Qᵀ (…, m, n), the low-rank part of M."""
        xp = array_namespace(self.P)
        inner = self.P * self.S[..., None, :] if self.core is None else self.P @ self.core
        return inner @ xp.matrix_transpose(self.Q)


def leading(M: Array, triplets: tuple[Array, Array, Array], k: Array, level: Array) -> Triplets:
    """The first k (…) singular triplets of M (…, m, n) with σ above `level` (…), from its SVD P, S, Qh.

    The spans of P and Q are functions of M wherever the last σ taken and the first one left differ, whatever the gaps
    among those taken: dP = P_j (σ_i E_ji + σ_j E_ij) / (σ_i² − σ_j²) for taken i and left j, and dM Q / σ beyond.
    """
    xp = array_namespace(M)
    P, S, Qh = triplets
    live = S > level[..., None]
    taken = live & first(k, S.shape[-1])
    last = xp.min(xp.where(taken, S, float("inf")), axis=-1)
    dropped = xp.max(xp.where(live & ~taken, S, 0.0), axis=-1)
    error = xp.where(last > dropped, level / xp.where(last > dropped, last - dropped, 1.0), 1.0)
    most = arrays.one_size(k)
    s = S.shape[-1] if most is None else max(1, min(most, S.shape[-1]))
    cut, Q = taken[..., :s], xp.matrix_transpose(Qh)
    Ps, Ss, Qs = masked(P[..., :s], cut), xp.where(cut, S[..., :s], 0.0), masked(Q[..., :s], cut)
    if not arrays.may_differentiate(M):
        return Triplets(Ps, Ss, Qs, error)
    dM = M - arrays.detached(M)
    right, left = xp.matrix_transpose(dM) @ Ps, dM @ Qs  # (…, n, s), (…, m, s)
    inside, across = xp.matrix_transpose(P) @ left, Qh @ right  # E_ji and E_ij: (…, k, s)
    turned = cut[..., None, :] & ~taken[..., :, None]
    gap = xp.where(turned, Ss[..., None, :] ** 2 - S[..., :, None] ** 2, 1.0)
    a, b = Ss[..., None, :] * inside, S[..., :, None] * across
    c, d = Ss[..., None, :] * across, S[..., :, None] * inside
    inverse = xp.where(cut, 1 / xp.where(cut, Ss, 1.0), 0.0)[..., None, :]
    dP = P @ xp.where(turned, (a + b) / gap, 0.0) + (left - P @ inside) * inverse
    dQ = Q @ xp.where(turned, (c + d) / gap, 0.0) + (right - Q @ across) * inverse
    core = Ss[..., None, :] * arrays.identity(dM[..., :1, :1], s) + xp.matrix_transpose(Ps) @ left
    return Triplets(Ps + dP, Ss, Qs + dQ, error, core)


def at_most_half_precision(error: Array, rtol: float) -> Array:
    """A relative cut (…) for values known up to `error` (…): at least rtol, at most √eps, lest it eat signal."""
    return arrays.clipped(error, rtol, arrays.eps(error.dtype) ** 0.5)
