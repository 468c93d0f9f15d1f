"""A counting array namespace: wraps NumPy's and writes down every product, decomposition and ordering with its shape.

    with watched() as seen:
        cm.merge([(counting(B), counting(A)), …], "tsv")
    seen.calls  # Counter of Call

Arrays are CountingArray, found by array_api_compat.array_namespace through `__array_namespace__` like those of any
library; what they compute is NumPy's. `seen.peak` is the largest number of array entries alive at once.
"""

import operator
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import array_api_compat.numpy as real
import numpy as np

from benchmarks.complexity.calls import ORDERINGS, Call


class Seen:
    """What has been seen: `calls` made, entries `alive` now and at their `peak`; a view counts as nothing."""

    def __init__(self) -> None:
        self.calls: Counter[Call] = Counter()
        self.alive = self.peak = 0

    def born(self, array: np.ndarray) -> None:
        """Counts the array's entries until it is collected."""
        if array.base is None and array.ndim:
            self.alive += array.size
            self.peak = max(self.peak, self.alive)
            weakref.finalize(array, self._died, array.size)

    def _died(self, size: int) -> None:
        self.alive -= size


_watchers: list[Seen] = []


@contextmanager
def watched() -> Iterator[Seen]:
    """Everything that counting arrays do inside the block."""
    seen = Seen()
    _watchers.append(seen)
    try:
        yield seen
    finally:
        _watchers.remove(seen)


def _note(op: str, shape: tuple[int, ...], batch: tuple[int, ...]) -> None:
    for seen in _watchers:
        seen.calls[Call(op, tuple(map(int, shape)), prod(batch))] += 1


def _note_product(a: np.ndarray, b: np.ndarray) -> None:
    _note("matmul", (a.shape[-2], *b.shape[-2:]), np.broadcast_shapes(a.shape[:-2], b.shape[:-2]))


def _note_decomposition(op: str, square: bool = False) -> Callable[..., None]:
    return lambda X, *_, **__: _note(op, X.shape[-1:] if square else X.shape[-2:], X.shape[:-2])


def _note_ordering(op: str) -> Callable[..., None]:
    return lambda X, *_, axis=-1, **__: _note(op, (X.shape[axis],), (prod(X.shape) // X.shape[axis],))


_NOTES: dict[str, Callable[..., None]] = {
    "matmul": _note_product,
    "svd": _note_decomposition("svd"),
    "svdvals": _note_decomposition("svd"),
    "qr": _note_decomposition("qr"),
    "eigh": _note_decomposition("eigh", square=True),
    "cholesky": _note_decomposition("cholesky", square=True),
    "inv": _note_decomposition("inv", square=True),
    "solve": lambda A, B: _note("solve", (A.shape[-1], B.shape[-1]), A.shape[:-2]),
    **{op: _note_ordering(op) for op in ORDERINGS},
}


def _unwrapped(value: Any) -> Any:
    if isinstance(value, CountingArray):
        return value.real
    if isinstance(value, tuple | list):
        return type(value)(_unwrapped(v) for v in value)
    return value


def _wrapped(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return CountingArray(np.asarray(value))
    if isinstance(value, tuple):  # named tuples of decompositions too
        return tuple(_wrapped(v) for v in value)
    return [_wrapped(v) for v in value] if isinstance(value, list) else value


class _Namespace:
    """The functions of a real namespace, on counting arrays."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self.__name__ = module.__name__  # array_api_extra delegates by name, as it does for the real one

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if name in ("linalg", "fft"):
            return _Namespace(found)
        if not callable(found) or isinstance(found, type):
            return found

        def function(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = _unwrapped(args), {k: _unwrapped(v) for k, v in kwargs.items()}
            if name in _NOTES:
                _NOTES[name](*args, **kwargs)
            return _wrapped(found(*args, **kwargs))

        return function


namespace = _Namespace(real)


class CountingArray:
    """A NumPy array behind the array-API standard's interface, and nothing besides."""

    def __init__(self, array: np.ndarray) -> None:
        self.real = array
        for seen in _watchers:
            seen.born(array)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return namespace

    shape = property(lambda self: self.real.shape)
    ndim = property(lambda self: self.real.ndim)
    size = property(lambda self: self.real.size)
    dtype = property(lambda self: self.real.dtype)
    device = property(lambda self: "cpu")

    def __bool__(self) -> bool:
        return bool(self.real)

    def __int__(self) -> int:
        return int(self.real)

    def __float__(self) -> float:
        return float(self.real)

    def __getitem__(self, key: Any) -> "CountingArray":
        return _wrapped(self.real[_unwrapped(key)])

    def __matmul__(self, other: "CountingArray") -> "CountingArray":
        return namespace.matmul(self, other)

    def __repr__(self) -> str:
        return f"CountingArray({self.real!r})"

    __hash__ = None  # type: ignore[assignment]


def _operator(function: Callable[..., Any], swapped: bool) -> Callable[..., Any]:
    def apply(self: CountingArray, *other: Any) -> Any:
        operands = (self.real, *_unwrapped(other))
        return _wrapped(function(*(operands[::-1] if swapped else operands)))

    return apply


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"):
    _function = getattr(operator, f"__{_name}__")
    setattr(CountingArray, f"__{_name}__", _operator(_function, swapped=False))
    setattr(CountingArray, f"__r{_name}__", _operator(_function, swapped=True))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "abs", "invert"):
    setattr(CountingArray, f"__{_name}__", _operator(getattr(operator, f"__{_name}__"), swapped=False))


def counting(array: np.ndarray) -> CountingArray:
    """A NumPy array as a counting one."""
    return CountingArray(array)
