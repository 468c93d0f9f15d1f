"""Outputs of another language judged: nothing in the files is believed that is not what the kit would write."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from .asking import run
from .precision import PRECISIONS
from .questions import Case, cases
from .report import Report
from .selecting import Patterns
from .text import clean

LARGEST_MANIFEST = 32 << 20  # bytes
AGAIN = "export again"


def check(
    directory: str | Path, outputs: str | Path, *, only: Patterns = None, skip: Patterns = None,
    allow_partial: bool = False,
) -> Report:  # fmt: skip
    """Judge a safetensors file of outputs named ``output/<case>`` or ``<case>``.

    The cases are the kit's own, those that ``only`` and ``skip`` name: ``report.missing`` lists the ones without an
    output, and unless ``allow_partial`` they make ``report.ok`` false. ValueError for files that are damaged, from
    another version of the kit, or no regular files of those names.
    """
    from safetensors import SafetensorError, safe_open

    precision = verified(Path(directory))
    chosen = cases(only, skip, precision)
    _regular(Path(outputs), follow=True)
    try:
        with safe_open(str(outputs), framework="np") as file:
            names = set(file.keys())
            strange = sorted({n.removeprefix("output/") for n in names} - {c.name for c in cases(precision=precision)})
            if strange:
                raise ValueError(f"{outputs}: no such cases: {clean(', '.join(strange[:3]), 200)}")
            report = run(lambda case: _answer(file, names, case), cases=chosen, repeat=False, precision=precision)
    except SafetensorError as error:
        raise ValueError(f"{outputs}: no safetensors file: {clean(str(error))}") from error
    report.missing = [c.name for c in chosen if not {c.name, f"output/{c.name}"} & names]
    report.allow_partial = allow_partial
    return report


def _answer(file: Any, names: set[str], case: Case) -> np.ndarray[Any, Any]:
    """The output of a case; of another shape, only its shape."""
    name = next((n for n in (f"output/{case.name}", case.name) if n in names), None)
    if name is None:
        raise NotImplementedError("no output for this case")
    shape = tuple(file.get_slice(name).get_shape())
    if math.prod(shape) != math.prod(case.shape):
        return np.broadcast_to(np.float64(0), shape)
    array: np.ndarray[Any, Any] = file.get_tensor(name)
    return array


def verified(directory: Path) -> str:
    """The precision of an exported folder whose every entry is what this kit would write."""
    from .vectors import FORMAT, MANIFEST, TENSORS, manifest

    path = directory / MANIFEST
    said = _json(path)
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        given = said.get("format") if isinstance(said, dict) else type(said).__name__
        raise ValueError(f"{path}: format {given!r:.50} where {FORMAT!r} is expected; {AGAIN}")
    precision, entries = said.get("precision"), said.get("cases")
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise ValueError(
            f"{path}: precision {precision!r:.50} where one of {', '.join(PRECISIONS)} is expected; {AGAIN}"
        )
    names = [e.get("name") if isinstance(e, dict) else None for e in entries] if isinstance(entries, list) else [None]
    known = {c.name: c for c in cases(precision=precision)}
    strange = [n for n in names if not isinstance(n, str) or n not in known]
    if strange or len(set(names)) < len(names):
        what = clean(repr(strange[0]), 100) if strange else "a case twice"
        raise ValueError(f"{path}: {what} is no case of this kit, each once; {AGAIN}")
    own = json.loads(json.dumps(manifest([known[str(n)] for n in names], precision)))
    files = said.pop("files", None)
    for key in {**own, **said}:
        if said.get(key) != own.get(key):
            raise ValueError(f"{path}: {clean(key, 50)} differs from what this kit writes; {AGAIN}")
    if not isinstance(files, dict) or set(files) != {TENSORS}:
        raise ValueError(f"{path}: expected the hash of {TENSORS} under files, and of nothing else; {AGAIN}")
    _regular(directory / TENSORS)
    with open(directory / TENSORS, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != files[TENSORS]:
        raise ValueError(f"{directory / TENSORS} differs from the one exported (sha256); {AGAIN}")
    return precision


def _regular(path: Path, follow: bool = False) -> int:
    """The size of a regular file; ValueError for a FIFO, device, folder or, unless ``follow``, a link."""
    about = os.stat(path, follow_symlinks=follow)
    if not stat.S_ISREG(about.st_mode):
        raise ValueError(f"{path}: expected a regular file")
    return about.st_size


def _json(path: Path) -> Any:
    """A JSON file of bounded size, without NaN."""
    if _regular(path) > LARGEST_MANIFEST:
        raise ValueError(f"{path}: larger than any manifest of this kit, {LARGEST_MANIFEST >> 20} MB")
    try:
        return json.loads(path.read_bytes(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: no JSON of a manifest: {clean(str(error), 100)}; {AGAIN}") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
