"""Devices, and the settings of the double.

Results are made on the thread's current device. An operand elsewhere is read through peer access, with a
PerformanceWarning, or is a ValueError where the two devices have none (cupy/_core/_kernel.pyx, _check_peer_access).
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from cupy_double.ledger import note


class CUDARuntimeError(RuntimeError):
    """cupy_backends/cuda/api/runtime.pyx."""


class CUSOLVERError(RuntimeError):
    """cupy_backends/cuda/libs/cusolver.pyx."""


class PerformanceWarning(RuntimeWarning):
    """cupy/_util.pyx."""


@dataclass
class Settings:
    """devices: how many. peers: whether they have access to each other. leftover: what a failed Cholesky leaves behind
    (a name in linalg.LEFTOVERS). bfloat16: whether arrays of ml_dtypes.bfloat16 are taken: 14.x does, 13.x does not.
    """

    devices: int = 2
    peers: bool = False
    leftover: str = "tail"
    bfloat16: bool = True

    @contextmanager
    def changed(self, **values: Any) -> Iterator[None]:
        """Other settings for a while."""
        before = replace(self)
        self.__dict__.update(values)
        try:
            yield
        finally:
            self.__dict__.update(before.__dict__)


settings = Settings()
_thread = threading.local()


def current() -> int:
    """The number of the thread's current device."""
    return getattr(_thread, "stack", [0])[-1]


class Device:
    """cupy/cuda/device.pyx: a context in which it is current; without a number, the one that is current now."""

    def __init__(self, number: "int | Device | None" = None) -> None:
        self.id = current() if number is None else int(number)

    def __int__(self) -> int:
        return self.id

    def __enter__(self) -> "Device":
        if not 0 <= self.id < settings.devices:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        _thread.stack = [*getattr(_thread, "stack", [0]), self.id]
        return self

    def __exit__(self, *_: object) -> None:
        _thread.stack = _thread.stack[:-1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def synchronize(self) -> None:
        """Waits for the device."""
        note("syncs")


device = Device


def check_peer_access(number: int) -> None:
    """What a kernel does on meeting an operand that is on device `number`."""
    here = current()
    if number == here:
        return
    message = f"The device where the array resides ({number}) is different from the current device ({here})."
    if not settings.peers:
        raise ValueError(f"{message} Peer access is unavailable between these devices.")
    warnings.warn(f"{message} Peer access has been activated automatically.", PerformanceWarning, stacklevel=2)
