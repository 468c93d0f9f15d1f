"""A base model with a merge added to its weights: which tensor gets which update, and whether it is the right base."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coremerge_ref.adapters.base_model import BaseModel
from coremerge_ref.adapters.base_ties import BaseTies, Target
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.fused_files import FusedFiles
from coremerge_ref.adapters.layer import Layer
from coremerge_ref.adapters.orientation import check_attention, stored_transposed
from coremerge_ref.adapters.record import sha256
from coremerge_ref.adapters.replace import Output, check_output
from coremerge_ref.adapters.replace_file import check_output_file
from coremerge_ref.adapters.writing import base_weights
from coremerge_ref.errors import AdapterError, ParameterError, shown


class Fusion:
    """What is added where. AdapterError for modules without a weight of their shape in the base, naming them."""

    def __init__(self, base: BaseModel, adapters: Sequence[Adapter], layers: Sequence[Layer], twins: Any) -> None:
        """layers: all of the output. twins: as Job has them."""
        self.base, self.adapters = base, adapters
        self._ties = BaseTies(base)
        if stacked := next((layer for layer in layers if layer.first.stack), None):
            raise AdapterError(
                f"module {shown(stacked.path)}: refused with --into: experts that an adapter holds fused "
                "(target_parameters) lie in checkpoints in several ways; write the adapter, and fuse it with PEFT"
            )
        self._leaders = {each.path: path for path, same in twins.items() for each in same}
        check_attention(layers)
        names = base.match([layer.path for layer in layers])
        base.names = {layer.path: self._source(layer, names.get(layer.path)) for layer in layers}
        turned = stored_transposed(adapters, layers, base)
        targets = []
        for layer in layers:
            source, name = base.names[layer.path], names.get(layer.path, f"{layer.path}.weight")
            way = turned[layer.name] and len(base.entries[source].shape) == 2
            self._check(layer, source, way)
            targets.append(Target(name, source, base.places.get(name, base.places[source]), layer, way))
        self._targets = self._ties.resolve(targets, self._leaders)

    def _source(self, layer: Layer, name: str | None) -> str:
        source = self._ties.source(layer, name)
        if source is None:
            raise AdapterError(
                f"module {shown(layer.path)}: expected its weight in {shown(self.base.path)}, which has none of that "
                "name; is this the adapters' base model? leave the module out with --exclude"
            )
        return source

    def _check(self, layer: Layer, source: str, turned: bool) -> None:
        entry = self.base.check_plain(source)
        m, n = layer.shape
        flat = (entry.shape[0], int(np.prod(entry.shape[1:], dtype=np.int64))) if entry.shape else ()
        if flat != ((n, m) if turned else (m, n)):
            raise AdapterError(
                f"module {shown(layer.path)}: expected a weight of shape {(n, m) if turned else (m, n)} in "
                f"{shown(self.base.path)}, got {shown(source)} of shape {entry.shape}; is this the adapters' base "
                "model? leave the module out with --exclude"
            )
        saved = base_weights(self.adapters, layer)
        if saved is not None and not _same(saved[1], self.base.read(source)):
            raise AdapterError(
                f"module {shown(layer.path)}: the adapters bring weights of their own for it, which are not those of "
                f"{shown(self.base.path)}: another base model's, or trained ones; leave it out with --exclude"
            )

    @property
    def notes(self) -> list[str]:
        """What people should be told of it."""
        return self._ties.notes

    @property
    def library(self) -> str:
        """What loads it, by its name on the hub."""
        return "transformers" if "model_type" in self.base.config else "diffusers"

    def described(self) -> dict[str, Any]:
        """Which base it is, for the record."""
        return {
            "path": self.base.called,
            "sha256": {name: sha256(self.base.folder / name) for name in self.base.files},
        }

    def output(self, target: Path, force: bool, inputs: Iterable[Path]) -> tuple[Output, bool]:
        """What is at the output, checked to be new, and whether it is one file."""
        if self.base.one_file and target.suffix == ".safetensors":
            return check_output_file(target, force, [*inputs, self.base.path]), True
        if force:
            raise ParameterError("--force: a fused model replaces no folder; choose another output, or remove it first")
        return check_output(target, False, ()), False

    @property
    def files(self) -> FusedFiles:
        """What is written."""
        return FusedFiles(self.base, self._targets, self._ties, self._leaders)


def _same(saved: np.ndarray, weight: np.ndarray) -> bool:
    """Whether two copies of a weight are one, rounded to the narrower dtype of the two."""
    narrow = min(saved.dtype, weight.dtype, key=lambda dtype: dtype.itemsize)
    with np.errstate(over="ignore"):
        return np.array_equal(saved.astype(narrow), weight.astype(narrow))
