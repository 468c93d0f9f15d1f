"""The one place where a number is judged to be zero, and the masks of what is none."""

from typing import Any

from coremerge_ref.core import arrays
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


def at_most_half_precision(error: Array, rtol: float) -> Array:
    """A relative cut (…) for values known up to `error` (…): at least rtol, at most √eps, lest it eat signal."""
    return arrays.clipped(error, rtol, arrays.eps(error.dtype) ** 0.5)
