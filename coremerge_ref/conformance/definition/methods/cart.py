"""CART (arXiv 2408.01908): low-rank parts of the tasks' deviations from their mean."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mpmath import mpf

from ..linalg import Matrix, number, product, scale_columns, svd, total
from ..spectral import leading
from ..table import defines, walks
from ..walk import as_float

if TYPE_CHECKING:
    from ..pipeline import State
    from ..walk_spectra import SpectrumWalk


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
    for matrix in stack if len(stack) != 2 else []:  # of two they are opposite and cancel, however they are cut
        p, s, q = leading(matrix - mean, rank, max(noise))
        out = out + factor * product(scale_columns(p, s), q.T)
    return out, max(noise) * max(1, abs(factor))


@walks("cart")
def walk_cart(walk: SpectrumWalk, state: State) -> None:
    """Truncation after singular value k amplifies by 1 + 2 σ_k / gap.

    Of two tasks too: who truncates both need not find parts that cancel to the last digit.
    """
    walk.weigh(state)
    stack, p = state.stack, state.params
    rank = cart_rank((stack[0].rows, stack[0].cols), p["k"], p["fraction"], p["rounding"])
    coefficient, mean = abs(float(p["coefficient"])), total(stack) / len(stack)
    shared = math.fsum(walk.delta) / len(stack)
    walk.bound = shared
    for t, m in enumerate(stack):
        d = walk.delta[t] + shared
        _, gap, _, k = walk.subspace(m - mean, rank, as_float(max(state.noise)), d, f"task {t} minus the mean")
        s = [as_float(x) for x in svd(m - mean)[1]]
        walk.bound += coefficient * d * (1 + (2 * s[k - 1] / gap if k and gap > 0 else 0.0))
    walk.scale *= max(1.0, coefficient)
