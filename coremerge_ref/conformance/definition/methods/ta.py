"""Task arithmetic (arXiv 2212.04089): Σ_t w_t M_t."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mpmath import mpf

from ..elementwise import largest_level
from ..linalg import Matrix, total
from ..table import defines, walks
from ..walk import as_float

if TYPE_CHECKING:
    from ..pipeline import State
    from ..walk import Walk


@defines("ta", "merge", weighs=True)
def ta(stack: list[Matrix], noise: list[mpf], *, weights: list[mpf]) -> tuple[Matrix, mpf]:
    """Σ_t w_t M_t."""
    return total([w * m for w, m in zip(weights, stack, strict=True)]), largest_level(noise, weights)


@walks("ta")
def walk_sum(walk: Walk, state: State, share: float = 1.0) -> None:
    """`share` · Σ |w_t| δ_t."""
    weights = [as_float(w) for w in state.weights]
    walk.bound = share * math.fsum(abs(w) * d for w, d in zip(weights, walk.delta, strict=True))
    walk.scale *= share * max(abs(w) for w in weights)
