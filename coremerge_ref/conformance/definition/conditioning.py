"""How far a right implementation may be from the exact result: first-order perturbation bounds, per stage.

All errors are in units of eps (of the arithmetic), in the Frobenius norm, without modest constants: the factor 50 of
the tolerance stands for those. The model is that an implementation holds M_t + E_t with ‖E_t‖ <= eps · size_t:

* size_t = ‖B_t‖ ‖A_t‖ for the product, plus, in a computed frame, σ_1[B] ‖A_t‖ + ‖B_t‖ σ_1[A] (a backward-stable SVD
  spans the columns of B + E, ‖E‖ <= eps σ_1, so U Uᵀ B_t misses B_t by that much);
* underflow adds 2^-1022 per entry of B or A (in units of eps): what a product with a subnormal factor may lose;
* a frame vector of a stack with error eps · s turns by at most eps · s / gap (Davis–Kahan, Wedin), gap the distance to
  the neighbouring singular value. Only stages that look at entries see this turn.

A decision (a threshold, a sign, a rank) is sound when its margin exceeds the error it is taken with. A decision that is
not is listed in ``reasons``; what that leaves open, where it is one thing that can be checked, is the ``freedom``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mpmath import mp

from .linalg import DIGITS
from .pipeline import Exact
from .table import TABLE
from .walk import ENTRIES, as_float, size
from .walk_entries import EntryWalk
from .walk_spectra import SpectrumWalk


@dataclass
class Condition:
    """``bound``: error of a right result in units of eps, absolute; ``scale``: size of what the result came from;
    ``kappa`` = bound / scale; ``reasons``: why the answer is not determined (none where it is); ``freedom``: what is
    left open then, one of the names in :mod:`.walk`, or empty where that is more than can be checked; ``options``: the
    values that single entries can have, in the space's coordinates (for DRM in those of its one-sided frame)."""

    bound: float
    scale: float
    reasons: list[str] = field(default_factory=list)
    freedom: str = ""
    options: dict[tuple[int, int], list[float]] = field(default_factory=dict)

    @property
    def kappa(self) -> float:
        """Amplification of relative errors; 1 where there is nothing to amplify."""
        return self.bound / self.scale if self.scale else 1.0


class _WholeWalk(EntryWalk, SpectrumWalk):
    pass


def conditioning(exact: Exact, eps: float = 2.0**-52, exact_entries: bool = False) -> Condition:
    """Walk the stages of an exact merge. ``exact_entries``: every product ΔW_t is exact in the arithmetic judged."""
    if unknown := [state.stage for state in exact.states if TABLE[state.stage].walk is None]:
        raise NotImplementedError(f"no condition is known of {', '.join(unknown)}")
    with mp.workdps(DIGITS):
        walk = _WholeWalk(exact, eps, exact_entries)
        sees_entries, divided, framed = False, exact.frames.factors != [mp.one], False
        for state in exact.states:
            rule = TABLE[state.stage]
            if rule.sides is not None and not sees_entries:
                sees_entries = True
                walk.turned(state.stack, rule.sides(state.params))
            if rule.kind == "post":
                if divided:
                    walk.bound, divided = walk.bound * walk.restoring, False
                if walk.options:
                    walk.freedoms.add("")  # a post mixes the entries
                walk.check_live_size()
            assert rule.walk is not None
            rule.walk(walk, state)
            framed = framed or rule.frame is not None
        if sees_entries:
            walk.bound += walk.turn * size(exact.states[-1].result)
        if divided:
            walk.bound *= walk.restoring
            walk.options = _restored(walk.options, exact)
            if framed and walk.options:
                walk.freedoms.add("")
        alpha = abs(as_float(exact.scale))
        bound = walk.bound if math.isfinite(walk.bound) else walk.scale
        freedom = walk.freedoms.pop() if len(walk.freedoms) == 1 else ""
        options = {ij: [alpha * x for x in xs] for ij, xs in walk.options.items()} if freedom == ENTRIES else {}
        return Condition(max(bound, walk.scale) * alpha, walk.scale * alpha, walk.reasons, freedom, options)


def _restored(options: dict[tuple[int, int], list[float]], exact: Exact) -> dict[tuple[int, int], list[float]]:
    """The values of entries with the singular values that were divided out multiplied back."""
    left, right = exact.frames.left_factor, exact.frames.right_factor
    return {
        (i, j): [x * as_float(left[i] if left else right[j] if right else 1.0) for x in xs]
        for (i, j), xs in options.items()
    }
