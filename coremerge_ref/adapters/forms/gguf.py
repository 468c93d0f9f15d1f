"""A merged adapter as a GGUF file, written by the gguf package."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from coremerge_ref.adapters.formats.gguf import EMBEDDED, SUFFIXES, GgufReader
from coremerge_ref.adapters.forms.base import Form, Merged, with_experts
from coremerge_ref.adapters.tensors import TensorFile
from coremerge_ref.errors import AdapterError, shown


class GgufForm(Form):
    """alpha is the rank, one for all; names, architecture and what else all inputs share are kept; F16 or F32."""

    title = "a GGUF file, or a folder with it"
    library = "gguf"
    loading = "llama-cli -m MODEL.gguf --lora {path}"
    weights = "adapter.gguf"
    suffix = ".gguf"
    one_rank = True

    def names(self) -> list[str]:
        """As the base class says."""
        stems = dict.fromkeys(layer.first.stem for layer in self.layers)
        return [stem + SUFFIXES[role] for stem in stems for role in "AB"]

    def tensors(self, group: Sequence[Merged]) -> dict[str, np.ndarray]:
        """As the base class says."""
        made: dict[str, np.ndarray] = {}
        for stem, (_, B, A) in with_experts(group).items():
            embedded = stem == EMBEDDED
            made[stem + SUFFIXES["A"]] = B if embedded else A
            made[stem + SUFFIXES["B"]] = A.T if embedded else B
        return made

    def padded(self, name: str, tensor: np.ndarray, ranks: Mapping[str, int]) -> np.ndarray:
        """As the base class says."""
        rank = max(ranks.values())
        last = name.endswith(SUFFIXES["B"]) or name.startswith(EMBEDDED)
        axis = tensor.ndim - 1 if last else tensor.ndim - 2
        more = [(0, 0)] * tensor.ndim
        more[axis] = (0, rank - tensor.shape[axis])
        return np.pad(tensor, more)

    def finish(self, path: Path, ranks: Mapping[str, int]) -> None:
        """Turns the safetensors file at `path` into a GGUF file."""
        import gguf

        tensors = path.with_suffix(".tensors")
        os.rename(path, tensors)
        file = TensorFile(tensors)
        given = [a.reader.gguf.values for a in self.adapters if isinstance(a.reader, GgufReader)]
        shared = {key: value for key, value in given[0].items() if all(held.get(key) == value for held in given)}
        writer = gguf.GGUFWriter(path, str(shared.pop("general.architecture", "llama")))
        for key, value in shared.items():
            if key.startswith("general.") and isinstance(value, str) and key != "general.type":
                writer.add_string(key, value)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(max(ranks.values())))
        for name in file.entries:
            array = file.read([name])[name]
            writer.add_tensor(name, _in_float32(name, array))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        os.unlink(tensors)


def _in_float32(name: str, array: np.ndarray) -> np.ndarray:
    """F16 as it is, anything else as F32. AdapterError if it does not fit."""
    if array.dtype == np.float16:
        return array
    with np.errstate(over="ignore"):
        made = array.astype(np.float32)
    if not np.all(np.isfinite(made)):
        raise AdapterError(f"tensor {shown(name)}: does not fit float32, the widest of GGUF; choose a smaller --scale")
    return made
