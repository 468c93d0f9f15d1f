"""PCB (arXiv 2410.02396): a weighted mean entry by entry, the weights from competition within and between tasks."""

from __future__ import annotations

from mpmath import mp, mpf

from ..elementwise import Level, entries, flush, most_at, sign
from ..linalg import Matrix
from ..table import defines


def scaled(values: list[mpf]) -> list[mpf] | None:
    """The values with the least at 0 and the greatest at 1; None where they are equal."""
    least, most = min(values), max(values)
    return [(x - least) / (most - least) for x in values] if most > least else None


@defines("pcb", "merge", entries=True, ratio=0.1)
def pcb(stack: list[Matrix], noise: list[mpf], *, levels: list[Level], ratio: float) -> tuple[Matrix, mpf]:
    """score_t = exp(T · scaled(|τ_t|)²) · tanh(M_t Σ M), raised to its int(d (1 − ratio))-th smallest, scaled."""
    stack = flush(stack, levels)
    at, T = entries(stack[0]), len(stack)
    out, d = mp.matrix(stack[0].rows, stack[0].cols), len(at)
    if not d:
        return out, max(noise)
    mass = [mp.fsum(m[ij] for m in stack) for ij in at]
    mass = [x if abs(x) > most_at(levels, ij) else mpf(0) for ij, x in zip(at, mass, strict=True)]
    clamped, scores = [], []
    for matrix in stack:
        ascending = sorted(abs(x) for x in matrix)
        low, high = ascending[int(d * 0.0001)], ascending[max(0, int(d * (1 - 0.0001) - 1))]
        size = [min(max(abs(matrix[ij]), low), high) for ij in at]
        a = scaled(size) or [mpf(0)] * d
        score = [mp.exp(T * x * x) * mp.tanh(matrix[ij] * y) for ij, x, y in zip(at, a, mass, strict=True)]
        cut = sorted(score)[min(d - 1, int(d * (1 - ratio)))]
        raised = scaled([max(x, cut) for x in score])
        scores.append(raised or [mpf(matrix[ij] != 0) for ij in at])
        clamped.append([sign(matrix[ij]) * x for ij, x in zip(at, size, strict=True)])
    for k, ij in enumerate(at):
        total = mp.fsum(s[k] for s in scores)
        out[ij] = mp.fsum(s[k] * x[k] for s, x in zip(scores, clamped, strict=True)) / (total or 1)
    return out, max(noise)
