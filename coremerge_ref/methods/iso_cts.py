"""Iso-CTS: common and task-specific directions at one common singular value (Marczak et al., 2025)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods._graded import joined, known, known_turns, scaled, times
from coremerge_ref.methods._orthogonalizing import orthogonalizing
from coremerge_ref.methods._orthonormal import met_by_rows
from coremerge_ref.methods._residuals import Residuals, residuals_moved
from coremerge_ref.methods._subspaces import leading, leaving_span, spanned
from coremerge_ref.methods._triplets import beside, block_diagonal, orthogonalized, side_by_side
from coremerge_ref.methods.base import EVERY_SIZE, MERGE, Search, Stage, register
from coremerge_ref.methods.iso import carry_iso
from coremerge_ref.methods.ta import carry_sum, summed
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import norm, safely, spectral


@register
@dataclass(frozen=True)
class IsoCts(Stage):
    """Directions that the tasks share, beside those of each task alone, all at one singular value.

    The top common directions of Σ_t M_t beside each task's leading residual ones, all at the mean singular value.

    Of d = min(rows, cols) directions int(d · common_fraction) are common, adjusted so that the rest divides evenly
    among the T tasks: rounding "round" (official; half to even) or "floor". A task's residual is M_t − U_c U_cᵀ M_t,
    projected from the left alone, as in the official code. Both sides are orthogonalized by their polar factors.

    >>> updates = [(np.eye(2), np.eye(2)), (np.eye(2), np.diag([1.0, 3.0]))]
    >>> cm.merge(updates, cm.IsoCts()).shape
    (2, 2)
    """

    common_fraction: float = 0.8
    rounding: str = "round"
    name: ClassVar[str] = "iso_cts"
    kind: ClassVar[str] = MERGE
    source = "Marczak et al., 2025"
    remedy = "choose another common_fraction"
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
        common: Any = linalg.leading(total.M, linalg.svd(total.M), count, total.rounding_level)
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
        return arrays.clipped(d - T * each, 0.0), each

    def carry(self, errors: Errors, before: Any, after: Any) -> Errors:
        """As TSV on [U_c P_1 … P_T], every level the mean σ̄.

        The common projector turns by τ = coupling(σ_s, σ_{s+1}) Σ δ_t, so the residual of task t is known up to
        δ_t + Σ δ_t ‖diag(coupling) U_cᵀ M_t‖₂; both better where what is known of single columns says so, and where
        errors multiply all tasks, see residuals_moved. U_c lies in the sum of all column spaces, so the residuals have
        ranks of at most its dimension less the common count.
        P_t that spans all that is left turns as U_c and that sum do, Q_t that spans the rows of M_t as those do. A
        block of k triplets pairs P with Q up to its error times 2 / (σ_k + σ_{k−1}), which σ̄ P Qᵀ sees where P S Qᵀ
        does not. Where U_c spans all columns, or one task alone is there with all of its directions, the result is
        that of iso on the sum.
        """
        lost, whole = errors.lost, min(int(errors.ranks(before.weights).sum()), *after.M.shape)

        def setting(d: int) -> list[int]:
            return [min(int(count), whole) for count in self.counts(np.asarray(float(d)), before.T)]

        unsized = errors.uses_size(self, setting=setting)
        if not unsized and self._is_whole(errors, before, after):
            summed_up = summed(before)
            values = errors.singular_values(np.asarray(summed_up.M))[:whole]
            apart = int(after.info["common"]) < whole
            errors = carry_iso(self, carry_sum(self, errors, before, summed_up, before.weights), summed_up)
            if not apart or not errors.level.formed:
                return errors
            # arithmetic finds the others in what is left of the sum, which rounding of all of it turns
            lost_in_rest = 4 * errors.level.decomposed * norm(values) / float(values[-1])
            return errors.merged(float(errors.delta) + float(values.mean()) * min(lost_in_rest, 4.0), None, after.M)
        stack, (delta, apart) = before.weighted(), errors.weighted(before)
        count, each = int(after.info["common"]), int(after.info["task"])
        every, level, ranks = float(delta.sum()), float(np.max(stack.rounding_level)), errors.ranks(before.weights)
        total = stack.M.sum(axis=0)
        factors = [] if errors.divided or not errors.factors else scaled(errors.factors, before.weights)
        columns_of_sum = joined(factors) if factors else None
        common = leading(
            self, errors, total, count, level, every, None, "Σ M_t", whole,
            factors=columns_of_sum, apart=float(apart.sum()),
        )  # fmt: skip
        Sc, columns, sizes = common.S, common.turns, np.asarray(linalg.norm(stack.M))
        kept, turn = len(Sc), min(every * float(columns.max(initial=0.0)), common.multiplied[0], 2.0)
        residual = stack.M - common.P @ (common.P.T @ stack.M)
        levels = stack.rounding_level + common.error * sizes
        left = max(0, whole - kept)  # no more is left beside U_c
        # U_c turns by K, ‖K diag(columns)⁻¹‖ ≤ Σ δ_t, and takes K U_cᵀ M_t out of the residual
        off = delta + 2.0 * sizes
        if np.isfinite(columns).all():
            taken = spectral((columns[:, None] * (common.P.T @ stack.M)).mT)
            off = delta + np.minimum(every * taken, min(common.multiplied[0], 2.0) * sizes)
        cut = float(errors.svd(total)[1][kept:whole].max(initial=0.0)) + level
        off = np.minimum(off, residuals_moved(errors, common, cut, np.asarray(linalg.norm(residual)), factors))
        entries = safely(np.abs(np.asarray(before.weights))[:, None, None], errors.entry)
        of_sum, residuals = None, None
        if not errors.level.formed:
            of_sum = known(errors, errors.svd(total), columns_of_sum, entries.sum(axis=0))
            if errors.orthonormal:
                through = [times(float(w), total.shape[1]) for w in before.weights]
                of_sum = of_sum & met_by_rows(errors, errors.svd(total), through)
            residuals = Residuals(errors, errors.svd(total), common, of_sum, factors, entries, before.weights)
        first = known_turns(errors, total, common, every, of_sum)
        sides = {"left": [(first.left, first.shared)], "right": [(first.right, first.shared)]}
        exact = factors and not errors.level.formed
        spans = {side: spanned(errors, stack.M, delta, ranks, side, exact) for side in sides}
        own, found, least = [common], [first], [every / Sc[-1] if kept else 0.0]
        blocks: list[Any] = []
        for t, M in enumerate(residual):
            part = leading(
                self, errors, M, each, float(levels[t]), float(off[t]), t, "the residual of M_t",
                min(int(ranks[t]), left), float(delta[t]),
            )  # fmt: skip
            S = part.S
            n, formed = len(S), errors.level.decomposed * sizes[t]
            own.append(part)
            met = None if residuals is None else residuals.met(t, stack.M[t], M)
            bent = safely(4 * turn**2 * sizes[t], part.turns)  # U_c turns by more than the first order
            found.append(known_turns(errors, M, part, float(off[t]), met, bent, norm(first.left)))
            least.append(off[t] / S[-1] if n else 0.0)
            one, rows = slice(t, t + 1), (n + 1, np.inf)
            if n == min(int(ranks[t]), M.shape[1]):
                rows = spanned(errors, stack.M[one], delta[one], ranks[one], "right", tasks=one)
            blocks.append((M, part, float(off[t]), met, bent))
            for side, (size, moved) in (("left", (left, norm([turn, spans["left"][1]]))), ("right", rows)):
                most = moved + formed / S[-1] if 0 < n == size else np.inf
                sides[side].append((np.minimum(getattr(found[-1], side), most), np.minimum(found[-1].shared, most)))
        sigma = np.concatenate([part.S for part in own])
        most = 2 * (norm(total) + norm(stack.M)) + every
        if len(sigma) == 0:
            return errors.merged(most if errors.lost > lost else every, None, after.M)
        mean = float(sigma.mean())
        errors.check(self, max(least), "a direction is kept whose singular value is no larger than its error")
        spread = sum(turns.values for turns in found)
        bound, rank = mean * norm([turns.pairing for turns in found]) + spread / len(sigma) ** 0.5, len(sigma)
        error = max(part.error for part in own)
        # what turns U_c turns what is left of all tasks into U_c: all of [U_c P_1 … P_T] as one
        whole_turn = 2**0.5 * min(norm(first.left), float(first.shared.max(initial=0.0)))
        levels, alone = np.full(len(sigma), mean), safely(before.weights, errors.apart if factors else errors.delta)
        # of the sum and its SVD, and of what is left of a task, formed anew beside what U_c leaves its own space by
        whole_off = np.atleast_1d(np.abs(alone).sum() + errors.level.decomposed * norm(total))
        of_rest = np.abs(alone) + errors.level.decomposed * np.asarray(linalg.norm(residual))
        of_rest = of_rest + (2 * errors.level.formed + leaving_span(errors, whole_off, [common])) * sizes
        leaving = leaving_span(errors, np.concatenate([whole_off, of_rest]), own)
        for side, name, of_common, rotated in (("left", "P", 0.0, whole_turn), ("right", "Q", every, 0.0)):
            X = np.concatenate([getattr(part, name) for part in own], axis=1)
            turned = [(np.minimum(x, 4.0), np.minimum(y, 4.0)) for x, y in sides[side]]  # no turn is wider
            change, _, support = orthogonalizing(
                self, errors, X, levels, turned, error, side, spans[side],
                [(total, common, of_common, of_sum, 0.0), *blocks], rotated, leaving,
            )  # fmt: skip
            bound, rank = bound + change, min(rank, support)
        return errors.merged(most if errors.lost > lost else min(bound, most), None, after.M, rank)

    def _is_whole(self, errors: Errors, stack: Any, after: Any) -> bool:
        """Whether all directions of all tasks together are common, or those of one task alone common or its own."""
        ranks = errors.ranks(stack.weights)
        whole, total = min(int(ranks.sum()), *after.M.shape), summed(stack)
        S, level, common = (
            errors.singular_values(np.asarray(total.M)),
            float(total.rounding_level),
            int(after.info["common"]),
        )
        if whole == 0 or not S[whole - 1] > level:
            return False
        if common >= whole or np.count_nonzero(ranks) > 1:
            return bool(common >= whole)
        off = float(errors.weighted(stack)[0].sum())
        apart = S[common - 1] - S[common] - 2 * off if common else np.inf
        known = level + level / apart * norm(total.M) if apart > 0 else np.inf  # what its own are held against
        return bool(common + int(after.info["task"]) >= whole and S[whole - 1] - off > known)
