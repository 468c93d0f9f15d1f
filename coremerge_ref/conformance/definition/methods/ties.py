"""TIES (arXiv 2306.01708): trim, elect a sign per entry, aggregate the entries that have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mpmath import mp, mpf

from ..elementwise import Level, elected, entries, largest_level, sign, unflattened
from ..linalg import Matrix
from ..table import both_sides, defines, walks
from ..walk import as_float
from .ta import walk_sum
from .trim import at_threshold, trimmed

if TYPE_CHECKING:
    from ..pipeline import State
    from ..walk_entries import EntryWalk


def ties_signs(
    stack: list[Matrix], levels: list[Level], weights: list[mpf], params: dict[str, Any]
) -> dict[tuple[int, int], int]:
    """The signs that TIES elects."""
    stack = trimmed(stack, levels, params["density"], params["keep"])
    if params["weight_order"] == "before":
        stack = [w * m for w, m in zip(weights, stack, strict=True)]
        levels = [abs(w) * level for w, level in zip(weights, levels, strict=True)]
    return elected(stack, levels, params["elect"], params["zero_sign"])


@defines(
    "ties", "merge", weighs=True, entries=True, density=0.2, keep="threshold", scope="tensor", elect="mass",
    zero_sign="majority", aggregate="mean", weight_order="after", divisor="count",
)  # fmt: skip
def ties(
    stack: list[Matrix], noise: list[mpf], *, weights: list[mpf], levels: list[Level], density: float, keep: str,
    elect: str, zero_sign: str, aggregate: str, weight_order: str, divisor: str,
) -> tuple[Matrix, mpf]:  # fmt: skip
    """TIES (arXiv 2306.01708): trim, elect a sign per entry, aggregate the entries that have it."""
    stack, level = trimmed(stack, levels, density, keep), largest_level(noise, weights)
    if weight_order == "before":
        stack = [w * m for w, m in zip(weights, stack, strict=True)]
        levels = [abs(w) * level for w, level in zip(weights, levels, strict=True)]
    signs = elected(stack, levels, elect, zero_sign)
    out, divided = mp.matrix(stack[0].rows, stack[0].cols), [mpf(0)]
    for ij in entries(out):
        chosen = [t for t, m in enumerate(stack) if m[ij] != 0 and sign(m[ij]) == signs[ij]]
        value = mp.fsum(stack[t][ij] * (1 if weight_order == "before" else weights[t]) for t in chosen)
        if aggregate == "mean":
            value /= max(len(chosen), 1) if divisor == "count" else (mp.fsum(weights[t] for t in chosen) or 1)
            over = abs(mp.fsum(weights[t] for t in chosen)) or 1
            divided += [abs(weights[t]) * noise[t] / over for t in chosen]
        out[ij] = value
    return out, max(divided) if aggregate == "mean" and divisor == "weight" else level


@walks("ties", sides=both_sides)
def walk_ties(walk: EntryWalk, state: State) -> None:
    """Trim, then the votes, then the sum of those who agree, over the least weight where it is divided by weights."""
    p = state.params
    near = at_threshold(walk, state, p["density"], p["keep"])
    seen = state.joint or state
    kept = trimmed(seen.stack, seen.levels, p["density"], p["keep"])
    signs = ties_signs(seen.stack, seen.levels, seen.weights, p)
    if state.joint is not None:
        shape = (1, seen.stack[0].cols)
        row = unflattened(mp.matrix([[signs[0, j] for j in range(shape[1])]]), state.shapes)[state.layer]
        kept = [state.own(kept[seen.tasks.index(t)]) for t in state.tasks]
        signs = {ij: int(row[ij]) for ij in entries(row)}
    walk.cleared(kept, state.stack)
    walk.votes(state, kept, near, signs, p)
    weights = [abs(as_float(w)) for w in state.weights]
    divided = p["divisor"] == "weight" and any(weights)
    walk_sum(walk, state, max(1.0, 1 / min(w for w in weights if w)) if divided else 1.0)
