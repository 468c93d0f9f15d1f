"""A GGUF adapter times a number: adapter.lora.alpha, by the gguf package."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from coremerge_ref.adapters.formats.gguf import GgufReader
from coremerge_ref.adapters.scaled.base import Share, Writer

if TYPE_CHECKING:
    from coremerge_ref.adapters.folder import Adapter

_ALPHA = "adapter.lora.alpha"


class GgufWriter(Writer):
    """The product is rounded to the float32 that the alpha is; no tensor changes, quantized or not."""

    def refuses(self, adapter: "Adapter") -> bool:
        """Files without an alpha, which llama.cpp takes for a scale of 1 whatever the rank."""
        reader = adapter.reader
        assert isinstance(reader, GgufReader), "adapters of one family"
        return not (reader.alpha and isinstance(reader.gguf.values.get(_ALPHA), float))

    def write(self, adapter: "Adapter", folder: Path, weights: str, factor: float, share: Share) -> None:
        """As the base class says."""
        import gguf

        reader = adapter.reader
        assert isinstance(reader, GgufReader), "adapters of one family"
        shutil.copyfile(reader.gguf.path, folder / weights)
        copy = gguf.GGUFReader(folder / weights, "r+")
        field = copy.fields[_ALPHA]
        field.parts[field.data[0]][0] = reader.alpha * factor
        copy.data.flush()
