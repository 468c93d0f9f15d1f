"""What the stages share that look at single entries. They are equivariant under signed permutations only.

A stack is a list of T matrices (p, q); ``levels`` holds per task the magnitude that still counts as zero in an entry: a
number, or a matrix of them, below zero where entries of several layers stand in a row and the task lacks the layer.
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import numpy as np
from mpmath import mp, mpf

from .linalg import Matrix

Level: TypeAlias = mpf | Matrix


def entries(matrix: Matrix) -> list[tuple[int, int]]:
    """Indices in row-major order."""
    return [(i, j) for i in range(matrix.rows) for j in range(matrix.cols)]


def sign(x: mpf) -> int:
    """-1, 0 or 1."""
    return int(x > 0) - int(x < 0)


def level_at(level: Level, ij: tuple[int, int]) -> mpf:
    """What counts as zero at an entry."""
    return level[ij] if isinstance(level, mp.matrix) else level


def largest_level(noise: list[mpf], weights: list[mpf]) -> mpf:
    """max_t |w_t| ν_t, what counts as zero in a merged matrix."""
    return max(abs(w) * level for w, level in zip(weights, noise, strict=True))


def most_at(levels: list[Level], ij: tuple[int, int]) -> mpf:
    """What counts as zero in an entry of a sum."""
    return max(level_at(level, ij) for level in levels)


def flush(stack: list[Matrix], levels: list[Level]) -> list[Matrix]:
    """Entries within the level of their task become exactly zero."""
    out = []
    for m, level in zip(stack, levels, strict=True):
        new = mp.matrix(m.rows, m.cols)
        for ij in entries(m):
            new[ij] = m[ij] if abs(m[ij]) > level_at(level, ij) else mpf(0)
        out.append(new)
    return out


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


def elected(stack: list[Matrix], levels: list[Level], elect: str, zero_sign: str) -> dict[tuple[int, int], int]:
    """A sign per entry: of Σ_t τ_t ("mass") or of Σ_t sign τ_t ("count"); then what to do with zero sums."""
    signs = {}
    for ij in entries(stack[0]):
        if elect == "count":
            signs[ij] = sign(sum(sign(m[ij]) for m in stack))
        else:
            mass = mp.fsum(m[ij] for m in stack)
            signs[ij] = sign(mass) if abs(mass) > most_at(levels, ij) else 0
    majority = 1 if zero_sign == "positive" or sum(signs.values()) > 0 else -1
    return {ij: s or majority for ij, s in signs.items()}


def random_numbers(seed: int, layer: str, task: int, static: tuple[int, int]) -> np.ndarray:
    """The project's random numbers in [0, 1): NumPy's Philox keyed by blake2b of "seed|layer|task"."""
    digest = hashlib.blake2b(f"{seed}|{layer}|{task}".encode(), digest_size=16).digest()
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
    return generator.random(static[0] * static[1]).reshape(static)
