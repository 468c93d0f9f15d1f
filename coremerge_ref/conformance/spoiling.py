"""How an answer is spoilt where a mistake is not made inside the merge: it is no merge of the case's kind, or was right
until the end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .bending import Array, leading_factors
from .questions import Case

Instead = Callable[[Case], "Array | None"]
Finish = Callable[[Array, Case], Array]
# how weight w and scaling s are shared where A and B are merged apart: (factor of A, factor of B)
SHARES: dict[str, Callable[[float, float], tuple[float, float]]] = {
    "factors-apart-roots": lambda w, s: (math.copysign(math.sqrt(abs(w * s)), w * s), math.sqrt(abs(w * s))),
    "factors-apart-weight-on-both": lambda w, s: (w, w * s),
    "factors-apart-all-on-both": lambda w, s: (w * s, w * s),
    "factors-apart-all-on-b": lambda w, s: (1.0, w * s),
    "factors-apart-unscaled": lambda w, s: (w, w),
}


# ---- no merge of the case's kind
def products(case: Case) -> list[Array]:
    """Every ΔW_t in float64."""
    return [s * b.astype(np.float64) @ a.astype(np.float64) for b, a, s in case.updates]


def averaged(case: Case) -> Array:
    """The mean of the updates, whatever the method."""
    mean: Array = np.sum(products(case), 0) / len(case.updates)
    return mean


def single_task_returned(case: Case) -> Array | None:
    """A single task as it is."""
    return products(case)[0] if len(case.updates) == 1 else None


def undropped(case: Case) -> Array | None:
    """Decom-Renorm-Merge at a drop of 0 as a plain average."""
    return averaged(case) if case.params.get("drm", {}).get("drop") == 0 else None


def small_taken_for_zero(case: Case) -> Array | None:
    """Zero for factors so small that single precision or an absolute threshold takes them for zero."""
    tops = [float(np.max(np.abs(x), initial=0.0)) for b, a, _ in case.updates for x in (b, a)]
    return np.zeros(case.shape) if any(0 < x < 1e-30 for x in tops) else None


def factors_apart(share: Callable[[float, float], tuple[float, float]], dtype: Any = np.float64) -> Instead:
    """Σ of the factors A and B, each by itself, whatever the method: cross terms B_s A_t come in."""

    def wrong(case: Case) -> Array | None:
        if len({b.shape for b, _, _ in case.updates}) > 1 or len(case.updates) < 2:
            return None
        given = next((p["weights"] for p in case.params.values() if "weights" in p), None)
        pairs = [share(w, s) for w, (_, _, s) in zip(given or [1.0] * len(case.updates), case.updates, strict=True)]
        shares = [tuple(float(dtype(x)) for x in pair) for pair in pairs]
        left = np.sum([y * b.astype(np.float64) for (_, y), (b, _, _) in zip(shares, case.updates, strict=True)], 0)
        right = np.sum([x * a.astype(np.float64) for (x, _), (_, a, _) in zip(shares, case.updates, strict=True)], 0)
        product: Array = left @ right
        return product

    return wrong


def factors_averaged_apart(case: Case) -> Array | None:
    """mean(s_t B_t) and mean(A_t) times T: the sum of B times the average of A."""
    whole = factors_apart(lambda w, s: (1.0, s))(replace(case, params={}))
    return None if whole is None else whole / len(case.updates)


# ---- right until the end
def truncated(x: Array, case: Case) -> Array:
    """The result cut to the largest rank of a task."""
    b, a = leading_factors(x, max(1, *(b.shape[-1] for b, _, _ in case.updates)))
    return b @ a


def rounded(dtype: Any) -> Finish:
    """The result rounded to another type."""

    def finish(x: Array, case: Case) -> Array:
        with np.errstate(over="ignore", under="ignore"):
            return x.astype(dtype).astype(np.float64)

    return finish
