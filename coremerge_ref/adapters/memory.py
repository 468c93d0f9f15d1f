"""How much memory full-size matrices will take, said before it is taken, and refused where it is not there.

Factors of a layer are small; its m × n matrices are not, and a file of a few kilobytes can ask for gigabytes of them.
"""

import threading
import tracemalloc
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from coremerge_ref.adapters.free_memory import free_memory
from coremerge_ref.adapters.layer import Layer
from coremerge_ref.adapters.streaming import Job
from coremerge_ref.core.merging import merge
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Space
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate
from coremerge_ref.errors import CoreMergeError, ParameterError, shown

TOLD = 1e9  # bytes that are worth a note
# An update written in full: its float64 entries, those in the output's dtype, and which of them are finite. MARGIN:
# what LAPACK takes beside NumPy's arrays, which alone are counted.
WRITTEN, MARGIN = 2.5, 1.25
_SMALL, _UNKNOWN = 64, 12.0  # rows and columns of the merge that is measured; matrices a task where it cannot be done


def within_memory(job: Job, dense: bool, ignore: bool, tell: Callable[[str], None], share: int = 1) -> Job:
    """The job with as many merges beside one another as memory allows.

    `tell` is told what is needed if it is much. ParameterError if one at a time needs more than is free, unless
    `ignore`. share: how many processes that merge as much share the memory.
    """
    batches = list(job.batches(dense))
    needs = [_needed(job, batch, dense) for batch in batches]
    most = share * max(needs, default=0.0)
    if most == 0:
        return job
    free = free_memory()
    workers = job.backend.workers
    if free is not None:
        workers = max(1, min(workers, int(free / (2 * most))))
    together = min(workers, len(batches)) * most
    fewer = "" if share == 1 else f"merge with fewer than {share} workers at a time, or "
    layer, advice = batches[needs.index(max(needs))][0], f"{fewer}merge in core space without --dense"
    _say(layer.path, layer.shape, together, most, free, ignore, advice, tell)
    return replace(job, backend=replace(job.backend, workers=workers))


def check_memory(sizes: Mapping[str, tuple[int, int]], taken: float, ignore: bool, tell: Callable[[str], None]) -> bool:
    """For what holds `taken` matrices of one layer's full size: says what the largest needs, as within_memory does.

    Whether it is free. ParameterError if it is not, unless `ignore`.
    """
    path = max(sizes, key=lambda name: float(np.prod(sizes[name], dtype=float)))
    most = 8 * float(np.prod(sizes[path], dtype=float)) * MARGIN * taken
    free = free_memory()
    _say(path, sizes[path], most, most, free, ignore, "look in core space", tell)
    return free is None or most <= free


def _say(
    path: str, shape: tuple[int, int], together: float, most: float, free: float | None, ignore: bool, advice: str,
    tell: Callable[[str], None],
) -> None:  # fmt: skip
    what = f"full-size matrices of layer {shown(path)} {shape} and its like need about {_size(together)}"
    if together >= TOLD:
        tell(f"{what} of memory" + ("" if free is None else f", of {_size(free)} that are free"))
    if free is not None and most > free and not ignore:
        raise ParameterError(
            f"{what} of memory, and {_size(free)} are free; {advice}, or try all the same with --ignore-memory "
            "(ignore_memory=True)"
        )


def _needed(job: Job, batch: Sequence[Layer], dense: bool) -> float:
    """Bytes that a batch takes beside its factors."""
    path, tasks = batch[0].path, sum(module is not None for module in batch[0].holders)
    weights = job.weights.of(path)
    if weights is not None and len(weights) != tasks:
        weights = None
    taken = matrices(job.pipeline.of(path), job.space, tasks, weights)
    entries = float(sum(np.prod(layer.shape, dtype=float) for layer in batch))
    return 8 * entries * (MARGIN * taken + WRITTEN * dense)


def measure_first(job: Job, dense: bool) -> None:
    """Finds out what the job's merges take, before threads of this process merge beside one another.

    Stopping tracemalloc while another thread allocates can crash Python, before 3.12.9.
    """
    for batch in job.batches(dense):
        _needed(job, batch, dense)


_measuring = threading.Lock()  # tracemalloc is one for all threads
_measured: dict[Hashable, float] = {}


def matrices(pipeline: Pipeline, space: Space, tasks: int, weights: Sequence[float] | None) -> float:
    """How many float64 matrices of a layer's full size a merge holds at once; 0 where it holds factors alone.

    Found out by merging something small, once.
    """
    given = (pipeline, space, tasks, None if weights is None else tuple(weights))
    try:
        hash(given)
        key: Hashable = given  # kept, so that no other function of a user's comes to stand at its address
    except TypeError:  # masks, of which the sizes count alone
        key = repr(given)
    with _measuring:
        if key not in _measured:
            _measured[key] = _found_out(*given)
        return _measured[key]


def _found_out(pipeline: Pipeline, space: Space, tasks: int, weights: Sequence[float] | None) -> float:
    try:
        if not isinstance(merge(_small(tasks), pipeline, space, 1.0, weights), DenseUpdate):
            return 0.0
        return measured(lambda updates: merge(updates, pipeline, space, 1.0, weights), tasks)
    except CoreMergeError:  # masks of another size, say
        return _UNKNOWN * tasks


def _small(tasks: int) -> list[LowRankUpdate]:
    factors = [np.random.default_rng(t).standard_normal((2, _SMALL, 2)) for t in range(tasks)]
    return [LowRankUpdate(B, A.T) for B, A in factors]


def measured(run: Callable[[list[LowRankUpdate]], object], tasks: int) -> float:
    """How many float64 matrices of full size `run` holds at once beside small updates that it is given."""
    updates, started = _small(tasks), not tracemalloc.is_tracing()
    try:
        if started:
            tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        run(updates)
        return (tracemalloc.get_traced_memory()[1] - before) / (8 * _SMALL**2)
    finally:
        if started:
            tracemalloc.stop()


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
