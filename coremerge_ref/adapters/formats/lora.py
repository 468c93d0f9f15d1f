"""LoRA and rsLoRA of PEFT: linear layers, convolutions, embeddings, and bare parameters such as fused experts."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeAlias

import numpy as np

from coremerge_ref.adapters import names
from coremerge_ref.adapters.config import AdapterConfig
from coremerge_ref.adapters.formats import experts
from coremerge_ref.adapters.formats.base import PeftReader
from coremerge_ref.adapters.modules import EMBEDDING, Module, as_matrix, checked, factor_module, widest
from coremerge_ref.adapters.patterns import scaling
from coremerge_ref.adapters.tensors import Entry
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.errors import AdapterError, shown

Roles: TypeAlias = Mapping[str, str]  # "A" → the name of the tensor that is factor A

# Initializations that take what they put in the factors out of the base weights, and those that do not.
CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
KEEPS_BASE = ("gaussian", "eva", "orthogonal", "mica")
HARMLESS = frozenset(
    {
        "corda_config",
        "ensure_weight_tying",
        "eva_config",
        "init_lora_weights",
        "loftq_config",
        "lora_dropout",
        "lora_ga_config",
        "megatron_core",
        "qalora_group_size",
        "runtime_config",
    }
)


class LoraConfig(AdapterConfig):
    """A LoRA config whose initialization left the base weights alone, unless start_matters is False."""

    start_matters: ClassVar[bool] = True

    def complaints(self, harmless: frozenset[str]) -> list[str]:
        """As AdapterConfig, and initializations that change the base."""
        found = super().complaints(harmless)
        init = (self.model_extra or {}).get("init_lora_weights")
        if not self.start_matters:
            return found
        if isinstance(init, str) and init.lower().startswith(CHANGES_BASE):
            found.append(
                f"init_lora_weights: refused, {shown(init)} changes the base weights; give the adapter as it was "
                "before training beside it, as TRAINED@INITIAL, or save it again with PEFT's "
                "path_initial_model_for_weight_conversion"
            )
        elif not (init is None or isinstance(init, bool) or init in KEEPS_BASE):
            found.append(
                f"init_lora_weights: expected one that PEFT 0.21 has, got {shown(repr(init))}; is the base changed?"
            )
        return found


class LoraReader(PeftReader):
    """ΔW = s · B A with s = alpha / r, or alpha / √r for rsLoRA."""

    title = "PEFT LoRA, rsLoRA: linear layers, convolutions, embeddings, `target_parameters` (fused experts)"
    peft_type = "LORA"
    Config = LoraConfig
    harmless = HARMLESS

    def find_modules(self) -> dict[str, Module]:
        """As the base class says."""
        self.roles, self.base_weights = names.factors(self.file.entries)
        self.stems = experts.stems(self.config, self.roles)
        if self.config.target_parameters and not self.stems:
            raise AdapterError(
                f"target_parameters: expected tensors of {shown(self.config.target_parameters[0])}, got none; "
                "the file is incomplete, or the config is of another adapter: save it again"
            )
        modules: dict[str, Module] = {}
        for name, roles in self.roles.items():
            if name in self.stems:
                modules |= experts.modules(name, roles, self.file.entries, self.config)
            else:
                modules[name] = lora_module(name, roles, self.file.entries, self.config)
        for name, tensor in self.base_weights.items():
            checked(tensor, self.file.entries[tensor], (2,))
            if self.file.entries[tensor].shape != modules[name].shape:
                raise AdapterError(f"tensor {shown(tensor)}: expected shape {modules[name].shape} of its module")
        return modules

    def load(self, modules: Sequence[Module]) -> dict[str, LowRankUpdate]:
        """B (m, r), A (r, n) in the dtypes of the file."""
        wanted = dict.fromkeys(t for module in modules for t in self.roles[module.stem].values())
        arrays = self.file.read(wanted)
        return {module.name: lora_update(module, self.roles[module.stem], arrays) for module in modules}


def lora_module(name: str, roles: Roles, entries: Mapping[str, Entry], config: AdapterConfig) -> Module:
    """A module of factors A (r, in…) and B (out, r, 1…), or of an embedding's. AdapterError where they do not fit."""
    embedding = "embedding_A" in roles
    key_a, key_b = ("embedding_A", "embedding_B") if embedding else ("A", "B")
    dimensions = (2,) if embedding else (2, 3, 4, 5)
    A = checked(roles[key_a], entries[roles[key_a]], dimensions)
    B = checked(roles[key_b], entries[roles[key_b]], (len(A.shape),))
    rank, scale = scaling(name, config)
    if A.shape[0] != rank:
        raise AdapterError(
            f"module {shown(name)}: expected A (r, in…) and B (out, r, 1…) of the config's rank r = {rank}, got A "
            f"{A.shape} and B {B.shape}; config and tensors do not belong together"
        )
    if embedding:
        if B.shape[1] != rank:
            raise AdapterError(
                f"module {shown(name)}: expected lora_embedding_B (dimension, {rank}), got {B.shape}; save it again"
            )
        return Module(name, EMBEDDING, (A.shape[1], B.shape[0]), rank, scale, widest(A.dtype, B.dtype))
    return factor_module(name, A, B, scale)


def lora_update(module: Module, roles: Roles, arrays: Mapping[str, np.ndarray]) -> LowRankUpdate:
    """The update of one module from its tensors."""
    if module.kind == EMBEDDING:  # the weight is (vocabulary, dimension) and takes (B A)ᵀ
        return LowRankUpdate(arrays[roles["embedding_A"]].T, arrays[roles["embedding_B"]].T, module.scale)
    A, B = arrays[roles["A"]], arrays[roles["B"]]
    if module.stack:
        A, B = experts.factors(module, A, B)
    return LowRankUpdate(as_matrix(B), as_matrix(A), module.scale)
