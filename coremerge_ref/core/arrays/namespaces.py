"""Which library an array belongs to, and whether its values can be looked at: they cannot while JAX traces."""

import sys
from functools import cache
from typing import Any

import array_api_compat
import numpy as np
from array_api_compat import device, is_jax_array

from coremerge_ref.core.arrays.types import AnyArray, Array, DType, Namespace
from coremerge_ref.errors import NamespaceError

_INCOMPLETE = ("dask.array", "sparse", "ndonnx")

_LIBRARIES: dict[type, Namespace] = {}  # by the type of their arrays, of which the core asks a thousand times a merge


def array_namespace(*arrays: AnyArray) -> Namespace:
    """The library of `arrays`, with the functions of the standard under its names."""
    kind = type(arrays[0])
    known = _LIBRARIES.get(kind)
    if known is not None and all(type(array) is kind for array in arrays):
        return known
    found: Namespace = array_api_compat.array_namespace(*arrays)
    if len(arrays) == 1:
        _LIBRARIES[kind] = found
    return found


def namespace_of(*arrays: AnyArray) -> Namespace:
    """The one namespace of `arrays`, all on one device; NamespaceError when there are two, or a non-array.

    numpy.matrix and masked arrays are refused: their operators mean something else. So are dask's, sparse and ONNX
    arrays: their libraries decompose no batch of matrices.
    """
    if all(type(a) is np.ndarray for a in arrays):
        return array_namespace(*arrays)
    try:
        if any(isinstance(a, np.matrix | np.ma.MaskedArray) for a in arrays):
            raise TypeError("no plain array")
        xp = array_namespace(*arrays)
    except TypeError as error:
        kinds = sorted({f"{type(a).__module__.split('.')[0]}.{type(a).__name__}" for a in arrays})
        raise NamespaceError(
            f"expected arrays of one library, got {', '.join(kinds)}; convert them to one library first"
        ) from error
    library = getattr(xp, "__name__", "").removeprefix("array_api_compat.")
    if library in _INCOMPLETE:
        raise NamespaceError(
            "expected arrays of a library that decomposes matrices, such as NumPy, CuPy, torch and JAX, got "
            f"{library}; compute them first, as X.compute() or X.todense() does"
        )
    places = {str(device(a)) for a in arrays if is_concrete(a)}
    if len(places) > 1:
        raise NamespaceError(f"expected arrays on one device, got {', '.join(sorted(places))}; move them to one first")
    return xp


def is_concrete(array: AnyArray) -> bool:
    """Whether values can be looked at: not those of a JAX tracer, nor any JAX array while jit traces."""
    if type(array) is np.ndarray:
        return True
    if is_jax_array(array) and not is_tracer(array):
        array = sys.modules["jax"].numpy.zeros(())  # traced as all that happens inside jit
    return not is_tracer(array)


def is_tracer(array: Any) -> bool:
    """Whether it stands for an array that JAX will trace through."""
    kind: Any = type(array)
    return _is_traced(kind)


@cache
def _is_traced(kind: Any) -> bool:
    return any(base.__name__ == "Tracer" for base in kind.__mro__)


def from_host(values: AnyArray, like: AnyArray, dtype: DType | None = None) -> Array:
    """A host array, or one of `like`'s namespace, as an array of that namespace, on `like`'s device."""
    if type(like) is np.ndarray:
        return np.asarray(values, dtype=dtype)
    xp = array_namespace(like)
    place = {"device": device(like)} if is_concrete(like) else {}
    return xp.asarray(values, dtype=dtype, **place)
