"""What baselines are of: paths of adapters, or updates in memory."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from coremerge_ref.adapters import record as records
from coremerge_ref.adapters.rescale import ScalableAdapter
from coremerge_ref.core.inputs import as_updates
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate
from coremerge_ref.errors import AdapterError, ParameterError
from coremerge_ref.tuning.baselines import BASE, Candidates

# α of the base model on disk. Several loaders take an alpha of 0 for a missing one, and then the scale for 1; times
# this, ΔW is far below the rounding of any weight.
VANISHING = 2.0**-60
Input: TypeAlias = tuple[Any, Mapping[str, str]]  # the path of an adapter, and the SHA-256 of its files, by name


def baselines_of(merged: Any, adapter: ScalableAdapter | None, given: Any, base: str | Path | None) -> Candidates:
    """Those of a sweep; ParameterError where `given`, sweep's argument, names none. adapter: `merged`, if on disk."""
    if given is False:
        return []
    if adapter is None:
        each = [] if given is True else updates_alone(merged, given)
        return [(BASE, lambda: nullcontext(times(merged, 0.0))), *each]
    if given is not True and (isinstance(given, str) or not isinstance(given, Sequence)):
        raise ParameterError(f"baselines: expected True, False or a list of adapters' paths, got {given!r}")
    inputs = of_record(adapter) if given is True else [(path, {}) for path in given]
    return [(BASE, lambda: _on_disk(adapter, VANISHING)), *alone(inputs, adapter.family, adapter.is_file, base)]


def alone(inputs: Sequence[Input], family: str, one_file: bool, base: str | Path | None) -> Candidates:
    """Adapters on disk, each in a temporary place: a file or a folder, as the merge's trials are."""
    return [(str(path), partial(_alone, path, known, family, one_file, base)) for path, known in inputs]


@contextmanager
def _alone(path: Any, known: Mapping[str, str], family: str, one_file: bool, base: str | Path | None) -> Iterator[Path]:
    with ScalableAdapter(path, base) as adapter:
        if adapter.family != family:
            raise AdapterError(f"{path}: expected an adapter of the merge's format, {family}, got {adapter.family}")
        if any(records.sha256(file) != known.get(file.name, records.sha256(file)) for file in adapter.given.files):
            raise AdapterError(f"{path}: is not the adapter that was merged: it changed since; merge again")
        with _on_disk(adapter, 1.0, one_file) as place:
            yield place


@contextmanager
def _on_disk(adapter: ScalableAdapter, factor: float, one_file: bool | None = None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="coremerge-alone-") as folder:
        yield adapter.write_trial(Path(folder), factor, one_file)


@contextmanager
def without(path: Any, one_file: bool, base: str | Path | None) -> Iterator[Path]:
    """The base model, as the adapter at `path` times nothing."""
    with ScalableAdapter(path, base) as adapter, _on_disk(adapter, VANISHING, one_file) as place:
        yield place


def of_record(adapter: ScalableAdapter) -> list[Input]:
    """The adapters that a merged one says it is of; none where it does not say."""
    given = adapter.record.get("inputs")
    inputs = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    return [(each["path"], each["sha256"]) for each in inputs if isinstance(each.get("sha256"), dict)]


def updates_alone(merged: Any, updates: Any) -> Candidates:
    """Task by task; where a task has no update of a layer it changes nothing there. ParameterError for no updates."""
    if isinstance(updates, Mapping) != isinstance(merged, Mapping):
        raise ParameterError("baselines: expected updates as merge or merge_adapters took them for `merged`")
    if not isinstance(updates, Mapping):
        return [(f"task {t}", partial(nullcontext, u)) for t, u in enumerate(as_updates(updates)) if u is not None]
    layers = {name: as_updates(each, name) for name, each in updates.items()}
    if missing := next((name for name in merged if name not in layers), None):
        raise ParameterError(f"baselines: expected updates of every layer of `merged`, got none of {missing!r}")
    tasks = len(next(iter(layers.values()), []))

    def task(t: int) -> dict[str, Any]:
        return {name: times(merged[name], 0.0) if layers[name][t] is None else layers[name][t] for name in merged}

    return [(f"task {t}", partial(nullcontext, task(t))) for t in range(tasks)]


def times(merged: Any, alpha: float) -> Any:
    """Updates times a number; factors keep their arrays."""
    if isinstance(merged, Mapping):
        return {name: times(update, alpha) for name, update in merged.items()}
    if isinstance(merged, LowRankUpdate):
        return replace(merged, scale=merged.scale * alpha)
    if isinstance(merged, DenseUpdate):
        return replace(merged, matrix=merged.matrix * alpha)
    raise ParameterError(
        f"merged: expected the path of an adapter, or what merge or merge_adapters returns, got {type(merged).__name__}"
    )
