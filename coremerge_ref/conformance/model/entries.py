"""Trimming and TIES of the NumPy model."""

from __future__ import annotations

from typing import Any

import numpy as np

from .linear import Array


def trim(x: Array, density: float, keep: str, wrong: set[str]) -> Array:
    """Entries kept by the threshold or the exact count."""
    flat = np.abs(x).ravel()
    d = flat.size
    count = int(d * density)
    if "trim keeps the smallest" in wrong:
        return np.where(np.abs(x) <= np.sort(flat)[max(count - 1, 0)], x, 0)
    if density >= 1 or (keep == "threshold" and d - count < 1):
        return x
    if keep == "exact":
        out = np.zeros_like(x).ravel()
        chosen = np.argsort(-flat, kind="stable")[: max(count, 1) if "at least one entry kept" in wrong else count]
        out[chosen] = x.ravel()[chosen]
        return out.reshape(x.shape)
    at = d - count - 1
    at += 1 if "trim threshold off by one" in wrong else -1 if "trim threshold one too low" in wrong else 0
    threshold = np.sort(flat)[min(max(at, 0), d - 1)]
    return np.where(
        np.abs(x) > threshold if "trim drops the threshold itself" in wrong else np.abs(x) >= threshold, x, 0
    )


def elected(stack: Array, level: float, elect: str, zero_sign: str) -> Array:
    """A sign per entry."""
    if elect == "count":
        signs = np.sign(np.sign(stack).sum(0))
    else:
        mass = stack.sum(0)
        signs = np.where(np.abs(mass) > level, np.sign(mass), 0)
    majority = 1 if zero_sign == "positive" or signs.sum() > 0 else -1
    return np.where(signs == 0, 0 if zero_sign == "drop" else majority, signs)


def ties(stack: Array, noise: Array, weights: Array, p: dict[str, Any], wrong: set[str]) -> Array:
    """TIES on a stack (T, p, q)."""
    if "trim by one threshold for all tasks" in wrong:
        stack = trim(stack, p["density"], p["keep"], wrong)
    elif "TIES does not trim" not in wrong:
        stack = np.stack([trim(x, p["density"], p["keep"], wrong) for x in stack])
    stack = np.where(np.abs(stack) > noise[:, None, None], stack, 0)
    w = weights[:, None, None]
    if p["weight_order"] == "before":
        stack, noise = stack * w, noise * np.abs(weights)
    signs = elected(stack, noise.max(), p["elect"], p["zero_sign"])
    agree = (stack != 0) & (np.sign(stack) == (-signs if "elected sign reversed" in wrong else signs))
    if "disagreeing entries kept" in wrong:
        agree = stack != 0
    out = np.where(agree, stack * (1 if p["weight_order"] == "before" else w), 0).sum(0)
    if p["aggregate"] == "sum":
        return out
    if "mean over all tasks" in wrong:
        return out / len(stack)
    by = agree.sum(0) if p["divisor"] == "count" else (agree * w).sum(0)
    return out / np.where(by == 0, 1, by)
