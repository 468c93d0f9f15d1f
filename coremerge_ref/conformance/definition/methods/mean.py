"""The mean (arXiv 2212.04089): Σ_t w_t M_t / Σ_t w_t."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mpmath import mp, mpf

from ..linalg import Matrix
from ..table import defines, walks
from ..walk import as_float
from .ta import ta, walk_sum

if TYPE_CHECKING:
    from ..pipeline import State
    from ..walk import Walk


@defines("mean", "merge", weighs=True)
def mean(stack: list[Matrix], noise: list[mpf], *, weights: list[mpf]) -> tuple[Matrix, mpf]:
    """Σ_t w_t M_t / Σ_t w_t; its level is the sum's, divided as the sum is: weights have no scale."""
    out, level = ta(stack, noise, weights=weights)
    by = mp.fsum(weights)
    return out / by, level / abs(by)


@walks("mean")
def walk_mean(walk: Walk, state: State) -> None:
    """The sum's, divided as the sum is."""
    walk_sum(walk, state, 1 / abs(math.fsum(as_float(w) for w in state.weights)))
