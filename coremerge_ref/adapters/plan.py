"""What will be merged: the union of the adapters' modules, checked to fit together, cut into batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from coremerge_ref.adapters.files import shown
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.modules import Module, widest
from coremerge_ref.errors import AdapterError

# Bytes of float64 factors in one batch. Batches exist to amortize calls on small layers; a few layers of 4096 × 4096
# fill one. What a merge needs on top is a small multiple of this, so it bounds the memory of the whole run.
BATCH_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Layer:
    """One module of the base model and what each adapter holds for it, None where it holds nothing."""

    holders: tuple[Module | None, ...]

    @property
    def first(self) -> Module:
        """What all that have the module agree on is read off the first."""
        return next(module for module in self.holders if module is not None)

    @property
    def name(self) -> str:
        """As in the adapter files."""
        return self.first.name

    @property
    def path(self) -> str:
        """Where it is in the base model: the layer name that keys DARE's masks."""
        return self.first.path

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


def planned(adapters: Sequence[Adapter]) -> list[Layer]:
    """One Layer for each module that any adapter has, in the order of their first appearance.

    AdapterError naming module and adapters where shapes or kinds differ; where one module's name lies inside another's.
    """
    names = dict.fromkeys(name for adapter in adapters for name in adapter.modules)
    layers = [Layer(tuple(adapter.modules.get(name) for adapter in adapters)) for name in names]
    for layer in layers:
        _check(layer, adapters)
    paths = [layer.path for layer in layers]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise AdapterError(
            f"module {shown(twice)}: expected one prefix in all adapters, got it with and without; save them again"
        )
    return layers


def _check(layer: Layer, adapters: Sequence[Adapter]) -> None:
    seen = [(adapter, module) for adapter, module in zip(adapters, layer.holders, strict=True) if module is not None]
    (first, expected), *others = seen
    for adapter, module in others:
        if (module.kind, module.shape, module.kernel) != (expected.kind, expected.shape, expected.kernel):
            raise AdapterError(
                f"module {shown(layer.path)}: expected {expected.kind} {expected.kernel or expected.shape} as "
                f"{shown(first.path)} has, got {module.kind} {module.kernel or module.shape} in {shown(adapter.path)}; "
                "adapters of one base model have equal shapes"
            )


def batches(layers: Sequence[Layer], dense: bool, whole_model: bool) -> Iterator[list[Layer]]:
    """Layers that go through the merge together: equal shapes, ranks and tasks, at most BATCH_BYTES of them.

    All at once where a stage looks at the whole model. dense: the merge forms m × n matrices.
    """
    if whole_model:
        yield list(layers)
        return
    groups: dict[object, list[Layer]] = {}
    for layer in layers:
        key = tuple(module and (module.shape, module.rank, module.dtype) for module in layer.holders)
        groups.setdefault(key, []).append(layer)
    for group in groups.values():
        m, n = group[0].shape
        entries = m * n * (len(group[0].holders) + 1) if dense else (m + n) * group[0].rank
        size = max(1, BATCH_BYTES // (8 * entries))
        yield from (group[i : i + size] for i in range(0, len(group), size))


def nested_in_attention(layers: Sequence[Layer]) -> set[str]:
    """Names of modules that have another nested inside: nn.MultiheadAttention, in PEFT's files."""
    return {layer.first.group for layer in layers if layer.first.group != layer.name and not layer.first.stack}


def weight_name(layer: Layer) -> str:
    """The name of the layer's weight in the base model's state dict."""
    return f"{layer.path}.weight"
