"""TSV, CART, isotropization and Iso-CTS of the model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .arithmetic import Arithmetic, Array, Triple
from .nearest import completed, signs_like


def leading(model: Arithmetic, x: Array, k: int, level: float) -> Triple:
    """The first k triplets above the level."""
    p, s, q = model.svd(x)
    k = min(k, int(np.sum(s > level)))
    return p[:, :k], s[:k], q[:, :k]


def turn(model: Arithmetic, x: Array, k: int, level: float) -> float:
    """How far the leading k vectors are known."""
    s = model.svd(x)[1]
    k = min(k, int(np.sum(s > level)))
    gap = float(s[k - 1] - (s[k] if k < len(s) else 0)) if k else math.inf
    return level / gap if gap > 0 else math.inf


def polar(model: Arithmetic, parts: list[Array], turns: list[float]) -> Array:
    """Canonical polar factor of parts side by side."""
    x = np.concatenate(parts, axis=1)
    if x.shape[1] == 0 or model.bad("polar-left-out"):
        return x
    if model.bad("qr-for-polar"):
        return np.linalg.qr(x)[0] @ np.eye(min(x.shape), x.shape[1], dtype=x.dtype)
    p, s, q = model.svd(x)
    cut = max(64 * model.eps, min(math.sqrt(model.eps), max(turns)))
    if model.bad("null-vectors-in-polar") and model.seen is None:
        cut = -1.0
    cut = 1e-5 if model.bad("polar-cut-1e-5") else cut
    r = int(np.sum(s > cut * s[0]))
    return p[:, :r] @ q[:, :r].T


def opened(model: Arithmetic, left: Array, right: Array, values: Array) -> tuple[Array, Array]:
    """The two factors (p, K), (q, K), what a mistake leaves open in them chosen nearest to the answer looked at."""
    if model.seen is None:
        return left, right
    if model.bad("qr-for-polar"):
        return left * signs_like(left * values, model.seen @ right), right
    if model.bad("null-vectors-in-polar"):
        values = values**0 * values.mean() if model.flat else values
        return completed(left, right, values, model.seen, math.sqrt(model.eps))
    return left, right


def tsv(model: Arithmetic, stack: Array, levels: Array, p: dict[str, Any], full_size: int) -> Array:
    """TSV-M."""
    size, tasks, k = min(stack.shape[1:]), len(stack), p["k"]
    if k is None:
        k = max(1, size // tasks)
        if model.bad("relative-rank-may-be-0"):
            k = size // tasks
        if model.bad("relative-rank-of-the-full-size"):
            k = max(1, full_size // tasks)
    k += model.bad("rank-one-too-large") - model.bad("rank-one-too-small")
    if model.bad("null-vectors-in-tsv"):
        levels = levels * 0 - 1
    parts = [leading(model, x, k, level) for x, level in zip(stack, levels, strict=True)]
    turns = [turn(model, x, k, abs(level)) for x, level in zip(stack, levels, strict=True)]
    left = polar(model, [part[0] for part in parts], turns)
    if model.bad("right-side-not-orthogonalized"):
        right = np.concatenate([part[2] for part in parts], axis=1)
    else:
        right = polar(model, [part[2] for part in parts], turns)
    values = np.concatenate([part[1] for part in parts])
    if model.bad("tsv-without-singular-values"):
        values = values**0
    if model.bad("singular-values-sorted-over-tasks"):
        values = np.sort(values)[::-1]
    if model.bad("singular-values-averaged"):
        values = values / model.dtype.type(tasks)
    left, right = opened(model, left, right, values)
    return (left * values) @ right.T


def cart(model: Arithmetic, stack: Array, levels: Array, p: dict[str, Any], full_size: int) -> Array:
    """CART."""
    k, coefficient = p["k"], model.dtype.type(p["coefficient"])
    if k is None:
        amount = p["fraction"] * (full_size if model.bad("relative-rank-of-the-full-size") else min(stack.shape[1:]))
        k = math.ceil(amount) if p["rounding"] == "ceil" else max(1, int(amount))
    k += model.bad("rank-one-too-large") - model.bad("rank-one-too-small")
    mean = stack.sum(0) / model.dtype.type(len(stack))
    if model.bad("cart-sum-for-mean"):
        mean = stack.sum(0)
    if model.bad("cart-first-task-for-mean"):
        mean = stack[0]
    if model.bad("cart-without-mean"):
        mean = stack[0] * 0
    residuals = stack * 0
    for t, x in enumerate(stack):
        a, s, b = leading(model, x if model.bad("cart-not-centred") else x - mean, k, float(levels.max()))
        residuals[t] = (a * s) @ b.T
    out = coefficient * residuals.sum(0)
    if model.bad("cart-residuals-averaged"):
        out = out / model.dtype.type(len(stack))
    if model.bad("cart-mean-not-added"):
        return out
    return out + (coefficient * mean if model.bad("cart-coefficient-on-mean") else mean)


def iso(model: Arithmetic, x: Array, level: float, support: str) -> Array:
    """Isotropization."""
    everything = support == "size" or model.bad("null-vectors-in-iso")
    p, s, q = leading(model, x, min(x.shape), -1.0 if everything else level)
    if not s.size:
        return np.zeros_like(x)
    value = s.sum() / model.dtype.type(len(s))
    if model.bad("iso-mean-over-wrong-count"):
        value = s.sum() / model.dtype.type(min(x.shape) if not everything else max(int(np.sum(s > level)), 1))
    for mistake, other in (
        ("iso-largest-for-mean", lambda: s[0]),
        ("iso-median-for-mean", lambda: np.median(s)),
        ("iso-root-mean-square", lambda: np.sqrt(np.mean(s**2))),
        ("iso-sum-for-mean", lambda: s.sum()),
    ):
        value = other() if model.bad(mistake) else value
    return value * p @ q.T


def iso_cts(model: Arithmetic, stack: Array, levels: Array, p: dict[str, Any]) -> Array:
    """Iso-CTS."""
    d, tasks = min(stack.shape[1:]), len(stack)
    shared = int(d * p["common_fraction"])
    each = (d - shared) // tasks if p["rounding"] == "floor" else round((d - shared) / tasks)
    common = shared if model.bad("cts-common-part-not-adjusted") else max(d - tasks * each, 0)
    if model.bad("null-vectors-in-tsv"):
        levels = levels * 0 - 1
    whole, top = stack.sum(0), float(levels.max())
    parts, turns = [leading(model, whole, common, top)], [turn(model, whole, common, abs(top))]
    u, v = parts[0][0], parts[0][2]
    for x, level in zip(stack, levels, strict=True):
        rest = x - u @ (u.T @ x)
        if model.bad("cts-projects-on-both-sides"):
            rest = rest - (rest @ v) @ v.T
        if model.bad("cts-projects-on-the-right"):
            rest = x - (x @ v) @ v.T
        rest = x if model.bad("cts-without-residuals") else rest
        level = level + min(turns[0], 1.0) * float(np.linalg.norm(x))  # known as well as u
        parts.append(leading(model, rest, each, level))
        turns.append(turn(model, rest, each, abs(level)))
    if model.bad("cts-common-part-left-out"):
        parts = parts[1:]
    values = np.concatenate([part[1] for part in parts])
    if not values.size:
        return np.zeros_like(whole)
    left, right = (polar(model, [part[i] for part in parts], turns) for i in (0, 2))
    left, right = opened(model, left, right, values**0 * values.mean())
    of = parts[0][1] if model.bad("cts-mean-of-the-common") and parts[0][1].size else values
    return (of.sum() / model.dtype.type(len(of))) * left @ right.T
