"""The mean (arXiv 2212.04089): Σ_t w_t M_t / Σ_t w_t."""

from __future__ import annotations

from mpmath import mp, mpf

from ..linalg import Matrix
from ..table import defines
from .ta import ta


@defines("mean", "merge", weighs=True)
def mean(stack: list[Matrix], noise: list[mpf], *, weights: list[mpf]) -> tuple[Matrix, mpf]:
    """Σ_t w_t M_t / Σ_t w_t; its level is the sum's, divided as the sum is: weights have no scale."""
    out, level = ta(stack, noise, weights=weights)
    by = mp.fsum(weights)
    return out / by, level / abs(by)
