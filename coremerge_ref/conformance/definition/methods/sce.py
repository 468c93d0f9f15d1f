"""SCE (arXiv 2408.07990) as mergekit has it: select by variance, weigh by energy, erase minority signs."""

from __future__ import annotations

from mpmath import mp, mpf

from ..elementwise import Level, entries, flush, most_at, sign
from ..linalg import Matrix, number
from ..table import defines


@defines("sce", "merge", entries=True, density=1.0, floor=0.0)
def sce(
    stack: list[Matrix], noise: list[mpf], *, levels: list[Level], density: float, floor: float
) -> tuple[Matrix, mpf]:
    """The int(K · density) entries of largest variance of the K that vary; then Σ c_t τ_t / Σ c_t over the tasks that
    have the sign of Σ τ_t, zero counting as positive, where c_t is the task's share of the sum of squares."""
    stack, least = flush(stack, levels), number(floor)
    at, T = entries(stack[0]), len(stack)
    if density < 1:
        variance = {}
        for ij in at:
            mean = mp.fsum(m[ij] for m in stack) / T
            apart = [m[ij] - mean for m in stack]
            variance[ij] = mp.fsum(x * x for x in apart if abs(x) > most_at(levels, ij)) / T
        varying = sum(v > 0 for v in variance.values())
        selected = sorted(at, key=lambda ij: -variance[ij])[: int(varying * float(density))]
        kept = [mp.matrix(m.rows, m.cols) for m in stack]
        for ij in selected:
            for new, m in zip(kept, stack, strict=True):
                new[ij] = m[ij]
        stack = kept
    energy = [mp.fsum(x * x for x in m) / max(len(at), 1) for m in stack]
    total = mp.fsum(energy)
    share = [e / total if total > 0 and total >= least else mpf(1) / T for e in energy]
    out = mp.matrix(stack[0].rows, stack[0].cols)
    for ij in at:
        mass = mp.fsum(m[ij] for m in stack)
        elected = -1 if mass < -most_at(levels, ij) else 1
        voters = [t for t, m in enumerate(stack) if sign(m[ij]) == elected]
        divisor = max(mp.fsum(share[t] for t in voters), least)
        out[ij] = mp.fsum(share[t] * stack[t][ij] for t in voters) / (divisor or 1)
    return out, max(noise)
