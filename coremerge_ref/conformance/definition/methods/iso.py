"""Iso-C (arXiv 2502.04959): all singular values of the merged matrix at their mean."""

from __future__ import annotations

from mpmath import mp, mpf

from ..linalg import Matrix, product
from ..spectral import leading
from ..table import defines


@defines("iso", "post", support="rank")
def iso(stack: list[Matrix], noise: list[mpf], *, support: str) -> tuple[Matrix, mpf]:
    """σ̄ P Qᵀ. "rank": over the singular values above the noise; "size": over all of them."""
    (matrix,), (level,) = stack, noise
    p, s, q = leading(matrix, min(matrix.rows, matrix.cols), level if support == "rank" else mpf(-1))
    if not s:
        return mp.matrix(matrix.rows, matrix.cols), level
    return (mp.fsum(s) / len(s)) * product(p, q.T), level
