"""The cases as files for other languages: safetensors, one JSON manifest, its schema, and the hashes of all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .judging_files import check
from .precision import as_precision
from .provenance import case_set_hash, version
from .questions import SAFETY, Case, cases
from .selecting import Patterns

FORMAT = "coremerge-conformance-2"
TENSORS, MANIFEST, SCHEMA, SUMS = "vectors.safetensors", "manifest.json", "manifest.schema.json", "SHA256SUMS"
NARROW = ("bfloat16", "float16")  # inputs that are there a second time in float32, for languages without these types
NOTES = {
    "ill-posed": "the answer hangs on rounding or on a null vector (see reasons); only its determined part is judged",
    "subnormal": "B is subnormal: a processor that flushes subnormals to zero sees B = 0",
    "low-precision": "inputs are float16, bfloat16 or float32: the numbers they hold are exact; compute in float64",
    "batch": "factors have a leading dimension of layers; they meet only where the scope of trim or ties is the model",
    "rank-0": "a task has rank 0: B (m, 0), A (0, n)",
    "masks": "DARE keeps the entries where the mask is 1; coordinates are those of the space, dead directions last",
    "exact": "every scale · B · A is exact in float64, so thresholds and signs in the full space are decided",
}
SPACES = {
    "full": "U and V are identities",
    "knots": "U: left singular vectors of [ΔW_1 | … | ΔW_T], V: identity, singular values kept in the coordinates",
    "core": "U: left singular vectors of [B_1 | … | B_T], V: right singular vectors of [A_1; …; A_T]",
    "knots-unscaled": "as knots, each row of the coordinates divided by its singular value, and multiplied by it after "
    "the merge and before isotropization",
}


def flags(case: Case) -> list[str]:
    """The notes that apply to a case."""
    dtypes = {x.dtype.name for b, a, _ in case.updates for x in (b, a)}
    applies = {
        "ill-posed": not case.well_posed,
        "subnormal": case.family == "denormal",
        "low-precision": "float64" not in dtypes,
        "batch": case.updates[0][0].ndim == 3,
        "rank-0": any(b.shape[-1] == 0 for b, _, _ in case.updates),
        "masks": case.masks is not None,
        "exact": case.family != "bfloat16" and case.masks is None,
    }
    return [flag for flag, holds in applies.items() if holds]


def schema() -> dict[str, Any]:
    """JSON Schema of the manifest."""
    loaded: dict[str, Any] = json.loads((Path(__file__).parent / SCHEMA).read_text())
    return loaded


def update_record(case: Case, t: int) -> dict[str, Any]:
    """The names of one task's tensors, and its scale."""
    b, _, scale = case.updates[t]
    stem = f"input/{case.family}/{t}"
    wider = {"B_float32": f"{stem}/B.float32", "A_float32": f"{stem}/A.float32"} if b.dtype.name in NARROW else {}
    return {"B": f"{stem}/B", "A": f"{stem}/A", "scale": scale, **wider}


def record(case: Case) -> dict[str, Any]:
    """A case's entry in the manifest."""
    return {
        "name": case.name, "method": case.method, "space": case.space, "params": case.params, "family": case.family,
        "note": case.note, "shape": list(case.shape), "flags": flags(case), "reasons": list(case.reasons),
        "updates": [update_record(case, t) for t in range(len(case.updates))],
        "masks": None if case.masks is None else f"masks/{case.name}", "expected": f"expected/{case.name}",
        "undecided": None if case.undecided is None else f"undecided/{case.name}", "freedom": case.freedom,
        "possible": [list(values) for values in case.possible],
        "output": f"output/{case.name}", "tolerance": case.tolerance,
        "expected_error": case.expected_error, "kappa": case.kappa, "bound": case.bound, "scale": case.scale,
        "live": list(case.live),
    }  # fmt: skip


def tensors(case: Case) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays that a case's entry names."""
    out: dict[str, np.ndarray[Any, Any]] = {}
    for t, (b, a, _) in enumerate(case.updates):
        names = update_record(case, t)
        out[names["B"]], out[names["A"]] = b, a
        if "B_float32" in names:
            out[names["B_float32"]], out[names["A_float32"]] = b.astype(np.float32), a.astype(np.float32)
    entry = record(case)
    for key, x in (("masks", case.masks), ("expected", case.expected), ("undecided", case.undecided)):
        if x is not None:
            out[entry[key]] = x
    return out


def manifest(chosen: Sequence[Case], precision: str) -> dict[str, Any]:
    """All of the manifest but the hash of the tensors' file."""
    eps = as_precision(precision).eps
    return {
        "format": FORMAT, "kit": version(), "case_set": case_set_hash(chosen), "precision": precision,
        "provenance": "expected values: mpmath at 60 digits or more, rounded once to float64; arXiv 2509.17786",
        "tolerance": f"Frobenius norm of the error <= {SAFETY:g} * kappa * {eps:g} * scale + rounding",
        "notes": NOTES, "spaces": SPACES, "cases": [record(c) for c in chosen],
    }  # fmt: skip


def export(directory: str | Path, *, only: Patterns = None, skip: Patterns = None, precision: str = "float64") -> Path:
    """Write the cases to a new or empty directory: ``vectors.safetensors``, ``manifest.json``,
    ``manifest.schema.json`` and ``SHA256SUMS`` (``sha256sum --check`` reads it). FileExistsError where there is
    something already."""
    from safetensors.numpy import save

    directory, chosen = Path(directory), cases(only, skip, precision)
    if directory.exists() and any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty: export writes to a new directory")
    if not chosen:
        raise ValueError(f"only {only!r} and skip {skip!r} leave no case to export")
    directory.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.ascontiguousarray(x) for case in chosen for name, x in tensors(case).items()}
    data = save(arrays, {"format": FORMAT})
    whole = {**manifest(chosen, precision), "files": {TENSORS: hashlib.sha256(data).hexdigest()}}
    contents = {
        TENSORS: data,
        MANIFEST: (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode(),
        SCHEMA: (json.dumps(schema(), indent=1) + "\n").encode(),
    }
    sums = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()]
    for name, content in {**contents, SUMS: "".join(sums).encode()}.items():
        (directory / name).write_bytes(content)
    return directory


__all__ = ["check", "export", "flags", "manifest", "record", "schema", "tensors"]
