"""Whether a merged folder is what its coremerge.json says: hashes, and the merge done again."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from coremerge_ref.adapters import record as records
from coremerge_ref.adapters.files import is_regular_file, read_json
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.formats import is_adapter
from coremerge_ref.adapters.hub import ADAPTER, is_hub_id, located
from coremerge_ref.adapters.tensors import TensorFile
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.errors import AdapterError, shown

SAME, CHANGED, MISSING = "same", "changed", "missing"
IDENTICAL, ROUNDING, DIFFERENT = "identical", "equal to rounding", "different"
_THRESHOLD = 50.0  # in eps of the output's dtype, as in coremerge_ref.testing
_EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}


@dataclass(frozen=True)
class Verification:
    """What was found. outputs, inputs: by path "same", "changed" or "missing". again: the merge done again against
    the folder, "identical", "equal to rounding" or "different", None where it was not done; ratio: how far in eps.
    """

    outputs: dict[str, str]
    inputs: dict[str, str] = field(default_factory=dict)
    again: str | None = None
    ratio: float | None = None

    @property
    def ok(self) -> bool:
        """Whether everything is as recorded."""
        return {*self.outputs.values(), *self.inputs.values()} <= {SAME} and self.again in (IDENTICAL, ROUNDING)

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"ok": self.ok, **asdict(self)}


def read_record(path: Path) -> dict[str, Any]:
    """coremerge.json of a merge, at `path`. AdapterError if it is not there, or has no hashes of the output."""
    if not is_regular_file(path):
        raise AdapterError(f"{shown(path)}: expected the record of a merge; is this what coremerge merge wrote?")
    record = read_json(path)
    made_by = next((word for word in ("converted", "extracted") if word in record), None)
    if made_by:
        raise AdapterError(
            f"{shown(path)}: expected the record of a merge, which can be done again, got that of an adapter that was "
            f"{made_by}: do that again and compare"
        )
    inputs, outputs = record.get("inputs"), record.get("outputs")
    told = isinstance(inputs, list) and all(
        isinstance(each, dict) and isinstance(each.get("path"), str) and _are_hashes(each.get("sha256"))
        for each in inputs
    )
    if not (told and _are_hashes(outputs)):
        raise AdapterError(
            f"{shown(path)}: expected hashes of inputs and outputs, got none: an older version wrote it, or "
            "somebody by hand; merge again"
        )
    return record


def _are_hashes(value: Any) -> bool:
    """Whether it is {plain file name: text}."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(
            isinstance(text, str) and os.path.basename(name) == name not in ("", ".", "..")
            for name, text in value.items()
        )
    )


def checked_files(folder: Path, hashes: Mapping[str, str]) -> dict[str, str]:
    """For each file of `folder` whether it is as recorded."""
    return {str(folder / name): _checked(folder / name, digest) for name, digest in hashes.items()}


def _checked(path: Path, digest: str) -> str:
    if not is_regular_file(path):
        return MISSING
    try:
        return SAME if records.sha256(path) == digest else CHANGED
    except OSError as error:
        raise AdapterError(f"{shown(path)}: cannot be read: {error.strerror}") from error


def found_at(path: str, root: Path | None, merged: Path) -> Path:
    """Where an input recorded as `path` is now: under `root` if given, else as recorded, from here or from the merged
    folder's parent.
    """
    if is_hub_id(path):
        return located(path, ADAPTER)[0]
    if root is not None:
        return root / path
    trained, _, initial = path.rpartition("@")
    there = os.path.exists(path) or (os.path.isdir(trained) and os.path.isdir(initial))
    return Path(path) if there else merged.parent / path


def checked_input(place: Path, hashes: Mapping[str, str]) -> dict[str, str]:
    """For each file of an input whether it is as recorded; of TRAINED@INITIAL, those of INITIAL begin with an @."""
    trained, mark, initial = str(place).rpartition("@")
    if not mark or place.exists():
        return checked_files(place.parent if place.is_file() else place, hashes)
    parts = {name: (Path(initial if name[0] == "@" else trained), name.removeprefix("@")) for name in hashes}
    return {str(folder / file): _checked(folder / file, hashes[name]) for name, (folder, file) in parts.items()}


def compared(folder: Path, again: Path, names: Mapping[str, str]) -> tuple[str, float]:
    """(verdict, ratio) of two folders of one merge: largest ‖ΔW − ΔW'‖ / (eps ‖ΔW‖) over their layers."""
    if all(records.sha256(again / name) == digest for name, digest in names.items()):
        return IDENTICAL, 0.0
    here, there = _matrices(folder, names), _matrices(again, names)
    if here.keys() != there.keys():
        return DIFFERENT, float("inf")
    worst = 0.0
    for name in here:
        (a, dtype), (b, _) = here[name](), there[name]()
        worst = max(worst, _ratio(a, dtype, b))
    return (ROUNDING if worst <= _THRESHOLD else DIFFERENT), worst


def _matrices(folder: Path, names: Mapping[str, str]) -> dict[str, Callable[[], tuple[Any, str]]]:
    """{layer: what reads its (update or matrix, dtype)}; full-size files tensor by tensor."""
    files = [name for name in names if name.endswith((".safetensors", ".gguf"))]
    place = folder if "adapter_config.json" in names else folder / (files or list(names))[0]
    if is_adapter(place):
        adapter = Adapter(place)
        return {m.path: partial(_update, adapter, name, m.dtype) for name, m in adapter.modules.items()}
    opened = [TensorFile(folder / name) for name in files]
    return {name: partial(_matrix, file, name) for file in opened for name in file.entries}


def _update(adapter: Adapter, name: str, dtype: str) -> tuple[Any, str]:
    return adapter.load([name])[name], dtype


def _matrix(file: TensorFile, name: str) -> tuple[Any, str]:
    return file.read([name])[name], file.entries[name].dtype


def _ratio(a: Any, dtype: str, b: Any) -> float:
    if a.shape != b.shape:
        return float("inf")
    size, difference = _norm(a), _norm(_minus(a, b))
    return difference / (_EPS.get(dtype, 1.0) * size) if size else (0.0 if not difference else float("inf"))


def _minus(a: Any, b: Any) -> Any:
    """a − b; of factors as factors of twice the rank."""
    if not isinstance(a, LowRankUpdate):
        return a.astype(np.float64) - b.astype(np.float64)
    B = np.concatenate([_scaled(a), -_scaled(b)], axis=1)  # (m, r + r')
    return LowRankUpdate(B, np.concatenate([_wide(a.A), _wide(b.A)]))


def _norm(update: Any) -> float:
    """‖ΔW‖_F, of factors by their triangular factors: ‖R_B R_Aᵀ‖."""
    if not isinstance(update, LowRankUpdate):
        return float(np.linalg.norm(update.astype(np.float64)))
    left, right = (np.asarray(np.linalg.qr(X, mode="r")) for X in (_scaled(update), _wide(update.A).T))
    return float(np.linalg.norm(left @ right.T))


def _scaled(update: LowRankUpdate) -> np.ndarray:
    return _wide(update.B) * float(update.scale)


def _wide(array: Any) -> np.ndarray:
    return np.asarray(array).astype(np.float64)
