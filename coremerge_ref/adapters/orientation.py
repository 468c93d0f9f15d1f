"""How the base model stores the weights that full-size output is to be added to."""

from collections.abc import Sequence

from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.layer import Layer, nested_in_attention
from coremerge_ref.adapters.widths import BaseShapes
from coremerge_ref.errors import AdapterError, shown


def stored_transposed(adapters: Sequence[Adapter], layers: Sequence[Layer], base: BaseShapes | None) -> dict[str, bool]:
    """For each layer, by name, whether its weight is (in, out), as Conv1D's are; from the base model or the configs.

    AdapterError where that cannot be known, and for nn.MultiheadAttention.
    """
    check_attention(layers)
    stored = {adapter.config.fan_in_fan_out for adapter in adapters}
    turned = {}
    alike = {} if base is None else stored_alike(base)
    for layer in layers:
        shape = base.of(layer.path) if base else None
        m, n = layer.shape
        if shape in ((m, n), (n, m)) and m != n:
            turned[layer.name] = shape == (n, m)
        elif (leaf := layer.path.rpartition(".")[2]) in alike:
            turned[layer.name] = alike[leaf]
        elif len(stored) > 1:
            raise AdapterError(
                f"layer {shown(layer.path)}: fan_in_fan_out differs between the adapters, so how the weight is stored "
                "is unknown; correct the configs, or write factors instead of --dense"
            )
        else:
            turned[layer.name] = stored == {True}
    return turned


def check_attention(layers: Sequence[Layer]) -> None:
    """AdapterError for nn.MultiheadAttention, whose weights are not what PEFT adds to."""
    if inside := sorted(nested_in_attention(layers)):
        raise AdapterError(
            f"module {shown(inside[0])}: refused with --dense and --into: PEFT 0.21 adds the update of "
            "nn.MultiheadAttention's out_proj twice, so what to add to the weight depends on its version; write factors"
        )


def stored_alike(base: BaseShapes) -> dict[str, bool]:
    """{last part of a name: whether weights called so are (in, out)}, where weights that are not square show it.

    A bias is as long as the output: of weights with one, that says which side it is. A square weight is taken to be
    stored as the others of its name are, since one config's fan_in_fan_out may speak of another layer: PEFT sets it by
    the last that it wraps.
    """
    seen: dict[str, set[bool]] = {}
    for name, entry in base.entries.items():
        bias = base.entries.get(f"{name.removesuffix('weight')}bias")
        if name.endswith(".weight") and bias is not None and len(entry.shape) == 2 and len({*entry.shape}) == 2:
            leaf = name.removesuffix(".weight").rpartition(".")[2]
            seen.setdefault(leaf, set()).add(bias.shape == entry.shape[1:])
    return {leaf: ways.pop() for leaf, ways in seen.items() if len(ways) == 1}
