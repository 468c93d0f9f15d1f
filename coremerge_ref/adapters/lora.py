"""LoRA modules of an adapter file: linear layers, convolutions and embeddings as 2-D low-rank updates."""

import math
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from coremerge_ref.adapters import names
from coremerge_ref.adapters.config import AdapterConfig
from coremerge_ref.adapters.files import shown
from coremerge_ref.adapters.modules import CONV, EMBEDDING, LINEAR, Module, as_matrix, checked, widest
from coremerge_ref.adapters.patterns import matched, pattern_path
from coremerge_ref.adapters.tensors import Entry, TensorFile
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.errors import AdapterError

Roles: TypeAlias = Mapping[str, str]  # "A" → the name of the tensor that is factor A


class LoraTensors:
    """The modules of a LoRA adapter file and how their tensors become updates."""

    def __init__(self, file: TensorFile, config: AdapterConfig) -> None:
        """Reads names and shapes. AdapterError for tensors or shapes that are no LoRA products, naming them."""
        self.file = file
        self.roles, self.base_weights = names.factors(file.entries, shown(file.path))
        try:
            self.modules = {name: _module(name, roles, file.entries, config) for name, roles in self.roles.items()}
            for name, tensor in self.base_weights.items():
                checked(tensor, file.entries[tensor], (2,))
                if file.entries[tensor].shape != self.modules[name].shape:
                    raise AdapterError(
                        f"tensor {shown(tensor)}: expected shape {self.modules[name].shape} of its module"
                    )
        except AdapterError as error:
            raise AdapterError(f"{shown(file.path)}: {error}") from error

    def load(self, modules: list[Module]) -> dict[str, LowRankUpdate]:
        """The updates of those modules, by name; B (m, r), A (r, n) in the dtypes of the file."""
        wanted = [tensor for module in modules for tensor in self.roles[module.name].values()]
        arrays = self.file.read(wanted)
        return {module.name: _update(module, self.roles[module.name], arrays) for module in modules}


def scaling(name: str, config: AdapterConfig) -> tuple[int, float]:
    """(rank, scaling) of a module as PEFT sets them: alpha / r, or alpha / √r for rsLoRA."""
    path = pattern_path(name)
    rank = int(matched(config.rank_pattern, path, config.rank))
    alpha = float(matched(config.alpha_pattern, path, config.lora_alpha))
    if rank == 0:
        raise AdapterError(f"module {shown(name)}: expected a rank of at least 1, as PEFT does; leave the module out")
    return rank, alpha / (math.sqrt(rank) if config.use_rslora else rank)


def _module(name: str, roles: Roles, entries: Mapping[str, Entry], config: AdapterConfig) -> Module:
    embedding = "embedding_A" in roles
    key_a, key_b = ("embedding_A", "embedding_B") if embedding else ("A", "B")
    dimensions = (2,) if embedding else (2, 3, 4, 5)
    A = checked(roles[key_a], entries[roles[key_a]], dimensions)
    B = checked(roles[key_b], entries[roles[key_b]], (len(A.shape),))
    rank, scale = scaling(name, config)
    kernel = A.shape[1:] if len(A.shape) > 2 else ()
    if kernel and B.shape[1] != A.shape[0] and A.shape[0] % B.shape[1] == 0:
        raise AdapterError(
            f"module {shown(name)}: refused: a grouped convolution, which PEFT cannot merge either; leave it out"
        )
    if A.shape[0] != rank or B.shape[1] != rank or B.shape[2:] != (1,) * (len(A.shape) - 2):
        raise AdapterError(
            f"module {shown(name)}: expected A (r, in…) and B (out, r, 1…) of the config's rank r = {rank}, got A "
            f"{A.shape} and B {B.shape}; config and tensors do not belong together"
        )
    out, width = B.shape[0], math.prod(A.shape[1:])
    kind, shape = (EMBEDDING, (width, out)) if embedding else (CONV if kernel else LINEAR, (out, width))
    return Module(name, kind, shape, rank, scale, widest(A.dtype, B.dtype), kernel)


def _update(module: Module, roles: Roles, arrays: Mapping[str, np.ndarray]) -> LowRankUpdate:
    if module.kind == EMBEDDING:  # the weight is (vocabulary, dimension) and takes (B A)ᵀ
        return LowRankUpdate(arrays[roles["embedding_A"]].T, arrays[roles["embedding_B"]].T, module.scale)
    return LowRankUpdate(as_matrix(arrays[roles["B"]]), as_matrix(arrays[roles["A"]]), module.scale)
