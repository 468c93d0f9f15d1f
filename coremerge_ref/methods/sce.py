"""SCE: select where tasks differ, weigh by energy, erase minority signs (Wan et al., 2024, arXiv 2408.07990)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods._entries import denoised, largest, signs
from coremerge_ref.methods._votes import Votes, cut_at, elected, zeroed
from coremerge_ref.methods.base import DENSITIES, MERGE, SIGNED_PERMUTATION, Search, Stage, register
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import beyond, norm


@register
@dataclass(frozen=True)
class Sce(Stage):
    """Entries where the tasks differ most, weighted by each task's energy, without those of the minority's sign.

    Σ_t c_t M_t / Σ_t c_t over the selected entries that have the sign of Σ_t M_t, c_t the energy of task t.

    Select: of the entries whose variance over the tasks is not zero, the share `density` (mergekit's select_topk) of
    largest variance, the same for all tasks, the first among equals; density 1 selects all. Weigh: c_t is the sum of
    squares of what is left of task t, over that of all. Erase: sums within rounding of 0 count as positive.

    floor, in mergekit 1e-6 whatever the scale: where the mean squares of all tasks sum to less, c_t = 1 / T; and Σ c_t
    is at least that where it divides. Of one task nothing varies, so a density below 1 selects nothing.
    """

    density: float = 1.0
    floor: float = 0.0
    name: ClassVar[str] = "sce"
    kind: ClassVar[str] = MERGE
    commutes_with: ClassVar[str] = SIGNED_PERMUTATION
    source = "Wan et al., 2024; mergekit"
    remedy = "choose another density, or a method that does not look at entries, such as tsv or iso"
    spelled: ClassVar = {"select_topk": "density"}
    dialects: ClassVar = {"mergekit": {"floor": 1e-6}}
    searches = (Search("sce", {"sce": {"density": DENSITIES}}),)

    @property
    def expected_failures(self) -> Mapping[str, str]:
        """Of the checks of a method."""
        return {"check_scaling": "floor is an absolute number"} if self.floor else {}

    def __post_init__(self) -> None:
        self.check_fraction("density")
        self.check_share("floor")

    def apply(self, item: Stack) -> Merged:
        """The merged matrix."""
        stack, xp = denoised(item.weighted()), array_namespace(item.M)
        level = xp.max(stack.entry_level, axis=0)  # (…, p or 1, q or 1)
        largest_entry = xp.max(xp.abs(stack.M), axis=(0, -2, -1))  # (…): squares of small numbers underflow
        unit = xp.where(largest_entry > 0, largest_entry, 1.0)
        M = stack.M if self.density == 1 else xp.where(self._selected(stack, level, unit), stack.M, 0.0)
        energy = xp.sum((M / unit[..., None, None]) ** 2, axis=(-2, -1))  # (T, …)
        total = xp.sum(energy, axis=0)
        least = self.floor * xp.astype(stack.rows * stack.cols, M.dtype) / unit / unit
        share = xp.where((total > 0) & (total >= least), energy / xp.where(total > 0, total, 1.0), 1 / stack.T)
        sign = xp.where(signs(xp.sum(M, axis=0), level) >= 0, xp.ones_like(M[0, ...]), -1.0)
        c = xp.where(arrays.sign(M) == sign, xp.broadcast_to(share[..., None, None], M.shape), 0.0)
        divisor = arrays.clipped(xp.sum(c, axis=0), self.floor)
        return stack.merged(xp.sum(c * M, axis=0) / xp.where(divisor > 0, divisor, 1.0))

    def _selected(self, stack: Stack, level: Array, unit: Array) -> Array:
        """Boolean (…, p, q): which entries vary most."""
        xp = array_namespace(stack.M)
        deviation = stack.M - xp.sum(stack.M, axis=0) / stack.T
        there = xp.abs(deviation) > level
        varies = xp.any(there, axis=0)  # (…, p, q), also where squares are too small for numbers
        deviation = xp.where(there, deviation / unit[..., None, None], 0.0)
        variance = arrays.clipped(xp.sum(deviation**2, axis=0), arrays.smallest_normal(deviation.dtype))
        variance = xp.reshape(xp.where(varies, variance, 0.0), (*deviation.shape[1:-2], -1))  # (…, N), times T
        varying = xp.sum(xp.astype(variance > 0, stack.rows.dtype), axis=-1)
        kept = largest(variance, varying, self.density, "exact", xp.zeros_like(variance))
        return xp.reshape(kept, deviation.shape[1:])

    def carry(self, errors: Errors, before: Any, after: Any) -> Errors:
        """v = Σ c_t M_t / Σ c_t moves by (Σ c_t δ_t + Σ δc_t |M_t − v|) / Σ c_t where selection and signs hold."""
        w, stack = np.abs(np.asarray(before.weights)), before.weighted()
        errors.delta, errors.entry = w * errors.delta, w[:, None, None] * errors.entry
        zeroed(errors, stack)
        clean: Any = denoised(stack)
        level = np.max(stack.entry_level, axis=0)  # (p or 1, q or 1)
        unit = float(np.max(np.abs(clean.M), initial=0.0)) or 1.0
        chosen, open_ = np.ones(clean.M.shape[1:], dtype=bool), np.zeros(clean.M.shape[1:], dtype=bool)
        if self.density < 1:
            chosen = np.asarray(self._selected(clean, level, np.asarray(unit)))
            open_ = self._open(errors, clean.M / unit, level / unit, chosen, unit)
        here = chosen | open_
        X, E = np.where(here, clean.M, 0.0), np.where(here, errors.entry, 0.0)
        share, change = self._shares(errors, X / unit, E / unit, chosen, open_, unit, stack)
        sure = chosen & ~open_ & (np.abs(X) > E) & ~errors.unsure
        possible = (X != 0) | (errors.unsure & (E > 0))
        votes = Votes(X, E, np.ones((stack.T, 1, 1)), sure, possible, level, at_zero=0 if errors.gauge_free else 1)
        sign = np.where(votes.total > level, 1, np.where(votes.total < -level, -1, 1))
        c = np.where(sure & (np.sign(X) == sign), share, 0.0)
        own, total = np.where(c > 0, change, 0.0), c.sum(axis=0)
        # below the floor the sum alone moves
        at_floor = (self.floor > 0) & (np.abs(total - self.floor) <= own.sum(axis=0))
        total = np.maximum(total, self.floor)
        total = np.where(total > 0, total, 1.0)
        value = np.where(total > self.floor, np.sum(c * X, axis=0) / total, 0.0)
        off = np.where(at_floor, np.maximum(np.abs(X - value), np.abs(X)), np.abs(X - value))
        summing = errors.unit * (stack.T + 4) if errors.level.name == "compute" else 0.0
        parts = c * (E + summing * np.abs(X)) + own * (off + E)
        smooth = np.sum(parts, axis=0) / total * beyond(float(np.max(own.sum(axis=0) / total, initial=0.0)))
        jump = votes.spread(np.ones((stack.T, 1, 1)))
        if self.floor > 0:  # shares that are no larger than the floor count as parts of it
            parts = np.minimum((share + change) / self.floor, 1.0) * (np.abs(X) + E)
            jump = np.minimum(jump, np.sum(np.where(possible, parts, 0.0), axis=0))
        return elected(self, errors, votes, after.M, smooth, norm(smooth), jump)

    def _open(self, errors: Errors, M: np.ndarray, level: np.ndarray, chosen: np.ndarray, unit: float) -> np.ndarray:
        """Which entries (p, q) may be selected or not, as errors move variances; M (T, p, q) and level in units."""
        T, E = len(M), errors.entry / unit
        if T == 1:
            return np.zeros(M.shape[1:], dtype=bool)
        D, E = np.abs(M - M.mean(axis=0)), E + E.mean(axis=0) + errors.level.framed * np.abs(M).mean(axis=0)
        zero = errors.near(D, level, errors.beside(E, level))
        counted = (D > level) | zero | (D + E > level)
        v = np.sum(np.where(level < D, D, 0.0) ** 2, axis=0)
        v = np.where((level < D).any(axis=0), np.maximum(v, np.finfo(v.dtype).smallest_normal), 0.0)
        moved = np.sum(np.where(counted, np.where(zero, (D + E) ** 2, 2 * D * E + E**2), 0.0), axis=0)
        least, most = (int(np.sum(x > 0) * self.density) for x in (v - moved, v + moved))
        place, x, e = np.argsort(np.argsort(-v, axis=None, kind="stable")), v.ravel(), moved.ravel()
        cuts = [cut_at(x, e, place < K, K, "exact", np.zeros(v.size)) for K in (int(chosen.sum()), least, most)]
        errors.margin(self, "relative gap between the last variance selected and the first one not", cuts[0].gap)
        # however small a variance is, selecting brings the whole entry
        between = (place >= least) & (place < most)
        open_ = np.asarray(np.any([between, *(cut.open for cut in cuts)], axis=0)).reshape(v.shape)
        if open_.any():
            errors.doubt(self, f"{int(open_.sum())} entries lie where variances are no longer selected")
        return open_

    def _shares(
        self, errors: Errors, M: np.ndarray, E: np.ndarray, sure: np.ndarray, open_: np.ndarray, unit: float, stack: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the energy (T, 1, 1) and how far errors move them; M and E in units, of entries that are
        surely selected or may be."""
        size = np.sqrt(np.sum(np.where(sure, M, 0.0) ** 2, axis=(-2, -1)))
        moved = np.sqrt(np.sum(np.where(open_, (np.abs(M) + E) ** 2, E**2), axis=(-2, -1)))
        energy, off = size**2, moved * (2 * size + moved) + errors.level.framed * size**2
        total, every = float(energy.sum()), float(off.sum())
        least = self.floor * float(stack.rows * stack.cols) / unit / unit
        if self.floor and (errors.uses_size(self) or abs(total - least) <= every):
            errors.doubt(self, "the energy of all tasks is at the floor")
            return np.full((len(M), 1, 1), 1 / len(M)), np.ones((len(M), 1, 1))
        if total == 0 or total < least:
            return np.full((len(M), 1, 1), 1 / len(M)), np.zeros((len(M), 1, 1))
        share, change = energy / total, np.ones(len(M))
        if every < total:
            change = np.minimum((off + share * every) / (total - every), 1.0)
        return share[:, None, None], change[:, None, None]
