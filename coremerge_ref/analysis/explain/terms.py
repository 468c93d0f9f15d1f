"""What errors of the factors of a group of layers come to, in units of the level of errors."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from coremerge_ref.core import linalg
from coremerge_ref.perturbation.carried import Level
from coremerge_ref.perturbation.theorems import spectral

ROUNDING = 100  # eps: up to which a column and its coordinates are equally long


@dataclass(frozen=True, eq=False)
class Terms:
    """What errors of the factors of every M_t (T, p, q) = L_t R_tᵀ are in units of the level.

    within: |L_t| |R_t|ᵀ. sides: for either side what errors of it do, |R_t| b_t and |L_t| a_t, or within where its
    frame is an identity. whole (T): min(2 s, ‖b‖ ‖R‖₂ + ‖L‖₂ ‖a‖), sizes (T) s = Σ_i ‖b_i‖ ‖a_i‖. ranks (T): how many
    of these terms are not zero. beyond (T): Σ_i of what of b_i, or a_i, no frame holds since others cancel it, times
    the other; errors do not cancel.
    """

    within: np.ndarray
    sides: tuple[np.ndarray, np.ndarray]
    whole: np.ndarray
    sizes: np.ndarray
    ranks: np.ndarray
    beyond: np.ndarray
    made: dict[Any, tuple[np.ndarray, ...]] = field(default_factory=dict)

    def errors(self, level: Level, identities: tuple[bool, bool], at: tuple[int, ...]) -> tuple[np.ndarray, ...]:
        """(delta (T), entry (T, p, q), apart (T)) of one layer of a batch (T, …), see `entered`; computed for all at
        once. apart: what forming the products, and what no frame holds, add to errors of the factors."""
        key = level, identities
        place: Any = (slice(None), *at)
        if key not in self.made:
            self.made[key] = self._errors(*key)
        delta, entry, apart = self.made[key]
        return delta[place].copy(), entry[place].copy(), apart[place]

    def _errors(self, level: Level, identities: tuple[bool, bool]) -> tuple[np.ndarray, ...]:
        g, formed = level.size, level.name == "compute"
        parts = sum(X * (0.0 if formed and one else g) for one, X in zip(identities, self.sides, strict=True))
        tiny = level.tiny * np.where(self.ranks > 0, 1 + self.ranks, 0)
        own = formed * level.eps * (self.ranks / 2 + 1)
        size = self.within.shape[-2] * self.within.shape[-1]
        both = g * g * (self.within if all(identities) else self.sizes[..., None, None])  # errors of either side meet
        parts = parts + both + own[..., None, None] * self.within + tiny[..., None, None]
        apart = own * np.asarray(linalg.norm(self.within)) + tiny * size**0.5 + g * self.beyond
        delta = g * self.whole + g * g * self.sizes + tiny * size**0.5
        delta = np.minimum(delta, np.asarray(linalg.norm(parts))) + g * self.beyond
        return delta, np.minimum(parts, delta[..., None, None]), apart


Factors = tuple[list[np.ndarray], list[np.ndarray]]  # coordinates (…, p, r_t) and norms (…, r_t) of each task


def terms_of(left: Factors, right: Factors, rows: bool, columns: bool, unit: float = 2.0**-52) -> Terms:
    """The terms of a batch of layers (T, …); rows, columns: whether the frame on that side is an identity; unit: eps of
    the arithmetic that made the coordinates."""
    tasks = list(zip(left[0], right[0], left[1], right[1], strict=True))
    within = np.stack([np.abs(L) @ np.abs(R).mT for L, R, _, _ in tasks])
    of_left = within if rows else np.stack([(np.abs(R) @ b[..., None]).mT for _, R, b, _ in tasks])
    of_right = within if columns else np.stack([np.abs(L) @ a[..., None] for L, _, _, a in tasks])
    whole, sizes = [], [np.sum(b * a, axis=-1) for _, _, b, a in tasks]
    for (L, R, b, a), s in zip(tasks, sizes, strict=True):
        one_side, other = linalg.norm(b[..., None]) * spectral(R), spectral(L) * linalg.norm(a[..., None])
        whole.append(np.minimum(2 * s, one_side + other))
    ranks = np.stack([np.count_nonzero((b > 0) & (a > 0), axis=-1) for _, _, b, a in tasks])
    beyond = np.stack([np.sum(cancelled(L, b, unit) * a + b * cancelled(R, a, unit), axis=-1) for L, R, b, a in tasks])
    return Terms(within, (of_left, of_right), np.stack(whole), np.stack(sizes), ranks, beyond)


def cancelled(X: np.ndarray, norms: np.ndarray, unit: float) -> np.ndarray:
    """Norms (…, r) of what of columns of these norms their coordinates X (…, p, r) do not hold; 0 up to rounding."""
    share = np.sqrt(np.sum((X / np.where(norms > 0, norms, 1.0)[..., None, :]) ** 2, axis=-2))
    return np.where(share < 1 - ROUNDING * unit, np.sqrt(np.maximum(1 - share**2, 0.0)) * norms, 0.0)
