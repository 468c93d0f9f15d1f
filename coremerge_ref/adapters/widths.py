"""How wide modules are, where their own file does not say it.

PEFT cuts VeRA's shared vera_A to each layer's input size and repeats a MiSS block up to it, and takes that size from
the base model. Without the base model it can come from a LoRA adapter merged beside it, from the base model's
safetensors headers, or, when all modules of a VeRA adapter have one output size, from vera_A itself, which is as wide
as the widest of them. The headers also say which flattened LoHa and LoKr products belong to convolutions.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.formats.together import check_together
from coremerge_ref.adapters.hub import MODEL, located
from coremerge_ref.adapters.modules import LINEAR, Module
from coremerge_ref.adapters.patterns import module_path
from coremerge_ref.adapters.tensors import TensorFile
from coremerge_ref.errors import AdapterError, shown


class BaseShapes:
    """Shapes of a base model's weights, from the headers of its safetensors files; no weight is read."""

    def __init__(self, path: str | Path) -> None:
        """path: a folder with safetensors files, or one such file. AdapterError if there is none."""
        self.path, self.called = located(path, MODEL)
        files = sorted(self.path.glob("*.safetensors")) if self.path.is_dir() else [self.path]
        if not files:
            raise AdapterError(f"{shown(self.path)}: expected the base model's *.safetensors files; give their folder")
        self.entries = {name: entry for file in files for name, entry in TensorFile(file).entries.items()}

    def of(self, path: str) -> tuple[int, ...] | None:
        """Shape of the weight of the module at `path`, None if unknown; checkpoints may lack the outermost prefix.

        AdapterError if the weight is quantized: packed numbers have no such shape.
        """
        wanted = f"{path}.weight"
        names = [wanted] if wanted in self.entries else self.near(wanted)
        if len(names) != 1:
            return None
        entry = self.entries[names[0]]
        if entry.code in ("U8", "I8", "I32", "U32") or f"{names[0]}.absmax" in self.entries:
            raise AdapterError(
                f"{shown(self.path)}: tensor {shown(names[0])}: a quantized base model ({entry.code} {entry.shape}), "
                "whose packed weights do not show their sizes; give the unquantized one with --base (base=)"
            )
        return entry.shape

    def of_underscored(self, name: str) -> tuple[int, ...] | None:
        """Shape of the weight of a module that single files call "lora_unet_" and its path with _ for every dot."""
        words = name.split("_")
        ends = ("_".join(words[i:]) for i in range(len(words)))  # the longest first
        return next((self._underscored[end] for end in ends if end in self._underscored), None)

    @cached_property
    def _underscored(self) -> dict[str, tuple[int, ...]]:
        weights = [name for name in self.entries if name.endswith(".weight")]
        return {name.removesuffix(".weight").replace(".", "_"): self.entries[name].shape for name in weights}

    def near(self, wanted: str) -> list[str]:
        """Names that end in `wanted`, or that it ends in, at a dot."""
        return [name for name in self.entries if name.endswith("." + wanted) or wanted.endswith("." + name)]


def resolve_widths(adapters: Sequence[Adapter], base: BaseShapes | None) -> list[str]:
    """Sets n of every module whose file does not say it, and kernels of flattened products; returns notes.

    AdapterError if the sizes cannot be known, saying how to give them, or the adapters name modules differently.
    """
    check_together(adapters)
    known = {n: m.shape[1] for a in adapters for n, m in a.modules.items() if m.shape[1] is not None}
    notes = []
    for adapter in adapters:
        reader = adapter.reader
        open_ended = {name: module for name, module in adapter.modules.items() if module.shape[1] is None}
        widths = {name: known.get(name) or _from_base(module, base) for name, module in open_ended.items()}
        unknown = [name for name, width in widths.items() if width is None]
        fallback: Any = getattr(reader, "width", None)  # of VeRA alone
        if unknown and (fallback is None or len({module.shape[0] for module in open_ended.values()}) > 1):
            raise AdapterError(
                f"{shown(adapter.path)}: {reader.title} does not hold the input sizes of its modules, such as "
                f"{shown(module_path(unknown[0]))}; give the folder of the base model's safetensors with --base (base=)"
            )
        if unknown:
            notes.append(
                f"{adapter.path}: took {fallback} as the input size of all VeRA modules, the width of "
                "vera_A; if the base model's differ, PEFT will refuse the output: give the base model with --base"
            )
        if open_ended:
            reader.resolve({name: fallback if width is None else width for name, width in widths.items()})
        notes += _unflatten(adapter, base)
    return notes


def _unflatten(adapter: Adapter, base: BaseShapes | None) -> list[str]:
    """Gives convolutions the kernels that the base model has, where the file does not show them."""
    unsure = [adapter.modules[name] for name in adapter.reader.unsure_kernels]
    flat = sum(module.kind == LINEAR for module in unsure)
    if base is None and flat:
        return [
            f"{adapter.path}: took {flat} modules without a Tucker core as linear layers, since LoHa and LoKr files do "
            "not tell convolutions from them; if there are some, give the base model with --base"
        ]
    for module in unsure:
        shape = base and (base.of(module.path) or base.of_underscored(module.name))
        if shape and len(shape) > 2 and (shape[0], math.prod(shape[1:])) == module.shape:
            adapter.reader.set_kernel(module.name, shape[1:])
    return []


def _from_base(module: Module, base: BaseShapes | None) -> int | None:
    shape = base.of(module.path) if base else None
    if shape is None:
        return None
    m = module.shape[0]
    if len(shape) != 2 or m not in shape:
        raise AdapterError(f"module {shown(module.path)}: expected a base weight with a side of {m}, got shape {shape}")
    return shape[1] if shape[0] == m else shape[0]  # Conv1D stores (in, out)
