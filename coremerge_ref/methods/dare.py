"""DARE: drop entries at random and rescale the rest (Yu et al., 2024)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core.arrays import array_namespace
from coremerge_ref.core.stack import Stack
from coremerge_ref.methods._entries import check_masks, denoised, drawn, l1_factor
from coremerge_ref.methods._votes import pruned, rescaled, zeroed
from coremerge_ref.methods.base import BOTH, DROPS, SIGNED_PERMUTATION, TRANSFORM, Search, Stage, register
from coremerge_ref.perturbation.carried import Errors


@register
@dataclass(frozen=True)
class Dare(Stage):
    """Drop a share of the entries at random (PEFT's density is 1 − drop), and rescale the rest.

    M_t ∘ Z_t / (1 − drop), Z_t ~ Bernoulli(1 − drop); drop is the share dropped (PEFT's density is 1 − drop).

    Masks are drawn on the host, keyed by seed, layer name and task, so that one seed gives one result on every
    backend, in every batch grouping and order of layers. `masks`, boolean (T, …, p, q), replaces drawing them.
    rescale: "inverse" 1/(1 − drop), "l1" ‖M_t‖₁ / ‖M_t ∘ Z_t‖₁ (mergekit), "none".

    >>> updates = [(np.eye(2), np.eye(2)), (np.eye(2), np.diag([1.0, 3.0]))]
    >>> merged = cm.merge(updates, [cm.Dare(drop=0.5, seed=1), cm.Ta()], "full")
    >>> bool(np.all(np.isin(merged.to_dense(), [0, 2, 4, 6, 8])))  # what is kept counts twice
    True
    """

    drop: float = 0.1
    seed: int = 0
    masks: Any = None
    rescale: str = "inverse"
    name: ClassVar[str] = "dare"
    kind: ClassVar[str] = TRANSFORM
    commutes_with: ClassVar[str] = SIGNED_PERMUTATION
    source = "Yu et al., 2024"
    called: ClassVar = {
        "peft": {
            "dare_linear": "dare+ta", "dare_linear_svd": "dare+ta", "dare_ties": "dare+ties",
            "dare_ties_svd": "dare+ties",
        },
        "mergekit": {"dare_linear": "dare+ta", "dare_ties": "dare+ties"},
    }  # fmt: skip
    spelled: ClassVar = {"density": "drop, which is 1 − density", "p": "drop"}
    remedy = "drop fewer entries"
    dialects: ClassVar = {"mergekit": {"rescale": "l1"}}
    # for PEFT and mergekit DARE replaces trimming, and mergekit then sums
    company: ClassVar = {
        "peft": {"ties": {"density": 1.0}},
        "mergekit": {"ties": {"density": 1.0, "aggregate": "sum"}},
    }
    searches = (
        Search("dare+ta", {"dare": {"drop": DROPS[1:]}}, {"dare": {"rescale": ("inverse", "l1", "none")}}),
        Search(
            "dare+ties", {"dare": {"drop": DROPS[1:]}, "ties": {"density": (0.2, 0.5, 1.0)}},
            {"ties": {"elect": ("mass", "count"), "aggregate": ("mean", "sum")}},
        ),
    )  # fmt: skip

    def __post_init__(self) -> None:
        self.check_share("drop")
        self.check_integer("seed")
        self.check_choice("rescale", ("inverse", "l1", "none"))
        check_masks(self)

    def apply(self, item: Stack) -> Stack:
        """The stack with dropped entries zero and the rest rescaled."""
        xp, item = array_namespace(item.M), denoised(item)
        kept = xp.where(drawn(self, item, self.drop), item.M, 0.0)
        if self.rescale == "none":
            factor = xp.ones_like(item.rounding_level)
        elif self.rescale == "inverse":
            factor = xp.ones_like(item.rounding_level) / (1 - self.drop)
        else:
            factor = l1_factor(item.M, kept)
        return item.with_entries(factor[..., None, None] * kept, factor * item.rounding_level)

    def sees(self, T: int) -> tuple[str, ...]:
        """None where nothing is dropped."""
        return BOTH if self.drop > 0 or self.masks is not None else ()

    def carry(self, errors: Errors, before: Any, after: Any) -> Errors:
        """Errors of what is kept, times the factor; the l1 factor brings its own, those of both sums it divides."""
        zeroed(errors, before)
        if not self.sees(before.T):  # nothing is dropped, not even errors beyond the frame, which no entry holds
            return errors
        clean, lost = denoised(before), errors.entry.sum(axis=(-2, -1))
        pruned(errors, before, (after.M != 0) | (clean.M == 0), np.zeros(after.M.shape, dtype=bool))
        rescaled(self, errors, clean, after, lost if self.rescale == "l1" else None)
        return errors
