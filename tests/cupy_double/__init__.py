"""A double of CuPy on NumPy, for machines without a GPU: it deviates from NumPy where CuPy does, and as CuPy does.

`install()` registers it as the modules `cupy` and `cupyx`, under array-api-compat's own wrapper for CuPy. Every
deviation names where it was read: CuPy's source at v14.2.0, or an issue; nothing was seen on a card. Not imitated:
asynchronous errors, kernel compilation, the memory pool, FMA, the order of sums, and cuSOLVER's accuracy.

    devices    how many there are, which is current, and what happens to arrays of another one
    ledger     counts kernels, host synchronisations, transfers and loops inside the library, by line of the package
    ndarray    the array: no implicit conversion, no scalars, no NumPy operands
    functions  the functions of the namespace
    linalg     decompositions that never raise for numerical reasons
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np

from cupy_double import devices, functions, linalg
from cupy_double.devices import device, settings
from cupy_double.ledger import counting
from cupy_double.ndarray import asarray, ndarray

__all__ = ["asarray", "counting", "device", "install", "ndarray", "settings"]

_DTYPES = "bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 intp float16 float32 float64 complex64 complex128"
_NAMES = """
    broadcast_shapes complexfloating dtype e finfo floating generic iinfo inexact inf integer issubdtype nan newaxis
    number pi result_type signedinteger unsignedinteger
"""


def _module(name: str, **contents: Any) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None, is_package=True)
    module.__dict__.update(contents)
    sys.modules[name] = module
    return module


def install() -> None:
    """Registers `cupy` and `cupyx` for this process."""
    runtime = _module(
        "cupy.cuda.runtime",
        getDeviceCount=lambda: settings.devices,
        getDevice=lambda: devices.current(),
        getDeviceProperties=lambda number: {"name": f"double of GPU {number}".encode()},
        CUDARuntimeError=devices.CUDARuntimeError,
    )
    place = _module("cupy.cuda.device", Device=devices.Device)
    cuda = _module("cupy.cuda", Device=devices.Device, device=place, runtime=runtime)
    algebra = _module("cupy.linalg", LinAlgError=np.linalg.LinAlgError, **linalg.FUNCTIONS)
    _module(
        "cupy",
        __version__="14.2.0",
        **{name: getattr(np, name) for name in (_DTYPES + " " + _NAMES).split()},
        **functions.FUNCTIONS,
        ndarray=ndarray,
        cuda=cuda,
        linalg=algebra,
        fft=_module("cupy.fft"),
        is_available=lambda: settings.devices > 0,
    )
    _module("cupyx", errstate=linalg.errstate)
