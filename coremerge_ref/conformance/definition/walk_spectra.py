"""Errors of the stages that look at singular values: gaps at a cut, supports of polar factors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .linalg import Matrix, hcat, svd
from .walk import ROTATION, SAFETY, Walk, as_float

if TYPE_CHECKING:
    from .pipeline import State


class SpectrumWalk(Walk):
    """Stages that look at singular values."""

    spanned = 0  # rank of what a merge is made of, where cancellation can make its own smaller

    def weigh(self, state: State) -> None:
        """Each error by the weight of its task, for a merge of w_t M_t that cuts spectra."""
        weights = [as_float(w) for w in state.weights]
        self.delta = [abs(w) * d for w, d in zip(weights, self.delta, strict=True)]
        self.scale *= max(abs(w) for w in weights)
        self.check_live_size()

    def subspace(self, m: Matrix, k: int, noise: float, delta: float, what: str) -> tuple[float, float, float, int]:
        """(turn of the leading k subspace, gap at the cut, σ_1, live k); reports a gap within rounding."""
        s = [as_float(x) for x in svd(m)[1]]
        live = sum(x > noise for x in s)
        k = min(k, live)
        for x in s:
            if 1e-30 * (s[0] or 1) < x and noise / SAFETY < x <= noise + SAFETY * self.eps * delta:
                self.ill(f"{what}: a singular value {x:.1e} at the level of rounding")
        if k == 0:
            return 0.0, math.inf, 0.0, 0
        gap = s[k - 1] - (s[k] if k < live else 0.0)
        turn = delta / gap if gap > 0 else math.inf
        if turn * self.eps * SAFETY > 0.1:
            around = [s[i] - s[i + 1] for i in (k - 2, k) if 0 <= i < live - 1] + [s[min(k, live - 1)]]
            alone = k < live and all(SAFETY * self.eps * delta < 0.1 * g for g in around)
            self.ill(f"{what}: no gap after singular value {k} (relative {gap / s[0]:.1e})", ROTATION if alone else "")
            turn = 0.0
        return turn, gap, s[0], k

    def polar(self, blocks: list[Matrix], error: float) -> float:
        """1 / σ_min of the support of [P_1 … P_T]."""
        s = [as_float(x) for x in svd(hcat(blocks))[1]] if sum(b.cols for b in blocks) else []
        if not s or s[0] == 0:
            return 0.0
        # implementations cut between 64 eps and √eps, and columns are known up to their turn
        open_below = max(4 * math.sqrt(self.eps), SAFETY * self.eps * error)
        for x in s:
            if 1e-30 < x / s[0] <= open_below:
                self.ill(f"the polar factor's support is not determined: relative singular value {x / s[0]:.1e}")
        support = [x for x in s if x > open_below * s[0]]
        return 1 / support[-1] if support else 1 / s[0]

    def rank(self, blocks: list[Matrix]) -> int:
        """Rank of [P_1 … P_T]."""
        s = svd(hcat(blocks))[1] if sum(b.cols for b in blocks) else []
        return sum(x > 64 * self.eps * s[0] for x in s)
