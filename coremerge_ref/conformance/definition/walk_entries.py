"""Decisions on single entries: trim thresholds, elected signs, and what a turn of the frames does to them."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

from . import elementwise
from .linalg import Matrix
from .walk import ENTRIES, ROTATION, SAFETY, Walk, as_float, size

if TYPE_CHECKING:
    from .pipeline import State

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

    def cleared(self, after: list[Matrix], before: list[Matrix]) -> None:
        """Remember the entries that a stage set to zero: every implementation holds an exact zero there."""
        for t, (new, old) in enumerate(zip(after, before, strict=True)):
            self.zeros[t] |= {
                ij for ij in elementwise.entries(new) if new[ij] == 0 and (old[ij] != 0 or not self.sizes[t])
            }

    def votes(
        self, state: State, kept: list[Matrix], near: list[set[Entry]], signs: dict[Entry, int], p: dict[str, Any]
    ) -> None:
        """Which entries hang on rounding or, in a basis defined up to signs, on the sign given to a zero sum; and all
        values that each of them can then have."""
        weights = [as_float(w) for w in state.weights]
        either = {}
        for ij in elementwise.entries(kept[0]):
            noise = [as_float(elementwise.level_at(level, ij)) for level in state.levels]
            tasks = [self._open(t, ij, m, kept[t], near[t], noise[t]) for t, m in enumerate(state.stack)]
            if math.prod(map(len, tasks)) > MOST:
                self.ill("too many votes at once within rounding")
                return
            either[ij] = tasks, noise
        any_sign = p.get("zero_signs", (1, -1))

        def loose_entries(free: bool) -> dict[Entry, list[float]]:
            found = {
                ij: self._values(tasks, noise, weights, any_sign if free else (signs[ij],), p)
                for ij, (tasks, noise) in either.items()
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
