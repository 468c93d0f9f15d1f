"""Whole models: layers of equal shape are merged together, as one batch; an executor spreads the batches."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, overload

from coremerge_ref.core import arrays
from coremerge_ref.core.arguments import explains_arguments
from coremerge_ref.core.batches import Updates, chunks, equal_shapes, stacked, unstacked
from coremerge_ref.core.executing import mapped
from coremerge_ref.core.inputs import are_finite, as_updates
from coremerge_ref.core.merging import FactoredSpace, Options, Prepared, TypedMethod, merge_groups
from coremerge_ref.core.pipeline import Method, Pipeline, as_pipeline
from coremerge_ref.core.spaces import Space, as_space
from coremerge_ref.core.updates import LowRankUpdate, Update
from coremerge_ref.errors import ParameterError


@overload
def merge_adapters(
    layers: Mapping[str, Sequence[Any]],
    method: TypedMethod = ...,
    space: FactoredSpace = ...,
    scale: Any = ...,
    weights: Any = ...,
    compute_dtype: Any = ...,
    out_dtype: Any = ...,
    executor: Executor | None = ...,
) -> dict[str, LowRankUpdate]: ...
@overload
def merge_adapters(
    layers: Mapping[str, Sequence[Any]],
    method: TypedMethod = ...,
    space: str | Space = ...,
    scale: Any = ...,
    weights: Any = ...,
    compute_dtype: Any = ...,
    out_dtype: Any = ...,
    executor: Executor | None = ...,
) -> dict[str, Update]: ...
@explains_arguments
@arrays.stays_beside
def merge_adapters(
    layers: Any,
    method: Any = "tsv",
    space: Any = "core",
    scale: Any = 1.0,
    weights: Any = None,
    compute_dtype: Any = "float64",
    out_dtype: Any = None,
    executor: Executor | None = None,
) -> Any:
    """Merge every layer of a model: {"layer.q": updates, …} → {"layer.q": merged update, …}, in the given order.

    Each value is what merge takes for one layer: one (m, n) update a task, None where a task lacks the module. Layers
    of equal shape, ranks and tasks go through in batches; the grouping and the order of layers change no result
    beyond rounding, DARE's masks included, since they are keyed by layer name and task. Stages with scope="model"
    look over all layers. The other parameters, and the errors, are merge's; errors name the layer.

    executor: any concurrent.futures executor (threads, processes, dask.distributed's Client.get_executor()), to which
    the batches are submitted, cut into pieces; results are the same to rounding. What goes to other processes must
    pickle: ParameterError where a function given as the method does not. Stages with scope="model" run here, once the
    workers have found the frames.

    >>> updates = [(np.eye(2), np.eye(2)), (np.eye(2), np.diag([1.0, 3.0]))]
    >>> cm.merge_adapters({"layer.q": updates}, "mean")["layer.q"].to_dense()
    array([[1., 0.],
           [0., 2.]])
    """
    pipeline, space, options = as_pipeline(method), as_space(space), Options(scale, weights, out_dtype)
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise ParameterError(f"executor: expected a concurrent.futures executor, got {type(executor).__name__}")
    checked = check_layers(layers, look=executor is not None)  # before anything is sent
    groups = equal_shapes(checked)
    if not any(getattr(stage, "masks", None) is not None for stage in pipeline.stages):  # they have a batch's shape
        groups = [chunk for names in groups for chunk in chunks(checked, names, sent=executor is not None)]
    work = [(names, [checked[name] for name in names], space, compute_dtype) for names in groups]
    results: Iterable[Update]
    if pipeline.whole_model:
        results = merge_groups(list(mapped(executor, _prepared, work)), pipeline, options)
    else:
        results = mapped(executor, _merged, [(*args, pipeline, options) for args in work])
    return _by_layer(groups, results, layers)


@explains_arguments
@arrays.stays_beside
def prepare(
    updates: Sequence[Any] | Mapping[str, Sequence[Any]], space: str | Space = "core", compute_dtype: Any = "float64"
) -> "Prepared | PreparedModel":
    """Finds frames and core matrices once, for people who try many settings.

    updates: as merge takes them, or {layer: updates} as merge_adapters does. The result's
    merge(method, scale=1.0, weights=None, out_dtype=None) returns what merge, or merge_adapters, returns. Such a merge
    costs work on core matrices and the product that decodes its result. Raises what merge raises.
    """
    if isinstance(updates, Mapping):
        return PreparedModel(updates, as_space(space), compute_dtype)
    return Prepared(as_updates(updates), as_space(space), compute_dtype)


class PreparedModel:
    """The layers of a model in a space: frames and core matrices, found once for many merges."""

    def __init__(self, layers: Mapping[str, Sequence[Any]], space: Space, compute_dtype: Any = "float64") -> None:
        checked = check_layers(layers)
        self.layers, self.groups = tuple(layers), equal_shapes(checked)
        self.prepared = [
            _prepared(names, [checked[name] for name in names], space, compute_dtype) for names in self.groups
        ]

    @explains_arguments
    @arrays.stays_beside
    def merge(
        self, method: Method | Pipeline = "tsv", scale: Any = 1.0, weights: Any = None, out_dtype: Any = None
    ) -> dict[str, Update]:
        """One merge of these layers; parameters, result and errors as for `merge_adapters`."""
        results = merge_groups(self.prepared, as_pipeline(method), Options(scale, weights, out_dtype))
        return _by_layer(self.groups, results, self.layers)


def check_layers(layers: Mapping[str, Sequence[Any]], look: bool = False) -> dict[str, list[LowRankUpdate | None]]:
    """as_updates of each layer; ParameterError unless layers have one entry a task. look: for NaN and Inf, here."""
    if not isinstance(layers, Mapping):
        raise ParameterError(f"expected a mapping from layer names to updates, got {type(layers).__name__}")
    checked = {name: as_updates(updates, name, look) for name, updates in layers.items()}
    counts = {name: len(updates) for name, updates in checked.items()}
    if len(set(counts.values())) > 1:
        first, other = next(iter(counts)), next(name for name in counts if counts[name] != next(iter(counts.values())))
        raise ParameterError(
            f"layer {other!r}: expected {counts[first]} entries, one a task, as layer {first!r} has, got "
            f"{counts[other]}; None stands for a task that lacks the module"
        )
    return checked


def _by_layer(groups: list[list[str]], results: Iterable[Update], order: Iterable[str]) -> dict[str, Update]:
    merged = {
        name: update
        for names, batch in zip(groups, results, strict=True)
        for name, update in zip(names, unstacked(batch), strict=True)
    }
    return {name: merged[name] for name in order}


# What goes to a worker is in lists, not dicts: dask keys work by content and takes dicts in any order for the same.
@arrays.stays_beside
def _prepared(names: list[str], layers: list[Updates], space: Space, compute_dtype: Any) -> Prepared:
    batch = stacked(dict(zip(names, layers, strict=True)), names)
    if not are_finite(batch):
        for name, updates in zip(names, layers, strict=True):
            as_updates(updates, name)  # says which
    return Prepared(batch, space, compute_dtype, names)


@arrays.stays_beside
def _merged(
    names: list[str], layers: list[Updates], space: Space, compute_dtype: Any, pipeline: Pipeline, options: Options
) -> Update:
    return merge_groups([_prepared(names, layers, space, compute_dtype)], pipeline, options)[0]
