"""A merged adapter as a PEFT LoRA folder."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from coremerge_ref.adapters import output
from coremerge_ref.adapters.formats.experts import fused
from coremerge_ref.adapters.formats.place import CONFIG, WEIGHTS
from coremerge_ref.adapters.forms.base import Form, Merged
from coremerge_ref.adapters.names import SUFFIXES

if TYPE_CHECKING:
    from coremerge_ref.adapters.layer import Layer


class PeftForm(Form):
    """adapter_config.json and adapter_model.safetensors, fused experts as `target_parameters`."""

    title = "a PEFT LoRA folder"
    weights = WEIGHTS
    sharded = True

    def names(self) -> list[str]:
        """As the base class says."""
        stems = dict.fromkeys(layer.first.stem for layer in self.layers if layer.first.stack)
        fused_names = [stem + SUFFIXES[role] for stem in stems for role in "AB"]
        return fused_names + [name for layer in self.layers if not layer.first.stack for name in output.names(layer)]

    def tensors(self, group: Sequence[Merged]) -> dict[str, np.ndarray]:
        """As the base class says."""
        made: dict[str, np.ndarray] = {}
        stacks: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for layer, B, A in group:
            if layer.first.stack:
                stem, index, count = layer.first.stack
                nothing = np.zeros_like(B), np.zeros_like(A)  # for experts that were left out of the merge
                stacks.setdefault(stem, [nothing] * count)[index] = (B, A)
            else:
                made |= output.tensors(layer, B, A)
        for stem, experts in stacks.items():
            made[stem + SUFFIXES["A"]], made[stem + SUFFIXES["B"]] = fused(experts)
        return made

    def padded(self, name: str, tensor: np.ndarray, ranks: Mapping[str, int]) -> np.ndarray:
        """As the base class says."""
        layer = self._owners.get(name)
        if layer is None:
            return tensor
        return output.padded(name, tensor, ranks[layer.name], layer.first.stack[2] if layer.first.stack else 1)

    def module_of(self, name: str) -> str | None:
        """As the base class says."""
        layer = self._owners.get(name)
        return None if layer is None else layer.name

    @cached_property
    def _owners(self) -> "dict[str, Layer]":
        """The layer, or one of the experts, that each tensor belongs to."""
        return {layer.first.stem + SUFFIXES[role]: layer for layer in self.layers for role in output.roles(layer)}

    def companions(self, ranks: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        """The config."""
        return {CONFIG: output.peft_config(self.adapters, self.plan, ranks)}
