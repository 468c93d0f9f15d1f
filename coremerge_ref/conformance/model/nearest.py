"""What a mistake leaves open (signs, null vectors), chosen nearest to an answer that may have made it."""

from __future__ import annotations

import numpy as np

from .arithmetic import Array

ROUNDS = 40  # of two frames found in turn


def signs_like(matrix: Array, seen: Array) -> Array:
    """The signs that turn the columns of a matrix towards those of another."""
    return np.where(np.sum(matrix * seen, 0) < 0, -1, 1).astype(matrix.dtype)


def completed(left: Array, right: Array, values: Array, seen: Array, tied: float) -> tuple[Array, Array]:
    """Polar factors (p, K), (q, K) over null vectors too, those for which ``left · values · rightᵀ`` is nearest to
    ``seen`` (p, q). ``left``, ``right``: the canonical ones, of rank below K."""
    sides = [_openness(left, tied), _openness(right, tied)]
    whole = [left, right]
    for _ in range(ROUNDS):
        for i, target in ((0, seen), (1, seen.T)):
            outside, null = sides[i]
            if outside.shape[1] and null.shape[1]:
                other = whole[1 - i] * values
                p, _, qt = np.linalg.svd(outside.T @ target @ other @ null, full_matrices=False)
                whole[i] = (left, right)[i] + outside @ (p @ qt) @ null.T
    return whole[0], whole[1]


def _openness(x: Array, tied: float) -> tuple[Array, Array]:
    """Orthonormal bases of what is orthogonal to the columns of a partial isometry (p, K), and to its rows."""
    p, s, qt = np.linalg.svd(x, full_matrices=True)
    rank = int(np.sum(s > tied))
    return p[:, rank:], qt[rank:].T
