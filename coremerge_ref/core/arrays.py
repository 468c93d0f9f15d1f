"""Array namespaces: the only module that knows how libraries, dtypes and devices differ.

Met here and nowhere else: which library an array belongs to, which dtypes linear algebra runs in, how a dtype is
called, when values can be looked at (they cannot while JAX traces), and how masks drawn on the host reach a device.
Nothing is imported that the caller has not imported already.
"""

import hashlib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import wraps
from numbers import Real
from typing import Any, TypeAlias, TypeVar

import array_api_extra as xpx
import ml_dtypes
import numpy as np
from array_api_compat import (
    array_namespace,
    is_cupy_array,
    is_cupy_namespace,
    is_jax_array,
    is_numpy_namespace,
    is_torch_array,
)
from array_api_compat import (
    device as device,
)
from array_api_compat import (
    to_device as to_device,
)

from coremerge_ref.errors import DTypeError, NamespaceError, NonFiniteError, ParameterError

Array: TypeAlias = Any  # an array of any namespace; the standard has no type to name it by
DType: TypeAlias = Any
Function = TypeVar("Function", bound=Callable[..., Any])

WORKING = ("float32", "float64")  # the dtypes linear algebra exists in
_RANKED = ("float16", "bfloat16", *WORKING)


def namespace_of(*arrays: Array) -> Any:
    """The one namespace of `arrays`, all on one device; NamespaceError when there are two, or a non-array.

    numpy.matrix and masked arrays are refused: their operators mean something else.
    """
    try:
        if any(isinstance(a, np.matrix | np.ma.MaskedArray) for a in arrays):
            raise TypeError("no plain array")
        xp = array_namespace(*arrays)
    except TypeError as error:
        kinds = sorted({f"{type(a).__module__.split('.')[0]}.{type(a).__name__}" for a in arrays})
        raise NamespaceError(
            f"expected arrays of one library, got {', '.join(kinds)}; convert them to one library first"
        ) from error
    places = {str(device(a)) for a in arrays if is_concrete(a)}
    if len(places) > 1:
        raise NamespaceError(f"expected arrays on one device, got {', '.join(sorted(places))}; move them to one first")
    return xp


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


def _first_array(value: Any) -> Array | None:
    if hasattr(value, "dtype"):
        return value
    if isinstance(value, Mapping):
        value = list(value.values())
    parts = value if isinstance(value, list | tuple) else [getattr(value, name, None) for name in _HOLDERS]
    return next((array for part in parts if part is not None and (array := _first_array(part)) is not None), None)


def is_concrete(array: Array) -> bool:
    """Whether values can be looked at: not those of a JAX tracer, nor any JAX array while jit traces."""
    if is_jax_array(array) and not _is_tracer(array):
        array = sys.modules["jax"].numpy.zeros(())  # traced as all that happens inside jit
    return not _is_tracer(array)


def _is_tracer(array: Any) -> bool:
    return any(base.__name__ == "Tracer" for base in type(array).__mro__)


def dtype_name(dtype: DType) -> str:
    """'float32' for numpy.float32, torch.float32, strict's and JAX's alike."""
    for text in (str(dtype), getattr(dtype, "__name__", "")):
        name = text.split(".")[-1]
        if name in _RANKED:
            return name
    return str(dtype)


def check_real_floating(array: Array, where: str) -> None:
    """DTypeError naming `where` unless `array` holds real floating-point numbers."""
    name = dtype_name(array.dtype)
    if name not in _RANKED:
        raise DTypeError(f"{where}: expected one of {', '.join(_RANKED)}, got {name}; cast it first")


def is_finite(array: Array) -> bool:
    """Whether no entry is NaN or Inf; True while tracing: there is nothing to see."""
    if not is_concrete(array):
        return True
    wide = widened(array)
    xp = array_namespace(wide)
    with overflow_checked():
        # no NaN or Inf survives in a finite sum, and a sum is quick
        return bool(xp.isfinite(xp.sum(wide))) or bool(xp.all(xp.isfinite(wide)))


def are_finite(arrays: Sequence[Array]) -> bool:
    """Whether none of the `arrays` of one library has a NaN or Inf, by one look at all of them where that is so."""
    seen = [widened(X) for X in arrays if count(X) and is_concrete(X)]
    if not seen:
        return True
    xp = array_namespace(seen[0])
    with overflow_checked():
        sums = [xp.isfinite(xp.sum(X)) for X in seen]
        return all(look(xp.all(xp.stack(sums)))) or all(is_finite(X) for X in seen)


def look(*flags: Array) -> list[bool]:
    """The 0-d boolean `flags`, for which the host waits once; all True while tracing: there is nothing to see."""
    if not all(is_concrete(flag) for flag in flags):
        return [True] * len(flags)
    xp = array_namespace(*flags)
    bits = int(sum(xp.astype(flag, xp.int32) * 2**i for i, flag in enumerate(flags)))
    return [bool(bits >> i & 1) for i in range(len(flags))]


def check_finite(array: Array, where: str) -> None:
    """NonFiniteError naming `where` if `array` holds NaN or Inf."""
    if not is_finite(array):
        raise NonFiniteError(f"{where}: expected finite numbers, got NaN or Inf; find out where they come from")


def check_range(array: Array, where: str) -> None:
    """NonFiniteError where a computed `array` (…, p, q) has left the range of its dtype, upwards or downwards.

    Downwards: a matrix that is not zero and so small that its largest entry has lost digits.
    """
    if count(array) == 0 or all(look(in_range(array))):
        return
    raise NonFiniteError(
        f"{where}: expected numbers within the range of {dtype_name(array.dtype)}, got some beyond it or too small "
        "for their digits; scale the inputs"
    )


def in_range(array: Array) -> Array:
    """Whether check_range finds nothing wrong with `array`, as a 0-d array."""
    xp = array_namespace(array)
    with overflow_checked():
        largest = xp.maximum(xp.max(array, axis=(-2, -1)), -xp.min(array, axis=(-2, -1)))
        lost = (largest > 0) & (largest < smallest_normal(array.dtype) / eps(array.dtype))
        return xp.all(xp.isfinite(largest) & ~lost)


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
    name = max(names, key=_RANKED.index)
    return next((a.dtype for a in arrays if dtype_name(a.dtype) == name), None) or getattr(xp, name)


def named_dtype(xp: Any, name: DType | str) -> DType:
    """The dtype `name` of `xp`; "bfloat16" on NumPy, and on CuPy from 14 on, is ml_dtypes' own."""
    if not isinstance(name, str):
        return name
    if name in _RANKED and hasattr(xp, name):
        return getattr(xp, name)
    if name == "bfloat16" and (is_numpy_namespace(xp) or is_cupy_namespace(xp)):
        with suppress(TypeError, ValueError):
            return xp.empty(0, dtype=np.dtype(ml_dtypes.bfloat16)).dtype
    raise DTypeError(f"expected one of {', '.join(n for n in _RANKED if hasattr(xp, n))}, got {name!r}")


def cast(array: Array, dtype: DType | str) -> Array:
    """`array` in `dtype`, itself where nothing changes; never a copy that loses its device or its gradient."""
    xp = array_namespace(array)
    dtype = named_dtype(xp, dtype)
    if array.dtype == dtype:
        return array
    return xp.astype(array, dtype)


def from_host(values: Array, like: Array, dtype: DType | None = None) -> Array:
    """A host array, or one of `like`'s namespace, as an array of that namespace, on `like`'s device."""
    xp = array_namespace(like)
    place = {"device": device(like)} if is_concrete(like) else {}
    return xp.asarray(values, dtype=dtype, **place)


def to_host(array: Array) -> np.ndarray:
    """The numbers of `array`, exactly, as a NumPy array of float32 or float64; for diagnoses, not for merging."""
    with beside(array):
        wide = widened(array)
    if is_torch_array(wide):
        wide = wide.detach().cpu()
    elif is_cupy_array(wide):
        wide = wide.get()
    elif "array_api_strict" in type(wide).__module__:
        wide = to_device(wide, type(device(wide))("CPU_DEVICE"))
    return np.asarray(wide)


def uniform_numbers(seed: int, layer: str, task: int, shape: tuple[int, int]) -> np.ndarray:
    """Host array (p, q) of random numbers in [0, 1).

    Philox keyed by a hash of (seed, layer, task): they depend on nothing else, so they are the same on every backend
    and device, in every batch grouping and order of layers.
    """
    key = int.from_bytes(hashlib.blake2b(f"{seed}|{layer}|{task}".encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key)).random(shape[0] * shape[1]).reshape(shape)


def scalar(value: Any, like: Array, dtype: DType | None = None) -> Array:
    """A Python number or an array of numbers as an array beside `like`, of its dtype or of `dtype`."""
    dtype = like.dtype if dtype is None else dtype
    if hasattr(value, "shape") and not isinstance(value, np.generic | np.ndarray):
        return cast(value, dtype)
    return from_host(np.asarray(value, dtype=np.float64), like, dtype=dtype)


def is_number(value: Any) -> bool:
    """Whether `value` is one real number: of Python or of NumPy, no bool, or a 0-d real array of some library."""
    if isinstance(value, bool | np.bool_ | str | np.ndarray):
        return isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "fiu"
    if getattr(value, "shape", None) == () and not isinstance(value, np.generic):
        return not any(word in str(value.dtype) for word in ("bool", "complex", "object"))
    return isinstance(value, Real)


def sizes(value: Any, like: Array) -> Array:
    """A size, or one a layer (…), as floating numbers of the counting dtype beside `like`: the one kind of size."""
    return scalar(value, like, counting_dtype(array_namespace(like), like))


def rounded(value: Array, rounding: str) -> Array:
    """Sizes rounded to whole numbers: "floor", "ceil" or "round" (half to even, as Python's)."""
    xp = array_namespace(value)
    return {"floor": xp.floor, "ceil": xp.ceil, "round": xp.round}[rounding](value)


def one_size(value: Array) -> int | None:
    """The one whole number that all of `value` is; None where layers differ or values cannot be looked at."""
    if not is_concrete(value):
        return None
    xp = array_namespace(value)
    lowest = xp.min(value)
    size = int(xp.where(lowest == xp.max(value), lowest, -1.0))  # the host waits once
    return None if size < 0 else size


def clipped(values: Array, low: Any, high: Any = None) -> Array:
    """`values` within [low, high], numbers or arrays; xp.clip makes the host wait, on CuPy."""
    xp = array_namespace(values)
    values = xp.where(values < low, low, values)
    return values if high is None else xp.where(values > high, high, values)


def sign(values: Array) -> Array:
    """−1, 0 or 1; xp.sign makes the host wait, on CuPy."""
    xp = array_namespace(values)
    return xp.astype(values > 0, values.dtype) - xp.astype(values < 0, values.dtype)


def positions(size: int, like: Array) -> Array:
    """0, 1, …, size − 1 as floating numbers of the counting dtype, beside `like`."""
    return sizes(np.arange(size), like)


def count(array: Array) -> int:
    """How many entries `array` has."""
    return math.prod(array.shape)


def kth_smallest(values: Array, k: Array) -> Array:
    """The k-th smallest (from 0) of `values` (…, N) along the last axis, an axis of length 1; k are sizes (…)."""
    xp = array_namespace(values)
    place = one_size(k)
    if place is None:
        index = xp.astype(k, xp.asarray(0).dtype)[..., None]  # the default integers
        return xp.take_along_axis(xp.sort(values), xp.broadcast_to(index, (*values.shape[:-1], 1)), axis=-1)
    if not is_torch_array(values):
        return xpx.partition(values, place, axis=-1)[..., place : place + 1]
    if values.is_cuda and sys.modules["torch"].are_deterministic_algorithms_enabled():  # kthvalue is not, there
        return xp.sort(values)[..., place : place + 1]
    return values.kthvalue(place + 1, dim=-1, keepdim=True).values


def widen(array: Array, columns: int) -> Array:
    """`array` (…, m, r) with `columns` columns: the first ones, or zero columns appended."""
    array = array[..., : min(columns, array.shape[-1])]
    return xpx.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, columns - array.shape[-1])])


def identity(like: Array, size: int) -> Array:
    """The identity (…, size, size), one for each matrix of the batch `like` (…, a, b)."""
    xp = array_namespace(like)
    eye = from_host(np.eye(size), like, dtype=like.dtype)
    return xp.broadcast_to(eye, (*like.shape[:-2], size, size))


def loops_over_batches(array: Array) -> bool:
    """Whether the library decomposes a batch one matrix after the other, far slower than it multiplies: on GPUs.

    On CPUs products gain little: 0.7 to 2.4 times as fast as the SVDs of 8 to 16 tasks of rank 8 to 16.
    """
    if is_jax_array(array):
        return sys.modules["jax"].default_backend() != "cpu"
    return is_cupy_array(array) or (is_torch_array(array) and array.is_cuda)


def overflow_checked() -> Any:
    """A context in which NumPy does not warn of overflow: the result is checked for it, on every library alike."""
    return np.errstate(over="ignore", invalid="ignore")


def detached(array: Array) -> Array:
    """`array` as a constant to automatic differentiation."""
    if is_torch_array(array):
        return array.detach() if array.requires_grad else array
    return sys.modules["jax"].lax.stop_gradient(array) if _is_tracer(array) else array


def may_differentiate(array: Any) -> bool:
    """Whether derivatives may be asked of `array`: a torch array that requires them, any JAX tracer."""
    return bool(getattr(array, "requires_grad", False)) or _is_tracer(array)


def differentiates(array: Any) -> bool:
    """Whether derivatives are asked of `array` here and now: as may_differentiate, but not of a tracer of jit alone."""
    names = {base.__name__ for base in type(array).__mro__}
    return bool(getattr(array, "requires_grad", False)) or bool(names & {"JVPTracer", "LinearizeTracer"})


def without_derivative(array: Array, message: str) -> Array:
    """`array`, of which derivatives are a ParameterError saying `message` (jit is differentiated after it traced)."""
    if not _is_tracer(array):
        return array
    jax = sys.modules["jax"]

    def refuse(_primals: Any, _tangents: Any) -> Any:
        raise ParameterError(message)

    same = jax.custom_jvp(lambda x: x)
    same.defjvp(refuse)
    return same(array)
