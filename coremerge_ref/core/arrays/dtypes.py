"""Dtypes: how they are called, which ones linear algebra runs in, their precision and range, casts between them."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from array_api_compat import device, is_cupy_namespace, is_numpy_namespace

from coremerge_ref.core.arrays.namespaces import array_namespace, from_host
from coremerge_ref.core.arrays.types import Array, DType
from coremerge_ref.errors import DTypeError, ParameterError

WORKING = ("float32", "float64")  # the dtypes linear algebra exists in

RANKED = ("float16", "bfloat16", *WORKING)


def dtype_name(dtype: DType) -> str:
    """'float32' for numpy.float32, torch.float32, strict's and JAX's alike."""
    return _numpy_name(dtype) if isinstance(dtype, np.dtype) else _written(dtype)


def _written(dtype: DType) -> str:
    for text in (str(dtype), getattr(dtype, "__name__", "")):
        name = text.split(".")[-1]
        if name in RANKED:
            return name
    return str(dtype)


_numpy_name = cache(_written)  # of few dtypes, asked for again and again, each time built from pieces by NumPy


def check_real_floating(array: Array, where: str) -> None:
    """DTypeError naming `where` unless `array` holds real floating-point numbers."""
    name = dtype_name(array.dtype)
    if name not in RANKED:
        raise DTypeError(f"{where}: expected one of {', '.join(RANKED)}, got {name}; cast it first")


def widened(array: Array) -> Array:
    """`array` itself, or its exact float32 copy where its own dtype (float16, bfloat16) has next to no functions."""
    if dtype_name(array.dtype) in WORKING:
        return array
    return cast(array, "float32")


def working_dtype(xp: Any, name: str, like: Array) -> DType:
    """The dtype called `name` ("float32" or "float64"), checked to exist where `like` lives."""
    name = dtype_name(name)
    if name not in WORKING:
        raise ParameterError(f"compute_dtype: expected one of {', '.join(WORKING)}, got {name!r}")
    dtype = getattr(xp, name)
    try:
        made = from_host(np.zeros((), dtype=name), like).dtype  # asking JAX for the dtype would make it warn
    except (TypeError, ValueError, RuntimeError) as error:
        raise _no_such_dtype(name, device(like)) from error
    if dtype_name(made) != name:  # JAX without x64 hands out float32 for float64
        raise _no_such_dtype(name, "JAX without jax_enable_x64")
    return dtype


def _no_such_dtype(name: str, place: Any) -> DTypeError:
    return DTypeError(
        f"compute_dtype {name} does not exist on {place}; pass compute_dtype='float32', or switch float64 on"
    )


def counting_dtype(xp: Any, like: Array) -> DType:
    """float64 where it exists, for products such as density·d that are rounded to whole numbers; else float32."""
    try:
        return working_dtype(xp, "float64", like)
    except DTypeError:
        return xp.float32


def eps(dtype: DType | str) -> float:
    """Machine epsilon of a dtype or dtype name: 2^-52 for float64, 2^-23, 2^-10 (float16), 2^-7 (bfloat16)."""
    return {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype_name(dtype)]


def smallest_normal(dtype: DType | str) -> float:
    """The smallest positive number of full precision of a dtype or dtype name."""
    exponents = {"float64": -1022, "float32": -126, "float16": -14, "bfloat16": -126}
    return float(2.0 ** exponents[dtype_name(dtype)])


def promoted(xp: Any, arrays: Sequence[Array]) -> DType:
    """The dtype the floating `arrays` promote to; float16 with bfloat16 gives float32, which holds both exactly."""
    names = {dtype_name(a.dtype) for a in arrays}
    if names >= {"float16", "bfloat16"}:
        names.add("float32")
    name = max(names, key=RANKED.index)
    return next((a.dtype for a in arrays if dtype_name(a.dtype) == name), None) or getattr(xp, name)


def named_dtype(xp: Any, name: DType | str) -> DType:
    """The dtype `name` of `xp`; "bfloat16" on NumPy, and on CuPy from 14 on, is ml_dtypes' own."""
    if not isinstance(name, str):
        return name
    if name in RANKED and hasattr(xp, name):
        return getattr(xp, name)
    if name == "bfloat16" and (is_numpy_namespace(xp) or is_cupy_namespace(xp)):
        with suppress(TypeError, ValueError):
            return xp.empty(0, dtype=np.dtype(ml_dtypes.bfloat16)).dtype
    raise DTypeError(f"expected one of {', '.join(n for n in RANKED if hasattr(xp, n))}, got {name!r}")


def cast(array: Array, dtype: DType | str) -> Array:
    """`array` in `dtype`, itself where nothing changes; never a copy that loses its device or its gradient."""
    xp = array_namespace(array)
    dtype = named_dtype(xp, dtype)
    if array.dtype == dtype:
        return array
    return xp.astype(array, dtype)
