"""TSV-M (arXiv 2412.00081): leading singular triplets of every task side by side, made orthogonal."""

from __future__ import annotations

from mpmath import mpf

from ..linalg import Matrix, hcat, polar, product, scale_columns
from ..spectral import leading, polar_cut, turn
from ..table import defines


def tsv_rank(size: tuple[int, int], tasks: int, k: int | None) -> int:
    """The absolute k, or max(1, ⌊min(p, q) / T⌋)."""
    return max(1, min(size) // tasks) if k is None else k


@defines("tsv", "merge", unit=True, k=None)
def tsv(stack: list[Matrix], noise: list[mpf], *, eps: mpf, k: int | None) -> tuple[Matrix, mpf]:
    """TSV-M (arXiv 2412.00081): polar([P_1 … P_T]) · blkdiag(S_t) · polar([Q_1 … Q_T])ᵀ."""
    k = tsv_rank((stack[0].rows, stack[0].cols), len(stack), k)
    triplets = [leading(m, k, level) for m, level in zip(stack, noise, strict=True)]
    cut = polar_cut([turn(m, k, level) for m, level in zip(stack, noise, strict=True)], eps)
    left = polar(hcat([p for p, _, _ in triplets]), cut)
    right = polar(hcat([q for _, _, q in triplets]), cut)
    out = product(scale_columns(left, [x for _, s, _ in triplets for x in s]), right.T)
    return out, max(noise)
