"""The one place where a number is judged to be zero, and the masks of what is none."""

from typing import Any

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.linalg.norms import column_norms


def thresholds(dtype: Any) -> tuple[float, float]:
    """What counts as zero, (64 eps, 8 eps) of the dtype computed in: the only two such numbers.

    64 eps: a singular value of a stack of columns of norm 1 (relative to the largest) or of a polar factor's argument
    that is no larger is none. Null ones stay below 10 eps up to n = 8192, R = 256, in float32 and float64.

    8 eps: times Σ_i ‖b_i‖ ‖a_i‖, over the rank-one terms b_i a_iᵀ of a task, it is ν_t, the rounding in anything that
    is computed from the task (`rounding_level`). Multiplying b_i and dividing a_i changes neither.

    In an entry of a matrix whose rows or columns are those of the update itself (full space, one side of KnOTS), it is
    as much smaller as they are (`shares`).

    `python -m benchmarks.margins` measures them again.
    """
    eps = arrays.eps(dtype)
    return 64 * eps, 8 * eps


def rounding_level(left: Array, right: Array, dtype: Any) -> Array:
    """ν (…) = 8 eps Σ_i ‖b_i‖ ‖a_i‖ from the norms (…, r) of the columns of B and of the rows of A."""
    xp = array_namespace(left)
    unit = thresholds(dtype)[1]
    # the larger norm first: unit times the smaller alone could underflow
    return xp.sum(unit * xp.maximum(left, right) * xp.minimum(left, right), axis=-1)


def shares(factors: Array, own: Array, other: Array) -> Array:
    """√ρ (…, m), ρ_i the share of row i of X (…, m, r) in Σ_k ‖x_k‖ ‖y_k‖, from norms (…, r) of both: Σ_i ρ_i = 1.

    By Cauchy and Schwarz Σ_k |x_ik| ‖y_k‖ is at most √ρ_i Σ_k ‖x_k‖ ‖y_k‖, and with the shares of both sides
    Σ_k |x_ik| |y_jk| at most √(ρ_i γ_j) of that: where X is not turned, rounding in a row is as small as the row is.
    """
    xp = array_namespace(factors)
    terms = xp.sqrt(own) * xp.sqrt(other)  # (…, r): the products could leave the range of a narrow dtype
    rows = factors / xp.where(own > 0, own, 1.0)[..., None, :] * terms[..., None, :]
    whole = column_norms(terms[..., None])
    return column_norms(xp.matrix_transpose(rows)) / xp.where(whole > 0, whole, 1.0)


def masked(columns: Array, live: Array) -> Array:
    """`columns` (…, m, p) with those where `live` (…, p) is False set to zero."""
    return array_namespace(columns).where(live[..., None, :], columns, 0.0)


def first(count: Array, size: int) -> Array:
    """Boolean (…, size), True at the first `count` (…) positions."""
    return arrays.positions(size, count) < count[..., None]


def at_most_half_precision(error: Array, rtol: float) -> Array:
    """A relative cut (…) for values known up to `error` (…): at least rtol, at most √eps, lest it eat signal."""
    return arrays.clipped(error, rtol, arrays.eps(error.dtype) ** 0.5)
