"""Isotropization, Iso-C: all singular values of the merged matrix replaced by their mean (Marczak et al., 2025)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from array_api_compat import array_namespace

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.stack import Merged
from coremerge_ref.methods.base import EVERY_SIZE, ONE_SPACE, ORTHOGONAL, POST, UNKNOWN, Search, Stage, register


@register
@dataclass(frozen=True)
class Iso(Stage):
    """σ̄ · P Qᵀ of the merged M = P S Qᵀ.

    support="rank": over the numerical support of M, σ̄ the mean of the singular values there; the same ΔW in every
    space. support="size": over all min(p, q) triplets, σ̄ the mean over min(rows, cols) values, zeros included, as the
    official and the paper's code have it; where M is rank-deficient the answer then depends on null vectors, which are
    arbitrary.
    """

    support: str = "rank"
    name: ClassVar[str] = "iso"
    kind: ClassVar[str] = POST
    source = "Marczak et al., 2025"
    called: ClassVar = {"original": {"iso_c": "iso"}}
    dialects: ClassVar = {  # zeros and null vectors take part
        "paper": {"support": "size"}, "original": {"support": "size"}, "fusionbench": {"support": "size"},
    }  # fmt: skip
    searches = (
        Search("iso", spaces=ONE_SPACE),
        Search("iso", {"iso": {"support": ("size",)}}, spaces=EVERY_SIZE),
    )

    @property
    def expected_failures(self) -> Mapping[str, str]:
        """Of the checks of a method."""
        checks = ("check_dead_directions_do_not_matter", "check_duplicates_are_stable", "check_zero_tasks")
        return dict.fromkeys(checks, "null vectors take part") if self.support == "size" else {}

    def __post_init__(self) -> None:
        self.check_choice("support", ("rank", "size"))

    @property
    def equivariance(self) -> str:
        """Orthogonal on the support; with null vectors taking part, nothing can be said."""
        return ORTHOGONAL if self.support == "rank" else UNKNOWN

    @property
    def differentiable(self) -> bool:
        """Null vectors have no derivative."""
        return self.support == "rank"

    def apply(self, item: Merged) -> Merged:
        """The isotropized matrix; info["support"] is how many singular values took part."""
        xp = array_namespace(item.M)
        P, S, Qh = linalg.svd(item.M)
        if self.support == "size":
            mean = xp.sum(S, axis=-1) / arrays.cast(item.short_side, S.dtype)
            return replace(item, M=mean[..., None, None] * (P @ Qh))
        live = S > item.rounding_level[..., None]  # (…, k)
        count = xp.sum(xp.astype(live, S.dtype), axis=-1)
        factor = linalg.spread(item.M, P, S, Qh, live)
        # Σ σ over the support is ⟨P Qᵀ, M⟩, of which only M need be differentiated: P Qᵀ maximizes it
        total = xp.sum(arrays.detached(factor) * item.M, axis=(-2, -1))
        mean = total / xp.where(count > 0, count, 1.0)
        return replace(item, M=mean[..., None, None] * factor, info={**item.info, "support": count})
