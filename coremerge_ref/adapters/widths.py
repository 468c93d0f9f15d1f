"""How wide VeRA modules are, which their own file does not say.

PEFT cuts the shared vera_A to each layer's input size, and takes that size from the base model. Without the base
model it can come from a LoRA adapter merged beside it, from the base model's safetensors headers, or, when all modules
have one output size, from vera_A itself, which is as wide as the widest of them.
"""

from collections.abc import Sequence
from pathlib import Path

from coremerge_ref.adapters.files import shown
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.formats.vera import VeraReader
from coremerge_ref.adapters.modules import Module
from coremerge_ref.adapters.patterns import module_path
from coremerge_ref.adapters.tensors import TensorFile
from coremerge_ref.errors import AdapterError


class BaseShapes:
    """Shapes of a base model's weights, from the headers of its safetensors files; no weight is read."""

    def __init__(self, path: str | Path) -> None:
        """path: a folder with safetensors files, or one such file. AdapterError if there is none."""
        self.path = Path(path)
        files = sorted(self.path.glob("*.safetensors")) if self.path.is_dir() else [self.path]
        if not files:
            raise AdapterError(f"{shown(self.path)}: expected the base model's *.safetensors files; give their folder")
        self.shapes = {name: entry.shape for file in files for name, entry in TensorFile(file).entries.items()}

    def of(self, path: str) -> tuple[int, ...] | None:
        """Shape of the weight of the module at `path`, None if unknown; checkpoints may lack the outermost prefix."""
        wanted = f"{path}.weight"
        if wanted in self.shapes:
            return self.shapes[wanted]
        near = [
            shape for name, shape in self.shapes.items() if name.endswith("." + wanted) or wanted.endswith("." + name)
        ]
        return near[0] if len(near) == 1 else None


def resolve_widths(adapters: Sequence[Adapter], base: BaseShapes | None) -> list[str]:
    """Sets n of every VeRA module; returns notes on what was assumed.

    AdapterError if the sizes cannot be known, saying how to give them.
    """
    known = {n: m.shape[1] for a in adapters for n, m in a.modules.items() if m.shape[1] is not None}
    notes = []
    for adapter in adapters:
        reader = adapter.reader
        if not isinstance(reader, VeraReader):
            continue
        modules = adapter.modules
        widths = {name: known.get(name) or _from_base(module, base) for name, module in modules.items()}
        unknown = [name for name, width in widths.items() if width is None]
        if unknown and len({modules[name].shape[0] for name in modules}) > 1:
            raise AdapterError(
                f"{shown(adapter.path)}: a VeRA adapter does not hold the input sizes of its modules, such as "
                f"{shown(module_path(unknown[0]))}; give the folder of the base model's safetensors with --base (base=)"
            )
        if unknown:
            notes.append(
                f"{adapter.path}: took {reader.width} as the input size of all VeRA modules, the width of "
                "vera_A; if the base model's differ, PEFT will refuse the output: give the base model with --base"
            )
        reader.resolve({n: reader.width if w is None else w for n, w in widths.items()})
    return notes


def _from_base(module: Module, base: BaseShapes | None) -> int | None:
    shape = base.of(module.path) if base else None
    if shape is None:
        return None
    m = module.shape[0]
    if len(shape) != 2 or m not in shape:
        raise AdapterError(f"module {shown(module.path)}: expected a base weight with a side of {m}, got shape {shape}")
    return shape[1] if shape[0] == m else shape[0]  # Conv1D stores (in, out)
