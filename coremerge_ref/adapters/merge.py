"""Adapter folders in, one adapter folder out."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coremerge_ref.adapters import output as outputs
from coremerge_ref.adapters import record as records
from coremerge_ref.adapters.arguments import check_factors, check_numbers
from coremerge_ref.adapters.backends import backend_named
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.forms import FORMS
from coremerge_ref.adapters.orientation import stored_transposed
from coremerge_ref.adapters.plan import planned
from coremerge_ref.adapters.replace import check_output, replaced
from coremerge_ref.adapters.report import MergeReport
from coremerge_ref.adapters.streaming import Job, Progress
from coremerge_ref.adapters.widths import BaseShapes, resolve_widths
from coremerge_ref.adapters.writing import write_dense, write_factors
from coremerge_ref.core.pipeline import Method, Pipeline, as_pipeline
from coremerge_ref.core.spaces import Space, as_space

DENSE = "delta_weights.safetensors"


def merge_folders(
    paths: Sequence[str | Path],
    output: str | Path,
    method: Method | Pipeline = "tsv",
    space: str | Space = "core",
    *,
    weights: Sequence[float] | None = None,
    scale: float = 1.0,
    rank: int | None = None,
    dense: bool = False,
    dtype: str | None = None,
    backend: str = "numpy",
    device: str | None = None,
    base: str | Path | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> MergeReport:
    """Merge PEFT adapter folders (LoRA and VeRA) into one PEFT LoRA folder, a batch of layers at a time.

    Parameters
    ----------
    paths : adapter folders; one alone gives itself back. Modules that only some adapters have are merged among those.
    output : folder to write: adapter_config.json and adapter_model.safetensors, which PEFT loads, and coremerge.json,
        the record of how it was merged. It appears whole or not at all.
    method, space, weights, scale : as in merge. PEFT then computes W0 + scale · ΔW.
    rank : truncate every layer to this rank, optimally; by default a layer keeps all directions that are not zero.
    dense : write full-size ΔW to delta_weights.safetensors instead, under the names and in the shapes of the base
        model's weights. Needed, or else `rank`, where the result is no low-rank product (elementwise methods in full
        space).
    dtype : "float16", "bfloat16", "float32" or "float64" of the output; each layer's promoted input dtype by default.
        Arithmetic is float64 throughout.
    backend, device : the array library that merges ("numpy", "torch", "cupy", "jax"), and where.
    base : the base model's safetensors, a folder or a file. Needed where VeRA adapters adapt layers of several sizes,
        since their files do not say how wide a layer is; only headers are read.
    force : replace an existing adapter folder. dry_run : check everything, write nothing.
    progress : called with (layers done, layers in all).

    Returns a MergeReport. Raises AdapterError for anything wrong with a folder, ParameterError and DTypeError for the
    arguments, NonFiniteError and others as merge does; in every case nothing was written.
    """
    started = time.monotonic()
    pipeline, chosen, target = as_pipeline(method), as_space(space), Path(output)
    check_numbers(len(paths), weights, rank, dtype)
    check_factors(pipeline, chosen, len(paths), weights, scale, allowed=dense or rank is not None)
    adapters = [Adapter(path) for path in paths]
    check_output(target, force, [adapter.path for adapter in adapters])
    shapes = None if base is None else BaseShapes(base)
    notes = resolve_widths(adapters, shapes) + outputs.model_notes(adapters)
    layers = planned(adapters)
    form = FORMS[adapters[0].reader.family](adapters, layers)
    turned = stored_transposed(adapters, layers, shapes) if dense else {}
    library = backend_named(backend, device)
    job = Job(adapters, layers, pipeline, chosen, scale, weights, rank, dtype, library, progress or _silent)
    ranks: dict[str, int] = {}
    size = 0
    if not dry_run:
        with records.Hashes(adapters) as hashes, replaced(target, force) as folder:
            file = folder / (DENSE if dense else form.weights)
            if dense:
                found = write_dense(job, file, lambda layer: turned[layer.name])
            else:
                ranks, found = write_factors(job, form, file)
                for name, content in form.companions(ranks).items():
                    _write_json(folder / name, content)
            settings = {
                "weights": None if weights is None else [float(w) for w in weights],
                "scale": scale,
                "rank": rank,
                "dtype": dtype,
                "dense": dense,
                "backend": backend,
                "device": device,
            }
            made = records.record(adapters, pipeline, chosen, settings, found, notes, hashes.results())
            _write_json(folder / records.NAME, made)
            size = file.stat().st_size
    return MergeReport(
        output=str(target),
        written=not dry_run,
        method=str(pipeline),
        space=chosen.name,
        adapters=len(adapters),
        layers=len(layers),
        ranks=(min(ranks.values()), max(ranks.values())) if ranks else None,
        bytes=size,
        seconds=round(time.monotonic() - started, 3),
        notes=notes,
    )


def _silent(done: int, total: int) -> None:
    """Progress that nobody watches."""


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
