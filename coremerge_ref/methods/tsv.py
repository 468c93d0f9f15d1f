"""TSV-M: leading singular triplets of every task, side by side, made orthogonal (Gargiulo et al., 2025)."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods._graded import Met, known, known_turns, retold, scaled, times
from coremerge_ref.methods._multiplied import Factors
from coremerge_ref.methods._orthogonalizing import orthogonalizing
from coremerge_ref.methods._orthonormal import met_by_rows
from coremerge_ref.methods._subspaces import leading, leaving_span, spanned, spanning
from coremerge_ref.methods._triplets import beside, block_diagonal, orthogonalized, side_by_side
from coremerge_ref.methods.base import BOTH, EVERY_SIZE, MERGE, ONE_SPACE, RANKS, Search, Stage, register
from coremerge_ref.methods.ta import carry_sum
from coremerge_ref.perturbation.carried import Errors, decompose
from coremerge_ref.perturbation.theorems import norm, safely

SMALL = 16  # rows and columns up to which calls take longer than what is called


@register
@dataclass(frozen=True)
class Tsv(Stage):
    """The leading singular directions of every task, side by side, made orthogonal.

    polar([P_t]) · blkdiag(S_t) · polar([Q_t])ᵀ, where M_t ≈ P_t S_t Q_tᵀ are the k leading triplets of each task.

    k: an absolute rank, the same in every space; None is the relative ⌊min(rows, cols) / T⌋ of the space's live size,
    at least 1. Triplets at or below the numerical rank of M_t are never taken: a task of rank below k gives what it
    has.

    >>> updates = [(np.eye(2), np.diag([2.0, 0.0])), (np.eye(2), np.diag([0.0, 3.0]))]
    >>> (cm.merge(updates, cm.Tsv(k=1)).to_dense() + 0.0).round(6)
    array([[2., 0.],
           [0., 3.]])
    """

    k: int | None = None
    name: ClassVar[str] = "tsv"
    kind: ClassVar[str] = MERGE
    source = "Gargiulo et al., 2025"
    noted: ClassVar = {"k_raised": "there are more tasks than live directions, so that each was cut to rank 1, not 0"}
    called: ClassVar = {"original": {"tsv_m": "tsv", "tsvm": "tsv"}}
    spelled: ClassVar = {"rank": "k"}
    remedy = "choose another rank, or leave out one of two tasks that are nearly the same"
    searches = (
        Search("tsv", {"tsv": {"k": (None,)}}, spaces=EVERY_SIZE),
        Search("tsv", {"tsv": {"k": RANKS}}, spaces=ONE_SPACE, ranks=("k",)),
        Search("tsv+iso", {"tsv": {"k": (None,)}}, {"iso": {"support": ("rank", "size")}}, EVERY_SIZE),
        Search("tsv+iso", {"tsv": {"k": RANKS}}, spaces=ONE_SPACE, ranks=("k",)),
    )

    def __post_init__(self) -> None:
        self.check_rank("k")

    def apply(self, item: Stack) -> Merged:
        """The merged matrix; info["k"] is the rank each task was cut to, "k_raised" where ⌊…⌋ was 0 and 1 was taken."""
        xp, w = array_namespace(item.M), item.weigh()
        info: dict[str, Any] = {"k_raised": item.short_side < item.T} if self.k is None else {}
        k = self.cut(item.short_side, item.T) if self.k is None else arrays.sizes(self.k, item.rows)
        parts = item.leading(k)
        # w_t M_t has the triplets of M_t with w_t S_t, none where w_t = 0; P_t, Q_t may be any orthonormal bases of
        # their spans if the middle block is P_tᵀ M_t Q_t
        middle = (
            beside(w[..., 0] * parts.S)
            if parts.core is None
            else block_diagonal([w[t, ...] * parts.core[t, ...] for t in range(item.T)])
        )
        U, V = (side_by_side(xp.where(w != 0, X, 0.0)) for X in (parts.P, parts.Q))
        error = xp.max(xp.where(w[..., 0, 0] != 0, parts.error, 0.0), axis=0)
        return item.merged(orthogonalized(U, middle, V, error), k=k, **info)

    def cut(self, short_side: Array, T: int) -> Array:
        """The relative rank k of a live size's smaller side."""
        return arrays.clipped(arrays.rounded(short_side / T, "floor"), 1.0)

    def propagate(self, errors: list[Errors], before: list[Any], after: list[Any]) -> list[Errors]:
        """As carry says; what it decomposes of all layers at once."""
        stacks = [stack.weighted().M for stack in before]
        decompose((e, M) for e, stack in zip(errors, stacks, strict=True) for M in stack)
        # of larger ones `spanned` asks a Gram matrix, which takes less than its share of a batch
        small = [(e, M) for e, M in zip(errors, stacks, strict=True) if max(M.shape[1:]) <= SMALL]
        decompose(((e, spanning(M, side)) for e, M in small for side in BOTH), vectors=False)
        return super().propagate(errors, before, after)

    def carry(self, errors: Errors, before: Any, after: Any) -> Errors:
        """√Σδ_t² and, on both sides, σ_1 c √Σ(δ_t τ_t)²: subspaces turn by τ_t, then polar factors amplify.

        τ_t is better known where columns of B_t and rows of A_t are, or entries, see known_turns. The result is its
        own SVD if no polar factor lost a direction. Its singular vectors then turn without the σ_1, but block t pairs
        P_t with Q_t only up to δ_t / σ_k. One task of which nothing is cut stays itself.
        """
        lost = errors.lost
        ranks = errors.ranks(before.weights)

        def setting(d: int) -> int:
            return min(int(self.cut(np.asarray(float(d)), before.T)), int(ranks.max()))

        unsized = self.k is None and errors.uses_size(self, setting=setting)
        there = np.flatnonzero(ranks)
        if len(there) == 1 and int(after.info["k"]) >= ranks[there[0]] and not unsized:
            return self._alone(errors, before, after, int(there[0]))
        stack, k = before.weighted(), int(after.info["k"])
        delta, apart = errors.weighted(before)
        factors: list[Any] = scaled(errors.factors, before.weights) if errors.factors else []
        columns: list[Any] = factors or [None] * stack.T
        total, exact = norm(delta), factors and not (errors.divided or errors.level.formed)
        parts = [
            leading(self, errors, M, k, float(level), float(own), t, factors=one, apart=float(rest))
            for t, (M, level, own, one, rest) in enumerate(
                zip(stack.M, stack.rounding_level, delta, columns, apart, strict=True)
            )
        ]
        entries = safely(np.abs(np.asarray(before.weights))[:, None, None], errors.entry)
        met: list[Any] = [
            None if errors.level.formed else known(errors, errors.svd(M), one, entry)
            for M, one, entry in zip(stack.M, columns, entries, strict=True)
        ]
        if errors.orthonormal and not errors.level.formed:
            each = zip(met, stack.M, np.diag(before.weights), strict=True)
            met = [
                one & met_by_rows(errors, errors.svd(M), [times(float(c), M.shape[1]) for c in w]) for one, M, w in each
            ]
        blocks: list[Any] = list(zip(stack.M, parts, delta, met, strict=True))
        turns = [known_turns(errors, *block) for block in blocks]
        S, error = np.concatenate([part.S for part in parts]), max(part.error for part in parts)
        bound, turn, rank, changes = total, norm([one.pairing for one in turns]), len(S), []
        leaving = leaving_span(errors, apart if factors else delta, parts)
        for X, side in (([part.P for part in parts], "left"), ([part.Q for part in parts], "right")):
            turned = [(getattr(one, side), one.shared) for one in turns]
            span = spanned(errors, stack.M, delta, ranks, side, exact)
            moved, change, support = orthogonalizing(
                self, errors, np.concatenate(X, axis=1), S, turned, error, side, span, blocks, leaving=leaving
            )
            bound, turn, rank = bound + moved, turn + change, min(rank, support)
            changes.append((np.concatenate(X, axis=1), support, change))
        most = 2 * norm(stack.M) + total
        lost = errors.lost > lost
        errors.merged(most if lost else min(bound, most), None, after.M, rank)
        if not lost and rank == len(S):
            errors.polar = turn, total, max([part.multiplied[2] for part in parts])
        elif not (lost or errors.divided or errors.level.formed):
            errors.factors = partial(self._factors, errors, S, changes, met, delta, [len(part.S) for part in parts])
        return errors

    def _factors(
        self, errors: Errors, S: np.ndarray, sides: list[Any], met: list[Met], delta: Any, counts: list[int]
    ) -> Factors:
        """Those of the result, of which polar factors of `sides` (X, support, change) are the columns."""
        within, at = np.zeros((len(S), len(S))), 0
        for one, own, n in zip(met, delta, counts, strict=True):
            within[at : at + n, at : at + n] = np.minimum(one.within[:n, :n], own)
            at += n
        polars = []
        for X, support, _ in sides:
            P, _, Qh = errors.svd(X)
            polars.append(P[:, :support] @ Qh[:support])
        return retold(polars[0], S, polars[1], sides[0][2], sides[1][2], within)

    def _alone(self, errors: Errors, stack: Any, after: Any, t: int) -> Errors:
        """Task t without a cut: what counts as zero is lost, and its SVD rounds."""
        S = float(np.abs(stack.weights[t])) * errors.svd(stack.M[t])[1][: errors.rank[t]]
        lost = norm(S[S <= abs(stack.weights[t]) * stack.rounding_level[t]]) + 2 * errors.level.decomposed * norm(S)
        errors = carry_sum(self, errors, stack, after, stack.weights)
        return errors if lost == 0 else errors.merged(float(errors.delta) + lost, errors.entry + lost, after.M)
