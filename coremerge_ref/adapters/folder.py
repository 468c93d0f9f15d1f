"""An adapter opened: what it holds, known from its config and the headers; tensors when asked for."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from coremerge_ref.adapters.config import AdapterConfig
from coremerge_ref.adapters.files import identity
from coremerge_ref.adapters.formats import open_reader
from coremerge_ref.adapters.formats.base import Reader
from coremerge_ref.adapters.formats.place import Place
from coremerge_ref.adapters.modules import Module
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.errors import AdapterError, shown

_TRIES = 10  # a merge replaces a folder in a moment; it takes a second to come again


class Adapter:
    """An adapter on disk of any kind in the table of readers, with its modules as LowRankUpdates.

    path: where it is; called: as it was given, of hf://… with the commit. reader: what knows the format. modules:
    {name: Module}, from headers alone.

    Raises AdapterError for anything that cannot be read or is not a low-rank product, saying what it is and what to do.
    """

    def __init__(self, path: str | Path | Place) -> None:
        place = path if isinstance(path, Place) else Place(path)
        self.path, self.called = place.given, place.called
        self.reader = _opened(place)
        self._read = {file: identity(file) for file in self.files}
        if not self.modules:
            raise AdapterError(
                f"{shown(self.reader.file.path)}: expected tensors of at least one module, got none; save it again"
            )

    @property
    def config(self) -> AdapterConfig:
        """What is known of the adapter, in PEFT's words."""
        return self.reader.config

    @property
    def modules(self) -> dict[str, Module]:
        """The adapted modules by name, in the file's order."""
        return self.reader.modules

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that was read: the config and the weights, or one file alone."""
        return self.reader.files

    def check_unchanged(self) -> None:
        """AdapterError naming the file if one is not the one, or not as, it was when the adapter was opened."""
        for file, read in self._read.items():
            if identity(file) != read:
                raise AdapterError(f"{shown(file)}: changed or was replaced while it was read; try again")

    def load(self, names: Iterable[str]) -> dict[str, LowRankUpdate]:
        """The updates of those modules as NumPy arrays, read now; names it lacks are left out.

        AdapterError naming the tensor if one holds NaN or Inf or cannot be read, or the module if ΔW would overflow.
        """
        updates = self.reader.load([self.modules[name] for name in names if name in self.modules])
        for name, update in updates.items():
            if not math.isfinite(bound(update)):
                raise AdapterError(
                    f"{shown(self.path)}: module {shown(name)}: the update does not fit float64, "
                    f"with scaling {update.scale:g}; is lora_alpha right?"
                )
        return updates

    def base_weights(self, name: str) -> np.ndarray | None:
        """The module's own weights, where PEFT saved them beside the factors (targeted embeddings); else None."""
        tensor = self.reader.base_weights.get(name)
        return None if tensor is None else self.reader.file.read([tensor])[tensor]


def _opened(place: Place) -> Reader:
    """The reader of one folder, never of the config of one and the weights of the next that takes its place."""
    for _ in range(_TRIES):
        try:
            reader = open_reader(place)
            if place.is_there:
                return reader
        except AdapterError:
            if place.is_there:
                raise
        place.look()
    raise AdapterError(f"{shown(place.given)}: is replaced again and again while it is read; try again")


def bound(update: LowRankUpdate) -> float:
    """An upper bound of ‖ΔW‖_F, inf if float64 cannot hold it; from NumPy factors."""
    if update.rank == 0:
        return 0.0
    sizes = [float(np.max(np.abs(factor))) for factor in (update.B, update.A)]
    m, n = update.shape
    return abs(float(update.scale)) * sizes[0] * sizes[1] * update.rank * m * n
