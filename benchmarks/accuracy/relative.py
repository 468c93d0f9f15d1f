"""The paper's settings, which the library does not have: sizes that follow the space's own, null vectors taking part.

By the dense definitions of benchmarks/dense.py, in float32 as the paper's code runs. Which null vectors take part is
rounding's choice: results differ from machine to machine.
"""

from typing import Any

import numpy as np
import torch

import coremerge_ref as cm
from benchmarks import dense
from benchmarks.accuracy import merged

Factors = list[tuple[np.ndarray, np.ndarray]]
KNOTS_CUT = 1e-5  # of the largest singular value: what the float32 SVD of [ΔW_1 … ΔW_T] knows
INNER = {"tsv": dense.tsv, "iso": dense.ta}  # iso alone isotropizes the sum


def cart(fraction: float) -> dense.Merge:
    """CART of a rank that is this share of the size."""
    return lambda M: dense.cart(M, fraction)


def inside(factors: Factors, merge: dense.Merge, space: str) -> np.ndarray:
    """ΔW (m, n) of a merge in a space; "knots" divides the singular values out, as the paper's code does."""
    if space == "full":
        return dense.full(factors, merge)
    if space == "core":
        left, right = dense.optimized_core(factors, merge)
        return left @ right
    U, S, Vh = np.linalg.svd(np.concatenate([B @ A for B, A in factors], axis=1), full_matrices=False)
    live = S > KNOTS_CUT * S[0]
    blocks = np.stack(np.split(Vh[live], len(factors), axis=1))  # (T, p, n)
    return (U[:, live] * S[live]) @ merge(blocks)


def isotropized(W: np.ndarray, factors: Factors, space: str) -> np.ndarray:
    """All min(p, q) singular values at their mean: of the core matrix, else of the m × n matrix, in KnOTS too."""
    if space != "core":
        return dense.iso(W[None])
    U, Vh = dense.reference(factors)
    return U @ dense.iso((U.T @ W @ Vh.T)[None]) @ Vh


def merge(layers: merged.Layers, stages: list[str], space: str, library: Any, fraction: float) -> merged.Update:
    """ΔW of every layer. stages: the method's names; library: those before iso as a Pipeline, for TIES and DARE."""
    factors = {name: [u.folded(np.float32) for u in updates] for name, updates in layers.items()}
    first = stages[0]
    if first in ("tsv", "iso", "cart"):
        inner = cart(fraction) if first == "cart" else INNER[first]
        found = {name: inside(pairs, inner, space) for name, pairs in factors.items()}
    else:
        found = {name: W.numpy() for name, W in merged.merge(layers, library, merged.SPACES[space]).items()}
    if stages[-1] == "iso":
        found = {name: isotropized(W, factors[name], space) for name, W in found.items()}
    return {name: torch.from_numpy(np.ascontiguousarray(W, dtype=np.float32)) for name, W in found.items()}


def check(layers: merged.Layers, pipeline: cm.Pipeline) -> float:
    """Relative distance of the library's merge in core space from the dense definition without null vectors."""
    ours = cm.merge_adapters(layers, pipeline, space="core", out_dtype="float64")
    apart = size = 0.0
    for name, updates in layers.items():
        stack = np.stack([B @ A for B, A in (u.folded(np.float64) for u in updates)])
        expected = dense.of_pipeline(pipeline, stack)
        apart += float(np.sum((ours[name].to_dense() - expected) ** 2))
        size += float(np.sum(expected**2))
    return (apart / size) ** 0.5
