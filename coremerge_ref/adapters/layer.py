"""A layer of a merge: one module of the base model, what each adapter holds for it, and which go through together."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from coremerge_ref.adapters.modules import Module, widest
from coremerge_ref.core.updates import LowRankUpdate

# Bytes of float64 factors in one batch. Batches exist to amortize calls on small layers; a few layers of 4096 × 4096
# fill one. What a merge needs on top is a small multiple of this, so it bounds the memory of the whole run.
BATCH_BYTES = 16 * 2**20
_EXPERTS = "experts"

Loaded = Sequence[Mapping[str, LowRankUpdate]]  # for each adapter, updates by the name of the module in its file


@dataclass(frozen=True)
class Layer:
    """One module of the base model and what each adapter holds for it, None where it holds nothing.

    path: where it is in the base model; it keys DARE's masks. sources: the module's name in each adapter's own file;
    the holders are named as in the output.
    """

    path: str
    holders: tuple[Module | None, ...]
    sources: tuple[str | None, ...]

    @property
    def first(self) -> Module:
        """What all that have the module agree on is read off the first."""
        return next(module for module in self.holders if module is not None)

    @property
    def name(self) -> str:
        """As in the adapter file that is written."""
        return self.first.name

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n) of ΔW."""
        m, n = self.first.shape
        assert n is not None, "widths are resolved before layers are planned"
        return m, n

    @property
    def rank(self) -> int:
        """R, the sum of the ranks."""
        return sum(module.rank for module in self.holders if module is not None)

    @property
    def dtype(self) -> str:
        """The dtype that holds all adapters' factors exactly."""
        return widest(*(module.dtype for module in self.holders if module is not None))

    def updates(self, loaded: Loaded) -> list[LowRankUpdate | None]:
        """Each adapter's update of this layer, from what was loaded."""
        return [held.get(name) if name else None for held, name in zip(loaded, self.sources, strict=True)]


def batches(
    layers: Sequence[Layer], dense: bool, whole_model: bool, setting: Callable[[Layer], object] = lambda layer: None
) -> Iterator[list[Layer]]:
    """Layers that go through the merge together: equal shapes, ranks, tasks and settings, at most BATCH_BYTES of them.

    All of one setting at once where a stage looks at the whole model. dense: the merge forms m × n matrices.
    """
    groups: dict[object, list[Layer]] = {}
    for layer in layers:
        key = tuple(module and (module.shape, module.rank, module.dtype) for module in layer.holders)
        groups.setdefault((setting(layer), None if whole_model else key), []).append(layer)
    for group in groups.values():
        m, n = group[0].shape
        entries = m * n * (len(group[0].holders) + 1) if dense else (m + n) * group[0].rank
        size = len(group) if whole_model else max(1, BATCH_BYTES // (8 * max(1, entries)))
        yield from (group[i : i + size] for i in range(0, len(group), size))


def stacked_with(layer: Layer) -> str:
    """A name that layers have in common which a loader gives one rank: Module.group, and experts saved one by one.

    transformers 5 stacks these on loading, all that a model has at one rank.
    """
    return _EXPERTS if re.search(r"\.experts\.\d+\.", layer.path) else layer.first.group


def nested_in_attention(layers: Sequence[Layer]) -> set[str]:
    """Names of modules that have another nested inside: nn.MultiheadAttention, in PEFT's files."""
    return {layer.first.group for layer in layers if layer.first.group != layer.name and not layer.first.stack}


def weight_name(layer: Layer) -> str:
    """The name of the layer's weight in the base model's state dict."""
    return f"{layer.path}.weight"
