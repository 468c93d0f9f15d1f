"""TIES (arXiv 2306.01708): trim, elect a sign per entry, aggregate the entries that have it."""

from __future__ import annotations

from typing import Any

from mpmath import mp, mpf

from ..elementwise import Level, elected, entries, largest_level, sign
from ..linalg import Matrix
from ..table import defines
from .trim import trimmed


def ties_signs(
    stack: list[Matrix], noise: list[Level], weights: list[mpf], params: dict[str, Any]
) -> dict[tuple[int, int], int]:
    """The signs that TIES elects."""
    stack = trimmed(stack, noise, params["density"], params["keep"])
    if params["weight_order"] == "before":
        stack = [w * m for w, m in zip(weights, stack, strict=True)]
        noise = [abs(w) * level for w, level in zip(weights, noise, strict=True)]
    return elected(stack, noise, params["elect"], params["zero_sign"])


@defines(
    "ties", "merge", weighs=True, density=0.2, keep="threshold", scope="tensor", elect="mass", zero_sign="majority",
    aggregate="mean", weight_order="after", divisor="count",
)  # fmt: skip
def ties(
    stack: list[Matrix], noise: list[Level], *, weights: list[mpf], density: float, keep: str, elect: str,
    zero_sign: str, aggregate: str, weight_order: str, divisor: str,
) -> tuple[Matrix, mpf]:  # fmt: skip
    """TIES (arXiv 2306.01708): trim, elect a sign per entry, aggregate the entries that have it."""
    stack, level = trimmed(stack, noise, density, keep), largest_level(noise, weights)
    if weight_order == "before":
        stack = [w * m for w, m in zip(weights, stack, strict=True)]
        noise = [abs(w) * level for w, level in zip(weights, noise, strict=True)]
    signs = elected(stack, noise, elect, zero_sign)
    out = mp.matrix(stack[0].rows, stack[0].cols)
    for ij in entries(out):
        chosen = [t for t, m in enumerate(stack) if m[ij] != 0 and sign(m[ij]) == signs[ij]]
        value = mp.fsum(stack[t][ij] * (1 if weight_order == "before" else weights[t]) for t in chosen)
        if aggregate == "mean":
            value /= max(len(chosen), 1) if divisor == "count" else (mp.fsum(weights[t] for t in chosen) or 1)
        out[ij] = value
    return out, level
