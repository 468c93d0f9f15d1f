"""The stacks that a space takes its frames from, whose singular values say how well the frames are defined."""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np

from coremerge_ref.core import linalg
from coremerge_ref.core.spaces import Core, Full, Knots

Factors = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Reference:
    """A stack of blocks whose left singular vectors are a frame, and whose rank is judged with columns of norm 1."""

    what: str
    blocks: list[np.ndarray]
    of_updates: bool


@singledispatch
def references(space: Any, factors: Factors) -> dict[str, Reference]:
    """The stacks that a space takes its frames from, by side ("left", "right"). Register a function for a new space."""
    return {}


@references.register
def _(space: Full, factors: Factors) -> dict[str, Reference]:
    return {}


@references.register
def _(space: Core, factors: Factors) -> dict[str, Reference]:
    if space.basis == "tucker":
        return {"left": _of_updates(factors, "left"), "right": _of_updates(factors, "right")}
    Bs, Ats = [B for B, _ in factors], [A.T for _, A in factors]
    return {
        "left": Reference("[B_1 … B_T]", Bs, False),
        "right": Reference("[A_1; …; A_T]", Ats, False),
    }


@references.register
def _(space: Knots, factors: Factors) -> dict[str, Reference]:
    side = "right" if space.transposed else "left"
    return {side: _of_updates(factors, side)}


def _of_updates(factors: Factors, side: str) -> Reference:
    left = np.linalg.qr(np.concatenate([B for B, _ in factors], axis=1))[0]
    right = np.linalg.qr(np.concatenate([A.T for _, A in factors], axis=1))[0]
    blocks = []
    for B, A in factors:  # P_t S_t, or Q_t S_t, of the triplets above ν_t, in frames that hold every ΔW_t
        P, S, Qh = np.linalg.svd((left.T @ B) @ (A @ right), full_matrices=False)
        level = linalg.rounding_level(linalg.column_norms(B), linalg.column_norms(A.T), B.dtype)
        blocks.append((P if side == "left" else Qh.T) * np.where(level < S, S, 0.0))
    return Reference("[ΔW_1 … ΔW_T]" if side == "left" else "[ΔW_1; …; ΔW_T]", blocks, True)
