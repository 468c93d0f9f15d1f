"""The stacks that a space takes its frames from, whose singular values say how well the frames are defined."""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np

from coremerge_ref.analysis.explain.formulas import norm
from coremerge_ref.core.spaces import Core, Full, Knots

Factors = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Reference:
    """A stack of blocks whose left singular vectors are a frame; norms: what its rank is judged relative to."""

    what: str
    blocks: list[np.ndarray]
    norms: list[float]
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
        "left": Reference("[B_1 … B_T]", Bs, [norm(B) for B in Bs], False),
        "right": Reference("[A_1; …; A_T]", Ats, [norm(A) for A in Ats], False),
    }


@references.register
def _(space: Knots, factors: Factors) -> dict[str, Reference]:
    side = "right" if space.transposed else "left"
    return {side: _of_updates(factors, side)}


def _of_updates(factors: Factors, side: str) -> Reference:
    left = np.linalg.qr(np.concatenate([B for B, _ in factors], axis=1))[0]
    right = np.linalg.qr(np.concatenate([A.T for _, A in factors], axis=1))[0]
    Ms = [(left.T @ B) @ (A @ right) for B, A in factors]  # ΔW_t in frames that hold all of them
    what = "[ΔW_1 … ΔW_T]" if side == "left" else "[ΔW_1; …; ΔW_T]"
    return Reference(what, Ms if side == "left" else [M.T for M in Ms], [norm(B) * norm(A) for B, A in factors], True)
