"""Isotropization, Iso-C: all singular values of the merged matrix replaced by their mean (Marczak et al., 2025)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import array_namespace
from coremerge_ref.core.stack import Merged
from coremerge_ref.methods._graded import known, polar_moved
from coremerge_ref.methods._multiplied import multipliers, relatively
from coremerge_ref.methods._subspaces import at_zero
from coremerge_ref.methods.base import EVERY_SIZE, ONE_SPACE, ORTHOGONAL, POST, UNKNOWN, Search, Stage, register
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import LIMIT, beyond, grown, multiplied, norm, polar


@register
@dataclass(frozen=True)
class Iso(Stage):
    """Isotropization: every singular value of the merged matrix becomes their mean.

    σ̄ · P Qᵀ of the merged M = P S Qᵀ.

    support="rank": over the numerical support of M, σ̄ the mean of the singular values there; the same ΔW in every
    space. support="size": over all min(p, q) triplets, σ̄ the mean over min(rows, cols) values, zeros included, as the
    official and the paper's code have it; where M is rank-deficient the answer then depends on null vectors, which are
    arbitrary.

    >>> updates = [(np.eye(2), np.eye(2)), (np.eye(2), np.diag([1.0, 3.0]))]
    >>> (cm.merge(updates, cm.Iso()).to_dense() + 0.0).round(6)  # 2 and 4 become their mean
    array([[3., 0.],
           [0., 3.]])
    """

    support: str = "rank"
    name: ClassVar[str] = "iso"
    kind: ClassVar[str] = POST
    source = "Marczak et al., 2025"
    called: ClassVar = {"original": {"iso_c": "iso"}}
    remedy = "merge without iso, or by tsv+iso: a direction that is nearly zero gets the weight of all others"
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
        if self.support == "size":
            P, S, Qh = linalg.svd(item.M, null_vectors=True)
            mean = xp.sum(S, axis=-1) / arrays.cast(item.short_side, S.dtype)
            return replace(item, M=mean[..., None, None] * (P @ Qh))
        factor, count = linalg.polar_above(item.M, item.rounding_level)
        # Σ σ over the support is ⟨P Qᵀ, M⟩, of which only M need be differentiated: P Qᵀ maximizes it
        total = xp.sum(arrays.detached(factor) * item.M, axis=(-2, -1))
        mean = total / xp.where(count > 0, count, 1.0)
        return replace(item, M=mean[..., None, None] * factor, info={**item.info, "support": count})

    def carry(self, errors: Errors, before: Any, after: Any) -> Errors:
        """As carry_iso says."""
        return carry_iso(self, errors, before, self.support)


def carry_iso(stage: Stage, errors: Errors, before: Any, support: str = "rank") -> Errors:
    """δ √(1 + (σ̄ c)²), c the condition number of the polar factor over the support; the two parts are orthogonal.

    What is known of the singular vectors and values before, see Errors.polar, replaces δ c and δ, beside the
    rounding of the matrix itself; so does what errors multiply the matrix by, see theorems.multiplied.
    """
    M, lost = before.M, errors.lost
    factors = errors.factors() if callable(errors.factors) else errors.factors
    delta = float(errors.decomposed(M, errors.delta))
    S, most, finer = errors.svd(M)[1], 2 * norm(M) + delta, errors.polar
    apart = formed = errors.level.decomposed * norm(M)
    turn = relative = np.inf
    if support == "size":
        errors.uses_size(stage)
        finer = factors = None  # null vectors take part
        kept, mean, level = len(S), float(S.sum()) / float(before.short_side), None
    else:
        level = float(before.rounding_level)
        kept = int(np.sum(S > level))
        mean = float(S[:kept].sum()) / max(kept, 1)
        finer = finer if kept == errors.rank else None
        if finer is not None:
            delta, relative = min(delta, finer[1] + formed), finer[2]
        elif kept and not delta < LIMIT * S[kept - 1]:
            turn, relative = multiplied(*multipliers(errors, factors))
            turn, apart = turn if kept == errors.rank else np.inf, formed + float(errors.apart)
    errors.spectrum(stage, "singular values of the merged matrix", S, kept, level)
    if errors.lost > len(errors.doubts) and not delta < norm(M):
        return errors.merged(most, None, M)  # a bound was lost before, so that nothing is known to be near zero
    if level is not None:
        possible = (M != 0) | (errors.entry > 0)
        at_zero(stage, errors, S, level, relatively(S, level, delta, relative, apart), int(errors.rank), possible)
    if kept == 0 or S[0] == 0:
        return errors.merged(most if errors.lost > lost else delta, None, M)
    factor, least = polar(S[:kept], errors.shape), float(S[kept - 1] / S[0])
    words = f"smallest singular value of the support of {kept}, relative to the largest,"
    errors.margin(stage, words, least, amplifies=mean * factor)
    P, _, Qh = errors.svd(M)
    parts = P[:, :kept], S[:kept], Qh[:kept]
    finest = polar_moved(known(errors, parts, factors, errors.entry), S[:kept])
    # what is known of columns and entries is not known of the SVD's own rounding
    crude = delta * factor if delta < S[kept - 1] else np.inf
    first = min(crude, finest + formed * factor)
    if apart and relative < np.inf:  # which meets values that the other has moved
        met = apart * factor / (1 - relative) if relative < 1 else np.inf
        more = (met * beyond(met), apart / S[kept - 1]) if met <= LIMIT else (np.inf, np.inf)
        turn, relative = turn + more[0], relative + more[1]
    clear = np.isfinite(relative) and (finer is not None or np.isfinite(turn))  # no value that takes part may vanish
    if not clear:
        errors.check(
            stage,
            first,
            f"singular value {kept} of the merged matrix, the last that takes part, is {least:.1e} of the largest",
            limit=1.0 if kept == errors.rank else LIMIT,
        )
    turned = np.inf
    if np.isfinite(factor):
        # σ̄' Q' − σ̄ Q has σ̄ σ̄' times the square of the turn
        turned = first * beyond(first) if first <= LIMIT else grown(crude) * (1 + delta / mean / kept**0.5) ** 0.5
    if finer is not None:
        turned = finer[0] + formed * factor
    elif clear:
        turned = min(turned, turn * (1 + relative) ** 0.5)
    bound = float(np.hypot(min(delta, relative * mean * kept**0.5), mean * turned))
    return errors.merged(most if errors.lost > lost else min(bound, most), None, M)
