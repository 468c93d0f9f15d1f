"""Orthonormal frames of tall matrices: X = Q C, by the quickest driver that proves itself on the spot."""

from typing import Any

from array_api_compat import array_namespace

from coremerge_ref import linalg, namespaces
from coremerge_ref.errors import ParameterError
from coremerge_ref.namespaces import Array

DRIVERS = ("auto", "cholesky", "qr", "svd")
_FAR = 1e-6  # distance from orthonormality up to which a second Cholesky pass restores all digits (cond X ≲ 1e4)
_LOST = 30.0  # lossless residual, in units of eps · ‖X‖, up to which a frame is taken


def factored(X: Array, driver: str = "auto") -> tuple[Array, Array, bool]:
    """Q (…, m, p) orthonormal and C (…, p, R) with X = Q C (…, m, R), p = min(m, R); True if rank X = R for sure.

    driver "cholesky" is Cholesky-QR2 (Yamamoto et al., 2015): twice X ← X L⁻ᵀ for XᵀX = L Lᵀ, matrix products for the
    most part; where it cannot prove itself the result is that of "qr", Householder's, which is always right, as is
    "svd", the paper's way. "auto" is "cholesky". While values cannot be looked at (jit), "qr" stands in for it.
    Columns of X are expected to be of like norm. Raises ParameterError for another driver.
    """
    if driver not in DRIVERS:
        raise ParameterError(f"driver: expected one of {', '.join(DRIVERS)}, got {driver!r}")
    xp = array_namespace(X)
    if driver == "svd":
        P, S, Qh = linalg.svd(X)
        return P, S[..., None] * Qh, False
    if driver != "qr" and X.shape[-2] >= X.shape[-1] and namespaces.is_concrete(X):
        fast = _cholesky_qr2(X)
        if fast is not None:
            return *fast, True
    if X.shape[-2] <= X.shape[-1]:  # no rows to save; and a wide stack's QR has no derivative where it is deficient
        return namespaces.identity(X, X.shape[-2]), X, False
    return *xp.linalg.qr(X), False


def _cholesky_qr2(X: Array) -> tuple[Array, Array] | None:
    """Q, C of Cholesky-QR2, or None where it fails to prove itself."""
    xp = array_namespace(X)
    C = None
    Q = X
    try:
        for _ in range(2):
            gram = xp.matrix_transpose(Q) @ Q
            if C is not None and not _small(gram - namespaces.identity(gram, gram.shape[-1]), _FAR):
                return None
            L = xp.linalg.cholesky(gram)
            Q = Q @ xp.matrix_transpose(xp.linalg.inv(L))
            C = xp.matrix_transpose(L) if C is None else xp.matrix_transpose(L) @ C
    except (ValueError, RuntimeError, ArithmeticError):  # each library's own word for "not positive definite"
        return None
    return (Q, C) if C is not None and proven(X, Q, C) else None


def proven(X: Array, Q: Array, C: Array) -> bool:
    """Whether X = Q C holds to rounding, seen on a few fixed vectors, which a wrong frame passes by accident alone."""
    xp = array_namespace(X)
    columns = namespaces.positions(X.shape[-1], X)  # (R,)
    probes = xp.stack([xp.cos((k + 1.0) * columns) for k in range(4)], axis=-1)  # (R, 4)
    probes = namespaces.cast(probes, X.dtype)
    unit = namespaces.eps(X.dtype) * linalg.norm(X) * X.shape[-1] ** 0.5  # a probe has norm √(R / 2)
    return _small(X @ probes - Q @ (C @ probes), _LOST * unit)


def _small(error: Array, bound: Any) -> bool:
    """Whether every layer's `error` (…, a, b) has a norm of at most `bound`; NaN is not small."""
    xp = array_namespace(error)
    return bool(xp.all(linalg.norm(error) <= bound))
