"""Trimming (TIES step 1, arXiv 2306.01708): each task keeps its entries of largest magnitude."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpmath import mp, mpf

from ..elementwise import Level, entries, flush, level_at
from ..linalg import Matrix
from ..table import both_sides, defines, walks
from ..walk import as_float

if TYPE_CHECKING:
    from ..pipeline import State
    from ..walk_entries import EntryWalk


def kept(matrix: Matrix, density: float, keep: str, level: Level) -> set[tuple[int, int]]:
    """Entries that trimming keeps, of d in all and K = int(d · density).

    "threshold": magnitude >= the (d - K)-th smallest (all where d - K < 1), or within `level` of it: each magnitude is
    an interval as wide as its level, and one is kept that reaches the (d - K)-th lowest end. "exact": the K largest,
    among equals the lowest row-major index first. A density of 1 keeps all.
    """
    at = [ij for ij in entries(matrix) if level_at(level, ij) >= 0]
    d = len(at)
    count = int(d * float(density))
    if density >= 1 or (keep == "threshold" and d - count < 1):
        return set(at)
    if keep == "exact":
        return set(sorted(at, key=lambda ij: -abs(matrix[ij]))[:count])  # a stable sort
    half = {ij: level_at(level, ij) / 2 for ij in at}
    threshold = sorted(abs(matrix[ij]) - half[ij] for ij in at)[d - count - 1]
    return {ij for ij in at if abs(matrix[ij]) + half[ij] >= threshold}


def trimmed(stack: list[Matrix], levels: list[Level], density: float, keep: str) -> list[Matrix]:
    """Each M_t with the entries that are rounding, or not kept, set to zero."""
    out = []
    for matrix, level in zip(flush(stack, levels), levels, strict=True):
        new = mp.matrix(matrix.rows, matrix.cols)
        for ij in kept(matrix, density, keep, level):
            new[ij] = matrix[ij]
        out.append(new)
    return out


@defines("trim", "transform", entries=True, density=0.2, keep="threshold", scope="tensor")
def trim(
    stack: list[Matrix], noise: list[mpf], *, levels: list[Level], density: float, keep: str
) -> tuple[list[Matrix], list[mpf]]:
    """What is kept of each M_t, rounding being none of it."""
    return trimmed(stack, levels, density, keep), noise


def at_threshold(walk: EntryWalk, state: State, density: float, keep: str) -> list[set[tuple[int, int]]]:
    """Per task the entries at the threshold within rounding: kept by some, not by others."""
    near: list[set[tuple[int, int]]] = [set() for _ in state.stack]
    for t, m in enumerate(state.stack):
        all_entries = list(m) if state.joint is None else state.everywhere(t)
        order = sorted((as_float(abs(x)) for x in all_entries), reverse=True)
        count, d = int(len(order) * float(density)), len(order)
        if density >= 1 or walk.sure or (keep == "threshold" and d - count < 2) or (keep == "exact" and count == 0):
            continue
        edge = order[count - 1] if keep == "exact" else order[count]
        reach = 2 * walk.tol(t)
        if edge <= walk.tol(t) or sum(abs(x - edge) <= reach for x in order) < 2:
            continue
        near[t] = {ij for ij in entries(m) if abs(as_float(abs(m[ij])) - edge) <= reach}
    return near


@walks("trim", sides=both_sides)
def walk_trim(walk: EntryWalk, state: State) -> None:
    """Errors stay what they are, but for entries at the threshold."""
    near = at_threshold(walk, state, state.params["density"], state.params["keep"])
    if any(near):
        walk.ill(f"{sum(map(len, near))} entries at the trim threshold within rounding")
    walk.cleared(state.result, state.stack)
