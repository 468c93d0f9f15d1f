"""Decisions on single entries: trim thresholds, elected signs, and what a turn of the frames does to them."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

from mpmath import mp

from . import elementwise
from .linalg import Matrix, columns, hcat, svd
from .linalg import product as times
from .methods.ties import ties_signs
from .methods.trim import trimmed
from .pipeline import State
from .walk import ENTRIES, ROTATION, SAFETY, Walk, as_float, size

Entry = tuple[int, int]
Vote = tuple[float, int]  # value of a task's entry, and the sign that it votes for
MOST = 4096  # combinations of open votes that are looked through


class EntryWalk(Walk):
    """Stages that look at entries."""

    def turned(self, stack: list[Matrix], sides: tuple[str, ...] = ("left", "right")) -> None:
        """Pass from errors of dense matrices to errors of coordinates: the frames' turn now counts."""
        self.check_live_size()
        self.turn = sum(self.turns[side] for side in sides)
        if any(self.ties[side] for side in sides):
            reason = f"the basis is not determined: relative gap {self.basis_gap:.1e}"
            self.ill(reason, ROTATION if sum(self.ties[side] for side in sides) == 1 else "")
        self.delta = [d + self.turn * size(m) for d, m in zip(self.delta, stack, strict=True)]

    def tol(self, t: int) -> float:
        """Error of one entry of task t; zero where entries are computed exactly; few eps where no frame is computed."""
        return 0.0 if self.sure else (SAFETY if self.gauge_free else 4.0) * self.eps * self.delta[t]

    def trim(self, state: State, density: float, keep: str) -> list[set[Entry]]:
        """Per task the entries at the threshold within rounding: kept by some, not by others."""
        near: list[set[Entry]] = [set() for _ in state.stack]
        for t, m in enumerate(state.stack):
            all_entries = list(m) if state.joint is None else state.everywhere(t)
            order = sorted((as_float(abs(x)) for x in all_entries), reverse=True)
            count, d = int(len(order) * float(density)), len(order)
            if density >= 1 or self.sure or (keep == "threshold" and d - count < 2) or (keep == "exact" and count == 0):
                continue
            edge = order[count - 1] if keep == "exact" else order[count]
            reach = 2 * self.tol(t)
            if edge <= self.tol(t) or sum(abs(x - edge) <= reach for x in order) < 2:
                continue
            near[t] = {ij for ij in elementwise.entries(m) if abs(as_float(abs(m[ij])) - edge) <= reach}
        return near

    def cleared(self, after: list[Matrix], before: list[Matrix]) -> None:
        """Remember the entries that a stage set to zero: every implementation holds an exact zero there."""
        for t, (new, old) in enumerate(zip(after, before, strict=True)):
            self.zeros[t] |= {
                ij for ij in elementwise.entries(new) if new[ij] == 0 and (old[ij] != 0 or not self.sizes[t])
            }

    def vote_in_ties(self, state: State) -> None:
        """Trim, then the votes."""
        p = state.params
        near = self.trim(state, p["density"], p["keep"])
        seen = state.joint or state
        kept = trimmed(seen.stack, seen.noise, p["density"], p["keep"])
        signs = ties_signs(seen.stack, seen.noise, seen.weights, p)
        if state.joint is not None:
            shape = (1, seen.stack[0].cols)
            row = elementwise.unflattened(mp.matrix([[signs[0, j] for j in range(shape[1])]]), state.shapes)[
                state.layer
            ]
            kept = [state.own(kept[seen.tasks.index(t)]) for t in state.tasks]
            signs = {ij: int(row[ij]) for ij in elementwise.entries(row)}
        self.cleared(kept, state.stack)
        self.votes(state, kept, near, signs, p)

    def votes(
        self, state: State, kept: list[Matrix], near: list[set[Entry]], signs: dict[Entry, int], p: dict[str, Any]
    ) -> None:
        """Which entries hang on rounding or, in a basis defined up to signs, on the sign given to a zero sum; and all
        values that each of them can then have."""
        noise, weights = [as_float(x) for x in state.noise], [as_float(w) for w in state.weights]
        either = {}
        for ij in elementwise.entries(kept[0]):
            tasks = [self._open(t, ij, m, kept[t], near[t], noise[t]) for t, m in enumerate(state.stack)]
            if math.prod(map(len, tasks)) > MOST:
                self.ill("too many votes at once within rounding")
                return
            either[ij] = tasks
        any_sign = p.get("zero_signs", (1, -1))

        def loose_entries(free: bool) -> dict[Entry, list[float]]:
            found = {
                ij: self._values(tasks, noise, weights, any_sign if free else (signs[ij],), p)
                for ij, tasks in either.items()
            }
            return self._distinct(found)

        loose = loose_entries(self.gauge_free)
        if loose and not self.gauge_free:  # the majority may be another one
            loose = loose_entries(True)
        if loose:
            self.options |= loose
            self.ill(f"{len(loose)} entries whose elected sign, or who agrees to it, is not determined", ENTRIES)

    def _open(self, t: int, ij: Entry, m: Matrix, kept: Matrix, near: set[Entry], noise: float) -> list[Vote]:
        """What a task's entry may be: out, or a value with the sign that it votes for."""
        x, error = as_float(m[ij]), self.tol(t)
        inside: list[Vote] = [(x, 1 if x > 0 else -1)] if abs(x) > error else [(x, 1), (x, -1)]
        if ij in near:
            return [(0.0, 0), *inside]
        if ij in self.zeros[t] or kept[ij] == 0 != m[ij]:
            return [(0.0, 0)]
        if abs(x) > noise + error:
            return inside
        return [(0.0, 0), *inside] if noise - error < abs(x) else [(0.0, 0)]

    def _values(
        self, tasks: list[list[Vote]], noise: list[float], weights: list[float], zero: tuple[int, ...],
        p: dict[str, Any],
    ) -> set[float]:  # fmt: skip
        """All values of an entry; ``zero``: the signs that a sum of zero can take."""
        before = p["weight_order"] == "before"
        power = weights if before else [1.0] * len(weights)
        level = max(abs(w) * x for w, x in zip(power, noise, strict=True))
        error = math.fsum(abs(w) * self.tol(t) for t, w in enumerate(power))
        out = set()
        for votes in product(*tasks):
            live = [(t, x, s if power[t] > 0 else -s) for t, (x, s) in enumerate(votes) if s and power[t]]
            if p["elect"] == "count":
                mass = float(sum(s for _, _, s in live))
                decided, open_to_all = mass != 0, False
            else:
                mass = math.fsum(power[t] * x for t, x, _ in live)
                decided = abs(mass) > level + error
                open_to_all = not decided and (abs(mass) > level or not (error <= level or mass == 0 == error))
            signs = (1 if mass > 0 else -1,) if decided else tuple({1, -1, *zero}) if open_to_all else zero
            for sign in signs if live else (0,):
                agreeing = [(t, x) for t, x, s in live if s == sign]
                total = math.fsum(weights[t] * x for t, x in agreeing)
                if p["aggregate"] == "mean":
                    by_weight = p["divisor"] == "weight"
                    total /= (math.fsum(weights[t] for t, _ in agreeing) if by_weight else len(agreeing)) or 1
                out.add(total)
        return out

    def _distinct(self, values: dict[Entry, set[float]]) -> dict[Entry, list[float]]:
        """The entries whose values differ by more than their error."""
        reach = SAFETY * self.eps * math.fsum(self.delta) * max(1.0, *(abs(x) for x in self.power))
        return {ij: sorted(found) for ij, found in values.items() if max(found) - min(found) > reach}

    @property
    def power(self) -> list[float]:
        """The weights of the merge."""
        return [as_float(w) for w in self.exact.states[-1].weights]

    def drm(self, state: State) -> None:
        """As TIES, on coordinates in the frame of [M_1 … M_T], in which ``options`` then are."""
        stack = state.stack if state.params["direction"] == "horizontal" else [m.T for m in state.stack]
        u, values, _ = svd(hcat(stack))
        s = [as_float(x) for x in values]
        if not s or s[0] == 0:
            return
        cut = max(state.params["rank_cut"] * s[0], as_float(max(state.noise)))
        rank = sum(x > cut for x in s)
        error = math.hypot(*self.delta)
        if any(abs(x - cut) <= SAFETY * self.eps * error for x in s):
            self.ill("a singular value at the rank cut")
        gaps = [a - b for a, b in pairwise(s[: rank + 1])] + ([s[rank - 1]] if rank == len(s) else [])
        gap = min(gaps)
        own = error / gap if gap > 0 else math.inf
        if own * self.eps * SAFETY > 0.1:
            tied = sum(SAFETY * self.eps * error > 0.1 * g for g in gaps)
            self.ill("the one-sided frame is not determined", ROTATION if tied == 1 else "")
            return
        self.delta = [d + own * size(m) for d, m in zip(self.delta, stack, strict=True)]
        self.gauge_free, self.sure = True, False
        rows = [times(columns(u, rank).T, m) for m in stack]
        noise = [as_float(x) for x in state.noise]
        unit, spread = [], []
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
        at_edge = [abs(x - edge) <= e for x, e in zip(unit, spread, strict=True)]
        several = cut_at >= 1 and edge > 0 and sum(at_edge) > 1
        self.zeros = [set() for _ in rows]
        near: list[set[Entry]] = [set() for _ in rows]
        kept = [r.copy() for r in rows]
        at = 0
        for t, r in enumerate(rows):
            for ij in elementwise.entries(r):
                if several and at_edge[at]:
                    near[t].add(ij)
                elif unit[at] < edge:
                    kept[t][ij] = mp.zero
                    self.zeros[t].add(ij)
                at += 1
        signs = elementwise.elected(elementwise.flush(kept, state.noise), state.noise, "mass", "majority")
        p = {
            "elect": "mass",
            "aggregate": "mean",
            "divisor": "count",
            "weight_order": "after",
            "zero_signs": (1, -1, 0),
        }
        self.votes(replace(state, stack=rows), kept, near, signs, p)
