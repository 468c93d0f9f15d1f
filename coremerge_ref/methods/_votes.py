"""What the elementwise methods' rules share: entries at a threshold or at zero, and elections that errors may turn."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import LIMIT, norm, safely, sizes


def zeroed(errors: Errors, stack: Any) -> None:
    """Entries of M_t within ν_t become zero: a change of that size where errors decide, and which are there is unsure.

    What is surely within it is zero in exact arithmetic too, and has no error left. Either way the matrix has the rank
    and the factors of its update no more, and their errors neither.
    """
    level, size = stack.entry_level, np.abs(stack.M)
    error = errors.entry if errors.gauge_free else errors.beside(errors.entry, level)
    clear = bool((size > level + error).all())
    unsure = (
        np.zeros(size.shape, dtype=bool) if clear else errors.near(size, level, error) & ((size > 0) | (error > level))
    )
    errors.unsure = unsure if errors.unsure is None else errors.unsure | unsure
    errors.jumped, errors.undivided = errors.jumped | bool(unsure.any()), None
    if clear:
        return
    sure = (size + error <= level) & ~unsure
    changed, gone = (unsure | sure) & (size > 0), sure & (errors.entry > 0)
    errors.entry = np.where(unsure, errors.entry + level, np.where(sure, 0.0, errors.entry))
    if changed.any():
        errors.rank = np.where(changed.any(axis=(1, 2)), min(size.shape[1:]), errors.rank)
    if changed.any() or gone.any():
        errors.factors = None
    if unsure.any():
        errors.delta = errors.delta + sizes(np.where(unsure, level, 0.0))


def pruned(errors: Errors, stack: Any, kept: np.ndarray, unsure: np.ndarray) -> None:
    """Entries that are not `kept` (T, p, q) become zero; what is `unsure` may be either, and brings its whole size."""
    jumps = np.where(unsure, np.abs(stack.M) + errors.entry, 0.0)
    errors.entry = np.where(unsure, jumps, np.where(kept, errors.entry, 0.0))
    errors.delta = np.minimum(errors.delta + sizes(jumps), sizes(errors.entry))
    errors.unsure = unsure if errors.unsure is None else unsure | errors.unsure
    errors.jumped |= bool(unsure.any())
    errors.entering, errors.factors = np.zeros(0), None
    errors.rank = np.full(len(errors.rank), min(stack.M.shape[1:]))


def emptied(errors: Errors, task: int) -> None:
    """No entry of the task is kept, whatever the errors: its matrix is zero, and exact."""
    errors.entry[task] = 0.0
    errors.delta[task] = 0.0
    errors.unsure[task] = False


def rescaled(stage: Any, errors: Errors, before: Any, after: Any, l1: np.ndarray | None = None) -> None:
    """Entries times a factor, that by which ν_t grew; l1 (T): the factor is ‖before‖₁ / ‖after‖₁, of sums whose first
    has the error l1_t, and brings the errors of both."""
    for t, M in enumerate(np.abs(before.M)):
        level, E = float(before.rounding_level[t]), errors.entry[t]
        f, own, grown, most = float(after.rounding_level[t]) / level if level > 0 else 1.0, 0.0, 0.0, np.inf
        if l1 is not None:
            total, left, rest = float(M.sum()), float(M[after.M[t] != 0].sum()), float(errors.entry[t].sum())
            own, most = (
                float(l1[t]) / (total or 1.0) + errors.level.framed,
                total + float(l1[t]),
            )  # the norm of the result
            grown = (
                rest / (left - rest) if left > rest else np.inf if rest else 0.0
            )  # the factor, with so much less left
            share = np.where(after.M[t] != 0, M / (left or 1.0), 0.0)
            if rest <= LIMIT * left:
                # an entry is part of the sum of what is left, so that of its own error 1 − |M_ij| / Σ counts
                E = (1 + grown) ** 2 * ((1 - share) * E + share * np.maximum(rest - E, 0.0))
            else:
                E = safely(1 + grown, E) + safely(grown, share * left)
            errors.margin(stage, "what is kept relative to what is there", left / total if total else 1.0, t, f)
            if rest >= left and (errors.unsure[t] & (errors.entry[t] > 0)).any():
                errors.doubt(stage, "what is kept is at the level that counts as zero", t)
        E = safely(f, E)
        errors.entry[t] = np.minimum(E + safely(own, np.abs(after.M[t]) + E), np.abs(after.M[t]) + most)
        size = norm(after.M[t])
        delta = safely(f * (1 + grown) * (1 + own), errors.delta[t]) + safely(own + grown + own * grown, size)
        errors.delta[t] = min(float(delta), size + most, norm(errors.entry[t]))


@dataclass(frozen=True, eq=False)
class Cut:
    """Of entries in a row: which of those kept or dropped errors may move across a threshold, and its relative gap.

    unsure: those larger than their errors; faint: dropped ones that are not. Where an entry is what it holds, that is
    an error then, kept or not, and decides nothing.
    """

    open: np.ndarray
    unsure: np.ndarray
    faint: np.ndarray
    gap: float


def cut_at(x: np.ndarray, error: np.ndarray, kept: np.ndarray, K: int, keep: str, slack: np.ndarray) -> Cut:
    """The cut between `kept` magnitudes x (N,), each known up to `error`, and the others; K are asked for.

    Kept and dropped stay what they are as long as no dropped x + error reaches a kept x − error; with keep "threshold"
    a dropped entry must stay `slack` below it, and those kept beyond the K + 1 largest, for being equal to the
    threshold, must stay within `slack` of it.
    """
    open_, gap = np.zeros(len(x), dtype=bool), 1.0
    count = np.count_nonzero(kept)
    if 0 < count < len(x):
        least, most = x - error, x + error + (slack if keep == "threshold" else 0.0)
        low, high = np.min(least[kept]), np.max(most[~kept])
        if low <= high:
            open_ = np.where(kept, least <= high, most >= low)
        edge = float(np.min(x[kept]))
        gap = (edge - float(np.max(x[~kept]))) / edge if edge > 0 else 0.0
    if keep == "threshold" and count > K + 1:
        open_ = open_ | (kept & (x - error < np.sort(x + error)[-(K + 1)] - slack))
    return Cut(open_, open_ & (x > error), open_ & ~kept & (x <= error), gap)


@dataclass(frozen=True, eq=False)
class Votes:
    """Values X (T, p, q) that vote with weights W (T, 1, 1), errors E; `sure` are there beyond doubt, `possible` may
    be. zero: up to this size, a number or one an entry, a sum of values counts as zero. count: signs vote, not values.
    at_zero: the sign that sums of zero take (0: none is decided).
    """

    X: np.ndarray
    E: np.ndarray
    W: np.ndarray
    sure: np.ndarray
    possible: np.ndarray
    zero: Any
    count: bool = False
    at_zero: int = 0

    @cached_property
    def total(self) -> np.ndarray:
        """Sum of the votes of all that are sure."""
        return np.asarray(
            np.sum(np.where(self.sure, self.W * (np.sign(self.X) if self.count else self.X), 0.0), axis=0)
        )

    def tally(self) -> np.ndarray:
        """The sign of that sum (p, q), 0 where it counts as zero."""
        level = 0.0 if self.count else self.zero  # counts are exact
        return np.where(np.abs(self.total) > level, np.sign(self.total), 0.0)

    @cached_property
    def error(self) -> np.ndarray:
        """How far that sum may be from the true one: errors of the sure, all of the others."""
        sure, other = (0.0, 1.0) if self.count else (self.E, np.abs(self.X) + self.E)
        own = np.where(self.sure, sure, other)
        return np.asarray(np.sum(np.where(self.sure | self.possible, np.abs(self.W) * own, 0.0), axis=0))

    @cached_property
    def undecided(self) -> np.ndarray:
        """Entries (p, q) whose sign, or whose voters, hang on the errors."""
        level, size, error = 0.0 if self.count else self.zero, np.abs(self.total), self.error
        clear, nothing = size - error > level, (size <= error) & (size + error <= level)
        someone = (self.possible & ~self.sure).any(axis=0)
        return np.asarray(self.possible.any(axis=0) & (someone | ~(clear | (nothing & (self.at_zero != 0)))))

    def spread(self, W: np.ndarray) -> np.ndarray:
        """How far apart the possible outcomes of a mean with equal shares of W X are, entry by entry."""
        X, E = W * self.X, np.abs(W) * self.E
        top = np.max(np.where(self.possible, X + E, 0.0), axis=0)
        low = np.min(np.where(self.possible, X - E, 0.0), axis=0)
        return np.asarray(np.maximum(top, 0.0) - np.minimum(low, 0.0))

    @property
    def margin(self) -> float:
        """The smallest |sum| relative to what was summed, among decided entries."""
        size = np.sum(np.where(self.sure, np.abs(self.W) * (1.0 if self.count else np.abs(self.X)), 0.0), axis=0)
        decided = (size > 0) & ~self.undecided
        return float(np.min(np.abs(self.total)[decided] / size[decided])) if decided.any() else 1.0


def elected(
    stage: Any, errors: Errors, votes: Votes, M: np.ndarray, smooth: np.ndarray, delta: float, jump: np.ndarray
) -> Errors:
    """The errors of a merged M (p, q): `smooth` where the election is decided, `jump` where it is not.

    An open election whose outcomes lie within the errors is no discontinuity.
    """
    undecided = votes.undecided
    if not undecided.any():
        errors.undecided = undecided
        errors.margin(stage, "smallest relative majority of a decided entry", votes.margin)
        return errors.merged(min(delta, norm(smooth)), smooth, M, min(M.shape))
    matters = jump > 4 * np.sum(np.abs(votes.W) * votes.E, axis=0)
    errors.undecided = undecided & matters
    errors.jumped = True
    errors.margin(stage, "smallest relative majority of a decided entry", votes.margin)
    number = int(errors.undecided.sum())
    if number:
        errors.doubt(stage, f"{number} of {undecided.size} entries have a sign or voters that are not determined")
    entry = np.where(undecided, jump, smooth)
    bound = min(delta, norm(smooth[~undecided])) + norm(jump[undecided])
    return errors.merged(bound, entry, M, min(M.shape))
