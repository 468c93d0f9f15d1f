"""Decisions on single entries: trim thresholds, elected signs, and what a turn of the frames does to them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from mpmath import mp

from . import elementwise
from .linalg import Matrix, columns, hcat, product, svd
from .pipeline import State
from .walk import SAFETY, Walk, as_float, size


class EntryWalk(Walk):
    """Stages that look at entries."""

    def turned(self, stack: list[Matrix]) -> None:
        """Pass from errors of dense matrices to errors of coordinates: the frames' turn now counts."""
        if self.turn * self.eps * SAFETY > 0.1:
            self.ill(f"the basis is not determined: relative gap {getattr(self, 'basis_gap', 0):.1e}")
            return
        self.delta = [d + self.turn * size(m) for d, m in zip(self.delta, stack, strict=True)]

    def tol(self, t: int) -> float:
        """Error of one entry of task t; zero where entries are computed exactly; few eps where no frame is computed."""
        return 0.0 if self.sure else (SAFETY if self.gauge_free else 4.0) * self.eps * self.delta[t]

    def trim(self, stack: list[Matrix], density: float, keep: str) -> None:
        """Entries at the threshold within rounding."""
        for t, m in enumerate(stack):
            at = elementwise.entries(m)
            count, d = int(len(at) * float(density)), len(at)
            if density >= 1 or self.sure or (keep == "threshold" and d - count < 1) or (keep == "exact" and count == 0):
                continue
            order = sorted((as_float(abs(m[ij])) for ij in at), reverse=True)
            edge = order[count - 1] if keep == "exact" else order[count]
            near = [ij for ij in at if abs(as_float(abs(m[ij])) - edge) <= 2 * self.tol(t) and edge > self.tol(t)]
            if len(near) > 1:
                self.undecided |= set(near)
                self.ill(f"task {t}: {len(near)} entries at the trim threshold within rounding", local=True)

    def cleared(self, after: list[Matrix], before: list[Matrix]) -> None:
        """Remember the entries that a stage set to zero: every implementation holds an exact zero there."""
        for t, (new, old) in enumerate(zip(after, before, strict=True)):
            self.zeros[t] |= {
                ij for ij in elementwise.entries(new) if new[ij] == 0 and (old[ij] != 0 or not self.sizes[t])
            }

    def ties(self, state: State) -> None:
        """Trim, then the votes."""
        p, noise = state.params, [as_float(x) for x in state.noise]
        self.trim(state.stack, p["density"], p["keep"])
        kept = elementwise.trim(state.stack, p["density"], p["keep"])
        self.cleared(kept, state.stack)
        self.votes(
            kept, noise, [as_float(w) for w in state.weights] if p["weight_order"] == "before" else [1.0] * len(kept), p
        )

    def votes(self, kept: list[Matrix], noise: list[float], weights: list[float], p: dict[str, Any]) -> None:
        """Which elections hang on rounding, or, in a basis defined up to signs, on the sign given to a zero sum."""
        zero, loose = [], []
        for ij in elementwise.entries(kept[0]):
            values = [as_float(m[ij]) for m in kept]
            live = [x if abs(x) > noise[t] else 0.0 for t, x in enumerate(values)]
            unsure = [
                ij not in self.zeros[t] and noise[t] - self.tol(t) < abs(x) <= noise[t] + self.tol(t)
                for t, x in enumerate(values)
            ]
            if any(unsure) and any(abs(x) > noise[t] + self.tol(t) for t, x in enumerate(values)):
                loose.append(ij)
                continue
            if not any(live):
                continue
            if p["elect"] == "count":
                if sum((x > 0) - (x < 0) for x in live) == 0:
                    zero.append(ij)
                continue
            mass = abs(math.fsum(w * x for w, x in zip(weights, live, strict=True)))
            level = max(abs(w) * x for w, x in zip(weights, noise, strict=True))
            error = math.fsum(abs(w) * self.tol(t) for t, w in enumerate(weights))
            if mass <= level and (error <= level or mass == 0 == error):
                zero.append(ij)
            elif mass <= level + error:
                loose.append(ij)
        if zero and (self.gauge_free or loose):
            loose += zero
        if loose:
            self.undecided |= set(loose)
            self.ill(f"{len(loose)} entries whose elected sign is not determined", local=True)

    def drm(self, state: State) -> None:
        """As TIES, on coordinates in the frame of [M_1 … M_T]; every undetermined decision makes all of it so."""
        stack = state.stack if state.params["direction"] == "horizontal" else [m.T for m in state.stack]
        u, values, _ = svd(hcat(stack))
        s = [as_float(x) for x in values]
        if not s or s[0] == 0:
            return
        cut = state.params["rank_cut"] * s[0]
        rank = sum(x > cut for x in s)
        error = math.hypot(*self.delta)
        if any(abs(x - cut) <= SAFETY * self.eps * error for x in s):
            self.ill("a singular value at the rank cut")
        gaps = [a - b for a, b in pairwise(s[: rank + 1])] + ([s[rank - 1]] if rank == len(s) else [])
        gap = min(gaps)
        own = error / gap if gap > 0 else math.inf
        if own * self.eps * SAFETY > 0.1:
            self.ill("the one-sided frame is not determined")
            return
        self.delta = [d + own * size(m) for d, m in zip(self.delta, stack, strict=True)]
        self.gauge_free, self.sure = True, False
        rows = [product(columns(u, rank).T, m) for m in stack]
        noise = [as_float(x) for x in state.noise]
        unit, spread, near = [], [], []
        for t, r in enumerate(rows):
            for i, j in elementwise.entries(r):
                length = math.hypot(*(as_float(r[i, k]) for k in range(r.cols)))
                unit.append(abs(as_float(r[i, j])) / length if length > noise[t] else 0.0)
                spread.append(2 * self.tol(t) / length if length > noise[t] else 0.0)
                if noise[t] < length <= noise[t] + self.tol(t) or (
                    length <= noise[t] and self.tol(t) > noise[t] and self.sizes[t]
                ):
                    self.ill(f"task {t}: a row at the level of rounding")
        cut_at = len(unit) - round(len(unit) * (1 - state.params["drop"]))
        edge = sorted(unit)[cut_at - 1] if cut_at >= 1 else 0.0
        near = [x for x, e in zip(unit, spread, strict=True) if abs(x - edge) <= e]
        if cut_at >= 1 and edge > 0 and len(near) > 1:
            self.ill("entries at the trim threshold within rounding")
        at = 0
        self.zeros = [set() for _ in rows]
        for t, r in enumerate(rows):
            for ij in elementwise.entries(r):
                if unit[at] < edge:
                    r[ij] = mp.zero
                    self.zeros[t].add(ij)
                at += 1
        before = len(self.undecided)
        self.votes(rows, noise, [1.0] * len(rows), {"elect": "mass"})
        if len(self.undecided) > before:
            self.local = False
