"""Orthonormal frames of tall matrices: X = (Q Z) C, by the quickest driver that proves itself on the spot."""

from array_api_compat import array_namespace

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array
from coremerge_ref.errors import ParameterError

DRIVERS = ("auto", "cholesky", "qr", "svd")
_NEAR = 2.0  # ‖L‖ ‖L⁻¹‖ / R up to which one pass loses less than a digit (it is 1 for orthonormal columns)
_FAR = 1e-6  # distance from orthonormality up to which a second Cholesky pass restores all digits (cond X ≲ 1e4)
_LOST = 30.0  # lossless residual, in units of eps · ‖X‖, up to which a frame is taken


def check_driver(driver: str) -> None:
    """ParameterError unless `driver` is one of DRIVERS."""
    if driver not in DRIVERS:
        raise ParameterError(f"driver: expected one of {', '.join(DRIVERS)}, got {driver!r}")


def householder(X: Array, driver: str) -> tuple[Array, Array]:
    """Q (…, m, p) orthonormal and C (…, p, R) with X = Q C (…, m, R), p = min(m, R), whatever the rank of X.

    By Householder's QR, or by the SVD for driver "svd", the paper's way. A wide X takes the identity: it has no rows to
    save, and its QR has no derivative where it is deficient.
    """
    xp = array_namespace(X)
    if driver == "svd":
        P, S, Qh = linalg.svd(X)
        return P, S[..., None] * Qh
    if X.shape[-2] <= X.shape[-1]:
        return arrays.identity(X, X.shape[-2]), X
    Q, C = xp.linalg.qr(X)
    return Q, C


def cholesky_qr2(X: Array, ranks: list[int], driver: str) -> tuple[Array, Array, Array] | None:
    """Q (…, m, R), Z (…, R, R), C (…, R, R): X = (Q Z) C with Q Z orthonormal, for X (…, m, R) of full numerical rank.

    Cholesky-QR2 (Yamamoto et al., 2015): twice X ← X L⁻ᵀ for XᵀX = L Lᵀ, matrix products for the most part; the last
    L⁻ᵀ = Z is not multiplied in, since whoever uses the frame can do that on the small side. One pass is enough where L
    is well conditioned, as it mostly is for the A_t. Blocks of `ranks` columns are balanced by their norms, which the
    Gram matrix has on its diagonal.

    None where it cannot prove itself: driver "qr" or "svd", m < R, values that cannot be looked at (jit), Gram matrices
    that are not positive definite or out of range, columns that are dependent or nearly so.
    """
    if driver in ("qr", "svd") or X.shape[-2] < X.shape[-1] or not arrays.is_concrete(X):
        return None
    xp = array_namespace(X)
    try:
        with arrays.overflow_checked():
            gram = xp.matrix_transpose(X) @ X
            unit = 1 / _block_norms(gram, ranks)  # (…, R)
            finest = arrays.eps(X.dtype) / float(xp.finfo(X.dtype).smallest_normal)
            if not bool(xp.all(unit <= finest**0.5)):  # squares that small have lost digits to underflow
                return None
            L = xp.linalg.cholesky(unit[..., :, None] * gram * unit[..., None, :])
            inverse = xp.linalg.inv(L)
            first = unit[..., :, None] * xp.matrix_transpose(inverse)  # (…, R, R)
            if bool(xp.all(linalg.norm(L) * linalg.norm(inverse) <= _NEAR * X.shape[-1])):
                return X, first, xp.matrix_transpose(L) / unit[..., None, :]
            Q = X @ first
            again = xp.matrix_transpose(Q) @ Q
            if not _small(again - arrays.identity(again, again.shape[-1]), _FAR):
                return None
            K = xp.linalg.cholesky(again)
            Z = xp.matrix_transpose(xp.linalg.inv(K))
            C = (xp.matrix_transpose(K) @ xp.matrix_transpose(L)) / unit[..., None, :]
            return (Q, Z, C) if _proven(X, unit, Q, Z @ C) else None
    except (ValueError, RuntimeError, ArithmeticError):  # each library's own word for "not positive definite"
        return None


def _block_norms(gram: Array, ranks: list[int]) -> Array:
    """Frobenius norm of each block of columns, once a column (…, R), from the Gram matrix; 1 for a zero block."""
    xp = array_namespace(gram)
    squares = xp.linalg.diagonal(gram)  # (…, R)
    starts = [sum(ranks[:t]) for t in range(len(ranks))]
    sums = [xp.sum(squares[..., i : i + r], axis=-1, keepdims=True) for i, r in zip(starts, ranks, strict=True)]
    columns = [xp.broadcast_to(total, (*total.shape[:-1], r)) for total, r in zip(sums, ranks, strict=True)]
    norms = xp.sqrt(xp.concat(columns, axis=-1))
    return xp.where(norms > 0, norms, 1.0)


def _proven(X: Array, unit: Array, Q: Array, C: Array) -> bool:
    """Whether X = Q C holds to rounding, seen on a few fixed vectors, which a wrong frame passes by accident alone."""
    xp = array_namespace(X)
    columns = arrays.positions(X.shape[-1], X)  # (R,)
    probes = arrays.cast(xp.stack([xp.cos((k + 1.0) * columns) for k in range(4)], axis=-1), X.dtype)
    probes = unit[..., :, None] * probes  # (…, R, 4), which sees every block at norm 1
    error = X @ probes - Q @ (C @ probes)
    return _small(error, _LOST * arrays.eps(X.dtype) * X.shape[-1])  # ‖X‖ ‖probe‖ is about √T √(R / 2)


def _small(error: Array, bound: float) -> bool:
    """Whether every layer's `error` (…, a, b) has a norm of at most `bound`; NaN is not small."""
    xp = array_namespace(error)
    return bool(xp.all(linalg.norm(error) <= bound))
