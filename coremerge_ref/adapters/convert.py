"""One adapter in, the same adapter in another format out."""

import json
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from coremerge_ref.adapters import record as records
from coremerge_ref.adapters.beside import beside, open_one
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.forms.target import Target
from coremerge_ref.adapters.forms.targets import TARGETS
from coremerge_ref.adapters.modules import Module
from coremerge_ref.adapters.others import REFUSE, headless_note
from coremerge_ref.adapters.replace import check_output, replaced
from coremerge_ref.adapters.replace_file import check_output_file, replaced_file
from coremerge_ref.adapters.widths import BaseShapes, resolve_widths
from coremerge_ref.adapters.writer import TensorWriter, numpy_dtype
from coremerge_ref.errors import AdapterError, ParameterError, shown
from coremerge_ref.version import package_version

_DIMENSIONS = 5


@dataclass(frozen=True)
class ConvertReport:
    """What was converted: modules, and how many of them hold factors that had to be computed, so were rounded."""

    output: str
    to: str
    modules: int
    computed: int
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def convert_adapter(
    source: str | Path,
    output: str | Path,
    to: str,
    *,
    base: str | Path | None = None,
    others: str = REFUSE,
    force: bool = False,
) -> ConvertReport:
    """Write the adapter at `source` as `to`: "peft", "kohya", "diffusers" or "mlx".

    Plain LoRA factors are kept bit for bit, with the scaling as alpha; factors of other products (LoHa, VeRA …) are
    computed in float64 and rounded once. base: as in merge_folders. others: "refuse", or "drop" to leave out heads,
    biases and token embeddings, which formats other than PEFT's have no place for. force: replace what is there.

    Raises ParameterError for another `to`, AdapterError where the conversion is not exact or needs to know the
    architecture, saying why; nothing is written then.
    """
    if to not in TARGETS:
        raise ParameterError(f"to: expected one of {', '.join(TARGETS)}, got {to!r}")
    (adapter, opened), place = open_one(source, others), Path(output)
    notes = resolve_widths([adapter], None if base is None else BaseShapes(base))
    without: dict[str, Any] = {}
    if opened.others:
        notes.append(beside(adapter, opened, " left out"))
        if note := headless_note(adapter):
            notes, without = [*notes, note], {"task_type": None}
    target = TARGETS[to](adapter)
    if why := target.refusal():
        raise AdapterError(f"{shown(adapter.path)}: cannot be converted to {to} exactly: {why}")
    one_file = bool(target.suffix) and place.suffix == target.suffix
    there = (check_output_file if one_file else check_output)(place, force, adapter.files)
    with replaced_file(there, records.NAME) if one_file else replaced(there) as folder:
        computed = _write(adapter, target, folder / (place.name if one_file else target.weights))
        for name, content in target.companions().items():
            _write_json(folder / name, content | {key: value for key, value in without.items() if key in content})
        digests = {path.name: records.sha256(path) for path in adapter.files}
        how = {"path": adapter.called, "sha256": digests}
        written = {entry.name: records.sha256(entry) for entry in sorted(folder.iterdir())}
        made = {"coremerge_ref": package_version(), "converted": how, "to": to, "outputs": written}
        _write_json(folder / records.NAME, made)
    return ConvertReport(str(place), to, len(adapter.modules), computed, notes + there.notes)


def _write(adapter: Adapter, target: Target, path: Path) -> int:
    """Writes the tensors, one module or stack of experts at a time; returns how many modules were computed."""
    groups = [list(members) for _, members in groupby(adapter.modules.values(), lambda module: module.stem)]
    # names bound the header's room: the longest that any target gives one module, and twice that for safety
    names = [f"{module.name}{'_' * 60}{i}" for module in adapter.modules.values() for i in range(4)]
    writer = TensorWriter(path, names, _DIMENSIONS, target.metadata())
    computed = 0
    try:
        for name, tensor in adapter.reader.base_weights.items():
            weights = adapter.base_weights(name)
            if weights is not None and target.keeps_base_weights:
                writer.add(tensor, weights)
        for group in groups:
            held = [(module, _factors(adapter, module)) for module in group]
            computed += sum(was for _, (_, was) in held)
            for name, array in target.tensors([(module, factors) for module, (factors, _) in held]).items():
                writer.add(name, array)
        writer.close()
    finally:
        writer.abandon()
    return computed


def _factors(adapter: Adapter, module: Module) -> tuple[tuple[np.ndarray, np.ndarray], bool]:
    """((B, A) in the module's dtype, whether they were computed)."""
    update = adapter.load([module.name])[module.name]
    dtype = numpy_dtype(module.dtype)
    with np.errstate(over="ignore"):
        B, A = (factor.astype(dtype) for factor in (update.B, update.A))
    if not module.rank:
        B, A = np.zeros((B.shape[0], 1), dtype), np.zeros((1, A.shape[1]), dtype)
    if not (np.all(np.isfinite(B)) and np.all(np.isfinite(A))):
        raise AdapterError(f"{shown(adapter.path)}: module {shown(module.path)}: does not fit {module.dtype}")
    return (B, A), dtype.itemsize < max(update.B.dtype.itemsize, update.A.dtype.itemsize)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
