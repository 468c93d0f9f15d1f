"""DARE (arXiv 2311.03099): entries dropped at random, the rest rescaled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from mpmath import mp, mpf

from ..elementwise import Level, entries, flush
from ..linalg import Matrix, number
from ..table import both_sides, defines, walks
from ..walk import size

if TYPE_CHECKING:
    from ..pipeline import State
    from ..walk_entries import EntryWalk


@defines("dare", "transform", draws=True, entries=True, drop=0.1, seed=0, rescale="inverse")
def dare(
    stack: list[Matrix], noise: list[mpf], *, levels: list[Level], drop: float, rescale: str, draws: list[np.ndarray]
) -> tuple[list[Matrix], list[mpf]]:
    """M_t ∘ Z_t times a rescaling; Z_t is given, or 1 where a random number is at or above ``drop``."""
    out, factors = [], []
    for matrix, draw in zip(flush(stack, levels), draws, strict=True):
        mask = draw if draw.dtype == bool else draw >= drop
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
    return out, [factor * level for factor, level in zip(factors, noise, strict=True)]


@walks("dare", sides=both_sides)
def walk_dare(walk: EntryWalk, state: State) -> None:
    """The rescaling multiplies errors too; that of "l1" has its own."""
    walk.cleared(state.result, state.stack)
    factors = [size(a) / size(b) if size(b) else 1.0 for a, b in zip(state.result, state.stack, strict=True)]
    inverse = 1 / (1 - state.params["drop"]) if state.params["rescale"] == "inverse" else 1.0
    growth = [max(inverse, 3 * f if state.params["rescale"] == "l1" else 1.0) for f in factors]
    walk.delta = [g * d for g, d in zip(growth, walk.delta, strict=True)]
    walk.scale *= max(growth)
