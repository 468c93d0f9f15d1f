"""An MLX folder times a number: lora_parameters.scale."""

from pathlib import Path
from typing import TYPE_CHECKING

from coremerge_ref.adapters.formats.mlx import MlxReader
from coremerge_ref.adapters.formats.place import CONFIG
from coremerge_ref.adapters.scaled.base import Share, Writer, times, write_config

if TYPE_CHECKING:
    from coremerge_ref.adapters.folder import Adapter


class MlxWriter(Writer):
    """The scale is a field of the config."""

    def refuses(self, adapter: "Adapter") -> bool:
        """None."""
        return False

    def write(self, adapter: "Adapter", folder: Path, weights: str, factor: float, share: Share) -> None:
        """As the base class says."""
        reader = adapter.reader
        assert isinstance(reader, MlxReader), "adapters of one family"
        parameters = reader.fields["lora_parameters"]
        scale = times(parameters["scale"], factor)
        write_config(folder / CONFIG, {**reader.fields, "lora_parameters": {**parameters, "scale": scale}})
        share(reader.file.path, folder / weights)
