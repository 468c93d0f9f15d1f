"""Trimming, TIES and DARE of the model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .arithmetic import Arithmetic, Array


def flush(stack: Array, levels: Array) -> Array:
    """Entries within rounding of zero become zero."""
    return np.where(np.abs(stack) > levels[:, None, None], stack, 0).astype(stack.dtype)


def trim(model: Arithmetic, x: Array, p: dict[str, Any], full_size: int) -> Array:
    """The largest entries of an array."""
    density, keep = p["density"], p["keep"]
    flat = np.abs(x).ravel()
    d = flat.size
    count = int(d * density)
    if model.bad("density-rounded-up"):
        count = math.ceil(d * density)
    if model.bad("density-is-the-dropped-share"):
        count = int(d * (1 - density))
    if model.bad("density-of-the-full-size"):
        count = min(int(full_size * density), d)
    if model.bad("trim-keeps-the-smallest"):
        return np.where(np.abs(x) <= np.sort(flat)[max(count - 1, 0)], x, 0)
    if density >= 1 or (keep == "threshold" and d - count < 1):
        return x
    if keep == "exact":
        last_first = model.bad("last-among-equals-first")
        order = np.lexsort((np.arange(d)[:: -1 if last_first else 1], -flat))
        out = np.zeros_like(x).ravel()
        kept = order[: max(count, 1) if model.bad("at-least-one-entry-kept") else count]
        out[kept] = x.ravel()[kept]
        return out.reshape(x.shape)
    at = d - count - 1
    at += 1 if model.bad("trim-off-by-one") else -1 if model.bad("trim-one-too-low") else 0
    threshold = np.sort(flat)[min(max(at, 0), d - 1)]
    if model.bad("trim-by-quantile"):
        threshold = np.quantile(flat, 1 - density)
    magnitudes = x if model.bad("trim-by-value") else np.abs(x)
    return np.where(magnitudes > threshold if model.bad("trim-strictly-above") else magnitudes >= threshold, x, 0)


def trim_all(model: Arithmetic, stack: Array, p: dict[str, Any], full_size: int) -> Array:
    """Every task trimmed by itself."""
    return np.stack([trim(model, x, p, full_size) for x in stack])


def elected(model: Arithmetic, stack: Array, level: float, elect: str, zero_sign: str) -> Array:
    """A sign per entry."""
    if model.bad("sign-of-the-largest-entry"):
        return np.sign(np.take_along_axis(stack, np.abs(stack).argmax(0)[None], 0))[0]
    if elect == "count":
        signs = np.sign(np.sign(stack).sum(0))
    else:
        mass = stack.sum(0)
        signs = np.where(np.abs(mass) > level, np.sign(mass), 0)
    majority = 1 if zero_sign == "positive" or (zero_sign != "negative" and signs.sum() > 0) else -1
    return np.where(signs == 0, 0 if zero_sign == "drop" else majority, signs)


def ties(model: Arithmetic, stack: Array, levels: Array, weights: Array, p: dict[str, Any], full_size: int) -> Array:
    """TIES on a stack (T, p, q)."""
    stack = flush(stack, levels)
    if model.bad("one-threshold-for-all-tasks"):
        stack = trim(model, stack, p, full_size)
    elif not model.bad("ties-without-trimming"):
        stack = trim_all(model, stack, p, full_size)
    w = weights[:, None, None]
    before = p["weight_order"] == "before"
    if before:
        stack, levels = stack * w, levels * np.abs(weights)
    signs = elected(model, stack, float(levels.max()), p["elect"], p["zero_sign"])
    agree = (stack != 0) & (np.sign(stack) == (-signs if model.bad("elected-sign-reversed") else signs))
    if model.bad("disagreeing-entries-kept"):
        agree = stack != 0
    if model.bad("zeros-agree"):
        agree = agree | (stack == 0)
    out = np.where(agree, stack if before else stack * w, 0).sum(0)
    if p["aggregate"] == "sum":
        return out
    if model.bad("mean-over-all-tasks"):
        return out / model.dtype.type(len(stack))
    by = agree.sum(0) if p["divisor"] == "count" else (agree * w).sum(0)
    return out / np.where(by == 0, 1, by).astype(stack.dtype)


def dare(model: Arithmetic, stack: Array, levels: Array, masks: Array, p: dict[str, Any]) -> tuple[Array, Array]:
    """DARE on a stack: what the masks keep, rescaled, and the levels with it."""
    rows, cols = stack.shape[1:]
    if model.bad("masks-in-column-order"):
        masks = np.stack([z.T.reshape(z.shape) for z in masks])
    if model.bad("masks-cut-from-the-end"):
        masks = masks[:, masks.shape[1] - rows :, masks.shape[2] - cols :]
    masks = masks[:, :rows, :cols]
    stack = flush(stack, levels)
    new = np.where(masks, stack, 0)
    factors = np.full(len(stack), 1 / (1 - p["drop"]) if p["rescale"] == "inverse" else 1.0)
    if p["rescale"] == "inverse" and model.bad("dare-rescaled-by-the-kept-share"):
        factors = np.array([z.size / max(int(z.sum()), 1) for z in masks])
    if p["rescale"] == "l1":
        power = 2 if model.bad("dare-l2-for-l1") else 1
        whole, left = ((np.abs(x).astype(np.float64) ** power).sum((1, 2)) ** (1 / power) for x in (stack, new))
        factors = np.where(left == 0, 1, whole / np.where(left == 0, 1, left))
    if model.bad("dare-rescaled-twice"):
        factors = factors**2
    return new * factors[:, None, None].astype(stack.dtype), levels * factors
