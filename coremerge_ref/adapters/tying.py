"""Tied weights: modules that every adapter gives one update get one merge, so that they stay tied.

PEFT with ensure_weight_tying saves the update of a tied embedding twice, as the embedding's and as the head's. Merged
apart, an elementwise method would give each its own masks and signs.
"""

from collections.abc import Sequence

import numpy as np

from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.layer import Layer
from coremerge_ref.adapters.modules import EMBEDDING, LINEAR
from coremerge_ref.adapters.streaming import load_layers
from coremerge_ref.core.updates import LowRankUpdate


def twins(adapters: Sequence[Adapter], layers: Sequence[Layer]) -> dict[str, list[Layer]]:
    """{path of an embedding: linear layers of its shape that have, in every adapter, the very same factors}."""
    found: dict[str, list[Layer]] = {}
    for embedding in (layer for layer in layers if layer.first.kind == EMBEDDING):
        alike = [layer for layer in layers if layer.first.kind == LINEAR and layer.shape == embedding.shape]
        for layer in alike:
            if _same_holders(embedding, layer):
                loaded = load_layers(adapters, [embedding, layer])
                pairs = zip(embedding.updates(loaded), layer.updates(loaded), strict=True)
                if all(_equal(a, b) for a, b in pairs):
                    found.setdefault(embedding.path, []).append(layer)
    return found


def _same_holders(a: Layer, b: Layer) -> bool:
    return all((x is None) == (y is None) for x, y in zip(a.holders, b.holders, strict=True))


def _equal(a: LowRankUpdate | None, b: LowRankUpdate | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.scale == b.scale and np.array_equal(a.B, b.B) and np.array_equal(a.A, b.A)
