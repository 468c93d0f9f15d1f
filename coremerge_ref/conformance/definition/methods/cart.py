"""CART (arXiv 2408.01908): low-rank parts of the tasks' deviations from their mean."""

from __future__ import annotations

import math

from mpmath import mpf

from ..linalg import Matrix, number, product, scale_columns, total
from ..spectral import leading
from ..table import defines


def cart_rank(size: tuple[int, int], k: int | None, fraction: float, rounding: str) -> int:
    """The absolute k, or the fraction of min(p, q): "ceil", or "floor" with at least 1."""
    if k is not None:
        return k
    amount = float(fraction) * min(size)
    return math.ceil(amount) if rounding == "ceil" else max(1, int(amount))


@defines("cart", "merge", k=None, fraction=0.04, rounding="ceil", coefficient=1.0)
def cart(
    stack: list[Matrix], noise: list[mpf], *, k: int | None, fraction: float, rounding: str, coefficient: float
) -> tuple[Matrix, mpf]:
    """CART (arXiv 2408.01908): M̄ + λ Σ_t lowrank_k(M_t - M̄), M̄ the mean."""
    rank = cart_rank((stack[0].rows, stack[0].cols), k, fraction, rounding)
    mean, factor = total(stack) / len(stack), number(coefficient)
    out = mean.copy()
    for matrix in stack:
        p, s, q = leading(matrix - mean, rank, max(noise))
        out = out + factor * product(scale_columns(p, s), q.T)
    return out, max(noise) * max(1, abs(factor))
