"""An adapter's tensors over several safetensors files, as large models are saved."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from coremerge_ref.adapters.files import read_json
from coremerge_ref.adapters.tensors import Entry, TensorFile
from coremerge_ref.errors import AdapterError, shown

INDEX = "adapter_model.safetensors.index.json"


class ShardedFile:
    """The files that an index lists, read as one; the same questions are answered as by TensorFile."""

    def __init__(self, index: Path) -> None:
        """Reads the index and the headers. AdapterError where they do not belong together."""
        self.path = index
        places = read_json(index).get("weight_map")
        if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
            raise AdapterError(f"{shown(index)}: expected a weight_map of tensor and file names; save it again")
        if outside := [name for name in places.values() if Path(name).name != name]:
            raise AdapterError(f"{shown(index)}: expected files beside it, got {shown(outside[0])}; save it again")
        self.shards = {name: TensorFile(index.parent / name) for name in dict.fromkeys(places.values())}
        self.places: dict[str, str] = places
        held = {tensor for shard in self.shards.values() for tensor in shard.entries}
        if held != places.keys() or sum(len(shard.entries) for shard in self.shards.values()) != len(held):
            odd = sorted(held ^ places.keys())[:1] or [next(iter(places))]
            raise AdapterError(
                f"{shown(index)}: tensor {shown(odd[0])}: expected it once, in the index and in its file; "
                "download or save the adapter again"
            )
        self.entries: dict[str, Entry] = {name: self.shards[file].entries[name] for name, file in places.items()}

    @property
    def files(self) -> tuple[Path, ...]:
        """The index and the shards."""
        return (self.path, *(shard.path for shard in self.shards.values()))

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Those tensors, as TensorFile.read."""
        wanted = list(names)
        arrays: dict[str, np.ndarray] = {}
        for file in dict.fromkeys(self.places[name] for name in wanted):
            arrays |= self.shards[file].read(name for name in wanted if self.places[name] == file)
        return arrays
