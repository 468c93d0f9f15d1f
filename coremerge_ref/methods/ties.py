"""TIES: trim, elect a sign for each entry, merge the entries that have it (Yadav et al., 2023)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods._entries import KEEPS, SCOPES, signs
from coremerge_ref.methods._votes import Votes, elected
from coremerge_ref.methods.base import BOTH, DENSITIES, MERGE, SIGNED_PERMUTATION, Search, Stage, register
from coremerge_ref.methods.ta import carry_sum
from coremerge_ref.methods.trim import Trim
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import norm

_CHOICES = {
    "keep": KEEPS,
    "scope": SCOPES,
    "elect": ("mass", "count"),
    "zero_sign": ("majority", "positive"),
    "aggregate": ("mean", "sum"),
    "weight_order": ("after", "before"),
    "divisor": ("count", "weight"),
}
_SIGNS = {"elect": _CHOICES["elect"], "aggregate": _CHOICES["aggregate"]}


@register
@dataclass(frozen=True)
class Ties(Stage):
    """Trim each task, elect signs, merge what agrees; defaults are those of the Core Space paper's code.

    density, keep, scope: see Trim. elect: sign of Σ values ("mass") or of Σ signs ("count"). zero_sign: an entry whose
    sum is 0 takes the sign that most entries of the tensor (scope "model": of the model) have elected, and negative
    where there is no majority ("majority"), or + ("positive", PEFT and mergekit). aggregate: over the nonzero agreeing
    entries, "mean" or "sum". weight_order: weigh after the election (PEFT) or before it (mergekit). divisor of the
    mean: how many entries agree ("count") or the sum of their weights ("weight", mergekit's normalize).

    Looks at signs and counts, so entries within rounding of what they were computed from count as zero.

    >>> updates = [(np.eye(2), np.eye(2)), (np.eye(2), np.diag([1.0, 3.0]))]
    >>> cm.merge(updates, cm.Ties(density=0.5, keep="exact"), "full").to_dense()
    array([[1., 0.],
           [0., 2.]])
    """

    density: float = 0.2
    keep: str = "threshold"
    scope: str = "tensor"
    elect: str = "mass"
    zero_sign: str = "majority"
    aggregate: str = "mean"
    weights: tuple[float, ...] | None = None
    weight_order: str = "after"
    divisor: str = "count"
    name: ClassVar[str] = "ties"
    kind: ClassVar[str] = MERGE
    commutes_with: ClassVar[str] = SIGNED_PERMUTATION
    source = "Yadav et al., 2023"
    called: ClassVar = {"peft": {"ties_svd": "ties"}, "fusionbench": {"ties_merging": "ties"}}
    spelled: ClassVar = {"majority_sign_method": "elect: mass is PEFT's total, count its frequency"}
    remedy = "choose another density, or a method that does not look at entries, such as tsv or iso"
    dialects: ClassVar = {
        "original": {"scope": "model"},
        "peft": {"keep": "exact", "zero_sign": "positive"},
        "mergekit": {"keep": "exact", "zero_sign": "positive", "weight_order": "before", "divisor": "weight"},
        "fusionbench": {"scope": "model", "aggregate": "sum"},
    }
    searches = (
        Search("ties", {"ties": {"density": DENSITIES, **_SIGNS}}, {"ties": {"zero_sign": ("majority", "positive")}}),
        Search("ties+iso", {"ties": {"density": DENSITIES}}, {"ties": _SIGNS, "iso": {"support": ("rank", "size")}}),
    )

    @property
    def expected_failures(self) -> Mapping[str, str]:
        """Of the checks of a method."""
        return {"check_commutes_as_claimed": "an even vote has no sign"} if self.elect == "count" else {}

    def __post_init__(self) -> None:
        self.check_fraction("density")
        for parameter, choices in _CHOICES.items():
            self.check_choice(parameter, choices)

    @property
    def whole_model(self) -> bool:
        """Whether all layers are needed at once."""
        return self.scope == "model"

    def __call__(self, items: list[Stack]) -> list[Merged]:
        """Trims all, elects all, then merges each."""
        stacks = Trim(self.density, self.keep, self.scope)(items)
        if self.weight_order == "before":
            elected = [self._elected(stack.weighted()) for stack in stacks]
        else:
            elected = [self._elected(stack) for stack in stacks]
        filled = self._fill_zeros(elected)
        return [self._aggregate(stack, sign) for stack, sign in zip(stacks, filled, strict=True)]

    def _elected(self, stack: Stack) -> Array:
        """Elected sign (…, p, q) of each entry: −1, 0 or 1."""
        xp = array_namespace(stack.M)
        if self.elect == "count":
            return arrays.sign(xp.sum(arrays.sign(stack.M), axis=0))
        return signs(xp.sum(stack.M, axis=0), xp.max(stack.entry_level, axis=0))

    def _fill_zeros(self, elected: list[Array]) -> list[Array]:
        """The elected signs with every 0 replaced as zero_sign says."""
        if self.zero_sign == "positive":
            return [array_namespace(s).where(s == 0, 1.0, s) for s in elected]
        sums = [array_namespace(s).sum(s, axis=(-2, -1), keepdims=True) for s in elected]
        if self.scope == "model":
            first, *rest = [array_namespace(s).sum(s) for s in sums]
            sums = [sum(rest, first)] * len(sums)
        pairs = zip(elected, sums, strict=True)
        return [
            array_namespace(s).where((s > 0) | ((s == 0) & (total > 0)), array_namespace(s).ones_like(s), -1.0)
            for s, total in pairs
        ]

    def _aggregate(self, stack: Stack, sign: Array) -> Merged:
        """Weighted mean or sum of the entries that have the elected sign (…, p, q)."""
        xp = array_namespace(stack.M)
        w = stack.weigh()  # (T, 1, …, 1)
        voters = w * stack.M if self.weight_order == "before" else stack.M
        agrees = arrays.sign(voters) == sign
        total = xp.sum(xp.where(agrees, w * stack.M, 0.0), axis=0)
        if self.aggregate == "sum":
            return stack.merged(total)
        share = w if self.divisor == "weight" else xp.ones_like(w)
        divisor = xp.sum(xp.where(agrees, xp.broadcast_to(share, stack.M.shape), 0.0), axis=0)
        divisor = xp.where(divisor == 0, 1.0, divisor)
        merged = stack.merged(total / divisor)
        if self.divisor == "count":
            return merged
        # weights divide out, of what counts as zero as well: the largest |w_t| ν_t of those who agree, over their sum
        level = xp.where(agrees, arrays.detached(xp.abs(w)) * stack.rounding_level[..., None, None], 0.0)
        level = xp.max(xp.max(level, axis=0) / arrays.detached(xp.abs(divisor)), axis=(-2, -1))
        return replace(merged, rounding_level=level)

    def sees(self, T: int) -> tuple[str, ...]:
        """None where one task keeps all entries: it elects itself."""
        return BOTH if self.density < 1 or T > 1 else ()

    def propagate(self, errors: list[Errors], before: list[Any], after: list[Any]) -> list[Errors]:
        """Trim, then elect: an entry's error is Σ |w_t| δ_t / divisor over its voters where sign and voters are
        decided, the spread of its possible values where they are not."""
        trim = Trim(self.density, self.keep, self.scope)
        trimmed = errors[0].once(trim, lambda: trim(before))
        errors = trim.propagate(errors, before, trimmed)
        if all(not self.sees(stack.T) for stack in before):
            return [self._alone(*one) for one in zip(errors, trimmed, after, strict=True)]
        ballots = [self._ballot(*one) for one in zip(errors, trimmed, strict=True)]
        # a vote that is even beyond doubt counts for neither side
        tallies = [votes.tally() for votes in ballots]
        leads = [float(tally[~votes.undecided].sum()) for tally, votes in zip(tallies, ballots, strict=True)]
        doubtful = [int(votes.undecided.sum()) for votes in ballots]
        if self.scope == "model":
            leads, doubtful = [sum(leads)] * len(ballots), [sum(doubtful)] * len(ballots)
        for i, votes in enumerate(ballots):
            sign = 1 if self.zero_sign == "positive" else int(np.sign(leads[i])) if abs(leads[i]) > doubtful[i] else 0
            if self.zero_sign == "majority" and leads[i] == 0 and doubtful[i] == 0:
                sign = -1
            if errors[i].gauge_free:
                sign = 0  # turning the sign of a basis vector turns the outcome of an even vote
            if sign != votes.at_zero:
                ballots[i] = replace(votes, at_zero=sign)
        return [self._counted(*one) for one in zip(errors, trimmed, after, ballots, tallies, strict=True)]

    def _alone(self, errors: Errors, stack: Any, after: Any) -> Errors:
        """One task that keeps all: a multiple of it."""
        divided = self.aggregate == "mean" and self.divisor == "weight"
        w = 1.0 if divided and stack.weights[0] else float(stack.weights[0])
        return carry_sum(self, errors, stack, after, [w])

    def _ballot(self, errors: Errors, stack: Any) -> Votes:
        """Who votes; sums of zero are decided for now."""
        X, count, W = stack.M, self.elect == "count", np.asarray(stack.weights)[:, None, None]
        sure = (np.abs(X) > errors.entry) & (X != 0) & ~errors.unsure
        possible = (X != 0) | (errors.unsure & (errors.entry > 0))
        # signs are counted, so of a weight only its sign has a say in them
        votes = np.ones_like(W) if self.weight_order == "after" else np.sign(W) if count else W
        zero = np.max(np.abs(votes) * stack.entry_level, axis=0)
        return Votes(X, errors.entry, votes, sure, possible & (votes != 0), zero, count, at_zero=1)

    def _counted(self, errors: Errors, stack: Any, after: Any, votes: Votes, tally: np.ndarray) -> Errors:
        signed = np.asarray(stack.weights)[:, None, None]
        W, sign = np.abs(signed), np.where(tally == 0, votes.at_zero, tally)
        agrees = votes.sure & (np.sign(votes.W * votes.X) == sign)
        share = signed if self.divisor == "weight" else 1.0
        divisor = np.abs(np.sum(np.where(agrees, share, 0.0), axis=0))
        if self.aggregate == "sum":
            divisor = np.ones_like(divisor)
        if not votes.undecided.any():
            jump = np.zeros(divisor.shape)
        elif self.aggregate == "sum":
            jump = np.sum(np.where(votes.possible, W * (np.abs(votes.X) + votes.E), 0.0), axis=0)
        elif self.divisor == "count":
            jump = votes.spread(signed)
        else:  # a mean with the weights as shares: within the values' hull, unless weights of both signs cancel
            mixed = signed.min() < 0 < signed.max()
            jump = np.full(divisor.shape, np.inf) if mixed else votes.spread(np.ones_like(W))
        divisor = np.where(divisor > 0, divisor, 1.0)
        smooth = np.sum(np.where(agrees, W * votes.E, 0.0), axis=0) / divisor
        summing = errors.unit * (stack.T / 2 + 2) if errors.level.name == "compute" else 0.0
        rounded = summing * np.sum(np.where(agrees, W * np.abs(votes.X), 0.0), axis=0) / divisor
        delta = float(W[:, 0, 0] @ errors.delta) / float(divisor.min()) + norm(rounded)
        return elected(self, errors, votes, after.M, smooth + rounded, delta, jump)
