"""Model Breadcrumbs: drop each task's largest entries as outliers, then the smallest (Davari & Belilovsky, 2024)."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from coremerge_ref.core import arrays
from coremerge_ref.core.stack import Stack
from coremerge_ref.methods._entries import denoised, l1_factor
from coremerge_ref.methods.base import DENSITIES, SIGNED_PERMUTATION, TRANSFORM, Search, Stage, register


@register
@dataclass(frozen=True)
class Breadcrumbs(Stage):
    """Drop the int(d · gamma) largest magnitudes of each M_t and keep the int(d · density) below them, d live entries.

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
