"""The merge itself, batch by batch: adapters read, merged on the chosen backend, handed on, and let go."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from coremerge_ref.adapters.backends import Backend
from coremerge_ref.adapters.files import reason, shown
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.plan import Layer, batches
from coremerge_ref.core.models import merge_adapters
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Full, Space
from coremerge_ref.core.updates import LowRankUpdate, Update
from coremerge_ref.errors import AdapterError, NonFiniteError

Progress = Callable[[int, int], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """One merge of adapter folders, checked and ready to run."""

    adapters: Sequence[Adapter]
    layers: Sequence[Layer]
    pipeline: Pipeline
    space: Space
    scale: float
    weights: Sequence[float] | None
    rank: int | None
    dtype: str | None
    backend: Backend
    progress: Progress

    def run(self, finish: Callable[[Layer, Update], Result]) -> Iterator[tuple[Layer, Result]]:
        """Each layer with finish(layer, its merged update in float64, truncated if asked).

        Batches run beside one another on threads where that helps, and come back in order.
        """
        todo = list(batches(self.layers, isinstance(self.space, Full), self.pipeline.whole_model))
        done = 0
        with _in_order(min(self.backend.workers, len(todo))) as run:
            for results in run(lambda batch: self._merged(batch, finish), todo):
                yield from results
                done += len(results)
                self.progress(done, len(self.layers))

    def _merged(self, batch: Sequence[Layer], finish: Callable[[Layer, Update], Result]) -> list[tuple[Layer, Result]]:
        names = [layer.name for layer in batch]
        loaded = [adapter.load(names) for adapter in self.adapters]
        updates = {layer.path: [self._sent(held.get(layer.name)) for held in loaded] for layer in batch}
        try:
            with self.backend.session(), np.errstate(all="ignore"):  # results are checked to be finite instead
                merged = merge_adapters(
                    updates, self.pipeline, self.space, self.scale, self.weights, out_dtype="float64"
                )
                del loaded, updates
                cut = ((layer, self._truncated(merged.pop(layer.path))) for layer in batch)
                return [(layer, finish(layer, update)) for layer, update in cut]
        except NonFiniteError as error:
            raise AdapterError(str(error)) from error
        except (np.linalg.LinAlgError, ArithmeticError, MemoryError, RuntimeError) as error:
            raise AdapterError(
                f"layer {shown(batch[0].path)} and {len(batch) - 1} of equal shape: the computation failed: "
                f"{reason(error)}; are there extreme numbers in the adapters, or too little memory?"
            ) from error

    def _sent(self, update: LowRankUpdate | None) -> LowRankUpdate | None:
        if update is None:
            return None
        return LowRankUpdate(self.backend.send(update.B), self.backend.send(update.A), update.scale)

    def _truncated(self, update: Update) -> Update:
        return update if self.rank is None else update.truncate(self.rank)


@contextmanager
def _in_order(count: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """A map(function, items) on `count` threads with results in order, never more than count + 1 batches held.

    LAPACK gets one thread meanwhile: its own threads cost more than they give on matrices of this size, and on a busy
    machine, where they wait for each other spinning, ten times more.
    """
    with threadpool_limits(limits=1, user_api="blas"):
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
