"""Looking at values: finite, in range, numbers at all; a few looks a batch, since each waits for a GPU."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from coremerge_ref.core.arrays.dtypes import dtype_name, eps, smallest_normal, widened
from coremerge_ref.core.arrays.namespaces import array_namespace, is_concrete
from coremerge_ref.core.arrays.sizes import count
from coremerge_ref.core.arrays.types import AnyArray, Array
from coremerge_ref.errors import NonFiniteError


def is_finite(array: AnyArray) -> bool:
    """Whether no entry is NaN or Inf; True while tracing: there is nothing to see."""
    if not is_concrete(array):
        return True
    wide = widened(array)
    xp = array_namespace(wide)
    with overflow_checked():
        # no NaN or Inf survives in a finite sum, and a sum is quick
        return bool(xp.isfinite(xp.sum(wide))) or bool(xp.all(xp.isfinite(wide)))


def are_finite(arrays: Sequence[AnyArray]) -> bool:
    """Whether none of the `arrays` of one library has a NaN or Inf, by one look at all of them where that is so."""
    seen = [widened(X) for X in arrays if count(X) and is_concrete(X)]
    if not seen:
        return True
    xp = array_namespace(seen[0])
    with overflow_checked():
        sums = [xp.isfinite(xp.sum(X)) for X in seen]
        return all(look(xp.all(xp.stack(sums)))) or all(is_finite(X) for X in seen)


def look(*flags: AnyArray) -> list[bool]:
    """The 0-d boolean `flags`, for which the host waits once; all True while tracing: there is nothing to see."""
    if not all(is_concrete(flag) for flag in flags):
        return [True] * len(flags)
    xp = array_namespace(*flags)
    bits = int(sum(xp.astype(flag, xp.int32) * 2**i for i, flag in enumerate(flags)))
    return [bool(bits >> i & 1) for i in range(len(flags))]


def check_finite(array: AnyArray, where: str) -> None:
    """NonFiniteError naming `where` if `array` holds NaN or Inf."""
    if not is_finite(array):
        raise NonFiniteError(f"{where}: expected finite numbers, got NaN or Inf; find out where they come from")


def check_range(array: AnyArray, where: str) -> None:
    """NonFiniteError where a computed `array` (…, p, q) has left the range of its dtype, upwards or downwards.

    Downwards: a matrix that is not zero and so small that its largest entry has lost digits.
    """
    if count(array) == 0 or all(look(in_range(array))):
        return
    raise out_of_range(array, where)


def out_of_range(array: AnyArray, where: str) -> NonFiniteError:
    """What check_range raises."""
    return NonFiniteError(
        f"{where}: expected numbers within the range of {dtype_name(array.dtype)}, got some beyond it or too small "
        "for their digits; scale the inputs"
    )


def in_range(array: AnyArray) -> Array:
    """Whether check_range finds nothing wrong with `array`, as a 0-d array."""
    xp = array_namespace(array)
    with overflow_checked():
        largest = xp.maximum(xp.max(array, axis=(-2, -1)), -xp.min(array, axis=(-2, -1)))
        lost = (largest > 0) & (largest < smallest_normal(array.dtype) / eps(array.dtype))
        return xp.all(xp.isfinite(largest) & ~lost)


def is_number(value: Any) -> bool:
    """Whether `value` is one real number: of Python or of NumPy, no bool, or a 0-d real array of some library."""
    if isinstance(value, bool | np.bool_ | str | np.ndarray):
        return isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "fiu"
    if getattr(value, "shape", None) == () and not isinstance(value, np.generic):
        return not any(word in str(value.dtype) for word in ("bool", "complex", "object"))
    return isinstance(value, Real)


def overflow_checked() -> Any:
    """A context in which NumPy does not warn of overflow: the result is checked for it, on every library alike."""
    return np.errstate(over="ignore", invalid="ignore")
