"""The array: no implicit conversion, no scalars, no NumPy operands; what waits for the device is counted."""

from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np

from cupy_double.devices import Device, check_peer_access, current, settings
from cupy_double.ledger import note


class ndarray:
    """cupy/_core/core.pyx. It has no __index__, no __array_namespace__, no to_device (array-api-compat,
    cupy-xfails.txt).
    """

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: np.ndarray, number: int | None = None) -> None:
        self._values = values
        self._number = current() if number is None else number

    dtype = property(lambda self: self._values.dtype)
    shape = property(lambda self: self._values.shape)
    ndim = property(lambda self: self._values.ndim)
    size = property(lambda self: self._values.size)
    nbytes = property(lambda self: self._values.nbytes)
    itemsize = property(lambda self: self._values.itemsize)
    strides = property(lambda self: self._values.strides)
    flags = property(lambda self: self._values.flags)
    device = property(lambda self: Device(self._number))
    T = property(lambda self: self.view_of(self._values.T))

    def view_of(self, values: np.ndarray) -> "ndarray":
        """Some of these values, where they are."""
        return ndarray(values, self._number)

    # to the host: core.pyx:1529, 1803, 2048, 2051

    def get(self) -> np.ndarray:
        """A copy on the host; needs no peer access."""
        note("syncs")
        return self._values.copy()

    def item(self) -> Any:
        """A Python number."""
        note("syncs")
        return self._values.item()

    def tolist(self) -> Any:
        """Nested lists."""
        return self.get().tolist()

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array "
            "explicitly."
        )

    def __reduce__(self) -> Any:
        """Pickles travel through the host and arrive on the current device (core.pyx:1796)."""
        return asarray, (self.get(),)

    def __repr__(self) -> str:
        return f"double of {self._values!r}"

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator["ndarray"]:
        return (self[i] for i in range(len(self)))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """core.pyx:1969: CuPy's own function of that name, which refuses NumPy arrays."""
        if method != "__call__":
            return NotImplemented
        return run(ufunc, *inputs, **options)

    # indexing: cupy/_core/_routines_indexing.pyx

    def __getitem__(self, key: Any) -> "ndarray":
        plain, gathers = _index(key)
        if gathers:
            check_peer_access(self._number)
            return ndarray(np.asarray(self._values[plain]))
        whole = plain if any(part is ... for part in plain) else (*plain, ...)  # a view then, no scalar
        return self.view_of(self._values[whole])

    def __setitem__(self, key: Any, value: Any) -> None:
        check_peer_access(self._number)
        note("kernels")
        self._values[_index(key)[0]] = operand(value)

    # what makes another array

    def astype(self, dtype: Any, order: str = "K", copy: bool = True) -> "ndarray":
        """Itself where nothing changes and no copy is wanted; else by a kernel, on the current device."""
        dtype = checked_dtype(dtype)
        if dtype == self.dtype and not copy:
            return self
        return run(lambda values: values.astype(dtype, order=order), self, order="K")

    def copy(self, order: str = "C") -> "ndarray":
        """A copy on the current device, from whatever device."""
        note("kernels")
        return ndarray(self._values.copy(order=order))

    def reshape(self, *shape: Any) -> "ndarray":
        """A view where there is one."""
        return view(np.reshape, self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> "ndarray":
        """A view."""
        return self.view_of(self._values.transpose(*axes))

    def swapaxes(self, one: int, other: int) -> "ndarray":
        """A view."""
        return self.view_of(self._values.swapaxes(one, other))

    def ravel(self) -> "ndarray":
        """A view where there is one."""
        return self.reshape(-1)

    def view(self) -> "ndarray":
        """Another array of the same values."""
        return self.view_of(self._values.view())


def _index(key: Any) -> tuple[Any, bool]:
    """The key for NumPy, and whether it gathers. A boolean mask makes the host wait for its count
    (_routines_indexing.pyx:802, `n_true = int(...)`).
    """
    parts = key if isinstance(key, tuple) else (key,)
    plain = []
    for part in parts:
        if isinstance(part, ndarray):
            check_peer_access(part._number)
            note("kernels")
            if part.dtype == np.bool_:
                note("syncs")
            plain.append(part._values)
        else:
            plain.append(part)
    return tuple(plain), any(isinstance(part, ndarray | np.ndarray | list) for part in parts)


def operand(value: Any) -> Any:
    """What a kernel takes: arrays it can reach, numbers of Python and NumPy, and no NumPy array (_preprocess_arg)."""
    if isinstance(value, ndarray):
        check_peer_access(value._number)
        return value._values
    if isinstance(value, bool | int | float | complex | np.generic):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def run(function: Callable[..., Any], *arguments: Any, kernels: int = 1, order: Any = "C", **options: Any) -> ndarray:
    """One kernel: `function` of the values, on the current device. No warning, no scalar.

    What it writes is C-contiguous, whatever it read (_kernel.pyx, _get_out_args_from_optionals); astype keeps
    the order.
    """
    values = [operand(argument) for argument in arguments]
    note("kernels", kernels)
    with np.errstate(all="ignore"):
        return ndarray(np.asarray(function(*values, **options), order=order))


def view(function: Callable[..., Any], array: ndarray, *arguments: Any, **options: Any) -> ndarray:
    """`function` of an array where it makes a view, on the array's device; else a kernel."""
    values = function(array._values, *arguments, **options)
    if values.size == 0 or np.may_share_memory(values, array._values):
        return array.view_of(values)
    return run(lambda _: values, array)


def checked_dtype(dtype: Any) -> np.dtype:
    """No float16's cousin before CuPy 14 (docs/source/upgrade.rst:44)."""
    dtype = np.dtype(dtype)
    if dtype == ml_dtypes.bfloat16 and not settings.bfloat16:
        raise ValueError(f"Unsupported dtype {dtype}")
    return dtype


def asarray(values: Any, dtype: Any = None, copy: bool = False) -> ndarray:
    """An array on the current device: itself where it is one there, of its dtype; NumPy arrays are sent."""
    dtype = None if dtype is None else checked_dtype(dtype)
    if isinstance(values, list | tuple) and any(isinstance(value, ndarray) for value in values):
        return run(lambda *parts: np.stack([np.asarray(part, dtype=dtype) for part in parts]), *values)
    if not isinstance(values, ndarray):
        host = np.array(values, dtype=dtype)
        if host.dtype.kind not in "biufcV" or (host.dtype.kind == "V" and host.dtype != ml_dtypes.bfloat16):
            raise ValueError(f"Unsupported dtype {host.dtype}")
        checked_dtype(host.dtype)
        note("uploads")
        return ndarray(host)
    if values._number == current():
        return values if not copy and dtype in (None, values.dtype) else values.astype(dtype or values.dtype)
    moved = values.copy()
    return moved if dtype in (None, moved.dtype) else moved.astype(dtype)


def _operator(ufunc: np.ufunc) -> Any:
    return lambda self, other: run(ufunc, self, other) if _known(other) else NotImplemented


def _reflected(ufunc: np.ufunc) -> Any:
    return lambda self, other: run(ufunc, other, self) if _known(other) else NotImplemented


def _in_place(ufunc: np.ufunc) -> Any:
    def operate(self: ndarray, other: Any) -> ndarray:
        self[...] = run(ufunc, self, other, kernels=0).astype(self.dtype, copy=False)
        return self

    return operate


def _known(other: Any) -> bool:
    """Whether an operator tries at all; NumPy arrays come back through __array_ufunc__ and are refused there."""
    return isinstance(other, ndarray | bool | int | float | complex | np.generic | np.ndarray)


_BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "pow": np.power, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}  # fmt: skip
_COMPARISONS = {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip
_UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}
for _name, _ufunc in (_BINARY | _COMPARISONS).items():
    setattr(ndarray, f"__{_name}__", _operator(_ufunc))
for _name, _ufunc in _BINARY.items():
    setattr(ndarray, f"__r{_name}__", _reflected(_ufunc))
    setattr(ndarray, f"__i{_name}__", _in_place(_ufunc))
for _name, _ufunc in _UNARY.items():
    setattr(ndarray, f"__{_name}__", lambda self, _ufunc=_ufunc: run(_ufunc, self))
