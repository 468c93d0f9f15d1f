"""DELLA's MagPrune (arXiv 2406.11617) as mergekit has it: entries dropped at random, by their rank within the row."""

from __future__ import annotations

import numpy as np
from mpmath import mp, mpf

from ..elementwise import Level, flush
from ..linalg import Matrix, number
from ..table import defines


@defines("della", "transform", draws=True, entries=True, density=0.7, epsilon=0.15, seed=0, rescale="l1")
def della(
    stack: list[Matrix],
    noise: list[mpf],
    *,
    levels: list[Level],
    density: float,
    epsilon: float,
    rescale: str,
    draws: list[np.ndarray],
) -> tuple[list[Matrix], list[mpf]]:
    """An entry of rank k = 1 … n in magnitude in its row is kept with probability density − ε + 2ε (k − 1) / (n − 1),
    ``density`` where n = 1: where a random number is at or above the probability of dropping it."""
    if density == 1:
        return stack, noise
    out, factors = [], []
    least = number(density) - number(epsilon)
    for matrix, draw in zip(flush(stack, levels), draws, strict=True):
        new, n = mp.matrix(matrix.rows, matrix.cols), matrix.cols
        for i in range(matrix.rows):
            size = [abs(x) for x in matrix[i, :]]
            for place, j in enumerate(sorted(range(n), key=size.__getitem__)):
                chance = least + 2 * number(epsilon) * (mpf(place) / (n - 1) if n > 1 else mpf(1) / 2)
                kept = bool(draw[i, j]) if draw.dtype == bool else number(draw[i, j]) >= 1 - chance
                if kept:
                    new[i, j] = matrix[i, j] / chance if rescale == "inverse" else matrix[i, j]
        left = mp.fsum(abs(x) for x in new)
        factor = mp.fsum(abs(x) for x in matrix) / left if rescale == "l1" and left else mp.one
        out.append(factor * new)
        factors.append(1 / least if rescale == "inverse" else factor)
    return out, [factor * level for factor, level in zip(factors, noise, strict=True)]
