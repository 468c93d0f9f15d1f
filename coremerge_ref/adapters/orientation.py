"""How the base model stores the weights that full-size output is to be added to."""

from collections.abc import Sequence

from coremerge_ref.adapters.files import shown
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.plan import Layer, nested_in_attention
from coremerge_ref.adapters.widths import BaseShapes
from coremerge_ref.errors import AdapterError


def stored_transposed(adapters: Sequence[Adapter], layers: Sequence[Layer], base: BaseShapes | None) -> dict[str, bool]:
    """For each layer, by name, whether its weight is (in, out), as Conv1D's are; from the base model or the configs.

    AdapterError where that cannot be known, and for nn.MultiheadAttention.
    """
    if inside := sorted(nested_in_attention(layers)):
        raise AdapterError(
            f"module {shown(inside[0])}: refused with --dense: PEFT 0.21 adds the update of nn.MultiheadAttention's "
            "out_proj twice, so what to add to the weight depends on its version; write factors, without --dense"
        )
    stored = {adapter.config.fan_in_fan_out for adapter in adapters}
    turned = {}
    for layer in layers:
        shape = base.of(layer.path) if base else None
        m, n = layer.shape
        if shape in ((m, n), (n, m)) and m != n:
            turned[layer.name] = shape == (n, m)
        elif len(stored) > 1:
            raise AdapterError(
                f"layer {shown(layer.path)}: fan_in_fan_out differs between the adapters, so how the weight is stored "
                "is unknown; correct the configs, or write factors instead of --dense"
            )
        else:
            turned[layer.name] = stored == {True}
    return turned
