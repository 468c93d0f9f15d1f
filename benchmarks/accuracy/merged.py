"""The merged update of a whole model, dense and for α = 1: every α is then one addition to the base weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import coremerge_ref as cm
from benchmarks.accuracy.model import Family
from coremerge_ref.adapters import Adapter

Layers = dict[str, list[Any]]  # layer name → one LowRankUpdate a task
Update = dict[str, Tensor]  # layer name → ΔW (m, n), float32
SPACES: dict[str, cm.Full | cm.Knots | cm.Core] = {
    "full": cm.Full(),
    "knots": cm.Knots(scaled=False),  # as in the paper's code
    "knots-scaled": cm.Knots(scaled=True),  # as in the original
    "core": cm.Core(),
    "core-tucker": cm.Core(basis="tucker"),
}


def read(folders: Sequence[Path]) -> Layers:
    """The adapters' updates by layer name, from PEFT folders."""
    adapters = [Adapter(folder) for folder in folders]
    loaded = [adapter.load(adapter.modules) for adapter in adapters]
    return {name.removeprefix("base_model.model."): [updates.get(name) for updates in loaded] for name in loaded[0]}


def merge(layers: Layers, method: Any, space: Any) -> Update:
    """ΔW of every layer for α = 1."""
    found = cm.merge_adapters(layers, method, space=space, out_dtype="float64")
    return {
        name: torch.from_numpy(np.asarray(update.to_dense(), dtype=np.float64)).float()
        for name, update in found.items()
    }


def norm(update: Update) -> float:
    """The Frobenius norm over all layers."""
    return float(sum(float((W.double() ** 2).sum()) for W in update.values()) ** 0.5)


def distance(one: Update, other: Update) -> float:
    """‖one − other‖ / ‖other‖ over all layers."""
    return norm({name: one[name] - other[name] for name in one}) / max(norm(other), 1e-300)


@dataclass
class Merger:
    """The base model's last layer, in bfloat16, to which α ΔW is added, and taken off again exactly."""

    network: nn.Module
    weights: dict[str, tuple[nn.Parameter, Tensor]]  # layer → the parameter, and what it is in the base model

    @classmethod
    def fresh(cls, family: Family) -> "Merger":
        """Around a fresh base model."""
        network = family.top()
        modules = {f"layer.{name}": network.layer.get_submodule(name) for name in family.projections}
        weights = {name: module.weight.detach().clone() for name, module in modules.items()}
        network.bfloat16()
        return cls(network, {name: (modules[name].weight, W) for name, W in weights.items()})

    @torch.no_grad()
    def apply(self, update: Update | None, alpha: float) -> nn.Module:
        """The network with weights W0 + α ΔW."""
        if update is not None and set(update) != set(self.weights):
            raise ValueError(
                f"layers: expected {len(self.weights)} of the model, got {len(update)}: {sorted(update)[:3]}"
            )
        for name, (parameter, W) in self.weights.items():
            parameter.copy_(W if update is None else W + alpha * update[name])
        return self.network
