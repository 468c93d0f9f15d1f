"""A PEFT LoRA folder times a number: lora_alpha and every alpha_pattern, whose multiples scalings are."""

from pathlib import Path
from typing import TYPE_CHECKING

from coremerge_ref.adapters.files import read_json
from coremerge_ref.adapters.formats.lora import LoraReader
from coremerge_ref.adapters.formats.place import CONFIG
from coremerge_ref.adapters.scaled.base import Share, Writer, times, write_config
from coremerge_ref.adapters.tensors import TensorFile

if TYPE_CHECKING:
    from coremerge_ref.adapters.folder import Adapter


class PeftWriter(Writer):
    """alpha / r and alpha / √r are linear in alpha: the config changes, and no tensor."""

    def refuses(self, adapter: "Adapter") -> bool:
        """All but LoRA in one file."""
        return type(adapter.reader) is not LoraReader or not isinstance(adapter.reader.file, TensorFile)

    def write(self, adapter: "Adapter", folder: Path, weights: str, factor: float, share: Share) -> None:
        """As the base class says."""
        config, tensors = adapter.files
        fields = read_json(config)
        alphas = {name: times(alpha, factor) for name, alpha in adapter.config.alpha_pattern.items()}
        fields |= {"lora_alpha": times(adapter.config.lora_alpha, factor), "alpha_pattern": alphas}
        write_config(folder / CONFIG, fields)
        share(tensors, folder / weights)
