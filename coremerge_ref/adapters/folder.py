"""An adapter folder opened: what it holds, known from its config and the headers; tensors when asked for."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from coremerge_ref.adapters import config as configs
from coremerge_ref.adapters.files import folder_at, is_regular_file, shown
from coremerge_ref.adapters.lora import LoraTensors
from coremerge_ref.adapters.modules import Module
from coremerge_ref.adapters.tensors import TensorFile
from coremerge_ref.adapters.vera import VeraTensors
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.errors import AdapterError

WEIGHTS, PICKLED = "adapter_model.safetensors", "adapter_model.bin"


class Adapter:
    """A PEFT adapter folder, LoRA or VeRA, with its modules as LowRankUpdates.

    path: the folder as given. config: what the config says. modules: {name: Module}, from headers alone.

    Raises AdapterError for anything that cannot be read or is not a low-rank product, saying what it is and what to do.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = folder_at(Path(path))
        self.config = configs.read_config(self.path)
        weights = self.path / WEIGHTS
        if not is_regular_file(weights):
            if is_regular_file(self.path / PICKLED):
                raise AdapterError(
                    f"{shown(self.path / PICKLED)}: refused, pickled files can run code when opened; load the adapter "
                    "with PEFT where you trust it and save it with save_pretrained, which writes safetensors"
                )
            raise AdapterError(f"{shown(self.path)}: expected {WEIGHTS} in it; is this a PEFT adapter folder?")
        self.file = TensorFile(weights)
        kind = VeraTensors if self.config.peft_type == "VERA" else LoraTensors
        self.tensors: LoraTensors | VeraTensors = kind(self.file, self.config)
        if not self.modules:
            raise AdapterError(f"{shown(weights)}: expected tensors of at least one module, got none; save it again")

    @property
    def modules(self) -> dict[str, Module]:
        """The adapted modules by name, in the file's order."""
        return self.tensors.modules

    @property
    def files(self) -> tuple[Path, Path]:
        """The config and the weights."""
        return self.path / configs.NAME, self.path / WEIGHTS

    def load(self, names: Iterable[str]) -> dict[str, LowRankUpdate]:
        """The updates of those modules as NumPy arrays, read now; names it lacks are left out.

        AdapterError naming the tensor if one holds NaN or Inf or cannot be read, or the module if ΔW would overflow.
        """
        updates = self.tensors.load([self.modules[name] for name in names if name in self.modules])
        for name, update in updates.items():
            if not math.isfinite(bound(update)):
                raise AdapterError(
                    f"{shown(self.path)}: module {shown(name)}: the update does not fit float64, "
                    f"with scaling {update.scale:g}; is lora_alpha right?"
                )
        return updates

    def base_weights(self, name: str) -> np.ndarray | None:
        """The module's own weights, where PEFT saved them beside the factors (targeted embeddings); else None."""
        tensor = self.tensors.base_weights.get(name)
        return None if tensor is None else self.file.read([tensor])[tensor]


def bound(update: LowRankUpdate) -> float:
    """An upper bound of ‖ΔW‖_F, inf if float64 cannot hold it; from NumPy factors."""
    sizes = [float(np.max(np.abs(factor))) for factor in (update.B, update.A)]
    m, n = update.shape
    return abs(float(update.scale)) * sizes[0] * sizes[1] * update.rank * m * n
