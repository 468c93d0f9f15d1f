"""What an update is in a notebook: how it prints, NumPy's matrix of it, a multiple, a sum, a layer of a batch."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Self

import array_api_compat
import numpy as np

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, DType
from coremerge_ref.errors import NamespaceError, ShapeError


class Operators:
    """Arithmetic of ΔW (…, m, n), for LowRankUpdate and DenseUpdate. What `info` says of a merge goes with it."""

    __array_ufunc__ = None  # NumPy's arrays and numbers leave operators to this class
    info: Mapping[str, Any]

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """(…, m, n)."""

    @abstractmethod
    def to_dense(self) -> Array:
        """ΔW (…, m, n)."""

    @abstractmethod
    def _parts(self) -> tuple[Array, ...]:
        """The arrays that it holds."""

    @abstractmethod
    def _with(self, *parts: Array) -> Self:
        """The same of other arrays."""

    @abstractmethod
    def _times(self, c: Any) -> Self:
        """c ΔW."""

    @abstractmethod
    def _plus(self, other: Any) -> Any:
        """The sum with an update of equal shape in the same library."""

    def __repr__(self) -> str:
        *batch, m, n = self.shape
        size = "".join(f"{count} × " for count in batch) + f"{m} × {n}"
        dtypes = dict.fromkeys(str(X.dtype) for X in self._parts())
        places = [str(array_api_compat.device(X)) for X in self._parts()[:1] if arrays.is_concrete(X)]
        return f"{type(self).__name__}({', '.join([size, *self._facts(), *dtypes, *places])})"

    def _facts(self) -> list[str]:
        return []

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """ΔW for np.asarray; NamespaceError where NumPy cannot hold it, such as on a GPU or in torch's bfloat16."""
        dense = self.to_dense()
        if copy is False and not any(dense is X for X in self._parts()):
            raise ValueError(f"np.asarray: expected copy=None, got copy=False; the matrix of {self!r} is new")
        try:
            return np.asarray(dense, dtype=dtype, copy=copy)
        except (TypeError, RuntimeError) as error:
            raise NamespaceError(
                f"np.asarray: expected a matrix that NumPy can hold, got {self!r}: {error}; write to_dense(), which "
                "stays in its library"
            ) from error

    def __mul__(self, c: Any) -> Self:
        return self._times(c) if arrays.is_number(c) else NotImplemented

    __rmul__ = __mul__

    def __truediv__(self, c: Any) -> Self:
        return self._times(1 / c) if arrays.is_number(c) else NotImplemented

    def __neg__(self) -> Self:
        return self._times(-1)

    def __add__(self, other: Any) -> Any:
        if isinstance(other, int) and other == 0:  # where sum() begins
            return self
        if not isinstance(other, Operators):
            return NotImplemented
        if self.shape != other.shape:
            raise ShapeError(f"sum of updates: expected equal shapes, got {self.shape} and {other.shape}")
        arrays.namespace_of(*self._parts(), *other._parts())
        return self._plus(other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self + -other if isinstance(other, Operators) else NotImplemented

    def __getitem__(self, index: Any) -> Self:
        """Layers of a batch (…, m, n): update[i], update[2:5]; never a part of a matrix."""
        at = index if isinstance(index, tuple) else (index,)
        batch = self.shape[:-2]
        if len(at) > len(batch) or not all(isinstance(i, int | np.integer | slice) for i in at):
            raise ShapeError(
                f"index {index!r}: expected whole numbers and slices, at most {len(batch)} for the batch {batch}, "
                "since layers are chosen, not entries; write to_dense()[…] for those"
            )
        for i, count in zip(at, batch, strict=False):
            if not isinstance(i, slice) and not -count <= i < count:
                raise IndexError(f"index {index!r}: expected one below {count}, the layers of the batch {batch}")
        return self._at((*at, ...))

    @abstractmethod
    def _at(self, at: tuple[Any, ...]) -> Self:
        """Layers of the batch."""

    def __iter__(self) -> Iterator[Self]:
        if len(self.shape) < 3:
            raise TypeError(f"{self!r} is one layer, not a batch of them")
        return (self[i] for i in range(self.shape[0]))

    def to(self, device: Any = None, dtype: DType | str | None = None) -> Self:
        """The same update on another device of its library, or in another dtype.

        device: "cuda:0", torch.device("cpu"), … as the library names them. dtype: "float32" or the library's own.
        NonFiniteError where numbers leave the range of the dtype.
        """
        moved = self._parts() if device is None else tuple(array_api_compat.to_device(X, device) for X in self._parts())
        if dtype is None:
            return self._with(*moved)
        with arrays.beside(moved), arrays.overflow_checked():
            cast = tuple(arrays.cast(X, dtype) for X in moved)
            for X in cast:
                arrays.check_finite(X, f"the update in {arrays.dtype_name(X.dtype)}")
        return self._with(*cast)


def at_layers(info: Mapping[str, Any], at: tuple[Any, ...]) -> dict[str, Any]:
    """What `info` says of those layers: of each a number, where it holds an array of them."""
    return {name: value[at] if getattr(value, "ndim", 0) > 0 else value for name, value in info.items()}
