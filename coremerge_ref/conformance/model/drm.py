"""Decom-Renorm-Merge of the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import Arithmetic, Array, lengths


def one_sided_frame(model: Arithmetic, stack: Array, rank_cut: float) -> Array:
    """Left singular vectors of [M_1 … M_T] above the cut."""
    u, s, _ = model.svd(np.concatenate(list(stack), axis=1))
    cut = 0.2 if model.bad("drm-rank-cut-too-high") else rank_cut
    return u[:, s > cut * s[0]] if s.size else u


def turns(model: Arithmetic, stack: Array, level: float) -> Array:
    """How far each of these vectors is known: ν over the gap to the nearest singular value, 0 being the last."""
    below = -np.diff(model.svd(np.concatenate(list(stack), axis=1))[1], append=0.0)
    gap = np.minimum(below, np.concatenate([below[:1], below[:-1]]))
    return np.minimum(level / np.maximum(gap, np.finfo(float).tiny), model.eps**0.5)


def drm(model: Arithmetic, stack: Array, levels: Array, weights: Array, p: dict[str, Any]) -> Array:
    """Decom-Renorm-Merge."""
    if p["direction"] == "vertical":
        mirrored = np.swapaxes(stack, 1, 2)
        return drm(model, mirrored, levels, weights, {**p, "direction": "horizontal"}).T
    u = one_sided_frame(model, stack, p["rank_cut"])
    turn = turns(model, stack, float(levels.max()))[: u.shape[1]]
    rows = np.stack([u.T @ x for x in stack])
    sizes = np.array([np.linalg.norm(np.asarray(x, float)) for x in stack])
    level = levels[:, None, None] + turn[:, None] * sizes[:, None, None]  # a row is known as its direction is
    norms = np.stack([lengths(x.T) for x in rows])[..., None]
    dead = norms <= level
    unit = np.where(dead, 0, rows / np.where(dead, 1, norms).astype(rows.dtype))
    if model.bad("drm-divides-zero-rows"):
        unit = np.where(dead, np.nan, unit)
    if model.bad("drm-columns-normalised"):
        norms = np.stack([lengths(x) for x in rows])[:, None, :]
        unit = np.where(norms <= level, 0, rows / np.where(norms <= level, 1, norms).astype(rows.dtype))
    unit = rows if model.bad("drm-not-renormalised") else unit
    magnitudes = np.abs(unit)
    cut = unit.size - round(unit.size * (1 - p["drop"]))
    threshold: Any = np.sort(magnitudes, axis=None)[cut - 1] if cut >= 1 else 0.0
    if model.bad("drm-threshold-per-task"):
        at = [max(round(x.size * p["drop"]) - 1, 0) for x in magnitudes]
        threshold = np.array([np.sort(x, axis=None)[i] if x.size else 0 for x, i in zip(magnitudes, at, strict=True)])
        threshold = threshold[:, None, None]
    # equal magnitudes differ by rounding, which may not decide which of them stay
    keep = (magnitudes >= threshold * (1 - 64 * model.eps)) & (np.abs(rows) > level)
    if not model.bad("drm-divides-zero-rows"):
        keep = keep & ~dead
    back = unit if model.bad("drm-norms-not-multiplied-back") else rows
    kept = np.where(keep, back, 0)
    mass = kept.sum(0)
    signs = np.where(np.abs(mass) > levels.max(), np.sign(mass), 0)
    signs = np.where(signs == 0, np.sign(signs.sum()), signs)
    agree = (kept != 0) & ((np.sign(kept) == signs) | model.bad("drm-without-election"))
    by = len(stack) if model.bad("drm-divided-by-all-tasks") else np.maximum(agree.sum(0), 1)
    total = np.where(agree, kept * weights[:, None, None], 0).sum(0)
    return u @ (total / np.asarray(by).astype(rows.dtype))
