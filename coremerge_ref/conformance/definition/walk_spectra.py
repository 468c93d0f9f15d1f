"""Errors of the stages that look at singular values: gaps at a cut, supports of polar factors."""

from __future__ import annotations

import math

from . import spectral
from .linalg import Matrix, hcat, number, product, svd, total
from .methods.iso_cts import cts_counts
from .methods.tsv import tsv_rank
from .pipeline import State
from .walk import FLAT, ROTATION, SAFETY, Walk, as_float, size


class SpectrumWalk(Walk):
    """Stages that look at singular values."""

    spanned = 0  # rank of what a merge is made of, where cancellation can make its own smaller

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

    def tsv(self, stack: list[Matrix], noise: list[float], k: int | None) -> float:
        """Turns of the leading subspaces, amplified by the polar factors."""
        k = tsv_rank((stack[0].rows, stack[0].cols), len(stack), k)
        parts = [self.subspace(m, k, noise[t], self.delta[t], f"task {t}") for t, m in enumerate(stack)]
        triplets = [spectral.leading(m, k, number(noise[t])) for t, m in enumerate(stack)]
        turn = math.fsum(p[0] for p in parts)
        self.spanned = min(self.rank([t[0] for t in triplets]), self.rank([t[2] for t in triplets]))
        inverse = self.polar([t[0] for t in triplets], turn) + self.polar([t[2] for t in triplets], turn)
        return math.fsum(self.delta) + max(p[2] for p in parts) * turn * inverse

    def cart(self, stack: list[Matrix], noise: list[float], rank: int, coefficient: float) -> float:
        """Truncation after singular value k amplifies by 1 + 2 σ_k / gap."""
        mean = total(stack) / len(stack)
        shared = math.fsum(self.delta) / len(stack)
        out = shared
        for t, m in enumerate(stack):
            d = self.delta[t] + shared
            _, gap, _, k = self.subspace(m - mean, rank, max(noise), d, f"task {t} minus the mean")
            s = [as_float(x) for x in svd(m - mean)[1]]
            out += abs(coefficient) * d * (1 + (2 * s[k - 1] / gap if k and gap > 0 else 0.0))
        return out

    def iso(self, m: Matrix, noise: float, support: str, delta: float) -> float:
        """The polar factor turns by 3 / σ_min; the mean moves with the norm."""
        s = [as_float(x) for x in svd(m)[1]]
        live = [x for x in s if x > noise]
        if not live:
            return delta
        mean = math.fsum(live) / len(live)
        if support == "size" and len(live) < len(s):
            self.ill(f"isotropization over null vectors: rank {len(live)} of {len(s)}", FLAT)
        if len(live) < self.spanned and delta * self.eps > noise:
            self.ill(f"the tasks cancel: rank {len(live)} of {self.spanned} is within rounding")
        for x in s:
            if 1e-30 * s[0] < x and noise / SAFETY < x <= noise + SAFETY * self.eps * delta:
                self.ill(f"a singular value {x:.1e} at the level of rounding")
        if delta * self.eps * SAFETY > 0.1 * live[-1]:
            self.ill(f"the smallest singular value {live[-1]:.1e} is within rounding")
        return delta * (math.sqrt(len(live)) + 3 * mean / live[-1])

    def iso_cts(self, state: State) -> float:
        """The common subspace turns, so do the residuals, then as TSV."""
        p, stack, noise = state.params, state.stack, [as_float(x) for x in state.noise]
        shape = (stack[0].rows, stack[0].cols)
        common, each = cts_counts(shape, len(stack), p["common_fraction"], p["rounding"])
        shared = spectral.leading(total(stack), common, number(max(noise)))
        every = math.fsum(self.delta)
        turn, *_ = self.subspace(total(stack), common, max(noise), every, "the sum")
        u, triplets, turns, errors = shared[0], [shared], [turn], [every]
        for t, m in enumerate(stack):
            rest = m - product(u, product(u.T, m))
            d = self.delta[t] + turn * size(m)
            if self.sizes[t] and each:
                live = sum(as_float(x) > noise[t] for x in svd(rest)[1])
                if live < min(each, *shape) and d * self.eps > SAFETY * noise[t]:
                    self.ill(f"task {t}: the residual has rank {live} < {each}, within rounding")
                turns.append(self.subspace(rest, each, noise[t], d, f"residual of task {t}")[0])
            triplets.append(spectral.leading(rest, each, number(noise[t])))
            errors.append(d)
        values = [as_float(x) for t in triplets for x in t[1]]
        if not values:
            return every
        small = [t for t, (_, s, _) in enumerate(triplets) if s and as_float(s[-1]) < SAFETY * self.eps * errors[t]]
        if small:
            self.ill("a kept singular value is within rounding")
        own = math.fsum(e / as_float(s[-1]) for e, (_, s, _) in zip(errors, triplets, strict=True) if s)
        mean, turn = math.fsum(values) / len(values), math.fsum(turns) + own
        inverse = self.polar([t[0] for t in triplets], turn) + self.polar([t[2] for t in triplets], turn)
        return mean * turn * (1 + inverse) + math.fsum(errors)
