"""Iso-CTS: common and task-specific directions at one common singular value (Marczak et al., 2025)."""

from dataclasses import dataclass
from typing import Any, ClassVar

from array_api_compat import array_namespace

from coremerge_ref.core import linalg
from coremerge_ref.core.stack import Merged, Stack, whole
from coremerge_ref.methods.base import EVERY_SIZE, MERGE, Search, Stage, register
from coremerge_ref.methods.tsv import beside, leading_triplets, orthogonalized, side_by_side


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
        common, each = self.counts(stack.least, stack.T)
        total = stack.merged(xp.sum(stack.M, axis=0))
        # (…, p, s), (…, s), (…, s, q), and how far rounding may have turned them
        Uc, Sc, Vch, turned = leading_triplets(*linalg.svd(total.M), common, total.noise)
        residual = stack.M - Uc @ (xp.matrix_transpose(Uc) @ stack.M)
        # what is left of M_t is known only as well as the common directions are
        noise = stack.noise + turned * linalg.norm(stack.M)
        P, S, Qh, error = leading_triplets(*linalg.svd(residual), each, noise)
        U = xp.concat([Uc, side_by_side(P)], axis=-1)
        V = xp.concat([xp.matrix_transpose(Vch), side_by_side(xp.matrix_transpose(Qh))], axis=-1)
        error = xp.maximum(turned, xp.max(error, axis=0))
        sigma = xp.concat([Sc, beside(S)], axis=-1)  # (…, k), zero where nothing was kept
        kept = sigma > 0
        count = xp.sum(xp.astype(kept, sigma.dtype), axis=-1)
        mean = xp.sum(sigma, axis=-1) / xp.where(count > 0, count, 1.0)
        level = xp.where(kept, mean[..., None], 0.0)
        return stack.merged(orthogonalized(U, level, V, error, stack.rtol), common=common, task=each)

    def counts(self, d: Any, T: int) -> tuple[Any, Any]:
        """How many common directions and how many of each task, of d; Python ints or floating arrays."""
        each = whole((d - whole(d * self.common_fraction)) / T, self.rounding)
        common = d - T * each
        if not hasattr(common, "shape"):
            return max(0, common), each
        return array_namespace(common).clip(common, 0.0), each
