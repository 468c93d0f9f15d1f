"""TSV, CART, isotropization and Decom-Renorm-Merge of the NumPy model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..questions import norm
from .linear import Array, svd


def polar(x: Array, wrong: set[str]) -> Array:
    """Canonical polar factor."""
    if x.shape[1] == 0 or "TSV without orthogonalization" in wrong:
        return x
    p, s, q = svd(x)
    r = len(s) if "null vectors used in TSV" in wrong else int(np.sum(s > 1e-10 * s[0]))
    return p[:, :r] @ q[:, :r].T


def leading(x: Array, k: int, noise: float) -> tuple[Array, Array, Array]:
    """The first k triplets above the noise."""
    p, s, q = svd(x)
    k = min(k, int(np.sum(s > noise)))
    return p[:, :k], s[:k], q[:, :k]


def tsv(stack: Array, noise: Array, k: int | None, wrong: set[str]) -> Array:
    """TSV-M."""
    k = min(stack.shape[1:]) // len(stack) if k is None else k
    if "null vectors used in TSV" in wrong:
        noise = noise * 0 - 1
    parts = [leading(x, k, z) for x, z in zip(stack, noise, strict=True)]
    left, right = (polar(np.concatenate([part[i] for part in parts], axis=1), wrong) for i in (0, 2))
    values = np.concatenate([part[1] for part in parts])
    return (left * (values**0 if "TSV without singular values" in wrong else values)) @ right.T


def cart(stack: Array, noise: Array, p: dict[str, Any], wrong: set[str]) -> Array:
    """CART."""
    k = p["k"]
    if k is None:
        amount = p["fraction"] * min(stack.shape[1:])
        k = math.ceil(amount) if p["rounding"] == "ceil" else max(1, int(amount))
    mean = stack.mean(0) if "CART without the mean" not in wrong else stack[0] * 0
    out = mean.copy()
    for x in stack:
        a, s, b = leading(x - mean, k, noise.max())
        out += p["coefficient"] * (a * s) @ b.T
    if "CART mean not added back" in wrong:
        return out - mean
    return out + (p["coefficient"] - 1) * mean if "CART coefficient scales the mean too" in wrong else out


def iso(x: Array, noise: float, support: str, wrong: set[str]) -> Array:
    """Isotropization."""
    everything = support == "size" or "null vectors used in Iso" in wrong
    p, s, q = leading(x, min(x.shape), -1.0 if everything else noise)
    if not s.size:
        return np.zeros_like(x)
    mean = s.mean()
    if "mean singular value over the wrong count" in wrong:
        mean = s.sum() / min(x.shape) if not everything else s.sum() / np.sum(s > noise)
    if "median or root mean square for the mean singular value" in wrong:
        mean = math.sqrt(np.mean(s**2))
    return mean * p @ q.T


def iso_cts(stack: Array, noise: Array, p: dict[str, Any], wrong: set[str]) -> Array:
    """Iso-CTS."""
    d, tasks = min(stack.shape[1:]), len(stack)
    shared = int(d * p["common_fraction"])
    each = (d - shared) // tasks if p["rounding"] == "floor" else round((d - shared) / tasks)
    common = max(d - tasks * each, 0)
    parts = [leading(stack.sum(0), common, noise.max())]
    u, v = parts[0][0], parts[0][2]
    for x, z in zip(stack, noise, strict=True):
        rest = x - u @ (u.T @ x)
        rest = rest - (rest @ v) @ v.T if "Iso-CTS projects on both sides" in wrong else rest
        parts.append(leading(x if "Iso-CTS without residuals" in wrong else rest, each, z))
    left, right = (polar(np.concatenate([part[i] for part in parts], axis=1), wrong) for i in (0, 2))
    values = np.concatenate([part[1] for part in parts])
    return values.mean() * left @ right.T if values.size else np.zeros(stack.shape[1:])


def drm(stack: Array, noise: Array, weights: Array, p: dict[str, Any], wrong: set[str]) -> Array:
    """Decom-Renorm-Merge."""
    if p["direction"] == "vertical":
        return drm(stack.transpose(0, 2, 1), noise, weights, {**p, "direction": "horizontal"}, wrong).T
    u, s, _ = svd(np.concatenate(list(stack), axis=1))
    u = u[:, s > p["rank_cut"] * s[0]] if s.size else u
    rows = np.stack([u.T @ x for x in stack])
    lengths = np.array([[norm(r) for r in x] for x in rows]).reshape(rows.shape[:2])
    dead = lengths <= noise[:, None]
    unit = np.where(dead[..., None], 0, rows / np.where(dead, 1, lengths)[..., None])
    if "DRM divides the rows of a zero task by their norm" in wrong:
        unit = np.where(dead[..., None], np.nan, unit)
    unit = rows if "DRM without renormalization" in wrong else unit
    cut = unit.size - round(unit.size * (1 - p["drop"]))
    threshold = np.sort(np.abs(unit).ravel())[cut - 1] if cut >= 1 else 0.0
    rows = np.where((np.abs(unit) >= threshold) & ~dead[..., None] & (np.abs(rows) > noise[:, None, None]), rows, 0)
    mass = rows.sum(0)
    signs = np.where(np.abs(mass) > noise.max(), np.sign(mass), 0)
    signs = np.where(signs == 0, np.sign(signs.sum()), signs)
    agree = (rows != 0) & (np.sign(rows) == signs)
    return u @ ((np.where(agree, rows * weights[:, None, None], 0)).sum(0) / np.maximum(agree.sum(0), 1))
