"""Singular value decompositions: by the library, or of a batch side by side; of a product from its factors."""

import math
from collections.abc import Callable

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.linalg import jacobi, orthonormal
from coremerge_ref.core.linalg.mending import mended


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
        P, S, Qh, missing = jacobi.thin_svd(wide, null_vectors)
    except (ValueError, RuntimeError, ArithmeticError):  # its small SVDs: each library's own word for no convergence
        return None
    if len(missing) == layers:
        return None
    parts = mended((P, S, Qh), missing, _one_by_one, wide)
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
    # LAPACK does not return from some matrices with an infinity in them; on GPUs, where a look waits, libraries do
    if not arrays.loops_over_batches(X):
        arrays.check_finite(X, "svd")
    P, S, Qh = array_namespace(X).linalg.svd(X, full_matrices=False)
    return P, S, Qh


def _mirrored_svd(X: Array) -> tuple[Array, Array, Array]:
    xp = array_namespace(X)
    Q, S, Ph = _plain_svd(xp.matrix_transpose(X))
    return xp.matrix_transpose(Ph), S, xp.matrix_transpose(Q)


def product_svd(B: Array, A: Array, graded: bool = False) -> tuple[Array, Array, Array]:
    """Thin SVD of the product B A, a constant, from B (…, m, r) and A (…, r, n): two QRs and one SVD of r × r.

    graded: the product's rows are to be as good as products of rows are, where rows of B are far larger than those of
    B A: A's QR alone, and one SVD of m × r.
    """
    xp = array_namespace(B)
    m, r, n = B.shape[-2], B.shape[-1], A.shape[-1]
    if not 0 < r <= min(m, n) or m == n == r:  # of r long columns, or rows, B A has the space, to rounding
        return svd(B @ A)
    tall, wide = arrays.detached(B), xp.matrix_transpose(arrays.detached(A))
    if graded:
        ((QA, RA),) = _thin_qr((wide, _across))
        P, S, Qh = svd(tall @ xp.matrix_transpose(RA))
        return P, S, Qh @ xp.matrix_transpose(QA)
    (QB, RB), (QA, RA) = _thin_qr((tall, _along), (wide, _across))
    P, S, Qh = svd(RB @ xp.matrix_transpose(RA))
    return QB @ P, S, Qh @ xp.matrix_transpose(QA)


Multiply = Callable[[Array, Array], Array]


def _along(Q: Array, Z: Array) -> Array:
    return Q @ Z


def _across(Q: Array, Z: Array) -> Array:
    """Q Z as the transpose of a product whose rows are contiguous: what is transposed for a product is the short Z."""
    xp = array_namespace(Q)
    return xp.matrix_transpose(xp.matrix_transpose(Z) @ xp.matrix_transpose(Q))


def _thin_qr(*given: tuple[Array, Multiply]) -> list[tuple[Array, Array]]:
    """Q (…, m, r) orthonormal and some R (…, r, r) with Q R = X, of each X; by products on GPUs, which leave Q in two
    factors that are multiplied as said beside X."""
    if not arrays.loops_over_batches(given[0][0]):
        return [_library_qr(X) for X, _ in given]
    found = orthonormal.cholesky_qr2([X for X, _ in given])
    return [_proven_qr(X, one, multiply) for (X, multiply), one in zip(given, found, strict=True)]


def _library_qr(X: Array) -> tuple[Array, Array]:
    Q, R = array_namespace(X).linalg.qr(X)
    return Q, R


def _proven_qr(X: Array, found: orthonormal.Factored | None, multiplied: Multiply) -> tuple[Array, Array]:
    if found is None:
        return _library_qr(X)
    Q, R = mended((multiplied(found.Q, found.Z), found.C), found.missing, _library_qr, X)
    return Q, R
