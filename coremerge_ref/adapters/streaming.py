"""The merge itself, batch by batch: adapters read, merged on the chosen backend, handed on, and let go."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np

from coremerge_ref.adapters.backends import Backend
from coremerge_ref.adapters.cutting import Cut
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.layer import Layer, batches
from coremerge_ref.adapters.threads import one_blas_thread
from coremerge_ref.core.models import PreparedModel
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Full, Space
from coremerge_ref.core.stages import ORTHOGONAL
from coremerge_ref.core.updates import LowRankUpdate, Update
from coremerge_ref.errors import AdapterError, NonFiniteError, reason, shown

Progress = Callable[[int, int, str], None]  # layers done, layers in all, the path of the one at work
Result = TypeVar("Result")
InSpace: TypeAlias = tuple[PreparedModel, dict[str, bool]]  # a batch, and by layer whether any update is not zero


class PerLayer(Protocol):
    """A setting that may depend on the layer: PerModule or Combined of selection.py."""

    def of(self, path: str) -> Any:
        """The value for the layer at `path`."""

    def values(self) -> list[Any]:
        """All values there are."""


@dataclass(frozen=True)
class Job:
    """One merge of adapters, checked and ready to run.

    layers: those to merge. pipeline, weights: by layer. twins: {path: layers that get the same update}. kept: where
    batches in their space are kept for later merges, by the paths of their layers; None keeps none. todo: the batches,
    where somebody has cut the layers into batches already.
    """

    adapters: Sequence[Adapter]
    layers: Sequence[Layer]
    twins: Mapping[str, Sequence[Layer]]
    pipeline: PerLayer
    space: Space
    scale: float
    weights: PerLayer
    cut: Cut | None
    dtype: str | None
    backend: Backend
    progress: Progress
    kept: dict[tuple[str, ...], InSpace] | None = None
    todo: Sequence[Sequence[Layer]] | None = None

    @property
    def all_layers(self) -> list[Layer]:
        """The layers of the output, twins beside those they share an update with."""
        return [each for layer in self.layers for each in self.with_twins(layer)]

    def with_twins(self, layer: Layer) -> tuple[Layer, ...]:
        """The layer and those that get its update."""
        return (layer, *self.twins.get(layer.path, ()))

    def run(
        self, finish: Callable[[Layer, Update], Result], dense: bool = False
    ) -> Iterator[tuple[Layer, Result, bool]]:
        """Each layer with finish(layer, its merged update in float64, truncated if asked), and whether any input's
        update of it is other than zero. dense: finish makes m × n matrices.

        Batches run beside one another on threads where that helps, and come back in order.
        """
        todo, count = self.batches(dense), _Count(self.progress, len(self.layers))
        with _in_order(min(self.backend.workers, len(todo))) as run:
            for results in run(lambda batch: self._merged(batch, finish, count), todo):
                yield from results

    def batches(self, dense: bool) -> Sequence[Sequence[Layer]]:
        """The layers that are merged together. dense: m × n matrices are made of the results."""
        if self.todo is not None:
            return self.todo
        whole = any(pipeline.whole_model for pipeline in self.pipeline.values())
        return list(batches(self.layers, dense or isinstance(self.space, Full), whole, self._setting))

    def _setting(self, layer: Layer) -> tuple[int, int]:
        return id(self.pipeline.of(layer.path)), id(self.weights.of(layer.path))

    def _merged(
        self, batch: Sequence[Layer], finish: Callable[[Layer, Update], Result], count: "_Count"
    ) -> list[tuple[Layer, Result, bool]]:
        count.at(batch[0])
        pipeline, weights = self.pipeline.of(batch[0].path), self.weights.of(batch[0].path)
        with computing(batch), self.backend.session(), np.errstate(all="ignore"):  # results are checked to be finite
            prepared, alive = self._in_space(batch, pipeline)
            merged = prepared.merge(pipeline, self.scale, weights, out_dtype="float64")
            del prepared  # of full-size matrices there is room for those of one merge
            results = []
            for layer in batch:
                update = self._truncated(merged.pop(layer.path))
                results.append((layer, finish(layer, update), alive[layer.path]))
                count.after(layer)
            return results

    def _in_space(self, batch: Sequence[Layer], pipeline: Pipeline) -> InSpace:
        """The batch in the space, and which of its layers are not zero; from what is kept, if it is there.

        Full-size matrices of every task are not kept: those of a whole model fit no memory.
        """
        key = tuple(layer.path for layer in batch)
        full_size = isinstance(self.space, Full) and pipeline.equivariance != ORTHOGONAL
        kept = {} if self.kept is None or full_size else self.kept
        if key in kept:
            return kept[key]
        loaded = load_layers(self.adapters, batch)
        given = {layer.path: layer.updates(loaded) for layer in batch}
        alive = {path: any(map(_is_not_zero, held)) for path, held in given.items()}
        updates = {path: [self._sent(update) for update in held] for path, held in given.items()}
        kept[key] = PreparedModel(updates, self.space), alive
        return kept[key]

    def _sent(self, update: LowRankUpdate | None) -> LowRankUpdate | None:
        if update is None:
            return None
        return LowRankUpdate(self.backend.send(update.B), self.backend.send(update.A), update.scale)

    def _truncated(self, update: Update) -> Update:
        return update if self.cut is None else self.cut.apply(update, self.backend.fetch)


@contextmanager
def computing(batch: Sequence[Layer]) -> Iterator[None]:
    """Failures of the arithmetic on `batch` as one AdapterError each, that names a layer."""
    try:
        yield
    except NonFiniteError as error:
        raise AdapterError(str(error)) from error
    except (np.linalg.LinAlgError, ArithmeticError, MemoryError, RuntimeError) as error:
        raise AdapterError(
            f"layer {shown(batch[0].path)} and {len(batch) - 1} of equal shape: the computation failed: "
            f"{reason(error)}; are there extreme numbers in the adapters, or too little memory?"
        ) from error


class _Count:
    """Layers done, told one by one whatever thread did them, so that a bar moves before a batch ends."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done, self._lock = progress, total, 0, Lock()

    def at(self, layer: Layer) -> None:
        """Work on the layer begins."""
        with self._lock:
            self._progress(self._done, self._total, layer.path)

    def after(self, layer: Layer) -> None:
        """The layer is done."""
        with self._lock:
            self._done += 1
            self._progress(self._done, self._total, layer.path)


def load_layers(adapters: Sequence[Adapter], layers: Sequence[Layer]) -> list[dict[str, LowRankUpdate]]:
    """What each adapter holds of `layers`, by the names of its own file; for Layer.updates."""
    return [
        adapter.load([name for layer in layers if (name := layer.sources[t]) is not None])
        for t, adapter in enumerate(adapters)
    ]


def _is_not_zero(update: LowRankUpdate | None) -> bool:
    """Whether a direction of the update has both a column of B and a row of A that is not zero."""
    if update is None or update.scale == 0:
        return False
    return bool(np.any(np.any(update.B != 0, axis=0) & np.any(update.A != 0, axis=1)))


@contextmanager
def _in_order(count: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """A map(function, items) on `count` threads with results in order, never more than count + 1 batches held.

    LAPACK gets one thread meanwhile: its own threads cost more than they give on matrices of this size, and on a busy
    machine, where they wait for each other spinning, ten times more.
    """
    with one_blas_thread():
        if count <= 1:
            yield map
            return
        pool = ThreadPoolExecutor(count)
        try:
            yield lambda function, items: _bounded(pool, count, function, items)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after an error or Ctrl-C, nobody waits for what still runs


def _bounded(
    pool: ThreadPoolExecutor, count: int, function: Callable[..., Result], items: Sequence[object]
) -> Iterator[Result]:
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > count:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
