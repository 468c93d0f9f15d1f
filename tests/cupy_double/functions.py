"""The functions of the namespace."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cupy_double.ledger import note
from cupy_double.ndarray import asarray, checked_dtype, ndarray, run, view

_UFUNCS = """
    absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_and bitwise_or bitwise_xor cbrt ceil
    conjugate copysign cos cosh divide equal exp expm1 exp2 floor floor_divide fmax fmin greater greater_equal hypot
    invert isfinite isinf isnan ldexp left_shift less less_equal log log10 log1p log2 logaddexp logical_and logical_not
    logical_or logical_xor maximum minimum multiply negative nextafter not_equal positive power reciprocal remainder
    right_shift rint signbit sin sinh sqrt square subtract tan tanh trunc
"""
_REDUCTIONS = "all any amax amin argmax argmin count_nonzero cumprod cumsum mean prod std sum var"
_VIEWS = "broadcast_to expand_dims moveaxis ravel rollaxis squeeze swapaxes transpose"
_KERNELS = "diff flip round roll tile tril triu"
_SEQUENCES = "concatenate stack hstack vstack"
_LIKE = "empty_like ones_like zeros_like full_like"
_CREATIONS = "arange empty eye full identity linspace ones zeros tri"


def _of_array(function: Callable[..., Any]) -> Callable[..., ndarray]:
    """One kernel; no NumPy array, list or number for the array."""

    def wrapped(array: Any, *arguments: Any, **options: Any) -> ndarray:
        if not isinstance(array, ndarray):
            raise TypeError(f"Argument 'a' has incorrect type (expected cupy.ndarray, got {type(array).__name__})")
        return run(lambda values: function(values, *arguments, **options), array)

    return wrapped


def _of_sequence(function: Callable[..., Any]) -> Callable[..., ndarray]:
    def wrapped(arrays: Sequence[ndarray], *arguments: Any, **options: Any) -> ndarray:
        if any(not isinstance(array, ndarray) for array in arrays):
            raise TypeError("Only cupy arrays can be concatenated")
        return run(lambda *values: function(values, *arguments, **options), *arrays)

    return wrapped


def _creation(function: Callable[..., Any]) -> Callable[..., ndarray]:
    def wrapped(*arguments: Any, dtype: Any = None, **options: Any) -> ndarray:
        dtype = None if dtype is None else checked_dtype(dtype)
        note("kernels")
        return ndarray(np.asarray(function(*arguments, dtype=dtype, **options)))

    return wrapped


def _view(function: Callable[..., Any]) -> Callable[..., ndarray]:
    return lambda array, *arguments, **options: view(function, array, *arguments, **options)


def reshape(a: ndarray, shape: Any, order: str = "C") -> ndarray:
    """A view where there is one."""
    return view(np.reshape, a, shape, order=order)


def diagonal(a: ndarray, offset: int = 0, axis1: int = 0, axis2: int = 1) -> ndarray:
    """A view."""
    return a.view_of(np.diagonal(a._values, offset, axis1, axis2))


def sign(x: ndarray) -> ndarray:
    """0 of NaN (array-api-compat#136)."""
    return run(lambda values: np.where(np.isnan(values), np.zeros_like(values), np.sign(values)), x)


def where(condition: Any, x: Any, y: Any) -> ndarray:
    """cupy/sorting/search.py:210: the condition is a CuPy array, whose astype is called."""
    return run(np.where, condition.astype(np.bool_), x, y)


def _sorted(function: Callable[..., Any]) -> Callable[..., ndarray]:
    """cupy/_sorting/sort.py: always stable, and of no other kind."""

    def wrapped(a: ndarray, axis: int | None = -1, kind: str | None = None) -> ndarray:
        if kind not in (None, "stable"):
            raise ValueError(f"invalid sort kind '{kind}'. Only 'stable' or None are supported")
        if a.ndim == 0 and function is np.sort:
            raise np.exceptions.AxisError("Sorting arrays with the rank of zero is not supported")
        return run(lambda values: function(np.atleast_1d(values), axis=axis, kind="stable"), a)

    return wrapped


def partition(a: ndarray, kth: int | Sequence[int], axis: int = -1) -> ndarray:
    """_routines_sorting.pyx: sorts all of a row shorter than 32, or from k = 512 on."""
    if not isinstance(kth, int | list | tuple):
        raise TypeError(f"kth: an int or a sequence, not {type(kth).__name__}")
    most = max(kth) if isinstance(kth, list | tuple) else kth
    whole = a.shape[axis] < 32 or most >= 512
    return run(lambda values: np.sort(values, axis=axis) if whole else np.partition(values, kth, axis=axis), a)


def take_along_axis(a: ndarray, indices: ndarray, axis: int) -> ndarray:
    """cupy/indexing/indexing.py:33: an index that is out of range wraps in silence."""
    if a.ndim != indices.ndim:
        raise ValueError("`indices` and `a` must have the same number of dimensions")
    return run(lambda values, places: np.take_along_axis(values, places % values.shape[axis], axis=axis), a, indices)


def take(a: ndarray, indices: ndarray, axis: int | None = None) -> ndarray:
    """cupy/_core/_routines_indexing.pyx: one kernel; an index that is out of range wraps in silence."""
    return run(lambda values, places: np.take(values, places, axis=axis, mode="wrap"), a, indices)


def matmul(one: ndarray, other: ndarray) -> ndarray:
    """_routines_linalg.pyx:903: a batched product first copies operands that are not C-contiguous."""
    batched = max(one.ndim, other.ndim) > 2
    copies = sum(batched and not array.flags.c_contiguous for array in (one, other))
    note("copies", copies)
    return run(np.matmul, one, other, kernels=1 + copies)


def asnumpy(a: Any) -> np.ndarray:
    """A copy on the host."""
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def pad(array: ndarray, pad_width: Any, mode: str = "constant", **options: Any) -> ndarray:
    """One kernel at least."""
    return run(lambda values: np.pad(values, pad_width, mode, **options), array)


def array(values: Any, dtype: Any = None, copy: bool | None = True) -> ndarray:
    """As asarray, a copy where one is asked for."""
    return asarray(values, dtype, bool(copy))


def _ufunc(name: str) -> Callable[..., ndarray]:
    function = getattr(np, name)
    return lambda *arguments, **options: run(function, *arguments, **options)


_OWN = (reshape, diagonal, sign, where, partition, take, take_along_axis, matmul, asnumpy, pad, array, asarray)
FUNCTIONS: dict[str, Any] = {
    **{name: _ufunc(name) for name in _UFUNCS.split()},
    **{name: _of_array(getattr(np, name)) for name in (_REDUCTIONS + " " + _KERNELS).split()},
    **{name: _of_array(getattr(np, name)) for name in _LIKE.split()},
    **{name: _of_sequence(getattr(np, name)) for name in _SEQUENCES.split()},
    **{name: _view(getattr(np, name)) for name in _VIEWS.split()},
    **{name: _creation(getattr(np, name)) for name in _CREATIONS.split()},
    **{f.__name__: f for f in _OWN},
    "sort": _sorted(np.sort),
    "argsort": _sorted(np.argsort),
    "bool": np.bool_,
}
FUNCTIONS |= {"abs": FUNCTIONS["absolute"], "max": FUNCTIONS["amax"], "min": FUNCTIONS["amin"]}
ndarray.__matmul__ = lambda self, other: matmul(self, other)  # type: ignore[attr-defined]
for _name in ("sum", "max", "min", "all", "any", "mean", "argsort", "round"):
    setattr(ndarray, _name, lambda self, *args, _name=_name, **options: FUNCTIONS[_name](self, *args, **options))
