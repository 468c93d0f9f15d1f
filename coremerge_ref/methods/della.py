"""DELLA: drop entries at random, small ones rather than large ones (Deep et al., 2024, arXiv 2406.11617)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.stack import Stack
from coremerge_ref.methods._entries import check_masks, denoised, drawn, l1_factor
from coremerge_ref.methods._votes import pruned, rescaled, zeroed
from coremerge_ref.methods.base import BOTH, DENSITIES, SIGNED_PERMUTATION, TRANSFORM, Search, Stage, register
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import norm


@register
@dataclass(frozen=True)
class Della(Stage):
    """Drop entries at random, small ones rather than large ones, and rescale the rest.

    M_t ∘ Z_t, rescaled; Z_t keeps an entry with probability density − ε + 2ε (rank − 1) / (cols − 1).

    rank: of the magnitude within its row, 1 the smallest, the earlier first among equals; a row of one entry keeps it
    with probability `density`. density 1 keeps all; else density ± epsilon must lie within (0, 1). Random numbers are
    DARE's, keyed by seed, layer name and task, an entry being kept where its number is at least the probability of
    dropping it: epsilon 0 is DARE. `masks`, boolean (T, …, p, q), replaces drawing. rescale: "l1"
    ‖M_t‖₁ / ‖M_t ∘ Z_t‖₁ (mergekit), "inverse" one over the entry's probability of being kept, "none".
    """

    density: float = 0.7
    epsilon: float = 0.15
    seed: int = 0
    masks: Any = None
    rescale: str = "l1"
    name: ClassVar[str] = "della"
    kind: ClassVar[str] = TRANSFORM
    commutes_with: ClassVar[str] = SIGNED_PERMUTATION
    source = "Deep et al., 2024; mergekit"
    remedy = "set epsilon to 0, which looks at no magnitudes"
    called: ClassVar = {"mergekit": {"della_linear": "della+ta"}}
    company: ClassVar = {"mergekit": {"ties": {"density": 1.0}}}  # its della; della+ta is its della_linear
    searches = (
        Search("della+ta", {"della": {"density": DENSITIES[3:-2], "epsilon": (0.05, 0.1, 0.15)}}),
        Search("della+ties", {"della": {"density": DENSITIES[3:-2]}}),
    )

    def __post_init__(self) -> None:
        self.check_fraction("density")
        self.check_share("epsilon")
        inside = self.density == 1 or (self.density - self.epsilon > 0 and self.density + self.epsilon < 1)
        self.check(inside, "epsilon", f"density ± epsilon within (0, 1) at density {self.density}")
        self.check_integer("seed")
        self.check_choice("rescale", ("l1", "inverse", "none"))
        check_masks(self)

    def apply(self, item: Stack) -> Stack:
        """The stack with dropped entries zero and the rest rescaled."""
        if self.density == 1:
            return item
        stack, xp = denoised(item), array_namespace(item.M)
        chance, level = self._chances(stack), stack.rounding_level  # (T, …, p, q), (T, …)
        M = xp.where(drawn(self, stack, 1 - chance), stack.M, 0.0)
        if self.rescale == "l1":
            factor = l1_factor(stack.M, M)
            return stack.with_entries(factor[..., None, None] * M, factor * level)
        if self.rescale == "inverse":
            return stack.with_entries(M / xp.astype(chance, M.dtype), level / (self.density - self.epsilon))
        return stack.with_entries(M)

    def _chances(self, stack: Stack) -> Array:
        """Each entry's probability of being kept."""
        xp = array_namespace(stack.M)
        return self._chance(stack, xp.argsort(xp.argsort(xp.abs(stack.M))))

    def _chance(self, stack: Stack, place: Array) -> Array:
        """That of entries at these places (T, …, p, q) of their row, dead entries, which are 0, sorting first."""
        xp, cols = array_namespace(stack.M), stack.cols[..., None, None]
        place = xp.astype(place, cols.dtype)
        rank = arrays.clipped(place - (stack.M.shape[-1] - cols), 0.0)
        share = xp.where(cols > 1, rank / xp.where(cols > 1, cols - 1, 1.0), 0.5)
        return (self.density - self.epsilon) + 2 * self.epsilon * share

    def sees(self, T: int) -> tuple[str, ...]:
        """None where all entries are kept."""
        return BOTH if self.density < 1 else ()

    def carry(self, errors: Errors, before: Any, after: Any) -> Errors:
        """As DARE; an entry whose rank in its row errors may change is kept or not, and rescaled, as at either rank."""
        if self.density == 1:
            return errors
        zeroed(errors, before)
        clean: Any = denoised(before)
        x = np.abs(clean.M)
        chance = [np.asarray(self._chance(clean, place)) for place in _ranks(x - errors.entry, x + errors.entry)]
        kept = [np.asarray(drawn(self, clean, 1 - c)) for c in chance]
        there = (x > 0) | (errors.entry > 0)
        unsure = (kept[0] != kept[1]) & there
        inverse = 1 / chance[0] - 1 / chance[1] if self.rescale == "inverse" else np.zeros(x.shape)
        open_ = unsure | (kept[1] & there & (inverse > 0))
        if open_.any():
            errors.doubt(self, f"{int(open_.sum())} entries have a rank in their row that is not determined")
        if errors.uses_size(self, setting=int, of=lambda rows, cols: cols):
            unsure = there
        lost = errors.entry.sum(axis=(-2, -1))
        pruned(errors, before, (after.M != 0) | (clean.M == 0), unsure)
        if self.rescale != "inverse":
            rescaled(self, errors, clean, after, lost if self.rescale == "l1" else None)
            return errors
        moved = np.where(kept[1], x * inverse, 0.0)
        errors.entry = errors.entry / chance[0] + moved
        errors.delta = np.asarray([norm(X) for X in errors.entry])
        return errors


def _ranks(least: np.ndarray, most: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many others in its row surely are smaller than each entry, between least and most (…, q), and may be."""
    q = least.shape[-1]
    order = np.argsort(np.concatenate([least, most], axis=-1), axis=-1, kind="stable")  # least before most, if equal
    tops = np.cumsum(order >= q, axis=-1)  # how many upper ends come so far
    places = np.empty(order.shape)
    np.put_along_axis(places, order, np.where(order < q, tops, np.arange(2 * q) - tops), axis=-1)
    return places[..., :q], places[..., q:]
