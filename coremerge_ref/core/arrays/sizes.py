"""Sizes and orders: one kind of number for sizes, and what the standard lacks to select by them."""

import math
import sys
from numbers import Real
from typing import Any

import array_api_extra
import numpy as np
from array_api_compat import is_torch_array

from coremerge_ref.core.arrays.dtypes import cast, counting_dtype
from coremerge_ref.core.arrays.namespaces import array_namespace, from_host, is_concrete
from coremerge_ref.core.arrays.types import AnyArray, Array, DType

xpx: Any = array_api_extra  # whose own Array is another


def as_float(number: Any) -> float:
    """Python's float; Inf or -Inf of a number beyond float64, which `float` refuses as an integer or a fraction."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def scalar(value: Any, like: AnyArray, dtype: DType | None = None) -> Array:
    """A Python number or an array of numbers as an array beside `like`, of its dtype or of `dtype`."""
    dtype = like.dtype if dtype is None else dtype
    if hasattr(value, "shape") and not isinstance(value, np.generic | np.ndarray):
        return cast(value, dtype)
    number = as_float(value) if isinstance(value, Real) else value
    return from_host(np.asarray(number, dtype=np.float64), like, dtype=dtype)


def sizes(value: Any, like: AnyArray) -> Array:
    """A size, or one a layer (…), as floating numbers of the counting dtype beside `like`: the one kind of size."""
    return scalar(value, like, counting_dtype(array_namespace(like), like))


def rounded(value: AnyArray, rounding: str) -> Array:
    """Sizes rounded to whole numbers: "floor", "ceil" or "round" (half to even, as Python's)."""
    xp = array_namespace(value)
    return {"floor": xp.floor, "ceil": xp.ceil, "round": xp.round}[rounding](value)


def one_size(value: AnyArray) -> int | None:
    """The one whole number that all of `value` is; None where layers differ or values cannot be looked at."""
    if not is_concrete(value):
        return None
    xp = array_namespace(value)
    lowest = xp.min(value)
    size = int(xp.where(lowest == xp.max(value), lowest, -1.0))  # the host waits once
    return None if size < 0 else size


def clipped(values: AnyArray, low: Any, high: Any = None) -> Array:
    """`values` within [low, high], numbers or arrays; xp.clip makes the host wait, on CuPy."""
    xp = array_namespace(values)
    values = xp.where(values < low, low, values)
    return values if high is None else xp.where(values > high, high, values)


def sign(values: AnyArray) -> Array:
    """−1, 0 or 1; xp.sign makes the host wait, on CuPy."""
    xp = array_namespace(values)
    return xp.astype(values > 0, values.dtype) - xp.astype(values < 0, values.dtype)


def positions(size: int, like: AnyArray) -> Array:
    """0, 1, …, size − 1 as floating numbers of the counting dtype, beside `like`."""
    return sizes(np.arange(size), like)


def count(array: AnyArray) -> int:
    """How many entries `array` has."""
    return math.prod(array.shape)


def kth_smallest(values: AnyArray, k: AnyArray) -> Array:
    """The k-th smallest (from 0) of `values` (…, N) along the last axis, an axis of length 1; k are sizes (…)."""
    xp = array_namespace(values)
    place = one_size(k)
    if place is None:
        index = xp.astype(k, xp.asarray(0).dtype)[..., None]  # the default integers
        return xp.take_along_axis(xp.sort(values), xp.broadcast_to(index, (*values.shape[:-1], 1)), axis=-1)
    if not is_torch_array(values):
        ordered: Array = xpx.partition(values, place, axis=-1)
        return ordered[..., place : place + 1]
    if values.is_cuda and sys.modules["torch"].are_deterministic_algorithms_enabled():  # kthvalue is not, there
        return xp.sort(values)[..., place : place + 1]
    return values.kthvalue(place + 1, dim=-1, keepdim=True).values


def widen(array: AnyArray, columns: int) -> Array:
    """`array` (…, m, r) with `columns` columns: the first ones, or zero columns appended."""
    array = array[..., : min(columns, array.shape[-1])]
    wide: Array = xpx.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, columns - array.shape[-1])])
    return wide


def identity(like: AnyArray, size: int) -> Array:
    """The identity (…, size, size), one for each matrix of the batch `like` (…, a, b)."""
    xp = array_namespace(like)
    eye = from_host(np.eye(size), like, dtype=like.dtype)
    return xp.broadcast_to(eye, (*like.shape[:-2], size, size))
