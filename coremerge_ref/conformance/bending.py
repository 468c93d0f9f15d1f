"""How a right model is bent to make a mistake: other updates, parameters, weights, masks, tasks, spaces, results."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .model import merge
from .questions import Case

Mistake = Callable[[Case], "NDArray[Any] | None"]


def switch(name: str) -> Mistake:
    """A mistake made inside the model."""
    return lambda case: merge(case, {name})


def updates(change: Callable[[Any, Any, float, int], Any]) -> Mistake:
    """Merge with other updates in place of the case's."""
    return lambda case: merge(replace(case, updates=[change(b, a, s, t) for t, (b, a, s) in enumerate(case.updates)]))


def params(stage: str, **change: Any) -> Mistake:
    """Merge with other parameters of one stage; None where the case has no such stage."""

    def wrong(case: Case) -> NDArray[Any] | None:
        if stage not in case.params or all(case.params[stage].get(k) == v for k, v in change.items()):
            return None
        return merge(replace(case, params={**case.params, stage: {**case.params[stage], **change}}))

    return wrong


def weights(change: Callable[[list[float]], list[float]]) -> Mistake:
    """Merge with other weights; None where that changes nothing."""

    def wrong(case: Case) -> NDArray[Any] | None:
        params = {k: {**p, "weights": change(p["weights"])} if "weights" in p else p for k, p in case.params.items()}
        if params == case.params or any(math.fsum(p.get("weights", [1])) == 0 for p in params.values()):
            return None
        return merge(replace(case, params=params))

    return wrong


def masks(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Mistake:
    """Merge with other DARE masks."""
    return lambda case: None if case.masks is None else merge(replace(case, masks=change(case.masks)))


def result(change: Callable[[NDArray[Any], Case], NDArray[Any]]) -> Mistake:
    """Change the right result."""
    return lambda case: change(merge(case), case)


def dropped(index: int) -> Mistake:
    """One task left out, its weight and mask with it."""

    def wrong(case: Case) -> NDArray[Any] | None:
        if len(case.updates) < 2:
            return None
        at = index % len(case.updates)

        def cut(values: Any) -> Any:
            return [x for t, x in enumerate(values) if t != at]

        params = {k: {**p, "weights": cut(p["weights"])} if "weights" in p else p for k, p in case.params.items()}
        masks = None if case.masks is None else np.delete(case.masks, at, 0)
        return merge(replace(case, updates=cut(case.updates), params=params, masks=masks))

    return wrong


def space(space: str) -> Mistake:
    """Merge in another space; None where masks tie the case to its own."""

    def wrong(case: Case) -> NDArray[Any] | None:
        if case.space == space or case.masks is not None:
            return None
        return merge(replace(case, space=space))

    return wrong


def without(stage: str) -> Mistake:
    """Leave a stage out."""

    def wrong(case: Case) -> NDArray[Any] | None:
        names = case.method.split("+")
        if stage not in names or len(names) == 1:
            return None
        return merge(replace(case, method="+".join(n for n in names if n != stage)))

    return wrong


def alpha_over_r(power: float) -> Mistake:
    """Multiply each scaling by a power of its rank."""
    return updates(lambda b, a, s, t: (b, a, s * max(b.shape[-1], 1) ** power))


def truncated_relative(case: Case) -> NDArray[Any] | None:
    """The relative rank taken of the full matrix."""
    if case.params.get("tsv", {"k": 0})["k"] is not None or case.space == "full":
        return None
    return params("tsv", k=min(case.shape[-2:]) // len(case.updates))(case)


def shifted_rank(by: int) -> Mistake:
    """The absolute rank of tsv or cart off by some; None where there is none."""

    def wrong(case: Case) -> NDArray[Any] | None:
        stage = next((n for n in ("tsv", "cart") if n in case.params), "")
        k = case.params[stage]["k"] if stage else None
        return None if k is None else params(stage, k=k + by)(case)

    return wrong


def swapped(stage: str) -> Mistake:
    """The drop rate read as the kept share."""
    return lambda case: params(stage, drop=1 - case.params[stage]["drop"])(case) if stage in case.params else None


def other_direction(case: Case) -> NDArray[Any] | None:
    """Decom-Renorm-Merge on the other side."""
    now = case.params.get("drm", {}).get("direction")
    return params("drm", direction="horizontal" if now == "vertical" else "vertical")(case)


def truncated_to(k: int) -> Mistake:
    """Each update cut to rank k before anything else."""

    def wrong(case: Case) -> NDArray[Any] | None:
        if all(b.shape[-1] <= k for b, _, _ in case.updates):
            return None
        return updates(lambda b, a, s, t: (*leading_factors(b.astype(np.float64) @ a.astype(np.float64), k), s))(case)

    return wrong


def leading_factors(x: NDArray[Any], k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Factors of the best approximation of rank k."""
    p, s, q = np.linalg.svd(x, full_matrices=False)
    return p[..., :k] * s[..., None, :k], q[..., :k, :]


def truncated_result(x: NDArray[Any], case: Case) -> NDArray[Any]:
    """The result cut to the largest rank of a task."""
    b, a = leading_factors(x, max(1, *(b.shape[-1] for b, _, _ in case.updates)))
    return b @ a


def products(case: Case) -> list[NDArray[Any]]:
    """Every ΔW_t in float64."""
    return [s * b.astype(np.float64) @ a.astype(np.float64) for b, a, s in case.updates]


def averaged(case: Case) -> NDArray[Any]:
    """The mean of the updates, whatever the method."""
    found: NDArray[Any] = np.sum(products(case), 0) / len(case.updates)
    return found


def factors_apart(root: Callable[[float], float] | None) -> Mistake:
    """A and B merged apart from each other: by PEFT's ``root`` of weight and scaling on both, or averages."""

    def wrong(case: Case) -> NDArray[Any] | None:
        if len({b.shape for b, _, _ in case.updates}) > 1:
            return None
        w = next((p["weights"] for p in case.params.values() if "weights" in p), None) or [1.0] * len(case.updates)
        bs, as_ = [b.astype(np.float64) for b, _, _ in case.updates], [a.astype(np.float64) for _, a, _ in case.updates]
        scales = [s for _, _, s in case.updates]
        if root is None:
            averages: NDArray[Any] = np.sum([s * b for s, b in zip(scales, bs, strict=True)], 0) @ np.sum(as_, 0)
            return averages / len(bs)
        c = [root(abs(x * s)) for x, s in zip(w, scales, strict=True)]
        signs = [math.copysign(1.0, x) for x in w]
        left = np.sum([x * b for x, b in zip(c, bs, strict=True)], 0)
        right = np.sum([g * x * a for g, x, a in zip(signs, c, as_, strict=True)], 0)
        found: NDArray[Any] = left @ right
        return found

    return wrong


def smallest_rank(case: Case) -> NDArray[Any] | None:
    """Every task's factors cut to the smallest rank among them."""
    r = min(b.shape[-1] for b, _, _ in case.updates)
    return updates(lambda b, a, s, t: (b[..., :r], a[..., :r, :], s))(case)


def undropped(case: Case) -> NDArray[Any] | None:
    """Decom-Renorm-Merge at a drop of 0 as a plain average."""
    return averaged(case) if case.params.get("drm", {}).get("drop") == 0 else None


def float_rank(case: Case) -> NDArray[Any] | None:
    """The relative rank of tsv as int(K · (1 / T)) in floating point."""
    k, tasks = min(case.live), len(case.updates)
    if case.params.get("tsv", {"k": 0})["k"] is not None or int(k * (1 / tasks)) == k // tasks:
        return None
    return params("tsv", k=int(k * (1 / tasks)))(case)


def small(case: Case) -> NDArray[Any] | None:
    """Zero for factors so small that single precision or an absolute threshold takes them for zero."""
    tops = [float(np.max(np.abs(x), initial=0.0)) for b, a, _ in case.updates for x in (b, a)]
    return merge(case) * 0 if any(0 < x < 1e-30 for x in tops) else None


def both(first: str, second: str, mistake: Mistake) -> Mistake:
    """A mistake of cases that have two stages."""
    return lambda case: mistake(case) if {first, second} <= set(case.method.split("+")) else None


def rounded_factors(dtype: Any) -> Mistake:
    """Merge the factors rounded to another type."""
    return updates(lambda b, a, s, t: (b.astype(dtype).astype(np.float64), a.astype(dtype).astype(np.float64), s))
