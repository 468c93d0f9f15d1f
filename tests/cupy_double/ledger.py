"""Counts what costs time on a GPU, by the line of the package that asked for it."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import coremerge_ref

_PACKAGE = str(Path(coremerge_ref.__file__).parent)
_ARRAYS = str(Path(_PACKAGE, "core", "arrays"))


@dataclass
class Ledger:
    """Counts by "core/linalg.py:56": the line that asked core/arrays, where that is what did it.

    kernels: launches. copies: of operands that are not contiguous, made before a batched product. syncs: the host waits
    for the device. uploads: host to device. loops: matrices that a library call takes one after the other, "qr …".
    """

    kernels: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    syncs: Counter[str] = field(default_factory=Counter)
    uploads: Counter[str] = field(default_factory=Counter)
    loops: Counter[str] = field(default_factory=Counter)


_open: list[Ledger] = []


def note(what: str, times: int = 1, word: str = "") -> None:
    """Counts `times` of `what` on the innermost line of the package, in every ledger that is open."""
    if not _open or not times:
        return
    frame = sys._getframe(1)
    while frame and (not (file := frame.f_code.co_filename).startswith(_PACKAGE) or file.startswith(_ARRAYS)):
        frame = frame.f_back
    line = f"{frame.f_code.co_filename[len(_PACKAGE) + 1 :]}:{frame.f_lineno}" if frame else "no line of the package"
    for ledger in _open:
        getattr(ledger, what)[f"{word} {line}".strip()] += times


@contextmanager
def counting() -> Iterator[Ledger]:
    """A ledger of what happens inside."""
    ledger = Ledger()
    _open.append(ledger)
    try:
        yield ledger
    finally:
        _open.remove(ledger)
