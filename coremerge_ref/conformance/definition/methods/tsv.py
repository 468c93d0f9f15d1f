"""TSV-M (arXiv 2412.00081): leading singular triplets of every task side by side, made orthogonal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mpmath import mpf

from ..linalg import Matrix, hcat, polar, product, scale_columns
from ..spectral import leading, polar_cut, turn
from ..table import defines, walks
from ..walk import as_float

if TYPE_CHECKING:
    from ..pipeline import State
    from ..walk_spectra import SpectrumWalk


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


@walks("tsv")
def walk_tsv(walk: SpectrumWalk, state: State) -> None:
    """Turns of the leading subspaces, amplified by the polar factors."""
    walk.weigh(state)
    stack, noise = state.stack, state.noise
    k = tsv_rank((stack[0].rows, stack[0].cols), len(stack), state.params["k"])
    parts = [walk.subspace(m, k, as_float(noise[t]), walk.delta[t], f"task {t}") for t, m in enumerate(stack)]
    triplets = [leading(m, k, level) for m, level in zip(stack, noise, strict=True)]
    turned = math.fsum(p[0] for p in parts)
    walk.spanned = min(walk.rank([t[0] for t in triplets]), walk.rank([t[2] for t in triplets]))
    inverse = walk.polar([t[0] for t in triplets], turned) + walk.polar([t[2] for t in triplets], turned)
    walk.bound = math.fsum(walk.delta) + max(p[2] for p in parts) * turned * inverse
