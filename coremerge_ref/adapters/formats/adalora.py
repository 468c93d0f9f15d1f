"""AdaLoRA: ΔW = s · B diag(E) A, of whatever rank its pruning left."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from coremerge_ref.adapters.config import Rank
from coremerge_ref.adapters.formats.lora import HARMLESS, LoraConfig
from coremerge_ref.adapters.formats.products import ProductReader, expect
from coremerge_ref.adapters.modules import LINEAR, Module, floating, widest
from coremerge_ref.adapters.tensors import Entry


class AdaLoraConfig(LoraConfig):
    """rank_pattern holds which directions were kept; the tensors are cut to them already."""

    init_r: Rank = 12
    rank_pattern: Annotated[dict[str, Any], BeforeValidator(lambda value: value or {})] = Field(default_factory=dict)


class AdaLoraReader(ProductReader):
    """s = lora_alpha / (init_r + 1e-5), whatever rank is left (peft.tuners.adalora.layer.SVDLinear, 0.21.2)."""

    title = "PEFT AdaLoRA"
    peft_type = "ADALORA"
    Config = AdaLoraConfig
    harmless = HARMLESS | {"beta1", "beta2", "deltaT", "orth_reg_weight", "target_r", "tfinal", "tinit", "total_step"}
    required = frozenset("ABE")
    suffixes = {"A": ".lora_A", "B": ".lora_B", "E": ".lora_E"}  # noqa: RUF012 (a table)

    def describe(self, name: str, entries: Mapping[str, Entry]) -> Module:
        """A (r, in), B (out, r), E (r, 1); r is 0 where everything was pruned."""
        config = self.config
        assert isinstance(config, AdaLoraConfig)
        A, B, E = (floating(f"{name}.lora_{role}", entries[role]).shape for role in "ABE")
        fits = len(A) == len(B) == 2 and A[0] == B[1] and (A[0], 1) == E and 0 not in (A[1], B[0])
        expect(fits, name, "lora_A (r, in), lora_B (out, r), lora_E (r, 1)", entries)
        alpha = config.lora_alpha if config.lora_alpha > 0 else float(config.init_r)
        dtype = widest(*(entry.dtype for entry in entries.values()))
        return Module(name, LINEAR, (B[0], A[1]), A[0], alpha / (config.init_r + 1e-5), dtype)

    def product(self, module: Module, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """B, diag(E) A."""
        return arrays["B"], arrays["E"] * arrays["A"]
