"""Decom-Renorm-Merge (arXiv 2505.23117) on a stack: entries of row-normalised coordinates in a one-sided frame."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mpmath import mp, mpf

from ..elementwise import elected, entries, flush, largest_level, sign
from ..linalg import Matrix, columns, hcat, norm, number, product, svd
from ..table import defines, walks
from ..walk import ROTATION, SAFETY, as_float, size
from .ta import walk_sum

if TYPE_CHECKING:
    from ..pipeline import State
    from ..walk_entries import EntryWalk


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


def _sides(params: dict[str, Any]) -> tuple[str, ...]:
    """Its own frame takes the place of the space's on the side that it decomposes."""
    return ("right",) if params["direction"] == "horizontal" else ("left",)


def _stack(state: State) -> list[Matrix]:
    return state.stack if state.params["direction"] == "horizontal" else [m.T for m in state.stack]


def _frame(state: State) -> tuple[Matrix, str]:
    """The left singular vectors of [M_1 … M_T] above the rank cut, and the side they are on."""
    inner, values, _ = svd(hcat(_stack(state)))
    kept = sum(s > state.params["rank_cut"] * values[0] for s in values)
    return columns(inner, kept), "left" if state.params["direction"] == "horizontal" else "right"


@walks("drm", sides=_sides, frame=_frame)
def walk_drm(walk: EntryWalk, state: State) -> None:
    """The votes, in a frame that errors turn; then the sum of those who agree."""
    _vote(walk, state)
    walk_sum(walk, state)


def _vote(walk: EntryWalk, state: State) -> None:
    """As TIES, on coordinates in the frame of [M_1 … M_T], in which `walk.options` then are."""
    stack = _stack(state)
    u, values, _ = svd(hcat(stack))
    s = [as_float(x) for x in values]
    if not s or s[0] == 0:
        return
    cut = max(state.params["rank_cut"] * s[0], as_float(max(state.noise)))
    rank = sum(x > cut for x in s)
    error = math.hypot(*walk.delta)
    if any(abs(x - cut) <= SAFETY * walk.eps * error for x in s):
        walk.ill("a singular value at the rank cut")
    gaps = [a - b for a, b in pairwise(s[: rank + 1])] + ([s[rank - 1]] if rank == len(s) else [])
    gap = min(gaps)
    own = error / gap if gap > 0 else math.inf
    if own * walk.eps * SAFETY > 0.1:
        tied = sum(SAFETY * walk.eps * error > 0.1 * g for g in gaps)
        walk.ill("the one-sided frame is not determined", ROTATION if tied == 1 else "")
        return
    walk.delta = [d + own * size(m) for d, m in zip(walk.delta, stack, strict=True)]
    walk.gauge_free, walk.sure = True, False
    rows = [product(columns(u, rank).T, m) for m in stack]
    noise = [as_float(x) for x in state.noise]
    unit, spread = [], []
    for t, r in enumerate(rows):
        for i, j in entries(r):
            length = math.hypot(*(as_float(r[i, k]) for k in range(r.cols)))
            unit.append(abs(as_float(r[i, j])) / length if length > noise[t] else 0.0)
            spread.append(2 * walk.tol(t) / length if length > noise[t] else 0.0)
            if noise[t] < length <= noise[t] + walk.tol(t) or (
                length <= noise[t] and walk.tol(t) > noise[t] and walk.sizes[t]
            ):
                walk.ill(f"task {t}: a row at the level of rounding")
    cut_at = len(unit) - round(len(unit) * (1 - state.params["drop"]))
    edge = sorted(unit)[cut_at - 1] if cut_at >= 1 else 0.0
    at_edge = [abs(x - edge) <= e for x, e in zip(unit, spread, strict=True)]
    several = cut_at >= 1 and edge > 0 and sum(at_edge) > 1
    walk.zeros = [set() for _ in rows]
    near: list[set[tuple[int, int]]] = [set() for _ in rows]
    kept = [r.copy() for r in rows]
    at = 0
    for t, r in enumerate(rows):
        for ij in entries(r):
            if several and at_edge[at]:
                near[t].add(ij)
            elif unit[at] < edge:
                kept[t][ij] = mp.zero
                walk.zeros[t].add(ij)
            at += 1
    signs = elected(flush(kept, list(state.noise)), list(state.noise), "mass", "majority")
    p = {
        "elect": "mass",
        "aggregate": "mean",
        "divisor": "count",
        "weight_order": "after",
        "zero_signs": (1, -1, 0),
    }
    walk.votes(replace(state, stack=rows, levels=list(state.noise)), kept, near, signs, p)
