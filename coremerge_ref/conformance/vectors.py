"""The cases as files for other languages: safetensors and one JSON manifest; and outputs checked against them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .asking import run
from .questions import EPS, FORMAT, SAFETY, Case, cases, sha256
from .report import Report

NOTES = {
    "ill-posed": "the answer hangs on rounding or on a null vector (see reasons); only its determined part is judged",
    "subnormal": "B is subnormal: a processor that flushes subnormals to zero sees B = 0",
    "low-precision": "inputs are float16, bfloat16 or float32: the numbers they hold are exact; compute in float64",
    "batch": "factors have a leading dimension of layers, merged one by one",
    "rank-0": "a task has rank 0: B (m, 0), A (0, n)",
    "masks": "DARE keeps the entries where the mask is 1; coordinates are those of the space, dead directions last",
    "exact": "every scale · B · A is exact in float64, so thresholds and signs in the full space are decided",
}
SPACES = {
    "full": "U and V are identities",
    "knots": "U: left singular vectors of [ΔW_1 | … | ΔW_T], V: identity, singular values kept in the coordinates",
    "core": "U: left singular vectors of [B_1 | … | B_T], V: right singular vectors of [A_1; …; A_T]",
}
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "?", "BF16": "<u2"}


def flags(case: Case) -> list[str]:
    """The notes that apply to a case."""
    dtypes = {x.dtype.name for b, a, _ in case.updates for x in (b, a)}
    found = {
        "ill-posed": not case.well_posed,
        "subnormal": case.family == "denormal",
        "low-precision": "float64" not in dtypes,
        "batch": case.updates[0][0].ndim == 3,
        "rank-0": any(b.shape[-1] == 0 for b, _, _ in case.updates),
        "masks": case.masks is not None,
        "exact": case.family != "bfloat16" and case.masks is None,
    }
    return [k for k, v in found.items() if v]


def schema() -> dict[str, Any]:
    """JSON Schema of the manifest."""
    loaded: dict[str, Any] = json.loads((Path(__file__).parent / "manifest.schema.json").read_text())
    return loaded


def read(path: str | Path) -> dict[str, np.ndarray[Any, Any]]:
    """A safetensors file, bfloat16 included: an 8-byte length, a JSON header, the bytes."""
    raw = Path(path).read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    out = {}
    for name, about in json.loads(raw[8:start]).items():
        if name == "__metadata__":
            continue
        first, last = (start + x for x in about["data_offsets"])
        x = np.frombuffer(raw[first:last], dtype=_DTYPES[about["dtype"]]).reshape(about["shape"])
        if about["dtype"] == "BF16":
            x = (x.astype("<u4") << 16).view("<f4")
        out[name] = x
    return out


def record(case: Case) -> dict[str, Any]:
    """A case's entry in the manifest."""
    stem = f"input/{case.family}"
    return {
        "name": case.name, "method": case.method, "space": case.space, "params": case.params, "family": case.family,
        "note": case.note, "shape": list(case.shape), "flags": flags(case), "reasons": list(case.reasons),
        "updates": [
            {"B": f"{stem}/{t}/B", "A": f"{stem}/{t}/A", "scale": s} for t, (_, _, s) in enumerate(case.updates)
        ],
        "masks": None if case.masks is None else f"masks/{case.name}", "expected": f"expected/{case.name}",
        "output": f"output/{case.name}", "tolerance": case.tolerance,
        "expected_error": case.expected_error, "kappa": case.kappa, "live": list(case.live),
    }  # fmt: skip


def export(directory: str | Path, *, only: str | None = None, skip: str | None = None) -> Path:
    """Write ``vectors.safetensors``, ``manifest.json`` and ``manifest.schema.json`` to a new or empty directory."""
    from safetensors.numpy import save

    directory = Path(directory)
    if directory.exists() and any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty: export writes to a new directory")
    directory.mkdir(parents=True, exist_ok=True)
    chosen, tensors = cases(only, skip), {}
    for case in chosen:
        for t, (b, a, _) in enumerate(case.updates):
            tensors[f"input/{case.family}/{t}/B"], tensors[f"input/{case.family}/{t}/A"] = b, a
        if case.masks is not None:
            tensors[f"masks/{case.name}"] = case.masks
        assert case.expected is not None
        tensors[f"expected/{case.name}"] = case.expected
    contiguous = {k: np.ascontiguousarray(x) for k, x in tensors.items()}
    (directory / "vectors.safetensors").write_bytes(save(contiguous, {"format": FORMAT}))
    manifest = {
        "format": FORMAT,
        "provenance": "expected values: mpmath at 60 digits or more, rounded once to float64; arXiv 2509.17786",
        "tolerance": f"Frobenius norm of the error <= {SAFETY:g} * kappa * {EPS:g} * scale + rounding",
        "notes": NOTES, "spaces": SPACES,
        "files": {"vectors.safetensors": sha256(directory / "vectors.safetensors")},
        "cases": [record(c) for c in chosen],
    }  # fmt: skip
    (directory / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    (directory / "manifest.schema.json").write_text(json.dumps(schema(), indent=1) + "\n")
    return directory


def check(directory: str | Path, outputs: str | Path) -> Report:
    """Judge a safetensors file of outputs named ``output/<case>`` or ``<case>``; a missing case is unsupported."""
    directory = Path(directory)
    manifest = json.loads((directory / "manifest.json").read_text())
    if manifest.get("format") != FORMAT:
        raise ValueError(f"{directory}: format {manifest.get('format')!r} where {FORMAT!r} is expected; export again")
    for name, digest in manifest["files"].items():
        if sha256(directory / name) != digest:
            raise ValueError(f"{directory / name} differs from the one exported (sha256); export again")
    given = read(outputs)
    known = {c.name: c for c in cases()}
    unknown = {k.removeprefix("output/") for k in given} - set(known)
    if unknown:
        raise ValueError(f"{outputs}: no such cases: {', '.join(sorted(unknown)[:3])}")

    def answer(case: Case) -> Any:
        for key in (f"output/{case.name}", case.name):
            if key in given:
                return given[key]
        raise NotImplementedError("no output for this case")

    return run(answer, cases=[known[r["name"]] for r in manifest["cases"]], repeat=False)
