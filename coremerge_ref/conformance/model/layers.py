"""One layer, its pipeline, and batches of the NumPy model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..questions import norm
from .entries import ties, trim
from .linear import EPS, Array, frame
from .spectra import cart, drm, iso, iso_cts, tsv


def merge_layer(updates: list[Any], case: Any, wrong: set[str]) -> Array:
    """One layer: updates (B (m, r), A (r, n), scale) in float64 -> (m, n)."""
    stack, noise, decode = encode(updates, case, wrong)
    return decode(run_stages(stack, noise, case, wrong))


def encode(updates: list[Any], case: Any, wrong: set[str]) -> tuple[Array, Array, Callable[[Array], Array]]:
    """The stack (T, p, q) in the case's space, what counts as zero per task, and the way back."""
    factors = [(np.asarray(b, np.float64) * s, np.asarray(a, np.float64)) for b, a, s in updates]
    sizes = [norm(b) * norm(a) for b, a in factors]
    m, n = factors[0][0].shape[0], factors[0][1].shape[1]
    u: Array | None = None
    v: Array | None = None
    divide: Array | None = None
    if case.space == "core":
        u, _ = frame([b for b, _ in factors], [norm(b) for b, _ in factors], wrong)
        v, _ = frame([a.T for _, a in factors], [norm(a) for _, a in factors], wrong)
        if "both frames cut to the common rank" in wrong:
            common = min(u.shape[1], v.shape[1])
            u, v = u[:, :common], v[:, :common]
    elif case.space == "knots":
        u, values = frame([b @ a for b, a in factors], sizes, wrong)
        divide = values if "KnOTS coordinates without their singular values" in wrong else None
    stack = np.stack([(b if u is None else u.T @ b) @ (a if v is None else a @ v) for b, a in factors])
    if divide is not None:
        stack = stack / divide[:, None]
    rtol = max(m, n, sum(b.shape[1] for b, _ in factors)) * EPS

    def decode(matrix: Array) -> Array:
        matrix = matrix if divide is None else divide[:, None] * matrix
        out = matrix if u is None else u @ matrix
        return out if v is None else out @ v.T

    return stack, rtol * np.array(sizes), decode


def run_stages(stack: Array, noise: Array, case: Any, wrong: set[str]) -> Array:
    """The pipeline on a stack (T, p, q)."""
    for stage in case.method.split("+"):
        p = case.params[stage]
        w = np.asarray(p.get("weights", np.ones(len(stack))), dtype=np.float64)
        if stage == "dare":
            mask = case.masks[:, : stack.shape[1], : stack.shape[2]]
            new = np.where(mask, stack, 0)
            factor = np.full(len(stack), 1 / (1 - p["drop"]) if p["rescale"] == "inverse" else 1.0)
            if p["rescale"] == "l1":
                left = np.abs(new).sum((1, 2))
                factor = np.where(left == 0, 1, np.abs(stack).sum((1, 2)) / np.where(left == 0, 1, left))
            stack, noise = new * factor[:, None, None], noise * factor
        elif stage == "trim":
            stack = np.stack([trim(x, p["density"], p["keep"], wrong) for x in stack])
        elif stage == "iso":
            stack = iso(stack[0], noise.max(), p["support"], wrong)[None]
        else:
            by = w.sum() if stage == "mean" else 1.0
            if stage in ("ta", "mean"):
                out = np.tensordot(w, stack, 1) / (
                    len(w) if "mean over the number of tasks" in wrong and stage == "mean" else by
                )
            elif stage in ("ties", "drm"):
                out = (ties if stage == "ties" else drm)(stack, noise, w, p, wrong)
            elif stage == "tsv":
                out = tsv(stack, noise, p["k"], wrong)
            else:
                out = (cart if stage == "cart" else iso_cts)(stack, noise, p, wrong)
            stack, noise = out[None], np.array([(noise * np.abs(w)).max() * max(1.0, abs(p.get("coefficient", 1.0)))])
    return stack[0]


def merge(case: Any, wrong: set[str] | None = None) -> Array:
    """A case's answer in float64, batches layer by layer."""
    if case.updates[0][0].ndim == 2:
        return merge_layer(case.updates, case, wrong or set())
    layers = [[(b[i], a[i], s) for b, a, s in case.updates] for i in range(case.updates[0][0].shape[0])]
    if "one trim threshold for the whole model" in (wrong or set()):
        parts = [encode(updates, case, set()) for updates in layers]
        joint = run_stages(np.concatenate([p[0] for p in parts], axis=2), parts[0][1], case, set())
        return np.stack([p[2](x) for p, x in zip(parts, np.split(joint, len(parts), axis=1), strict=True)])
    return np.stack([merge_layer(updates, case, wrong or set()) for updates in layers])
