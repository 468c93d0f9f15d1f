"""NumPy arrays to the array library that merges them, and back. A library is imported only when it is asked for."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from coremerge_ref.errors import ParameterError, reason

_MOST_WORKERS = 4  # each holds a batch of layers; more cost memory for little
BACKENDS = ("numpy", "torch", "cupy", "jax")


@dataclass(frozen=True)
class Backend:
    """send: host array → array on the device. fetch: the reverse. session: what must hold while merging.

    workers: how many merges may run side by side; accelerators and libraries with threads of their own take one.
    """

    send: Callable[[np.ndarray], Any]
    fetch: Callable[[Any], np.ndarray]
    session: Callable[[], Any] = nullcontext
    workers: int = 1


def backend_named(name: str, device: str | None) -> Backend:
    """The backend called `name` on `device` (None: its default). ParameterError if it or the device is not there."""
    makers = {"numpy": _numpy, "torch": _torch, "cupy": _cupy, "jax": _jax}
    if name not in makers:
        raise ParameterError(f"backend: expected one of {', '.join(BACKENDS)}, got {name!r}")
    try:
        made = makers[name](device)
        made.fetch(made.send(np.zeros((1, 1), np.float32)))
    except ParameterError:
        raise
    except ImportError as error:
        package = "cupy-cuda12x" if name == "cupy" else name
        raise ParameterError(f"backend: {name} is not installed; pip install {package}") from error
    except Exception as error:  # each library has its own way to say that a device is not there
        raise ParameterError(f"device: {name} cannot use {device!r}: {reason(error)}; choose another device") from error
    return made


def _processors() -> int:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_WORKERS, available)


def _numpy(device: str | None) -> Backend:
    if device not in (None, "cpu"):
        raise ParameterError(f"device: expected 'cpu' with the numpy backend, got {device!r}; choose --backend torch")
    return Backend(lambda array: array, lambda array: array, workers=_processors())


def _torch(device: str | None) -> Backend:
    import torch

    place = torch.device(device or "cpu")

    def send(array: np.ndarray) -> Any:
        if array.dtype == ml_dtypes.bfloat16:  # NumPy's is ml_dtypes', which torch does not know: the bits are the same
            return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16).to(place)
        return torch.from_numpy(np.array(array)).to(place)

    return Backend(send, lambda array: array.detach().to("cpu").numpy())


def _cupy(device: str | None) -> Backend:
    import cupy  # type: ignore[import-not-found]

    kind, _, place = (device or "cuda").partition(":")
    if kind != "cuda" or not (place or "0").isdecimal():
        raise ParameterError(f"device: expected 'cuda' or 'cuda:N' with the cupy backend, got {device!r}")
    number = int(place or 0)

    def send(array: np.ndarray) -> Any:
        with cupy.cuda.Device(number):
            return cupy.asarray(array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 else array)

    return Backend(send, cupy.asnumpy, lambda: cupy.cuda.Device(number))


def _jax(device: str | None) -> Backend:
    import jax

    kind, _, number = (device or "").partition(":")
    place = jax.devices(kind or None)[int(number or 0)]

    @contextmanager
    def session() -> Iterator[None]:
        with jax.enable_x64(True), jax.default_matmul_precision("highest"):  # float64 arithmetic; no TF32 products
            yield

    def send(array: np.ndarray) -> Any:
        return jax.device_put(array, place)

    return Backend(send, np.asarray, session)
