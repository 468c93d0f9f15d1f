"""What a search merges: adapters on disk, or updates in memory; prepared once in each space."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from coremerge_ref.adapters import record as records
from coremerge_ref.adapters.prepared import PreparedFolders, prepare_folders
from coremerge_ref.adapters.report import MergeReport
from coremerge_ref.core.inputs import as_updates
from coremerge_ref.core.models import prepare
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Space, as_space
from coremerge_ref.tuning.baselines import BASE, Candidates
from coremerge_ref.tuning.candidates import Input, alone, updates_alone, without


class Merges(Protocol):
    """tasks: how many are merged. largest: the largest rank of one. identity: what a study remembers of them."""

    tasks: int
    largest: int
    identity: Any

    def check(self, pipeline: Pipeline, space: Space, weights: Sequence[float] | None) -> None:
        """ParameterError where such a merge cannot be."""

    def merged(self, pipeline: Pipeline, space: Space, scale: float, weights: Sequence[float] | None) -> Any:
        """A context that gives what is evaluated: the path of a temporary adapter, or the merged updates."""

    def baselines(self) -> Candidates:
        """The base model, and each task alone."""


class FolderMerges:
    """Adapters on disk. options: of merge: rank, ragged, dtype …; reading: of prepare_folders."""

    def __init__(self, paths: Sequence[str | Path], reading: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self._paths, self._reading, self._options = list(paths), dict(reading), dict(options)
        self._prepared: dict[Space, PreparedFolders] = {}
        first = self.prepared("core")
        self.tasks, self.notes = len(self._paths), first.notes
        self.largest = max(module.rank for adapter in first.adapters for module in adapter.modules.values())
        self.identity = [{path.name: records.sha256(path) for path in adapter.files} for adapter in first.adapters]
        given = Path(self._paths[0])
        self._suffix = given.suffix if given.is_file() else ""

    def prepared(self, space: str | Space) -> PreparedFolders:
        """The adapters in a space."""
        where = as_space(space)
        if where not in self._prepared:
            self._prepared[where] = prepare_folders(self._paths, where, **self._reading)
        return self._prepared[where]

    def check(self, pipeline: Pipeline, space: Space, weights: Sequence[float] | None) -> None:
        """As Merges."""
        with tempfile.TemporaryDirectory(prefix="coremerge-check-") as folder:
            self.write(Path(folder) / f"adapter{self._suffix}", pipeline, space, 1.0, weights, dry_run=True)

    @contextmanager
    def merged(self, pipeline: Pipeline, space: Space, scale: float, weights: Sequence[float] | None) -> Iterator[Path]:
        """As Merges."""
        with tempfile.TemporaryDirectory(prefix="coremerge-trial-") as folder:
            place = Path(folder) / f"adapter{self._suffix}"
            self.write(place, pipeline, space, scale, weights)
            yield place

    def baselines(self) -> Candidates:
        """As Merges."""
        base, one_file = self._reading.get("base"), bool(self._suffix)
        first = self.prepared("core").adapters[0]
        inputs: list[Input] = [(path, {}) for path in self._paths]
        nothing = partial(without, self._paths[0], one_file, base)
        return [(BASE, nothing), *alone(inputs, first.reader.family, one_file, base)]

    def write(
        self, output: str | Path, pipeline: Pipeline, space: Space, scale: float, weights: Sequence[float] | None,
        **more: Any,
    ) -> MergeReport:  # fmt: skip
        """One merge, to `output`."""
        return self.prepared(space).merge(output, pipeline, weights=weights, scale=scale, **{**self._options, **more})


class UpdateMerges:
    """Updates in memory: those of one layer, or {layer: updates}."""

    def __init__(self, updates: Any) -> None:
        self._updates = updates
        self._prepared: dict[Space, Any] = {}
        layers = updates if isinstance(updates, Mapping) else {"": updates}
        checked = {name: as_updates(each, name) for name, each in layers.items()}
        self.tasks = len(next(iter(checked.values())))
        self.largest = max(u.rank for each in checked.values() for u in each if u is not None)
        self.identity = {name: [u and [*u.shape, u.rank] for u in each] for name, each in checked.items()}
        self.notes: list[str] = []

    def check(self, pipeline: Pipeline, space: Space, weights: Sequence[float] | None) -> None:
        """As Merges: the first merge says it."""

    @contextmanager
    def merged(self, pipeline: Pipeline, space: Space, scale: float, weights: Sequence[float] | None) -> Iterator[Any]:
        """As Merges."""
        yield self.merge(pipeline, space, scale, weights)

    def baselines(self) -> Candidates:
        """As Merges; an update of nothing is a sum times 0."""
        nothing = self.merge(Pipeline.parse("ta"), as_space("core"), 0.0, None)
        return [(BASE, partial(nullcontext, nothing)), *updates_alone(nothing, self._updates)]

    def merge(self, pipeline: Pipeline, space: Space, scale: float, weights: Sequence[float] | None) -> Any:
        """One merge."""
        if space not in self._prepared:
            self._prepared[space] = prepare(self._updates, space)
        return self._prepared[space].merge(pipeline, scale, weights)


def merges_of(adapters: Any, reading: Mapping[str, Any], options: Mapping[str, Any]) -> "FolderMerges | UpdateMerges":
    """Paths of adapters, or updates as merge and merge_adapters take them."""
    paths = not isinstance(adapters, Mapping | str) and all(isinstance(each, str | os.PathLike) for each in adapters)
    return FolderMerges(adapters, reading, options) if paths else UpdateMerges(adapters)
