"""A merge cut into pieces that any process can do, and a piece done: a file of tensors and what is known of them."""

import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

from coremerge_ref.adapters.forms.base import Form
from coremerge_ref.adapters.layer import Layer, weight_name
from coremerge_ref.adapters.streaming import Job
from coremerge_ref.adapters.writer import TensorWriter
from coremerge_ref.adapters.writing import DIMENSIONS, Outcome, merged_factors, merged_matrices
from coremerge_ref.errors import AdapterError, reason, shown

Batches: TypeAlias = Sequence[Sequence[Layer]]
Turned: TypeAlias = Callable[[Layer], bool] | None  # whether weights are stored as (in, out); None: factors are written


@dataclass(frozen=True)
class Piece:
    """Some of a merge's tensors. file: where they are. groups: by what is merged together the bytes of each tensor."""

    file: str
    groups: Mapping[str, Mapping[str, int]]
    outcome: Outcome


def group_of(layer: Layer, dense: bool) -> str:
    """What the layer's tensors are written together with: what shares its rank, or, of full-size matrices, itself."""
    return layer.path if dense else layer.first.group


def cut(batches: Batches, dense: bool) -> list[list[Sequence[Layer]]]:
    """The batches in pieces that can be done apart: one each, but for those that share a group."""
    first = list(range(len(batches)))  # of each batch, the first that it goes with
    owner: dict[str, int] = {}
    for i, batch in enumerate(batches):
        groups = {group_of(layer, dense) for layer in batch}
        with_it = {first[owner[group]] for group in groups if group in owner} | {i}
        first = [min(with_it) if at in with_it else at for at in first]
        owner |= dict.fromkeys(groups, i)
    pieces: dict[int, list[Sequence[Layer]]] = {}
    for at, batch in zip(first, batches, strict=True):
        pieces.setdefault(at, []).append(batch)
    return list(pieces.values())


def emitted(batches: Batches, dense: bool) -> list[str]:
    """The groups in the order in which a merge of these batches completes them."""
    layers = [layer for batch in batches for layer in batch]
    left = Counter(group_of(layer, dense) for layer in layers)
    order = []
    for layer in layers:
        group = group_of(layer, dense)
        left[group] -= 1
        if not left[group]:
            order.append(group)
    return order


def numbered(batches: Batches, dense: bool) -> dict[str, int]:
    """{group: which it is in that order}."""
    return {group: i for i, group in enumerate(emitted(batches, dense))}


def piece_name(number: int) -> str:
    """What the file of a piece is called."""
    return f"piece-{number:05d}.safetensors"


def write_piece(job: Job, form: Form, turned: Turned, path: Path) -> Piece:
    """Merges job.todo and writes it to `path`."""
    dense, batches = turned is not None, job.todo or []
    if turned is not None:
        names = [weight_name(layer) for layer in job.all_layers]
    else:
        names = type(form)(form.adapters, replace(form.plan, layers=job.all_layers)).names()
    groups: dict[str, dict[str, int]] = {}
    outcome = Outcome()
    with written_at_once(path) as unfinished:
        writer = TensorWriter(unfinished, names, DIMENSIONS)
        try:
            made = merged_factors(job, form, outcome) if turned is None else merged_matrices(job, turned, outcome)
            for group, tensors in zip(emitted(batches, dense), made, strict=True):
                for name, array in tensors.items():
                    writer.add(name, array)
                groups[group] = {name: array.nbytes for name, array in tensors.items()}
            writer.close()
        finally:
            writer.abandon()
    return Piece(path.name, groups, outcome)


@contextmanager
def written_at_once(path: Path) -> Iterator[Path]:
    """A path to write to, of what becomes the file at `path`: who looks there sees nothing or all of it.

    What was there is replaced: work may be done twice. AdapterError naming this machine where its disk refuses.
    """
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        raise AdapterError(
            f"{shown(path.parent)}: cannot be written on {socket.gethostname()}: {reason(error)}; nothing was changed"
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink()


def together(pieces: Sequence[Piece], order: Mapping[str, int], layers: Sequence[tuple[Layer, str]]) -> Outcome:
    """The outcome of the merge that the pieces are of. order: which comes when, by group. layers: each with its group.

    As one process would have found it, the order of its entries included.
    """
    place = {key: order[group] for layer, group in layers for key in (layer.path, layer.name)}

    def sorted_by_group(found: Mapping[str, Any]) -> dict[str, Any]:
        return dict(sorted(found.items(), key=lambda item: place[item[0]]))

    ranks, facts = ({k: v for piece in pieces for k, v in part(piece).items()} for part in (_ranks, _facts))
    zeros = [path for piece in pieces for path in piece.outcome.zeros]
    return Outcome(sorted_by_group(ranks), sorted_by_group(facts), sorted(zeros, key=place.__getitem__))


def _ranks(piece: Piece) -> Mapping[str, Any]:
    return piece.outcome.ranks


def _facts(piece: Piece) -> Mapping[str, Any]:
    return piece.outcome.facts
