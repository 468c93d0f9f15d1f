"""Iso-CTS: common and task-specific directions at one common singular value (Marczak et al., 2025)."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods._triplets import beside, block_diagonal, orthogonalized, side_by_side
from coremerge_ref.methods.base import EVERY_SIZE, MERGE, Search, Stage, register


@register
@dataclass(frozen=True)
class IsoCts(Stage):
    """The top common directions of Σ_t M_t beside each task's leading residual ones, all at the mean singular value.

    Of d = min(rows, cols) directions int(d · common_fraction) are common, adjusted so that the rest divides evenly
    among the T tasks: rounding "round" (official; half to even) or "floor". A task's residual is M_t − U_c U_cᵀ M_t,
    projected from the left alone, as in the official code. Both sides are orthogonalized by their polar factors.
    """

    common_fraction: float = 0.8
    rounding: str = "round"
    name: ClassVar[str] = "iso_cts"
    kind: ClassVar[str] = MERGE
    source = "Marczak et al., 2025"
    searches = (
        Search(
            "iso_cts", {"iso_cts": {"common_fraction": (0.2, 0.4, 0.5, 0.6, 0.8, 0.9)}},
            {"iso_cts": {"rounding": ("round", "floor")}}, EVERY_SIZE,
        ),
    )  # fmt: skip

    def __post_init__(self) -> None:
        self.check_fraction("common_fraction")
        self.check_choice("rounding", ("round", "floor"))

    def apply(self, item: Stack) -> Merged:
        """The merged matrix; info holds the two counts."""
        stack = item.weighted()
        xp = array_namespace(stack.M)
        count, each = self.counts(stack.short_side, stack.T)
        total = stack.merged(xp.sum(stack.M, axis=0))
        common = linalg.leading(total.M, linalg.svd(total.M), count, total.rounding_level)
        residual = stack.M - common.P @ (xp.matrix_transpose(common.P) @ stack.M)
        # what is left of M_t is known only as well as the common directions are
        level = stack.rounding_level + common.error * linalg.norm(arrays.detached(stack.M))
        own = stack.with_entries(residual, level).leading(each)
        U = xp.concat([common.P, side_by_side(own.P)], axis=-1)
        V = xp.concat([common.Q, side_by_side(own.Q)], axis=-1)
        values = xp.concat([common.S, beside(own.S)], axis=-1)  # (…, k), zero where nothing was taken
        blocks = None
        if common.core is not None and own.core is not None:
            blocks = [common.core, *(own.core[t, ...] for t in range(stack.T))]
            values = xp.concat([xp.linalg.diagonal(block) for block in blocks], axis=-1)
        taken = values > 0
        size = xp.sum(xp.astype(taken, values.dtype), axis=-1)
        mean = xp.sum(values, axis=-1) / xp.where(size > 0, size, 1.0)
        error = xp.maximum(common.error, xp.max(own.error, axis=0))
        middle = xp.where(taken, mean[..., None], 0.0)
        if blocks is not None:  # P and Q are bases of their spans then, paired by the polar factor of Pᵀ M Q
            rtol = xp.full_like(error, linalg.thresholds(error.dtype)[0])
            middle = mean[..., None, None] * block_diagonal([linalg.polar(block, rtol) for block in blocks])
        return stack.merged(orthogonalized(U, middle, V, error), common=count, task=each)

    def counts(self, d: Array, T: int) -> tuple[Array, Array]:
        """How many common directions and how many of each task, of d (…)."""
        each = arrays.rounded((d - arrays.rounded(d * self.common_fraction, "floor")) / T, self.rounding)
        return array_namespace(d).clip(d - T * each, 0.0), each
