"""Decom-Renorm-Merge (arXiv 2505.23117) on a stack: entries of row-normalised coordinates in a one-sided frame."""

from __future__ import annotations

from itertools import pairwise

from mpmath import mp, mpf

from ..elementwise import entries, largest_level, sign
from ..linalg import Matrix, columns, hcat, norm, number, product, svd
from ..table import defines


@defines("drm", "merge", weighs=True, unit=True, direction="horizontal", drop=0.5, rank_cut=0.01)
def drm(
    stack: list[Matrix],
    noise: list[mpf],
    *,
    weights: list[mpf],
    eps: mpf,
    direction: str,
    drop: float,
    rank_cut: float,
) -> tuple[Matrix, mpf]:
    """Horizontal: the frame is the left singular vectors of [M_1 … M_T]; vertical is the mirror image."""
    if direction == "vertical":
        mirrored = [m.T for m in stack]
        own = {"weights": weights, "eps": eps, "direction": "horizontal", "drop": drop, "rank_cut": rank_cut}
        out, level = drm(mirrored, noise, **own)
        return out.T, level
    u, values, _ = svd(hcat(stack))
    rank = sum(s > max(number(rank_cut) * values[0], max(noise)) for s in values) if values else 0
    u = columns(u, rank)
    rows = [product(u.T, m) for m in stack]  # T of (rank, q): s_j n_tj V̂_tj
    norms = [[mp.norm(r[j, :]) if r.cols else mpf(0) for j in range(rank)] for r in rows]
    # a row is known no better than its direction in U is: ν over the gap to the nearest singular value, 0 the last one
    turns = [min(max(noise) / gap if gap else mp.inf, mp.sqrt(eps)) for gap in gaps(values)]
    known = [[level + turns[j] * norm(m) for j in range(rank)] for m, level in zip(stack, noise, strict=True)]
    unit = []
    for t, r in enumerate(rows):
        new = mp.matrix(r.rows, r.cols)
        for i, j in entries(r):
            new[i, j] = r[i, j] / norms[t][i] if norms[t][i] > known[t][i] else mpf(0)
        unit.append(new)
    magnitudes = sorted(abs(x) for v in unit for x in v)
    cut = len(magnitudes) - round(len(magnitudes) * (1 - drop))
    # a task of rank 1 has equal entries in all its rows, which 60 digits tell apart: equal means equal in 40
    threshold = magnitudes[cut - 1] * (1 - mpf(10) ** -40) if cut >= 1 else mpf(0)
    for t, r in enumerate(rows):
        for ij in entries(r):
            dead = abs(r[ij]) <= known[t][ij[0]] or abs(unit[t][ij]) < threshold
            r[ij] = mpf(0) if dead else r[ij]
    signs = {}
    for ij in entries(mp.matrix(rank, stack[0].cols)):
        mass = mp.fsum(r[ij] for r in rows)
        signs[ij] = sign(mass) if abs(mass) > max(noise) else 0
    majority = sign(sum(signs.values()))
    out = mp.matrix(rank, stack[0].cols)
    for ij, s in signs.items():
        chosen = [t for t, r in enumerate(rows) if r[ij] != 0 and sign(r[ij]) == (s or majority)]
        out[ij] = mp.fsum(weights[t] * rows[t][ij] for t in chosen) / max(len(chosen), 1)
    return product(u, out), largest_level(noise, weights)


def gaps(values: list[mpf]) -> list[mpf]:
    """The distance of each singular value to its nearest neighbour, 0 standing after the last."""
    below = [a - b for a, b in pairwise([*values, mpf(0)])]
    return [min(below[max(i - 1, 0)], below[i]) for i in range(len(values))]
