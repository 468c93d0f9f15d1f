"""A merge's results into a safetensors file: factors as PEFT has them, or full-size matrices."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from coremerge_ref.adapters import output
from coremerge_ref.adapters.files import shown
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.forms.base import Form
from coremerge_ref.adapters.modules import CONV, LINEAR
from coremerge_ref.adapters.plan import Layer, weight_name
from coremerge_ref.adapters.streaming import Job
from coremerge_ref.adapters.writer import TensorWriter, numpy_dtype
from coremerge_ref.core.updates import LowRankUpdate, Update
from coremerge_ref.errors import AdapterError

Facts: TypeAlias = dict[str, dict[str, Any]]  # module path → what is known about its result
_DIMENSIONS = 5  # of a 3-D convolution's factor, the most there are


def write_factors(job: Job, form: Form, path: Path) -> tuple[dict[str, int], Facts]:
    """Writes the merged adapter's tensors in `form`; returns (rank by module name, facts by module path)."""
    kept = [weights for layer in job.layers if (weights := base_weights(job.adapters, layer)) is not None]
    writer = TensorWriter(path, form.names() + [name for name, _ in kept], _DIMENSIONS)
    ranks: dict[str, int] = {}
    found: Facts = {}

    def factors(layer: Layer, update: Update) -> tuple[output.Factors, dict[str, Any]]:
        assert isinstance(update, LowRankUpdate), "checked before work began"
        B, A = job.backend.fetch(update.B), job.backend.fetch(update.A)
        return output.balanced(*output.without_null(B, A)), facts(update)

    try:
        for name, array in kept:
            writer.add(name, array)
        for together in sharing_rank(job.run(factors), job.layers):
            rank = max(B.shape[1] for _, ((B, _), _) in together)
            group = []
            for layer, (pair, known) in together:
                ranks[layer.name] = rank
                found[layer.path] = {"rank": rank, **known}
                B, A = (rounded(X, layer, job.dtype) for X in output.padded(pair, rank))
                group.append((layer, B, A))
            for name, array in form.tensors(group).items():
                writer.add(name, array)
        writer.close()
    finally:
        writer.abandon()
    return ranks, found


def write_dense(job: Job, path: Path, transposed: Callable[[Layer], bool]) -> Facts:
    """Writes full-size ΔW, each under the name and in the shape of its layer's weight; returns facts by module path."""
    found: Facts = {}

    def matrix(layer: Layer, update: Update) -> tuple[np.ndarray, dict[str, Any]]:
        dense = job.backend.fetch(update.to_dense())
        if layer.first.kind == LINEAR and transposed(layer):
            dense = dense.T
        elif layer.first.kind == CONV:
            dense = dense.reshape(dense.shape[0], *layer.first.kernel)
        return rounded(dense, layer, job.dtype), facts(update)

    writer = TensorWriter(path, [weight_name(layer) for layer in job.layers], _DIMENSIONS)
    try:
        for layer, (dense, known) in job.run(matrix):
            writer.add(weight_name(layer), dense)
            found[layer.path] = known
        writer.close()
    finally:
        writer.abandon()
    return found


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


def facts(update: Update) -> dict[str, float | int]:
    """What the merge reports about a layer, as plain numbers: live sizes, the ranks that stages used."""
    numbers = {}
    for key, value in update.info.items():
        number = value.item() if getattr(value, "ndim", None) == 0 else value
        if isinstance(number, int | float):
            numbers[key] = int(number) if float(number).is_integer() else float(number)
    return numbers


def sharing_rank(results: Iterator[tuple[Layer, Any]], layers: Sequence[Layer]) -> Iterator[list[tuple[Layer, Any]]]:
    """The results again, in the groups that PEFT gives one rank (Module.group)."""
    sizes = Counter(layer.first.group for layer in layers)
    waiting: dict[str, list[tuple[Layer, Any]]] = {}
    for layer, result in results:
        group = waiting.setdefault(layer.first.group, [])
        group.append((layer, result))
        if len(group) == sizes[layer.first.group]:
            yield waiting.pop(layer.first.group)


def base_weights(adapters: Sequence[Adapter], layer: Layer) -> tuple[str, np.ndarray] | None:
    """(name, array) of a layer's own weights where adapters hold them; AdapterError if two hold different ones."""
    held = [(adapter, adapter.base_weights(layer.name)) for adapter in adapters]
    there = [(adapter, weights) for adapter, weights in held if weights is not None]
    if not there:
        return None
    first, weights = there[0]
    for adapter, other in there[1:]:
        if not np.array_equal(weights, other):
            raise AdapterError(
                f"module {shown(layer.path)}: the base weights saved in {shown(first.path)} and {shown(adapter.path)} "
                "differ; adapters of different base models cannot be merged: train both on one, its embeddings frozen"
            )
    return first.reader.base_weights[layer.name], weights
