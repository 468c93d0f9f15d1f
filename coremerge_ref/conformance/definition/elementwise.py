"""Stages that look at single entries: trimming, TIES, DARE. Equivariant under signed permutations only.

A stack is a list of T matrices (p, q); ``noise`` holds per task the magnitude that still counts as zero.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from mpmath import mp, mpf

from .linalg import Matrix, number


def entries(matrix: Matrix) -> list[tuple[int, int]]:
    """Indices in row-major order."""
    return [(i, j) for i in range(matrix.rows) for j in range(matrix.cols)]


def sign(x: mpf) -> int:
    """-1, 0 or 1."""
    return int(x > 0) - int(x < 0)


def kept(matrix: Matrix, density: float, keep: str) -> set[tuple[int, int]]:
    """Entries that trimming keeps, of d in all and K = int(d · density).

    "threshold": magnitude >= the (d - K)-th smallest (all where d - K < 1). "exact": the K largest, among equals the
    lowest row-major index first. A density of 1 keeps all.
    """
    at = entries(matrix)
    d = len(at)
    count = int(d * float(density))
    if density >= 1 or (keep == "threshold" and d - count < 1):
        return set(at)
    if keep == "exact":
        return set(sorted(at, key=lambda ij: -abs(matrix[ij]))[:count])  # a stable sort
    threshold = sorted(abs(matrix[ij]) for ij in at)[d - count - 1]
    return {ij for ij in at if abs(matrix[ij]) >= threshold}


def trim(stack: list[Matrix], density: float, keep: str) -> list[Matrix]:
    """Each M_t with the entries that are not kept set to zero (TIES step 1, arXiv 2306.01708)."""
    out = []
    for matrix in stack:
        new = mp.matrix(matrix.rows, matrix.cols)
        for ij in kept(matrix, density, keep):
            new[ij] = matrix[ij]
        out.append(new)
    return out


def flush(stack: list[Matrix], noise: list[mpf]) -> list[Matrix]:
    """Entries within the noise of their task become exactly zero."""
    return [
        m.apply(lambda x, level=level: x if abs(x) > level else mpf(0)) for m, level in zip(stack, noise, strict=True)
    ]


def flattened(layers: list[Matrix]) -> Matrix:
    """The entries of several matrices as one row, layer after layer: what scope="model" looks at."""
    values = [m[ij] for m in layers for ij in entries(m)]
    return mp.matrix([values]) if values else mp.matrix(1, 0)


def unflattened(row: Matrix, shapes: list[tuple[int, int]]) -> list[Matrix]:
    """The matrices whose entries a row holds."""
    values, out = iter(row), []
    for rows, cols in shapes:
        new = mp.matrix(rows, cols)
        for ij in entries(new):
            new[ij] = next(values)
        out.append(new)
    return out


def elected(stack: list[Matrix], noise: list[mpf], elect: str, zero_sign: str) -> dict[tuple[int, int], int]:
    """A sign per entry: of Σ_t τ_t ("mass") or of Σ_t sign τ_t ("count"); then what to do with zero sums."""
    signs = {}
    for ij in entries(stack[0]):
        if elect == "count":
            signs[ij] = sign(sum(sign(m[ij]) for m in stack))
        else:
            mass = mp.fsum(m[ij] for m in stack)
            signs[ij] = sign(mass) if abs(mass) > max(noise) else 0
    majority = 1 if zero_sign == "positive" or sum(signs.values()) > 0 else -1
    return {ij: s or majority for ij, s in signs.items()}


def ties_signs(
    stack: list[Matrix], noise: list[mpf], weights: list[mpf], params: dict[str, Any]
) -> dict[tuple[int, int], int]:
    """The signs that TIES elects."""
    stack = trim(flush(stack, noise), params["density"], params["keep"])
    if params["weight_order"] == "before":
        stack = [w * m for w, m in zip(weights, stack, strict=True)]
        noise = [abs(w) * level for w, level in zip(weights, noise, strict=True)]
    return elected(stack, noise, params["elect"], params["zero_sign"])


def ties(
    stack: list[Matrix], noise: list[mpf], weights: list[mpf], *, density: float, keep: str, elect: str, zero_sign: str,
    aggregate: str, weight_order: str, divisor: str,
) -> Matrix:  # fmt: skip
    """TIES (arXiv 2306.01708): trim, elect a sign per entry, aggregate the entries that have it."""
    stack = trim(flush(stack, noise), density, keep)
    if weight_order == "before":
        stack = [w * m for w, m in zip(weights, stack, strict=True)]
        noise = [abs(w) * level for w, level in zip(weights, noise, strict=True)]
    signs = elected(stack, noise, elect, zero_sign)
    out = mp.matrix(stack[0].rows, stack[0].cols)
    for ij in entries(out):
        chosen = [t for t, m in enumerate(stack) if m[ij] != 0 and sign(m[ij]) == signs[ij]]
        value = mp.fsum(stack[t][ij] * (1 if weight_order == "before" else weights[t]) for t in chosen)
        if aggregate == "mean":
            value /= max(len(chosen), 1) if divisor == "count" else (mp.fsum(weights[t] for t in chosen) or 1)
        out[ij] = value
    return out


def random_numbers(seed: int, layer: str, task: int, static: tuple[int, int]) -> np.ndarray:
    """The project's random numbers in [0, 1): NumPy's Philox keyed by blake2b of "seed|layer|task"."""
    digest = hashlib.blake2b(f"{seed}|{layer}|{task}".encode(), digest_size=16).digest()
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
    return generator.random(static[0] * static[1]).reshape(static)


def drawn_mask(seed: int, layer: str, task: int, drop: float, static: tuple[int, int]) -> np.ndarray:
    """The project's DARE mask; True keeps the entry."""
    return random_numbers(seed, layer, task, static) >= drop


def dare(stack: list[Matrix], masks: list[np.ndarray], drop: float, rescale: str) -> tuple[list[Matrix], list[mpf]]:
    """DARE (arXiv 2311.03099): M_t ∘ Z_t times a rescaling; also returns the rescaling of each task."""
    out, factors = [], []
    for matrix, mask in zip(stack, masks, strict=True):
        new = mp.matrix(matrix.rows, matrix.cols)
        for ij in entries(matrix):
            new[ij] = matrix[ij] if mask[ij] else mpf(0)
        factor = mp.one
        if rescale == "inverse":
            factor = 1 / (1 - number(drop))
        elif rescale == "l1":
            left = mp.fsum(abs(x) for x in new)
            factor = mp.fsum(abs(x) for x in matrix) / left if left else mp.one
        out.append(factor * new)
        factors.append(factor)
    return out, factors
