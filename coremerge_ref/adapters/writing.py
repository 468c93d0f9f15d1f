"""A merge's results into a safetensors file: factors as PEFT has them, or full-size matrices."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from coremerge_ref.adapters import output
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.forms.base import Form
from coremerge_ref.adapters.layer import Layer, stacked_with, weight_name
from coremerge_ref.adapters.modules import CONV, LINEAR
from coremerge_ref.adapters.names import BASE
from coremerge_ref.adapters.others import Others
from coremerge_ref.adapters.streaming import Job
from coremerge_ref.adapters.tensors import TensorFile
from coremerge_ref.adapters.writer import TensorWriter, numpy_dtype
from coremerge_ref.core import arrays
from coremerge_ref.core.updates import LowRankUpdate, Update
from coremerge_ref.errors import AdapterError, shown

Facts: TypeAlias = dict[str, dict[str, Any]]  # module path → what is known about its result
Found: TypeAlias = tuple[Layer, Any, bool]  # a layer, its result, whether any input is other than zero there
Tensors: TypeAlias = dict[str, np.ndarray]  # by name
DIMENSIONS = 5  # of a 3-D convolution's factor, the most there are


@dataclass
class Outcome:
    """What a merge found: ranks by module name (none if dense), facts by path, paths of surprising zeros.

    digests: SHA-256 of files of the output, of those that who wrote them has hashed.
    """

    ranks: dict[str, int] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    zeros: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)


class Sink(Protocol):
    """Where tensors go, one by one."""

    def add(self, name: str, array: np.ndarray) -> None:
        """Takes one tensor."""


def merged_factors(job: Job, form: Form, outcome: Outcome) -> Iterator[Tensors]:
    """The merged adapter's tensors by name, a group of layers (Module.group) at a time, at the rank that it needs."""

    def factors(layer: Layer, update: Update) -> tuple[output.Factors, dict[str, Any]]:
        assert isinstance(update, LowRankUpdate), "checked before work began"
        B, A = job.backend.fetch(update.B), job.backend.fetch(update.A)
        return output.balanced(*output.without_null(B, A)), facts(update)

    for together in sharing_rank(job.run(factors), job.layers):
        rank = max(B.shape[1] for _, ((B, _), _), _ in together)
        group = []
        for layer, (pair, known), alive in together:
            B, A = (rounded(X, layer, job.dtype) for X in output.with_rank(pair, rank))
            if alive and not (B.any() and A.any()):
                outcome.zeros.append(layer.path)
            for each in job.with_twins(layer):
                outcome.ranks[each.name] = rank
                outcome.facts[each.path] = {"rank": rank, **known}
                group.append((each, B, A))
        yield form.tensors(group)


def send_factors(job: Job, form: Form, sink: Sink) -> Outcome:
    """Hands the merged adapter's tensors to `sink`."""
    outcome = Outcome()
    for tensors in merged_factors(job, form, outcome):
        for name, array in tensors.items():
            sink.add(name, array)
    return outcome


def sharing_rank(results: Iterator[Found], layers: Sequence[Layer]) -> Iterator[list[Found]]:
    """The results again, in the groups that PEFT gives one rank (Module.group)."""
    sizes = Counter(layer.first.group for layer in layers)
    waiting: dict[str, list[Found]] = {}
    for result in results:
        name = result[0].first.group
        waiting.setdefault(name, []).append(result)
        if len(waiting[name]) == sizes[name]:
            yield waiting.pop(name)


def final_ranks(ranks: dict[str, int], layers: Sequence[Layer], ragged: bool) -> dict[str, int]:
    """The rank each layer is padded to: the largest of all, or with `ragged` of those that a loader gives one rank."""
    together = {layer.name: stacked_with(layer) if ragged else "" for layer in layers}
    most: dict[str, int] = {}
    for name, rank in ranks.items():
        most[together[name]] = max(rank, most.get(together[name], 0))
    return {name: most[together[name]] for name in ranks}


def write_factors(job: Job, form: Form, path: Path, ragged: bool, others: Others | None = None) -> Outcome:
    """Writes the merged adapter's tensors; at one rank, the largest, unless `ragged`. The ranks are those written."""
    beside, tensors = tensors_beside(job, others)
    names = [*beside, *form.names()]
    writer = TensorWriter(path, names, DIMENSIONS, longest_metadata(form))
    try:
        for name, array in tensors:
            writer.add(name, array)
        outcome = send_factors(job, form, writer)
        writer.close(form.metadata(outcome.ranks, writer.digest))
    finally:
        writer.abandon()
    finish_ranks(path, form, outcome, job.all_layers, ragged, names)
    return outcome


def tensors_beside(job: Job, others: Others | None) -> tuple[list[str], Iterator[tuple[str, np.ndarray]]]:
    """What an adapter holds beside its factors: modules' own weights, and what was trained beside the update.

    The names of these tensors, and each with its array, read when it is asked for.
    """
    kept = dict(weights for layer in job.all_layers if (weights := base_weights(job.adapters, layer)) is not None)
    beside = others.names if others else []
    read = ((name, others.read(name)) for name in beside if others)
    return [*kept, *beside], chain(kept.items(), read)


def finish_ranks(
    path: Path, form: Form, outcome: Outcome, layers: Sequence[Layer], ragged: bool, names: Sequence[str] = ()
) -> None:
    """Pads the tensors at `path` to one rank unless `ragged`, and finishes the file. names: all there, else form's."""
    final = final_ranks(outcome.ranks, layers, ragged and not form.one_rank)
    if final != outcome.ranks:
        _pad(path, names or form.names(), form, final)
        outcome.ranks = final
    form.finish(path, final)


def longest_metadata(form: Form) -> dict[str, str]:
    """The metadata before ranks are known, at least as long as it will be."""
    ranks = {layer.name: 10**9 + t for t, layer in enumerate(form.layers)}  # all unlike: some say more of such
    return form.metadata(ranks, "0" * 64)


def _pad(path: Path, names: Sequence[str], form: Form, ranks: dict[str, int]) -> None:
    """Writes the adapter file at `path` anew with zero directions up to `ranks`, by module; a tensor at a time."""
    unpadded = path.with_suffix(".unpadded")
    os.rename(path, unpadded)
    file = TensorFile(unpadded)
    writer = TensorWriter(path, list(names), DIMENSIONS, longest_metadata(form))
    try:
        for name in names:
            writer.add(name, form.padded(name, file.read([name])[name], ranks))
        writer.close(form.metadata(ranks, writer.digest))
    finally:
        writer.abandon()
    os.unlink(unpadded)


def write_dense(job: Job, path: Path, transposed: Callable[[Layer], bool]) -> Outcome:
    """Writes full-size ΔW, each under the name and in the shape of its layer's weight."""
    outcome = Outcome()
    writer = TensorWriter(path, [weight_name(layer) for layer in job.all_layers], DIMENSIONS)
    try:
        for tensors in merged_matrices(job, transposed, outcome):
            for name, array in tensors.items():
                writer.add(name, array)
        writer.close()
    finally:
        writer.abandon()
    return outcome


def merged_matrices(job: Job, transposed: Callable[[Layer], bool], outcome: Outcome) -> Iterator[Tensors]:
    """Full-size ΔW by the name of its layer's weight, a layer and those tied to it at a time."""

    def matrix(layer: Layer, update: Update) -> tuple[np.ndarray, dict[str, Any]]:
        return rounded(job.backend.fetch(update.to_dense()), layer, job.dtype), facts(update)

    for layer, (dense, known), alive in job.run(matrix, dense=True):
        if alive and not dense.any():
            outcome.zeros.append(layer.path)
        together = job.with_twins(layer)
        outcome.facts |= {each.path: known for each in together}
        yield {weight_name(each): _in_shape(each, dense, transposed) for each in together}


def _in_shape(layer: Layer, dense: np.ndarray, transposed: Callable[[Layer], bool]) -> np.ndarray:
    """(m, n) in the shape that the base model's weight has."""
    if layer.first.kind == LINEAR and transposed(layer):
        return dense.T
    return dense.reshape(dense.shape[0], *layer.first.kernel) if layer.first.kind == CONV else dense


def rounded(array: np.ndarray, layer: Layer, dtype: str | None) -> np.ndarray:
    """A result in the output's dtype, the layer's own by default. AdapterError if it does not fit."""
    name = dtype or layer.dtype
    with np.errstate(all="ignore"):
        made = array.astype(numpy_dtype(name))
    if not np.all(np.isfinite(made)):
        raise AdapterError(
            f"layer {shown(layer.path)}: the merged update does not fit {name}; "
            "choose a wider --dtype or a smaller --scale"
        )
    return made


def facts(update: Update) -> dict[str, Any]:
    """What the merge reports about a layer, as plain numbers: live sizes, the ranks that stages used; one a task."""
    numbers: dict[str, Any] = {}
    for key, value in update.info.items():
        if getattr(value, "ndim", None) == 1:
            numbers[key] = arrays.to_host(value).tolist()
            continue
        number = value.item() if getattr(value, "ndim", None) == 0 else value
        if isinstance(number, int | float):
            numbers[key] = int(number) if float(number).is_integer() else float(number)
    return numbers


def base_weights(adapters: Sequence[Adapter], layer: Layer) -> tuple[str, np.ndarray] | None:
    """(name, array) of a layer's own weights where adapters hold them, the widest; AdapterError if two differ.

    The same base model in two dtypes is one base model: the narrow weights are the wide ones rounded.
    """
    there = [
        (adapter, weights)
        for adapter, name in zip(adapters, layer.sources, strict=True)
        if name is not None and (weights := adapter.base_weights(name)) is not None
    ]
    if not there:
        return None
    first, weights = max(there, key=lambda held: held[1].dtype.itemsize)
    for adapter, other in there:
        with np.errstate(over="ignore"):
            same = np.array_equal(weights.astype(other.dtype), other)
        if not same:
            raise AdapterError(
                f"module {shown(layer.path)}: the base weights saved in {shown(first.path)} and {shown(adapter.path)} "
                "differ; adapters of different base models cannot be merged: train both on one, its embeddings frozen"
            )
    return layer.name + BASE, weights
