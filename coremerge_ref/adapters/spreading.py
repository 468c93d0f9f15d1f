"""A merge on an executor's workers, which open the adapters themselves: what they are told, and what they do.

Paths are sent and results are files, so that workers may be on other machines that see the same folders.
"""

import os
import shutil
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from coremerge_ref.adapters.assembling import Shard, assemble
from coremerge_ref.adapters.files import open_regular
from coremerge_ref.adapters.memory import within_memory
from coremerge_ref.adapters.order import Order, Way, stamps, versions
from coremerge_ref.adapters.pieces import Batches, Piece, cut, numbered, piece_name, write_piece, written_at_once
from coremerge_ref.adapters.record import sha256
from coremerge_ref.adapters.streaming import Job, Progress
from coremerge_ref.adapters.workers import done_by
from coremerge_ref.adapters.writing import Outcome
from coremerge_ref.errors import AdapterError, shown

if TYPE_CHECKING:
    from coremerge_ref.adapters.prepared import PreparedFolders

_KEPT = 2  # merges whose adapters a worker keeps open
_OPEN: "OrderedDict[str, PreparedFolders]" = OrderedDict()  # by the token of their merge
_LOCK = Lock()


@contextmanager
def known_here(order: Order, prepared: "PreparedFolders") -> Iterator[None]:
    """Workers that are threads of this process use what it has opened."""
    with _LOCK:
        _OPEN[order.token] = prepared
    try:
        yield
    finally:
        with _LOCK:
            _OPEN.pop(order.token, None)


def _opened(order: Order) -> "PreparedFolders":
    """The adapters, opened once a process. AdapterError unless they and the programs are those of the merge."""
    from coremerge_ref.adapters.prepared import PreparedFolders

    with _LOCK:
        if order.token in _OPEN:
            return _OPEN[order.token]
        if versions() != order.versions:
            raise AdapterError(
                f"worker on {socket.gethostname()}: expected {order.versions}, as where the merge was started, got "
                f"{versions()}; results would differ: install the same on all machines"
            )
        prepared = PreparedFolders(order.paths, order.options, order.others, order.base, keep=False)
        for expected, found in zip(order.seen, stamps(prepared.adapters), strict=False):
            if expected != found:
                raise AdapterError(
                    f"{shown(expected[0])}: on {socket.gethostname()} is not the file that the merge was started with "
                    "(another size or time of change): put the adapters where all machines see them, and do not "
                    "change them meanwhile"
                )
        while len(_OPEN) >= _KEPT:
            _OPEN.popitem(last=False)
        _OPEN[order.token] = prepared
        return prepared


def do_piece(order: Order, batches: Sequence[Sequence[str]], path: str) -> Piece:
    """Merges batches of layers, given by their paths, and writes them to `path`. What a worker does."""
    prepared = _opened(order)
    job = prepared.job(order.options)
    layers = {layer.path: layer for layer in job.layers}
    todo = [[layers[path] for path in batch] for batch in batches]
    job = replace(job, layers=[layer for batch in todo for layer in batch], todo=todo)
    job = replace(job, backend=replace(job.backend, workers=1))
    job = within_memory(job, order.options.dense, order.ignore_memory, lambda _: None, order.share)
    return write_piece(job, prepared.form, prepared.turned(order.options.dense), Path(path))


def do_file(order: Order, place: str, path: str) -> Outcome:
    """Writes what becomes of a file of the base model. What a worker does."""
    prepared, outcome = _opened(order), Outcome()
    fusion = prepared.fusion
    assert fusion is not None
    job = prepared.job(order.options)
    job = replace(job, backend=replace(job.backend, workers=1))
    job = within_memory(job, False, order.ignore_memory, lambda _: None, order.share)
    with written_at_once(Path(path)) as unfinished:
        fusion.files.write_place(job, place, unfinished, outcome)
    outcome.digests[place] = sha256(Path(path))
    return outcome


def do_shard(order: Order, shard: Shard, ranks: Mapping[str, int]) -> str:
    """Writes a shard of the output from the pieces; its SHA-256. What a worker does."""
    form = None if order.options.dense else _opened(order).form
    with written_at_once(shard.path) as unfinished:
        replace(shard, path=unfinished).write(form, ranks)
        with open_regular(unfinished) as file:
            os.fsync(file.fileno())
    return sha256(shard.path)


def spread(
    prepared: "PreparedFolders", job: Job, order: Order, way: Way, file: Path, beside: Path, ragged: bool
) -> Outcome:
    """The merge by an executor's workers, written to `file` as one process writes it; beside: where pieces may lie."""
    dense = order.options.dense
    batches = job.batches(dense)
    with known_here(order, prepared), pieces_folder(beside) as folder:
        pieces = do_pieces(job, order, way, cut(batches, dense), folder)

        def write_shards(shards: Sequence[Shard], ranks: Mapping[str, int]) -> dict[str, str]:
            assert way.executor is not None
            if len(shards) == 1:
                shards[0].write(None if dense else prepared.form, ranks)
                return {}
            made = [replace(shard, path=shard.folder / shard.path.name) for shard in shards]
            digests = done_by(way.executor, do_shard, [(order, each, ranks) for each in made], lambda _: None)
            for each, shard in zip(made, shards, strict=True):
                os.rename(each.path, shard.path)
            return {shard.path.name: digest for shard, digest in zip(shards, digests, strict=True)}

        return assemble(
            pieces, numbered(batches, dense), job, prepared.form, prepared.turned(dense), file, folder, ragged,
            prepared.beside, way.most, write_shards,
        )  # fmt: skip


def spread_files(
    prepared: "PreparedFolders", job: Job, order: Order, way: Way, file: Path, beside: Path
) -> Callable[[Sequence[str]], list[Outcome]]:
    """What has files of a fused model written by an executor's workers; file: where the one goes, where it is one."""

    def run(places: Sequence[str]) -> list[Outcome]:
        assert way.executor is not None
        with known_here(order, prepared), pieces_folder(beside) as folder:
            paths = [os.path.abspath(folder / piece_name(i)) for i in range(len(places))]
            done = Counted(job.progress, [1] * len(places), places)
            calls = [(order, place, path) for place, path in zip(places, paths, strict=True)]
            found = done_by(way.executor, do_file, calls, done.tell)
            for place, path in zip(places, paths, strict=True):
                os.rename(path, file if file.parent == beside else file.parent / place)
        return found

    return run


def do_pieces(job: Job, order: Order, way: Way, todo: Sequence[Batches], folder: Path) -> list[Piece]:
    """The pieces of the merge, by the executor's workers, in `folder`."""
    assert way.executor is not None
    sizes = [sum(len(batch) for batch in batches) for batches in todo]
    done = Counted(job.progress, sizes, [batches[0][0].path for batches in todo])
    paths = [os.path.abspath(folder / piece_name(i)) for i in range(len(todo))]
    return done_by(
        way.executor,
        do_piece,
        [
            (order, [[layer.path for layer in batch] for batch in batches], path)
            for batches, path in zip(todo, paths, strict=True)
        ],
        done.tell,
    )


class Counted:
    """Work done, told as it is done: `sizes` of the pieces, and what they are called."""

    def __init__(self, progress: Progress, sizes: Sequence[int], names: Sequence[str]) -> None:
        self._progress, self._sizes, self._names, self._done = progress, sizes, names, 0

    def tell(self, i: int) -> None:
        """The piece i is done."""
        self._done += self._sizes[i]
        self._progress(self._done, sum(self._sizes), self._names[i])


@contextmanager
def pieces_folder(beside: Path) -> Iterator[Path]:
    """A folder for pieces, on the file system of the output; gone afterwards.

    It is renamed first, so that a worker that is late finds no place to write in.
    """
    folder, gone = beside / "pieces", beside / "gone"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        with suppress(OSError):
            os.rename(folder, gone)
        shutil.rmtree(gone, ignore_errors=True)
