"""Task arithmetic (arXiv 2212.04089): Σ_t w_t M_t."""

from __future__ import annotations

from mpmath import mpf

from ..elementwise import largest_level
from ..linalg import Matrix, total
from ..table import defines


@defines("ta", "merge", weighs=True)
def ta(stack: list[Matrix], noise: list[mpf], *, weights: list[mpf]) -> tuple[Matrix, mpf]:
    """Σ_t w_t M_t."""
    return total([w * m for w, m in zip(weights, stack, strict=True)]), largest_level(noise, weights)
