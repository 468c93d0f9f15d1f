"""PEFT's LoKr adapters."""

from collections.abc import Mapping

import numpy as np

from coremerge_ref.adapters.formats.kronecker import SUFFIXES, kronecker_module, kronecker_product
from coremerge_ref.adapters.formats.loha import LycorisConfig
from coremerge_ref.adapters.formats.products import ProductReader, expect
from coremerge_ref.adapters.formats.refused import APPROXIMATE
from coremerge_ref.adapters.modules import Module
from coremerge_ref.adapters.patterns import scaling
from coremerge_ref.adapters.tensors import Entry


class LokrReader(ProductReader):
    """ΔW = alpha / r · W₁ ⊗ W₂, W₂ decomposed."""

    title = "PEFT LoKr with a decomposed second factor"
    peft_type = "LOKR"
    Config = LycorisConfig
    harmless = frozenset(
        {"decompose_both", "decompose_factor", "rank_dropout", "rank_dropout_scale", "use_effective_conv2d"}
    )
    suffixes = SUFFIXES

    def describe(self, name: str, entries: Mapping[str, Entry]) -> Module:
        """As kronecker_module says."""
        rank, scale = scaling(name, self.config)
        module, r = kronecker_module(name, entries, scale, APPROXIMATE)
        expect(r == rank, name, f"factors of the config's rank r = {rank}", entries)
        return module

    @property
    def unsure_kernels(self) -> frozenset[str]:  # type: ignore[override]
        """All: flattened ones hide their kernels, and a core of (k, 1) is one of Conv1d too."""
        return frozenset(self.modules)

    def product(self, module: Module, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """As kronecker_product says."""
        return kronecker_product(arrays)
