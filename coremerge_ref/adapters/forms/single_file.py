"""A merged LoRA as one .safetensors file, in the spelling of its inputs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from coremerge_ref.adapters.formats.peft_metadata import PEFT_METADATA, peft_metadata
from coremerge_ref.adapters.formats.place import DIFFUSERS_WEIGHTS
from coremerge_ref.adapters.formats.single_file import SingleFileReader
from coremerge_ref.adapters.formats.spellings import KOHYA, Spelling
from coremerge_ref.adapters.forms.base import Form, Merged

if TYPE_CHECKING:
    from coremerge_ref.adapters.folder import Adapter
    from coremerge_ref.adapters.layer import Layer
    from coremerge_ref.adapters.plan import Plan

# Header fields that speak of one file's tensors or training, and would be untrue of the merged file.
_UNTRUE = ("sshs_model_hash", "sshs_legacy_hash", "ss_network_args", "modelspec.hash_sha256", "modelspec.thumbnail")
_NETWORK = "ss_network_module"


class SingleFileForm(Form):
    """The factors are the update: alpha = r where the inputs have alphas, PEFT's fields where they have those.

    Where they have neither, readers take the scale to be 1, and some of them one rank for the whole file.
    """

    title = "a file in the spelling of the first input, or a folder with it"
    library = "diffusers"
    loading = 'pipeline.load_lora_weights("{path}")'
    weights = DIFFUSERS_WEIGHTS
    suffix = ".safetensors"

    def __init__(self, adapters: "Sequence[Adapter]", plan: "Plan") -> None:
        super().__init__(adapters, plan)
        self.readers = [a.reader for a in adapters if isinstance(a.reader, SingleFileReader)]
        self.firsts = {layer.name: self._first(layer) for layer in self.layers}
        with_alpha = {name for name, (reader, source) in self.firsts.items() if self._has_alpha(reader, source)}
        self.alphas = {name + ".alpha": name for name in with_alpha}
        described = any(PEFT_METADATA in reader.metadata for reader in self.readers)
        self.describes = described and not self.alphas
        self.one_rank = not self.describes and len(self.alphas) < len(self.layers)
        self.factors = {
            layer.name + end: (layer.name, axis)
            for layer in self.layers
            for end, axis in zip(self.spelling(layer.name), (0, 1), strict=True)
        }

    @staticmethod
    def hub_names(bases: "Sequence[str | None]") -> "Sequence[str | None]":
        """Only diffusers' files name a model of the hub; kohya's ss_base_model_version is no such name."""
        return [base for base in bases if base and "/" in base]

    def _first(self, layer: "Layer") -> tuple[SingleFileReader, str]:
        """The reader of the first adapter that has the module, and its name there."""
        t, source = next((t, source) for t, source in enumerate(layer.sources) if source is not None)
        reader = self.adapters[t].reader
        assert isinstance(reader, SingleFileReader), "adapters of one family"
        return reader, source

    @staticmethod
    def _has_alpha(reader: SingleFileReader, source: str) -> bool:
        return source in reader.alphas or reader.found[source].spelling == KOHYA

    def spelling(self, name: str) -> Spelling:
        """How the first adapter that has the module spells its factors."""
        reader, source = self.firsts[name]
        return reader.found[source].spelling

    def names(self) -> list[str]:
        """As the base class says."""
        return [*self.factors, *self.alphas]

    def tensors(self, group: Sequence[Merged]) -> dict[str, np.ndarray]:
        """As the base class says."""
        made: dict[str, np.ndarray] = {}
        for layer, B, A in group:
            reader, source = self.firsts[layer.name]
            end_a, end_b = self.spelling(layer.name)
            kernel = layer.first.kernel
            ones = (1,) * (len(kernel) - 1 if kernel else reader.ones.get(source, 0))
            made[layer.name + end_a] = A.reshape(A.shape[0], *(kernel or (A.shape[1], *ones)))
            made[layer.name + end_b] = B.reshape(*B.shape, *ones)
            if layer.name + ".alpha" in self.alphas:
                made[layer.name + ".alpha"] = alpha(B.shape[1], B.dtype)
        return made

    def padded(self, name: str, tensor: np.ndarray, ranks: Mapping[str, int]) -> np.ndarray:
        """As the base class says; alpha is the rank."""
        if name in self.alphas:
            return alpha(ranks[self.alphas[name]], tensor.dtype)
        module, axis = self.factors[name]
        more = [(0, 0)] * tensor.ndim
        more[axis] = (0, ranks[module] - tensor.shape[axis])
        return np.pad(tensor, more)

    def metadata(self, ranks: Mapping[str, int], digest: str) -> dict[str, str]:
        """What all inputs share and is true of the output, and what readers and model lists look for."""
        given = [reader.metadata for reader in self.readers]
        kept = {key: value for key, value in given[0].items() if all(held.get(key) == value for held in given)}
        made = {key: value for key, value in kept.items() if key not in (*_UNTRUE, PEFT_METADATA)}
        if any(_NETWORK in held for held in given):
            known = {*ranks.values()} or {0}
            rank = str(known.pop()) if len(known) == 1 else "Dynamic"  # as sd-scripts writes it
            made |= {_NETWORK: "networks.lora", "ss_network_dim": rank, "ss_network_alpha": rank}
        if any("sshs_model_hash" in held for held in given):
            made["sshs_model_hash"] = digest
        if any(key.startswith("modelspec.") for held in given for key in held):
            made["modelspec.hash_sha256"] = f"0x{digest}"
            made["modelspec.merged_from"] = ", ".join(adapter.path.stem for adapter in self.adapters)
        if self.describes:
            made[PEFT_METADATA] = peft_metadata(ranks)
        return {"format": "pt", **made}


def alpha(rank: int, dtype: np.dtype) -> np.ndarray:
    """The rank as a tensor, in the dtype of the factors where that holds it: bfloat16 has no 301."""
    narrow = np.array(rank, dtype)
    return narrow if int(narrow) == rank else np.array(rank, np.float32)
