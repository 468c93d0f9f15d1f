"""Model Breadcrumbs: drop each task's largest entries as outliers, then the smallest (Davari & Belilovsky, 2024)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import array_namespace
from coremerge_ref.core.stack import Stack
from coremerge_ref.methods._entries import denoised, l1_factor
from coremerge_ref.methods._votes import cut_at, emptied, pruned, rescaled, zeroed
from coremerge_ref.methods.base import BOTH, DENSITIES, SIGNED_PERMUTATION, TRANSFORM, Search, Stage, register
from coremerge_ref.perturbation.carried import Errors


@register
@dataclass(frozen=True)
class Breadcrumbs(Stage):
    """Drop each task's largest entries as outliers, then the smallest.

    Drop the int(d · gamma) largest magnitudes of each M_t and keep the int(d · density) below them, d live entries.

    Fewer outliers go where density + gamma exceeds 1; density 1 keeps all. Among equal magnitudes the later in
    row-major order counts as the larger. rescale: "none", or "l1" ‖M_t‖₁ / ‖what is kept‖₁. Every matrix by itself, and
    one density for all tasks; definition as in mergekit, whose density and gamma may differ from task to task.
    """

    density: float = 0.9
    gamma: float = 0.01
    rescale: str = "none"
    name: ClassVar[str] = "breadcrumbs"
    kind: ClassVar[str] = TRANSFORM
    commutes_with: ClassVar[str] = SIGNED_PERMUTATION
    source = "Davari & Belilovsky, 2024; mergekit"
    remedy = "choose another density or gamma, or a method that does not look at entries, such as tsv or iso"
    called: ClassVar = {"mergekit": {"breadcrumbs_ties": "breadcrumbs+ties"}}
    company: ClassVar = {"mergekit": {"ties": {"density": 1.0, "aggregate": "sum"}}}  # its breadcrumbs_ties
    searches = (
        Search("breadcrumbs+ta", {"breadcrumbs": {"density": DENSITIES[:-1], "gamma": (0.01, 0.05, 0.1)}}),
        Search("breadcrumbs+ties", {"breadcrumbs": {"density": DENSITIES[:-1]}}),
    )

    def __post_init__(self) -> None:
        self.check_fraction("density")
        self.check_share("gamma")
        self.check_choice("rescale", ("none", "l1"))

    def apply(self, item: Stack) -> Stack:
        """The stack with what is not kept set to zero."""
        if self.density == 1:
            return item
        stack, xp = denoised(item), array_namespace(item.M)
        size = xp.abs(xp.reshape(stack.M, (*stack.M.shape[:-2], -1)))  # (T, …, N): dead entries are 0 and sort first
        place = xp.astype(xp.argsort(xp.argsort(size)), stack.rows.dtype)  # stable, the standard's default
        d = stack.rows * stack.cols  # (…)
        kept = arrays.rounded(d * self.density, "floor")
        top = size.shape[-1] - xp.minimum(arrays.rounded(d * self.gamma, "floor"), d - kept)
        inside = (place < top[..., None]) & (place >= (top - kept)[..., None])
        M = xp.where(xp.reshape(inside, stack.M.shape), stack.M, 0.0)
        factor = l1_factor(stack.M, M) if self.rescale == "l1" else xp.ones_like(stack.rounding_level)
        return stack.with_entries(factor[..., None, None] * M, factor * stack.rounding_level)

    def sees(self, T: int) -> tuple[str, ...]:
        """None where all entries are kept."""
        return BOTH if self.density < 1 else ()

    def carry(self, errors: Errors, before: Any, after: Any) -> Errors:
        """As Trim, with a cut at either end."""
        if self.density == 1:
            return errors
        zeroed(errors, before)
        clean: Any = denoised(before)
        unsure, faint = (np.zeros(before.M.shape, dtype=bool) for _ in range(2))
        d, lost = np.asarray(float(before.rows * before.cols)), errors.entry.sum(axis=(-2, -1))
        kept = float(arrays.rounded(d * self.density, "floor"))
        top = min(float(arrays.rounded(d * self.gamma, "floor")), float(d) - kept)
        for t, M in enumerate(np.abs(clean.M)):
            x, error = M.ravel(), errors.entry[t].ravel()
            place = np.argsort(np.argsort(x, kind="stable"))
            for K, what in (
                (top, "last outlier dropped and the first kept"),
                (top + kept, "last kept and the first cut"),
            ):
                cut = cut_at(x, error, (place >= len(x) - K) & (x > 0), int(K), "exact", np.zeros(len(x)))
                errors.margin(self, f"relative gap between the {what}", cut.gap, t)
                unsure[t] |= cut.unsure.reshape(M.shape)
                faint[t] |= cut.faint.reshape(M.shape)
            if unsure[t].any() and kept > 0:
                errors.doubt(self, f"{int(unsure[t].sum())} entries lie at a threshold", t)
        unsized = errors.uses_size(self)
        pruned(errors, before, (after.M != 0) | (clean.M == 0), before.M != 0 if unsized else unsure | faint)
        for t in range(before.T if kept == 0 and not unsized else 0):
            emptied(errors, t)
        rescaled(self, errors, clean, after, lost if self.rescale == "l1" else None)
        return errors
