"""Pieces of a merge put together: their tensors in one order and at their final ranks, in one file or in shards."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from coremerge_ref.adapters.forms.base import Form
from coremerge_ref.adapters.others import Others
from coremerge_ref.adapters.pieces import Piece, Turned, group_of, together
from coremerge_ref.adapters.sharding import laid_out, shard_names, write_index
from coremerge_ref.adapters.streaming import Job
from coremerge_ref.adapters.tensors import TensorFile
from coremerge_ref.adapters.writer import METADATA, TensorWriter
from coremerge_ref.adapters.writing import DIMENSIONS, Outcome, final_ranks, longest_metadata, tensors_beside
from coremerge_ref.errors import AdapterError, shown

_BESIDE = "beside.safetensors"  # the piece of what is written beside the update
_OPEN = 32  # pieces that are open at a time


@dataclass(frozen=True)
class Shard:
    """A file to write. names: of its tensors, in order. sources: the file that each is in, in `folder`."""

    path: Path
    names: Sequence[str]
    sources: Mapping[str, str]
    folder: Path

    def write(self, form: Form | None, ranks: Mapping[str, int]) -> None:
        """Writes it; with `form` at these ranks, by module name, and with its header; None: as the tensors are."""
        writer = TensorWriter(self.path, list(self.names), DIMENSIONS, longest_metadata(form) if form else METADATA)
        opened = lru_cache(_OPEN)(lambda file: TensorFile(self.folder / file))
        try:
            for name in self.names:
                array = opened(self.sources[name]).read([name])[name]
                writer.add(name, form.padded(name, array, ranks) if form else array)
            writer.close(form.metadata(ranks, writer.digest) if form else METADATA)
        finally:
            writer.abandon()


# writes all, at these ranks; {name: SHA-256} of those that were hashed
WriteShards = Callable[[Sequence[Shard], Mapping[str, int]], dict[str, str]]


def assemble(
    pieces: Sequence[Piece],
    order: Mapping[str, int],
    job: Job,
    form: Form,
    turned: Turned,
    path: Path,
    folder: Path,
    ragged: bool,
    beside: Others,
    most: int | None,
    write_shards: WriteShards,
) -> Outcome:
    """The pieces in `folder` as what one process writes to `path`: in one file, or in shards of `most` bytes.

    order: of the groups. AdapterError unless the pieces hold each group once.
    """
    held = {group: (piece, sizes) for piece in pieces for group, sizes in piece.groups.items()}
    if held.keys() != order.keys():
        raise AdapterError(
            f"{shown(folder)}: expected the pieces of {len(order)} modules, got {len(held)}, first other: "
            f"{shown(min(held.keys() ^ order.keys()))}; merge again"
        )
    dense = turned is not None
    leaders = [(each, group_of(leader, dense)) for leader in job.layers for each in job.with_twins(leader)]
    outcome = together(pieces, order, leaders)
    groups = sorted(held, key=order.__getitem__)
    sizes = {name: size for group in groups for name, size in held[group][1].items()}
    sources = {name: held[group][0].file for group in groups for name in held[group][1]}
    if not dense:
        before = _write_beside(job, beside, folder / _BESIDE)
        final = final_ranks(outcome.ranks, job.all_layers, ragged and not form.one_rank)
        if final != outcome.ranks:
            sizes = {name: _padded_size(form, name, sizes[name], outcome.ranks, final) for name in form.names()}
            outcome.ranks = final
        sizes, sources = before | sizes, dict.fromkeys(before, _BESIDE) | sources
    shards = _shards(path, sizes, sources, folder, most)
    outcome.digests = write_shards(shards, outcome.ranks)
    _write_index(path, shards, sizes)
    if not dense:
        form.finish(path, outcome.ranks)
    return outcome


def split(path: Path, most: int | None) -> None:
    """The file of tensors at `path` in shards of at most `most` bytes, with their index; one file stays as it is."""
    file = TensorFile(path)
    sizes = {name: entry.nbytes for name, entry in file.entries.items()}
    shards = _shards(path, sizes, dict.fromkeys(sizes, path.name), path.parent, most)
    if len(shards) > 1:
        for shard in shards:
            shard.write(None, {})
        _write_index(path, shards, sizes)
        path.unlink()


def _shards(
    path: Path, sizes: Mapping[str, int], sources: Mapping[str, str], folder: Path, most: int | None
) -> list[Shard]:
    layout = laid_out(sizes, most)
    return [
        Shard(path.with_name(file).absolute(), names, {name: sources[name] for name in names}, folder.absolute())
        for file, names in zip(shard_names(path.name, len(layout)), layout, strict=True)
    ]


def _write_index(path: Path, shards: Sequence[Shard], sizes: Mapping[str, int]) -> None:
    if len(shards) > 1:
        write_index(path.parent, path.name, [(s.path.name, s.names) for s in shards], sum(sizes.values()))


def _write_beside(job: Job, beside: Others, path: Path) -> dict[str, int]:
    """What is written beside the update as a piece; {tensor: bytes}."""
    names, tensors = tensors_beside(job, beside)
    if not names:
        return {}
    writer, sizes = TensorWriter(path, names, DIMENSIONS), {}
    try:
        for name, array in tensors:
            writer.add(name, array)
            sizes[name] = array.nbytes
        writer.close()
    finally:
        writer.abandon()
    return sizes


def _padded_size(form: Form, name: str, size: int, ranks: Mapping[str, int], final: Mapping[str, int]) -> int:
    module = form.module_of(name)
    return size if module is None else size // ranks[module] * final[module]
