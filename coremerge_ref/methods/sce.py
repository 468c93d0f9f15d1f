"""SCE: select where tasks differ, weigh by energy, erase minority signs (Wan et al., 2024, arXiv 2408.07990)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods._entries import denoised, largest, signs
from coremerge_ref.methods.base import DENSITIES, MERGE, SIGNED_PERMUTATION, Search, Stage, register


@register
@dataclass(frozen=True)
class Sce(Stage):
    """Σ_t c_t M_t / Σ_t c_t over the selected entries that have the sign of Σ_t M_t, c_t the energy of task t.

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
        level = xp.max(stack.rounding_level, axis=0)  # (…)
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
        deviation = xp.where(xp.abs(deviation) > level[..., None, None], deviation / unit[..., None, None], 0.0)
        variance = xp.reshape(xp.sum(deviation**2, axis=0), (*deviation.shape[1:-2], -1))  # (…, N), times T
        varying = xp.sum(xp.astype(variance > 0, stack.rows.dtype), axis=-1)
        kept = largest(variance, varying, self.density, "exact", xp.zeros_like(variance))
        return xp.reshape(kept, deviation.shape[1:])
