"""PEFT's LoHa adapters."""

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from coremerge_ref.adapters.config import AdapterConfig, Alpha
from coremerge_ref.adapters.formats.hadamard import SUFFIXES, hadamard_module, hadamard_product
from coremerge_ref.adapters.formats.products import ProductReader, expect
from coremerge_ref.adapters.modules import Module
from coremerge_ref.adapters.patterns import scaling
from coremerge_ref.adapters.tensors import Entry


class LycorisConfig(AdapterConfig):
    """The config of PEFT's LoHa and LoKr, which call lora_alpha alpha."""

    lora_alpha: Alpha = Field(8.0, alias="alpha")


class LohaReader(ProductReader):
    """ΔW = alpha / r · (B₁ A₁) ∘ (B₂ A₂)."""

    title = "PEFT LoHa"
    peft_type = "LOHA"
    Config = LycorisConfig
    harmless = frozenset({"rank_dropout", "use_effective_conv2d"})
    suffixes = SUFFIXES

    def describe(self, name: str, entries: Mapping[str, Entry]) -> Module:
        """As hadamard_module says."""
        rank, scale = scaling(name, self.config)
        module, r = hadamard_module(name, entries, scale)
        expect(r == rank, name, f"factors of the config's rank r = {rank}", entries)
        return module

    @property
    def unsure_kernels(self) -> frozenset[str]:  # type: ignore[override]
        """All: flattened ones hide their kernels, and a core of (k, 1) is one of Conv1d too."""
        return frozenset(self.modules)

    def product(self, module: Module, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """As hadamard_product says."""
        return hadamard_product(arrays)
