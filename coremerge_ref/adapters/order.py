"""What workers are told of a merge, and which workers: paths and settings, never tensors."""

import os
import platform
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from coremerge_ref.adapters.hub import is_hub_id
from coremerge_ref.adapters.memory import measure_first
from coremerge_ref.errors import ParameterError
from coremerge_ref.version import package_version

if TYPE_CHECKING:
    from coremerge_ref.adapters.folder import Adapter
    from coremerge_ref.adapters.formats.place import Place
    from coremerge_ref.adapters.prepared import PreparedFolders
    from coremerge_ref.adapters.ready import Options


@dataclass(frozen=True)
class Way:
    """How the work is done. executor: whose workers do it; None: this process. share: how many of them share a memory.

    part: (i, n) to do the i-th of n parts alone. most: bytes of tensors in a file of the output.
    """

    executor: Executor | None = None
    share: int = 1
    part: tuple[int, int] | None = None
    most: int | None = None

    @classmethod
    def of(cls, executor: Executor | None, part: tuple[int, int] | None, most: int | None) -> "Way":
        """ParameterError for what is no executor."""
        if executor is not None and not callable(getattr(executor, "submit", None)):
            raise ParameterError(f"executor: expected a concurrent.futures executor, got {type(executor).__name__}")
        here = isinstance(executor, ProcessPoolExecutor | ThreadPoolExecutor)  # of others nothing is known
        return cls(executor, getattr(executor, "_max_workers", 1) if here else 1, part, most)


HERE = Way()


@dataclass(frozen=True)
class Order:
    """What a worker is told of a merge. token: which merge it is. seen: the adapters' files, as `stamps` gives them.

    versions: of the programs that decide about the last bits. share: how many workers share a memory.
    """

    token: str
    paths: tuple[str, ...]
    options: "Options"
    others: str
    base: str | None
    seen: tuple[tuple[str, int, int], ...]
    versions: str
    ignore_memory: bool
    share: int

    @classmethod
    def of(cls, prepared: "PreparedFolders", options: "Options", ignore_memory: bool, share: int) -> "Order":
        """To do the merge of these adapters, wherever a worker's current folder is; workers may be threads of ours."""
        measure_first(prepared.job(options), options.dense)
        paths = tuple(absolute_place(place) for place in prepared.places)
        into = None if options.into is None else absolute(options.into)
        base = None if prepared.base is None else absolute(prepared.base)
        return cls(
            uuid4().hex, paths, replace(options, into=into), prepared.others, base, stamps(prepared.adapters),
            versions(), ignore_memory, share,
        )  # fmt: skip


def versions() -> str:
    """Of what decides about a merge's bits, the processor aside."""
    return f"coremerge_ref {package_version()}, numpy {np.__version__}, {platform.machine()}"


def absolute(path: str | Path) -> str:
    """The path from the root; an id of the hub as it is."""
    return str(path) if is_hub_id(path) else os.path.abspath(path)


def absolute_place(place: "Place") -> str:
    """Where an adapter is, from the root."""
    if place.initial is None:
        return os.path.abspath(place.given)
    return f"{os.path.abspath(place.path)}@{absolute_place(place.initial)}"


def stamps(adapters: "Sequence[Adapter]") -> tuple[tuple[str, int, int], ...]:
    """(path, size, second of change) of the adapters' files, on which machines that share a file system agree."""
    about = [(path, os.stat(path)) for adapter in adapters for path in adapter.files]
    return tuple((os.path.abspath(path), each.st_size, int(each.st_mtime)) for path, each in about)
