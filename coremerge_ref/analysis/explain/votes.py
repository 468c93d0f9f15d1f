"""Elections of signs: which are decided by more than rounding, and what the others may come to."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from coremerge_ref.analysis.explain.formulas import near, norm
from coremerge_ref.analysis.explain.rules import carry
from coremerge_ref.analysis.explain.trace import Trace
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods import Ties, Trim
from coremerge_ref.methods._entries import denoised


@dataclass(frozen=True, eq=False)
class Votes:
    """Values X (T, p, q) that vote with weights W (T, 1, 1), errors E; `sure` are there beyond doubt, `possible` may
    be. rounding: the part of E that is no doubt about who is there. zero: up to this size a sum of values counts as
    zero. count: signs vote, not values. at_zero: the sign that sums of zero take (0: none is decided).
    """

    X: np.ndarray
    E: np.ndarray
    rounding: np.ndarray
    W: np.ndarray
    sure: np.ndarray
    possible: np.ndarray
    zero: float
    count: bool
    at_zero: int

    @property
    def total(self) -> np.ndarray:
        """Sum of the votes of all that are sure."""
        X = np.sign(self.X) if self.count else self.X
        return np.sum(np.where(self.sure, self.W * X, 0.0), axis=0)

    @property
    def error(self) -> np.ndarray:
        """How far that sum may be from the true one: errors of the sure, all of the others."""
        own = np.where(self.sure, 0.0 if self.count else self.E, 1.0 if self.count else np.abs(self.X) + self.E)
        return np.sum(np.where(self.sure | self.possible, np.abs(self.W) * own, 0.0), axis=0)

    @property
    def undecided(self) -> np.ndarray:
        """Entries (p, q) whose sign, or whose voters, hang on the errors."""
        level = 0.0 if self.count else max(self.zero, 0.0)
        size = np.abs(self.total)
        clear = size - self.error > level
        nothing = (size <= self.error) & (size + self.error <= level)
        anyone, someone = self.possible.any(axis=0), (self.possible & ~self.sure).any(axis=0)
        return anyone & (someone | ~(clear | (nothing & (self.at_zero != 0))))

    @property
    def spread(self) -> np.ndarray:
        """How far apart the possible outcomes of a mean with equal shares are, entry by entry."""
        X = self.W * self.X
        E = np.abs(self.W) * self.E
        top = np.max(np.where(self.possible, X + E, 0.0), axis=0)
        return np.maximum(top, 0.0) - np.minimum(np.min(np.where(self.possible, X - E, 0.0), axis=0), 0.0)

    @property
    def margin(self) -> float:
        """The smallest |sum| relative to what was summed, among decided entries."""
        size = np.sum(np.where(self.sure, np.abs(self.W) * (1.0 if self.count else np.abs(self.X)), 0.0), axis=0)
        decided = (size > 0) & ~self.undecided
        return float(np.min(np.abs(self.total)[decided] / size[decided])) if decided.any() else 1.0


def elected(
    stage: Any, trace: Trace, votes: Votes, M: np.ndarray, smooth: np.ndarray, delta: float, jump: np.ndarray
) -> Trace:
    """The errors of a merged M (p, q): `smooth` where the election is decided, `jump` where it is not."""
    undecided = votes.undecided
    trivial = jump <= 4 * np.sum(np.abs(votes.W) * votes.rounding, axis=0)
    trace.undecided = undecided & ~trivial
    trace.margin(stage, "smallest relative majority of a decided entry", votes.margin)
    number = int(trace.undecided.sum())
    if number:
        trace.doubt(stage, f"{number} of {undecided.size} entries have a sign or voters that are not determined")
    entry = np.where(undecided, jump, smooth)
    bound = min(delta, norm(smooth[~undecided])) + norm(jump[undecided])
    return trace.merged(bound, entry, M.shape, min(M.shape))


@carry.register
def _ties(stage: Ties, traces: list[Trace], before: list[Any], after: list[Any]) -> list[Trace]:
    """Trim, then elect: an entry's error is Σ |w_t| δ_t / divisor over its voters where sign and voters are decided,
    the spread of its possible values where they are not."""
    stacks: list[Stack] = list(before)
    clean = [denoised(stack) for stack in stacks]
    trim = Trim(stage.density, stage.keep, stage.scope)
    trimmed = trim(clean)
    for trace, stack in zip(traces, stacks, strict=True):
        noise = stack.rounding_level[:, None, None]
        error = trace.entry if trace.gauge_free else trace.level.beside(trace.entry, noise)
        at_noise = near(np.abs(stack.M), noise, error)
        trace.unsure = at_noise if trace.unsure is None else trace.unsure | at_noise
        trace.entry = np.where(at_noise, trace.entry + noise, trace.entry)
    rounding = [trace.entry for trace in traces]
    traces = carry(trim, traces, clean, trimmed)
    pairs = [_ballot(stage, *one) for one in zip(traces, trimmed, rounding, strict=True)]
    signs = [np.where(v.undecided, 0.0, np.sign(v.total)) for v in pairs]
    doubtful = [int(v.undecided.sum()) for v in pairs]
    if stage.scope == "model":
        signs, doubtful = [np.concatenate([s.ravel() for s in signs])] * len(pairs), [sum(doubtful)] * len(pairs)
    for i, votes in enumerate(pairs):
        if traces[i].gauge_free:
            continue  # turning the sign of a basis vector turns the outcome of an even vote
        lead = float(signs[i].sum())
        sign = 1 if stage.zero_sign == "positive" else int(np.sign(lead)) if abs(lead) > doubtful[i] else 0
        if stage.zero_sign == "majority" and lead == 0 and doubtful[i] == 0:
            sign = -1
        pairs[i] = replace(votes, at_zero=sign)
    return [_aggregated(stage, *one) for one in zip(traces, trimmed, after, pairs, strict=True)]


def _ballot(stage: Ties, trace: Trace, stack: Stack, rounding: np.ndarray) -> Votes:
    """Who votes; sums of zero undecided for now."""
    assert trace.unsure is not None
    X = stack.M
    sure = (np.abs(X) > trace.entry) & (X != 0) & ~trace.unsure
    before = stage.weight_order == "before"
    W = np.asarray(stack.weights)[:, None, None]
    count = stage.elect == "count"
    # signs are counted, so of a weight only its sign has a say in them
    votes = (np.sign(W) if count else W) if before else np.ones_like(W)
    zero = float(np.max(np.abs(votes[:, 0, 0]) * stack.rounding_level))
    possible = (X != 0) | (trace.unsure & (trace.entry > 0))
    return Votes(X, trace.entry, rounding, votes, sure, possible & (votes != 0), zero, count, 0)


def _aggregated(stage: Ties, trace: Trace, stack: Stack, after: Merged, votes: Votes) -> Trace:
    W = np.abs(np.asarray(stack.weights))[:, None, None]
    sign = np.sign(votes.total)
    sign = np.where(sign == 0, votes.at_zero, sign)
    agrees = votes.sure & (np.sign(votes.W * votes.X) == sign)
    share = np.asarray(stack.weights)[:, None, None] if stage.divisor == "weight" else 1.0
    divisor = np.abs(np.sum(np.where(agrees, share, 0.0), axis=0))
    final = replace(votes, W=np.asarray(stack.weights)[:, None, None])
    if stage.aggregate == "sum":
        divisor, jump = (
            np.ones_like(divisor),
            np.sum(np.where(votes.possible, W * (np.abs(votes.X) + votes.E), 0.0), axis=0),
        )
    elif stage.divisor == "count":
        jump = final.spread
    else:  # a mean with the weights as shares: within the values' hull, unless weights of both signs cancel
        mixed = min(stack.weights) < 0 < max(stack.weights)
        jump = np.full(divisor.shape, np.inf) if mixed else replace(votes, W=np.ones_like(W)).spread
    divisor = np.where(divisor > 0, divisor, 1.0)
    smooth = np.sum(np.where(agrees, W * votes.E, 0.0), axis=0) / divisor
    delta = float(np.sum(W[:, 0, 0] * trace.delta)) / float(divisor.min())
    return elected(stage, trace, votes, after.M, smooth, delta, jump)
