"""Decompositions, norms and the one place where a number is judged to be zero.

A value counts as zero relative to what it was computed *from*, never to what came out: cancellation then leaves no
garbage directions. `tolerance` says how small, `masked` takes the directions out; columns are set to zero, not cut, so
that shapes stay static for batches and jit.
"""

from typing import Any

from array_api_compat import array_namespace

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array

NUMERICAL, FULL = "numerical", "full"


def tolerance(sizes: tuple[int, ...], dtype: Any, rank: str = NUMERICAL) -> float:
    """Relative size up to which a value is rounding: max(sizes) · eps(dtype), as in numpy's matrix_rank.

    `rank="full"` gives −1: nothing, not even 0, is rounding then, which is how the paper's code behaves.
    """
    return -1.0 if rank == FULL else max(sizes) * arrays.eps(dtype)


def masked(columns: Array, live: Array) -> Array:
    """`columns` (…, m, p) with those where `live` (…, p) is False set to zero."""
    xp = array_namespace(columns)
    return xp.where(live[..., None, :], columns, 0.0)


def leading(count: Array, size: int, like: Array) -> Array:
    """Boolean (…, size), True at the first `count` (…) positions; `count` is a number or an array of them."""
    return arrays.positions(size, like) < (count[..., None] if hasattr(count, "shape") else float(count))


def svd(X: Array) -> tuple[Array, Array, Array]:
    """Thin SVD: P (…, m, k), S (…, k) descending, Qh (…, k, n), k = min(m, n); a wide X goes through its transpose.

    LAPACK's divide and conquer sometimes does not converge on a matrix whose transpose it has no trouble with, mostly
    one with many singular values that are rounding; the transpose is tried before giving up.
    """
    wide = X.shape[-2] < X.shape[-1]
    try:
        return _mirrored_svd(X) if wide else _plain_svd(X)
    except (ValueError, RuntimeError, ArithmeticError):  # each library's own word for "did not converge"
        return _plain_svd(X) if wide else _mirrored_svd(X)


def _plain_svd(X: Array) -> tuple[Array, Array, Array]:
    P, S, Qh = array_namespace(X).linalg.svd(X, full_matrices=False)
    return P, S, Qh


def _mirrored_svd(X: Array) -> tuple[Array, Array, Array]:
    xp = array_namespace(X)
    Q, S, Ph = _plain_svd(xp.matrix_transpose(X))
    return xp.matrix_transpose(Ph), S, xp.matrix_transpose(Q)


def product_svd(B: Array, A: Array) -> tuple[Array, Array, Array]:
    """Thin SVD of the product B A, from B (…, m, r) and A (…, r, n) alone: two QRs and an SVD of r × r size."""
    xp = array_namespace(B)
    QB, RB = xp.linalg.qr(B)
    QA, RA = xp.linalg.qr(xp.matrix_transpose(A))
    P, S, Qh = svd(RB @ xp.matrix_transpose(RA))
    return QB @ P, S, Qh @ xp.matrix_transpose(QA)


def norm(X: Array) -> Array:
    """Frobenius norm (…) of X (…, m, n), without overflow or underflow on the way; 0 for an empty X."""
    xp = array_namespace(X)
    if X.shape[-1] == 0 or X.shape[-2] == 0:
        return xp.sum(X, axis=(-2, -1))
    largest = xp.max(xp.abs(X), axis=(-2, -1))
    unit = xp.where(largest > 0, largest, 1.0)
    return unit * xp.sqrt(xp.sum((X / unit[..., None, None]) ** 2, axis=(-2, -1)))


def polar(X: Array, rtol: Array) -> Array:
    """The canonical polar factor P Qᵀ (…, m, n) of X = P S Qᵀ, over the support σ > rtol · σ_1 only; rtol (…)."""
    P, S, Qh = svd(X)
    return masked(P, S > rtol[..., None] * S[..., :1]) @ Qh


def at_most_half_precision(error: Array, rtol: float) -> Array:
    """A relative cut (…) for values known up to `error` (…): at least rtol, at most √eps, lest it eat signal."""
    if rtol < 0:
        return array_namespace(error).full_like(error, rtol)
    return array_namespace(error).clip(error, rtol, arrays.eps(error.dtype) ** 0.5)
