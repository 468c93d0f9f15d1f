"""Decom-Renorm-Merge: TIES-like merging of renormalized singular vectors (Chaichana et al., 2025, arXiv 2505.23117)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods._entries import largest, signs
from coremerge_ref.methods._votes import Votes, cut_at, elected
from coremerge_ref.methods.base import DROPS, MERGE, SIGNED_PERMUTATION, Search, Stage, register
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import LIMIT, lengths, norm, safely
from coremerge_ref.perturbation.turning import Turn, mixed, turning


@register
@dataclass(frozen=True)
class Drm(Stage):
    """TIES-like merging of renormalized singular vectors.

    Decompose [M_1 … M_T] = U S [V_1 … V_T], renormalize the rows of each V_t, prune, elect signs, average.

    direction "horizontal" stacks side by side and merges rows of V_t; "vertical" is its mirror image. drop: share of
    the renormalized entries pruned, over all tasks together, threshold included (≥). rank_cut: singular values up to
    this fraction of the largest are cut. weights (the original's coefficients) multiply after the election; the mean
    is over agreeing entries.

    Departs from the original where that is undefined or skipped: a task without part in a direction gives zeros, not
    NaN, and drop=0 prunes nothing but still elects. Elementwise in one frame, so the result depends on the space's
    basis on that side.

    >>> updates = [(np.eye(2), np.eye(2)), (np.eye(2), np.diag([1.0, 3.0]))]
    >>> cm.merge(updates, cm.Drm(drop=0.0)).shape
    (2, 2)
    """

    direction: str = "horizontal"
    drop: float = 0.5
    rank_cut: float = 0.01
    weights: tuple[float, ...] | None = None
    name: ClassVar[str] = "drm"
    kind: ClassVar[str] = MERGE
    commutes_with: ClassVar[str] = SIGNED_PERMUTATION
    source = "Chaichana et al., 2025"
    remedy = "choose another share to drop, or a method that does not look at entries, such as tsv or iso"
    searches = (Search("drm", {"drm": {"direction": ("horizontal", "vertical"), "drop": DROPS}}),)

    @property
    def expected_failures(self) -> Mapping[str, str]:
        """Of the checks of a method."""
        return {"check_single_precision": "entries closer to the cut than their row is known are equal to it"}

    def __post_init__(self) -> None:
        self.check_choice("direction", ("horizontal", "vertical"))
        self.check_share("drop")
        self.check_share("rank_cut")

    def apply(self, item: Stack) -> Merged:
        """The merged matrix; info["rank"] is the rank kept."""
        if self.direction == "horizontal":
            return self._horizontal(item)
        xp = array_namespace(item.M)
        mirrored = self._horizontal(
            replace(item.with_entries(xp.matrix_transpose(item.M)), rows=item.cols, cols=item.rows)
        )
        return replace(mirrored, M=xp.matrix_transpose(mirrored.M), rows=item.rows, cols=item.cols)

    def _horizontal(self, stack: Stack) -> Merged:
        xp = array_namespace(stack.M)
        level = xp.max(stack.rounding_level, axis=0)  # (…)
        U, S, _ = linalg.svd(xp.concat([stack.M[t, ...] for t in range(stack.T)], axis=-1))
        live = (S > self.rank_cut * S[..., :1]) & (S > level[..., None])  # (…, k)
        U = linalg.masked(U, live)
        rank = xp.sum(xp.astype(live, stack.cols.dtype), axis=-1)
        Y = xp.matrix_transpose(U) @ stack.M  # (T, …, k, q): rows s_tj V̂_tj
        # a row is known as well as its direction in U is, which the gap between singular values says
        turn = linalg.at_most_half_precision(level[..., None] / gaps(S), 0.0)  # (…, k)
        known = stack.rounding_level[..., None] + turn * linalg.norm(stack.M)[..., None]  # (T, …, k)
        length = linalg.norm(Y[..., None, :])  # (T, …, k)
        there = length > known
        unit = xp.where(there, length, 1.0)[..., None]
        V = xp.where(there[..., None], Y / unit, 0.0)
        slack = xp.broadcast_to(known[..., None] / unit, V.shape)
        cut = (rank * stack.cols * stack.T, 1 - self.drop, "threshold")
        kept = apart(largest(together(xp.abs(V)), *cut, together(slack), "round"), V.shape)
        values = xp.where(kept & (xp.abs(Y) > known[..., None]), Y, 0.0)
        sign = signs(xp.sum(values, axis=0), level[..., None, None])
        majority = arrays.sign(xp.sum(sign, axis=(-2, -1), keepdims=True))
        sign = xp.where(sign == 0, majority, sign)
        agrees = arrays.sign(values) == sign
        total = xp.sum(xp.where(agrees, stack.weigh() * values, 0.0), axis=0)
        count = xp.sum(xp.astype(agrees, values.dtype), axis=0)
        return stack.merged(U @ (total / xp.where(count > 0, count, 1.0)), rank=rank)

    def sees(self, T: int) -> tuple[str, ...]:
        """The side whose coordinates it looks at; it finds the frame of the other itself."""
        return ("right",) if self.direction == "horizontal" else ("left",)

    def carry(self, errors: Errors, before: Any, after: Any) -> Errors:
        """As TIES, on coordinates in the left singular vectors of [M_1 … M_T], which errors turn into each other."""
        if self.direction == "horizontal":
            return self._turned(errors, before, after)
        errors.entry, errors.live = errors.entry.mT, errors.live[::-1]
        mirrored = replace(before.with_entries(before.M.mT), rows=before.cols, cols=before.rows)
        errors = self._turned(errors, mirrored, replace(after, M=after.M.T))
        errors.entry, errors.live = errors.entry.T, errors.live[::-1]
        return errors

    def _turned(self, errors: Errors, stack: Any, after: Any) -> Errors:
        unsized = errors.uses_size(self, setting=int, of=lambda rows, cols: cols)
        level = float(np.max(stack.rounding_level))
        # a turn of the frame on the right is one for all tasks, and leaves Σ M_t M_tᵀ as it is
        each = errors.decomposed(stack.M, errors.entering if len(errors.entering) else errors.delta)
        error = norm(each)
        U, S, Vh = errors.svd(np.concatenate(list(stack.M), axis=1))
        first = S[0] if len(S) else 0.0
        cut = max(self.rank_cut * first, level)
        k = int(np.sum(cut < S))
        errors.spectrum(self, "singular values of [M_1 … M_T]", S, k, cut)
        if k == 0:  # nothing is there, or may be
            most = float(np.abs(np.asarray(stack.weights)) @ (each + [norm(M) for M in stack.M]))
            return errors.merged(most, None, after.M, min(after.M.shape))
        relative = self.rank_cut * first > level
        at_cut = np.abs(S - cut) <= 2 * error if relative else errors.near(S, cut, errors.beside(error, level))
        found = np.flatnonzero(at_cut[: int(np.sum(errors.rank))])
        if len(found):
            errors.doubt(
                self,
                f"singular value {found[0] + 1} of [M_1 … M_T] is {S[found[0]] / first:.1e} of the largest, at the "
                "rank cut",
            )
        errors.margin(self, "relative gap at the rank cut", (S[k - 1] - cut) / first)
        N, R = U.T @ stack.M, U[:, :k].T @ after.M  # all of N, what is cut too
        turn = self._turn(errors, U, S, Vh, error)
        turned = mixed(turn, N)[:, :k]
        undetermined = norm(turned) >= norm(N) or bool(errors.tied(S)[:k].any())
        unsure = unsized or len(found) > 0 or undetermined
        if undetermined:
            errors.doubt(self, "the singular vectors of [M_1 … M_T] whose coordinates count are not determined")
        columns = np.minimum(lengths(errors.entry, axis=1), errors.delta[:, None])  # (T, q)
        columns = columns + errors.level.formed * linalg.column_norms(stack.M)  # of the products with U
        W = np.asarray(stack.weights)[:, None, None]
        own = np.minimum(columns[:, None, :], np.abs(U.T) @ errors.entry + errors.level.formed * norm(stack.M))
        votes, open_ = self._votes(errors, stack, N[:, :k], own[:, :k] + turned, S, level)
        unsure |= open_
        errors.gauge_free = True
        agrees = votes.sure & (np.sign(votes.X) == np.sign(votes.total))
        count = np.maximum(np.sum(agrees, axis=0), 1)
        smooth = np.sum(np.where(agrees, np.abs(W) * votes.E, 0.0), axis=0) / count
        delta = float(sum(abs(w) * norm(e) for w, e in zip(W[:, 0, 0], votes.E, strict=True)))
        errors = elected(self, errors, votes, R, smooth, delta, votes.spread(W))
        errors.undecided = None  # in the frame of [M_1 … M_T], not in the space's
        leaving = np.minimum(safely(error / S[:k, None], np.abs(R)), 2 * np.abs(R)) if U.shape[0] > k else 0.0
        padded = np.concatenate([R, np.zeros((len(S) - k, R.shape[1]))])
        away = norm(mixed(turn, padded)) + norm(leaving)
        crude = norm(after.M) + float(sum(abs(w) * norm(M) for w, M in zip(W[:, 0, 0], stack.M, strict=True))) + error
        bound = crude if unsure else min(float(errors.delta) + min(away, 2 * norm(R)), crude)
        return errors.merged(bound, None, after.M, k)

    def _turn(self, errors: Errors, U: np.ndarray, S: np.ndarray, Vh: np.ndarray, error: float) -> Turn:
        """What errors of norm `error` make of the left singular vectors of [M_1 … M_T]; entries of rounded inputs say
        which do not meet at all."""
        turn = turning(S, np.asarray(error))
        if errors.level.formed:
            return turn
        F = np.abs(U.T) @ np.concatenate(list(errors.entry), axis=1) @ np.abs(Vh.T) / (S[0] or 1.0)  # bounds u_i E v_j
        s = S / (S[0] or 1.0)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            inside = safely(s[:, None] * F.T + s * F, 1 / np.abs((s[:, None] - s) * (s[:, None] + s)))
        inside = np.minimum(turn.inside, inside)
        if not np.max(inside, initial=0.0) <= LIMIT:  # no first order
            return turn
        # of second order is what turns by way of a third direction, and where none is met nothing does
        return turn._replace(inside=np.minimum(turn.inside, inside + 4 * inside @ inside))

    def _votes(
        self, errors: Errors, stack: Any, Y: np.ndarray, E: np.ndarray, S: np.ndarray, level: float
    ) -> tuple[Votes, bool]:
        """Renormalizes the rows of each task and prunes over all tasks together, as the stage does; and whether some
        task's part in a direction may be there or not, and with it what the others keep.

        What it takes for equal to the cut, or for zero, is within `known`, which is of its arithmetic, not of errors.
        """
        k, own = Y.shape[1], stack.rounding_level[:, None, None]
        with np.errstate(over="ignore"):
            turn = np.minimum(level / np.asarray(gaps(S))[:k], errors.unit**0.5)
        known = own + turn[:, None] * np.asarray([norm(M) for M in stack.M])[:, None, None]  # (T, k, 1)
        length = lengths(Y, axis=-1)[..., None]  # (T, k, 1)
        moved = lengths(E, axis=-1)[..., None]
        there = length > known
        # errors of inputs give a task a part where it has none; arithmetic takes its own for none
        own_zeros = bool(errors.level.formed) and not errors.jumped
        near = errors.near(length, known, errors.beside(moved, known)) & ((length > 0) | (not own_zeros))
        if near.any():
            errors.doubt(self, "a task's part in a direction is at the level that counts as zero")
        unit = np.where(there, length, 1.0)
        V = np.where(there, np.abs(Y) / unit, 0.0)
        error, wide = (np.where(there, x / unit, 0.0) for x in (E + V * moved, np.broadcast_to(known, V.shape)))
        live = float(k) * float(stack.cols) * stack.T
        K = int(np.round(live * (1 - self.drop)))
        kept, unsure, reached = V > 0, np.zeros(V.shape, dtype=bool), ~(V > 0)
        if live > K:
            flat, e, w = (np.asarray(together(x)) for x in (V, error, wide))
            chosen = np.asarray(largest(flat, np.asarray(live), 1 - self.drop, "threshold", w, "round")) & (flat > 0)
            cut = cut_at(flat, e, chosen, K, "threshold", 0 * w)
            kept = np.asarray(apart(chosen, V.shape))
            open_ = cut.open | _crossing(flat, e, w, chosen, K)
            unsure = np.asarray(apart(open_ & (flat > e), V.shape))
            reached = np.asarray(apart(open_ & ~chosen & (flat <= e), V.shape))
            errors.margin(self, "relative gap between the last entry kept and the first one pruned", cut.gap)
            if unsure.any():
                errors.doubt(self, f"{int(unsure.sum())} entries lie at the threshold")
        # arithmetic itself takes for zero what it does not know
        faint = reached & (np.abs(Y) + E > known) & (not own_zeros)
        zero = (np.abs(Y) > np.minimum(E, own - E)) & (np.abs(Y) <= known + E)
        kept, unsure = kept & (np.abs(Y) > known), unsure | (kept & zero)
        sure = kept & ~unsure & (np.abs(Y) > E)
        return Votes(Y, E, np.ones((stack.T, 1, 1)), sure, kept | unsure | faint, level), bool(near.any())


def _crossing(x: np.ndarray, error: np.ndarray, width: np.ndarray, kept: np.ndarray, K: int) -> np.ndarray:
    """Which intervals of `width` about x, known up to `error`, may cross the lower end of the K + 1 highest."""
    top, bottom, n = x + width / 2, x - width / 2, len(x)
    enters = top + error >= np.partition(bottom - error, n - K - 1)[n - K - 1]
    highest, lowest = bottom + error, top - error
    # it leaves if K + 1 others may lie above it: of all, one more where it may lie above itself
    places = [n - K - 1, max(n - K - 2, 0)]
    most, next_most = np.partition(highest, places)[places]
    reached = np.where(highest > lowest, next_most if n > K + 1 else -np.inf, most)
    return np.asarray(np.where(kept, lowest < reached, enters))


def gaps(S: Array) -> Array:
    """Distance (…, k) of each singular value to its nearest neighbour, 0 standing after the last; never zero."""
    xp = array_namespace(S)
    below = xp.concat([S[..., :-1] - S[..., 1:], S[..., -1:]], axis=-1)
    above = xp.concat([below[..., :1], below[..., :-1]], axis=-1)
    gap = xp.minimum(below, above)
    return xp.where(gap > 0, gap, arrays.smallest_normal(S.dtype))


def together(V: Array) -> Array:
    """All tasks' entries (…, T·k·q) of V (T, …, k, q)."""
    xp = array_namespace(V)
    return xp.reshape(xp.moveaxis(V, 0, -3), (*V.shape[1:-2], -1))


def apart(flat: Array, shape: tuple[int, ...]) -> Array:
    """What together made of an array of `shape` (T, …, k, q), undone."""
    xp = array_namespace(flat)
    return xp.moveaxis(xp.reshape(flat, (*shape[1:-2], shape[0], *shape[-2:])), -3, 0)
