"""Whole models: layers of equal shape are merged together, as one batch."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from coremerge_ref import linalg, namespaces
from coremerge_ref.merging import Options, finish, prepare
from coremerge_ref.pipeline import Method, Pipeline, as_pipeline
from coremerge_ref.spaces import Space, as_space
from coremerge_ref.updates import DenseUpdate, LowRankUpdate, Update, as_updates


def merge_adapters(
    layers: Mapping[str, Sequence[Any]],
    method: Method | Pipeline = "tsv",
    space: str | Space = "core",
    scale: float = 1.0,
    weights: Sequence[float] | None = None,
    rank: str = linalg.NUMERICAL,
    compute_dtype: Any = "float64",
    out_dtype: Any = None,
    driver: str = "auto",
) -> dict[str, Update]:
    """Merge every layer of a model: {"layer.q": updates, …} → {"layer.q": merged update, …}, in the given order.

    Each value is what merge takes for one layer: one (m, n) update a task, None where a task lacks the module. Layers
    of equal shape, ranks and tasks go through as one batch; the grouping and the order of layers change no result
    beyond rounding, DARE's masks included, since they are keyed by layer name and task. Stages with scope="model"
    look over all layers. The other parameters, and the errors, are merge's; errors name the layer.
    """
    pipeline, space = as_pipeline(method), as_space(space)
    options = Options(scale, weights, rank, compute_dtype, out_dtype, driver)
    checked = {name: as_updates(updates, name) for name, updates in layers.items()}
    groups = equal_shapes(checked)
    prepared = (prepare(stacked(checked, names), pipeline, space, options, names) for names in groups)
    if pipeline.whole_model:
        results = finish(list(prepared), pipeline, options)
    else:
        results = [finish([one], pipeline, options)[0] for one in prepared]
    merged = {
        name: update
        for names, batch in zip(groups, results, strict=True)
        for name, update in zip(names, unstacked(batch), strict=True)
    }
    return {name: merged[name] for name in layers}


def equal_shapes(layers: Mapping[str, Sequence[LowRankUpdate | None]]) -> list[list[str]]:
    """Layer names grouped by what must agree to form a batch: shapes, ranks and dtypes of every task."""
    groups: dict[Any, list[str]] = {}
    for name, updates in layers.items():
        key = tuple(
            u and (u.shape, u.rank, namespaces.dtype_name(u.B.dtype), namespaces.dtype_name(u.A.dtype)) for u in updates
        )
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def stacked(layers: Mapping[str, Sequence[LowRankUpdate | None]], names: Iterable[str]) -> list[LowRankUpdate | None]:
    """The updates of several layers of equal shape as one batch: B (layers, …, m, r_t), A (layers, …, r_t, n)."""
    batch: list[LowRankUpdate | None] = []
    for task in zip(*[layers[name] for name in names], strict=True):
        if task[0] is None:
            batch.append(None)
            continue
        present = [u for u in task if u is not None]  # all of them, since layers are grouped by which tasks they have
        xp = namespaces.namespace_of(*[u.B for u in present])
        scales = [u.scale for u in present]
        plain = all(isinstance(s, float | int) for s in scales)
        if plain:
            scale: Any = np.asarray(scales, dtype=np.float64)
        else:
            scale = xp.stack([namespaces.scalar(s, present[0].B) for s in scales])
        batch.append(LowRankUpdate(xp.stack([u.B for u in present]), xp.stack([u.A for u in present]), scale))
    return batch


def unstacked(update: Update) -> list[Update]:
    """The layers of a batch, one by one."""
    layers = range(update.shape[0])

    def facts(i: int) -> dict[str, Any]:
        return {k: v[i, ...] if getattr(v, "ndim", 0) > 0 else v for k, v in update.info.items()}

    if isinstance(update, DenseUpdate):
        return [DenseUpdate(update.matrix[i, ...], facts(i)) for i in layers]
    return [LowRankUpdate(update.B[i, ...], update.A[i, ...], info=facts(i)) for i in layers]
