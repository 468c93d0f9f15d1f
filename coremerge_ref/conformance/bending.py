"""How a question is bent where a mistake is not made inside the merge: other updates, parameters, weights,
masks, tasks, spaces."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .questions import Case

Array = NDArray[Any]
Change = Callable[[Case], "Case | None"]
Scaling = Callable[[float, int], float]  # (scaling s, rank r) -> what it is taken for

# what a task's scaling is taken for, by the id of the mistake
SCALINGS: dict[str, Scaling] = {
    "scaling-ignored": lambda s, r: 1.0,
    "scaling-twice": lambda s, r: s * s,
    "scaling-inverted": lambda s, r: 1 / s if s else s,
    "scaling-root": lambda s, r: math.copysign(math.sqrt(abs(s)), s),
    "rslora-for-lora": lambda s, r: s * math.sqrt(r),
    "lora-for-rslora": lambda s, r: s / math.sqrt(r),
    "alpha-for-alpha-over-r": lambda s, r: s * r,
    "alpha-over-r-twice": lambda s, r: s / r,
}


def updates(change: Callable[[Any, Any, float, int], Any]) -> Change:
    """Other updates in place of the case's."""
    return lambda case: replace(case, updates=[change(b, a, s, t) for t, (b, a, s) in enumerate(case.updates)])


def scalings(taken: Scaling) -> Change:
    """Other scalings in place of the tasks' own."""
    return updates(lambda b, a, s, t: (b, a, taken(s, max(b.shape[-1], 1))))


def params(*stages: str, **change: Any) -> Change:
    """Other parameters of the stages that have them; None where that changes nothing."""

    def wrong(case: Case) -> Case | None:
        new = {
            stage: {**p, **{k: v for k, v in change.items() if k in p}} if stage in stages else p
            for stage, p in case.params.items()
        }
        return None if new == case.params else replace(case, params=new)

    return wrong


def weights(change: Callable[[list[float]], list[float]]) -> Change:
    """Other weights; None where that changes nothing."""

    def wrong(case: Case) -> Case | None:
        params = {k: {**p, "weights": change(p["weights"])} if "weights" in p else p for k, p in case.params.items()}
        if params == case.params or math.fsum(params.get("mean", {}).get("weights", [1])) == 0:
            return None
        return replace(case, params=params)

    return wrong


def masks(change: Callable[[Array], Array]) -> Change:
    """Other DARE masks."""
    return lambda case: None if case.masks is None else replace(case, masks=change(case.masks))


def dropped(index: int) -> Change:
    """One task left out, its weight and mask with it."""
    return lambda case: keeping(case, [t for t in range(len(case.updates)) if t != index % len(case.updates)])


def without_zeros(case: Case) -> Case | None:
    """Tasks with B = 0 left out."""
    return keeping(case, [t for t, (b, _, _) in enumerate(case.updates) if b.any()])


def keeping(case: Case, tasks: list[int]) -> Case | None:
    """The case with some of its tasks; None where that is all or none of them."""
    if not 0 < len(tasks) < len(case.updates):
        return None
    params = {
        k: {**p, "weights": [p["weights"][t] for t in tasks]} if "weights" in p else p for k, p in case.params.items()
    }
    masks = None if case.masks is None else case.masks[tasks]
    return replace(case, updates=[case.updates[t] for t in tasks], params=params, masks=masks)


def space(name: str, **only_from: str) -> Change:
    """Another space; None where masks tie the case to its own."""

    def wrong(case: Case) -> Case | None:
        if case.space == name or case.masks is not None or case.space != only_from.get("of", case.space):
            return None
        return replace(case, space=name)

    return wrong


def without(stage: str) -> Change:
    """Leave a stage out."""

    def wrong(case: Case) -> Case | None:
        names = case.method.split("+")
        if stage not in names or len(names) == 1:
            return None
        return replace(case, method="+".join(n for n in names if n != stage))

    return wrong


def swapped(stage: str) -> Change:
    """The drop rate read as the kept share."""
    return lambda case: params(stage, drop=1 - case.params[stage]["drop"])(case) if stage in case.params else None


def other_direction(case: Case) -> Case | None:
    """Decom-Renorm-Merge on the other side."""
    now = case.params.get("drm", {}).get("direction")
    return params("drm", direction="horizontal" if now == "vertical" else "vertical")(case)


def capped(k: int) -> Change:
    """Each update cut to rank k before anything else."""

    def wrong(case: Case) -> Case | None:
        if all(b.shape[-1] <= k for b, _, _ in case.updates):
            return None
        return updates(lambda b, a, s, t: (*leading_factors(b.astype(np.float64) @ a.astype(np.float64), k), s))(case)

    return wrong


def smallest_rank(case: Case) -> Case | None:
    """Every task's factors cut to the smallest rank among them."""
    r = min(b.shape[-1] for b, _, _ in case.updates)
    return updates(lambda b, a, s, t: (b[..., :r], a[..., :r, :], s))(case)


def leading_factors(x: Array, k: int) -> tuple[Array, Array]:
    """Factors of the best approximation of rank k."""
    p, s, q = np.linalg.svd(x, full_matrices=False)
    return p[..., :k] * s[..., None, :k], q[..., :k, :]


def rounded_factors(dtype: Any) -> Change:
    """The factors rounded to another type."""
    return updates(lambda b, a, s, t: (b.astype(dtype).astype(np.float64), a.astype(dtype).astype(np.float64), s))


def flattened_wrongly(case: Case) -> Case | None:
    """A read in the wrong order of its dimensions."""
    return updates(lambda b, a, s, t: (b, a.reshape(*a.shape[:-2], a.shape[-1], a.shape[-2]).swapaxes(-1, -2), s))(case)


def subnormals_flushed(case: Case) -> Case | None:
    """Subnormal numbers read as zero."""

    def flushed(x: Array) -> Array:
        return np.where(np.abs(x.astype(np.float64)) < 2.0**-1022, 0, x.astype(np.float64))

    return updates(lambda b, a, s, t: (flushed(b), flushed(a), s))(case)
