"""Norms and largest magnitudes, without overflow or underflow on the way."""

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace


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


def squared(X: Array) -> Array:
    """‖X‖² (…) of X (…, a, b), quickly: for matrices of about unit size, whose underflow to 0 is as good as 0."""
    return array_namespace(X).sum(X * X, axis=(-2, -1))
