"""Devices: where arithmetic happens and stays, the way to the host, and what is slow there."""

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import wraps
from typing import Any, TypeVar

import numpy as np
from array_api_compat import device, is_cupy_array, is_jax_array, is_torch_array, to_device

from coremerge_ref.core.arrays.dtypes import widened
from coremerge_ref.core.arrays.types import AnyArray

Function = TypeVar("Function", bound=Callable[..., Any])


def beside(value: Any) -> Any:
    """A context for arithmetic on the arrays in `value`: an array, an update or a nest of them.

    Results stay on their device, which CuPy would make on the current one, and products have all digits of their dtype,
    which JAX on an accelerator would take in TF32.
    """
    array = _first_array(value) if not sys.modules.keys().isdisjoint(("cupy", "jax")) else None
    if is_cupy_array(array):
        return device(array)
    if is_jax_array(array) and sys.modules["jax"].default_backend() != "cpu":
        return sys.modules["jax"].default_matmul_precision("highest")
    return nullcontext()


def stays_beside(function: Function) -> Function:
    """Decorator: `function` runs in the context for the arrays among its arguments."""

    @wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        with beside([*arguments, *options.values()]):
            return function(*arguments, **options)

    return wrapped  # type: ignore[return-value]


_HOLDERS = ("B", "matrix", "factors", "prepared", "left", "Q")  # attributes of ours that lead to arrays


def _first_array(value: Any) -> AnyArray:
    if hasattr(value, "dtype"):
        return value
    if isinstance(value, Mapping):
        parts: Iterable[Any] = value.values()  # which may be read when asked for: no more than the first
    else:
        parts = value if isinstance(value, list | tuple) else (getattr(value, name, None) for name in _HOLDERS)
    return next((array for part in parts if part is not None and (array := _first_array(part)) is not None), None)


def to_host(array: AnyArray) -> np.ndarray:
    """The numbers of `array`, exactly, as a NumPy array of float32 or float64; for diagnoses, not for merging."""
    with beside(array):
        wide: AnyArray = widened(array)
    if is_torch_array(wide):
        wide = wide.detach().cpu()
    elif is_cupy_array(wide):
        wide = wide.get()
    elif "array_api_strict" in type(wide).__module__:
        wide = to_device(wide, type(device(wide))("CPU_DEVICE"))
    return np.asarray(wide)


def loops_over_batches(array: AnyArray) -> bool:
    """Whether the library decomposes a batch one matrix after the other, far slower than it multiplies: on GPUs.

    On CPUs products gain little: 0.7 to 2.4 times as fast as the SVDs of 8 to 16 tasks of rank 8 to 16.
    """
    if is_jax_array(array):
        return bool(sys.modules["jax"].default_backend() != "cpu")
    return is_cupy_array(array) or (is_torch_array(array) and array.is_cuda)
