"""Model Breadcrumbs (arXiv 2312.06795) as mergekit has it: the largest entries dropped, then the smallest."""

from __future__ import annotations

from mpmath import mp, mpf

from ..elementwise import Level, entries, flush
from ..linalg import Matrix
from ..table import defines


@defines("breadcrumbs", "transform", entries=True, density=0.9, gamma=0.01, rescale="none")
def breadcrumbs(
    stack: list[Matrix], noise: list[mpf], *, levels: list[Level], density: float, gamma: float, rescale: str
) -> tuple[list[Matrix], list[mpf]]:
    """Of d entries in ascending order of magnitude, the later in row-major order the larger among equals, the last
    int(d · gamma) are dropped and the int(d · density) before them kept; fewer are dropped where too few are left."""
    if density == 1:
        return stack, noise
    out, factors = [], []
    for matrix in flush(stack, levels):
        ascending = sorted(entries(matrix), key=lambda ij: abs(matrix[ij]))
        count = int(len(ascending) * float(density))
        end = len(ascending) - min(int(len(ascending) * float(gamma)), len(ascending) - count)
        new = mp.matrix(matrix.rows, matrix.cols)
        for ij in ascending[end - count : end]:
            new[ij] = matrix[ij]
        left = mp.fsum(abs(x) for x in new)
        factor = mp.fsum(abs(x) for x in matrix) / left if rescale == "l1" and left else mp.one
        out.append(factor * new)
        factors.append(factor)
    return out, [factor * level for factor, level in zip(factors, noise, strict=True)]
