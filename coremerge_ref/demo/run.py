"""The demo from end to end."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from coremerge_ref.adapters import merge_folders
from coremerge_ref.adapters.threads import one_blas_thread
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.demo.beside_peft import beside_peft
from coremerge_ref.demo.compare import METHODS, SPACES, Deltas, Line, line, plain_sum
from coremerge_ref.demo.data import TEST, Data
from coremerge_ref.demo.evaluate import accuracies, adapted, mean, normalised
from coremerge_ref.demo.lossless import residual, sizes
from coremerge_ref.demo.report import show
from coremerge_ref.demo.tasks import TASKS


def run(
    output: str | Path,
    console: Console | None = None,
    force: bool = False,
    methods: Sequence[str] = METHODS,
    plot: bool = False,
) -> dict[str, Any]:
    """Merge the shipped adapters by each of `methods` in every space, measure, and write the best as a PEFT folder.

    output : folder for the merged adapter: the core-space merge with the best validation accuracy. force replaces one
        that exists. console : where progress and the report go; nothing is printed without. plot : bars in the report.

    Returns everything measured as a JSON object. Raises AdapterError at once if `output` cannot be written.
    """
    with one_blas_thread():
        return _run(output, console or Console(quiet=True), force, methods, plot)


def _run(output: str | Path, console: Console, force: bool, methods: Sequence[str], plot: bool) -> dict[str, Any]:
    start, data = time.perf_counter(), Data()
    folders = list(data.adapters.values())
    merge_folders(folders, output, force=force, dry_run=True)
    for method in methods:
        Pipeline.parse(method)  # raises now for what is no method
    single = single_accuracies(data)
    lines = _lines(data, methods, single, console)
    best = max((found for found in lines if found.space == "core"), key=lambda found: found.validation)
    report = merge_folders(folders, output, best.method, best.space, scale=best.alpha, dtype="float32", force=force)
    result = {
        "tasks": list(TASKS),
        "base": _summary(accuracies(data, data.base, TEST), single),
        "averaged": _summary(accuracies(data, adapted(data.base, plain_sum(data), 1 / len(TASKS)), TEST), single),
        "single": _summary(single, single),
        "merged": [asdict(found) for found in lines],
        "lossless": {space: residual(data.updates, space) for space in ("knots", "core")},
        "sizes": [asdict(size) for size in sizes(data.updates)],
        "beside_peft": beside_peft(data),
        "chosen": {"method": best.method, "space": best.space, "alpha": best.alpha},
        "written": report.as_json(),
        "seconds": round(time.perf_counter() - start, 1),
    }
    show(result, console, plot)
    return result


def single_accuracies(data: Data) -> dict[str, float]:
    """Test accuracy of each adapter alone, on its own task."""
    found: dict[str, float] = {}
    for t, task in enumerate(TASKS):
        deltas = {layer: updates[t].to_dense() for layer, updates in data.updates.items()}
        found |= accuracies(data, adapted(data.base, deltas), TEST, [task])
    return found


def _lines(data: Data, methods: Sequence[str], single: dict[str, float], console: Console) -> list[Line]:
    lines: list[Line] = []
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("", total=len(methods) * len(SPACES))
        for method in methods:
            found: list[tuple[Line, Deltas]] = []
            for space in SPACES:
                progress.update(bar, description=f"{method} in {space} space")
                found.append(line(data, method, space, single, found))
                progress.advance(bar)
            lines += [one for one, _ in found]
    return lines


def _summary(accuracy: dict[str, float], single: dict[str, float]) -> dict[str, Any]:
    return {"accuracy": accuracy, "average": mean(accuracy), "normalised": normalised(accuracy, single)}
