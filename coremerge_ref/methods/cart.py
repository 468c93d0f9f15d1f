"""CART: low-rank parts of the tasks' deviations from their mean (Choi et al., 2024)."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods._graded import joined, known, known_turns, retold, scaled
from coremerge_ref.methods._multiplied import Factors, beside, multipliers
from coremerge_ref.methods._subspaces import Leading
from coremerge_ref.methods.base import EVERY_SIZE, MERGE, ONE_SPACE, RANKS, Search, Stage, register
from coremerge_ref.methods.ta import carry_sum
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import (
    LIMIT,
    another_rank,
    beyond,
    multiplied,
    multiplied_span,
    norm,
    safely,
    truncation,
    turns,
)


@register
@dataclass(frozen=True)
class Cart(Stage):
    """Low-rank parts of the tasks' deviations from their mean, added to it.

    M̄ + λ Σ_t lowrank_k(M_t − M̄), M̄ the mean of the tasks, λ the coefficient. Two tasks deviate from their mean by
    opposite matrices, so that what is kept of them cancels: CART of two tasks is their mean, whatever k and λ.

    k: an absolute rank, the same in every space; None takes rounding(fraction · min(rows, cols)) of the live size:
    "ceil" as the Core Space paper's code, "floor" as the official code, at least 1.

    >>> updates = [(np.eye(2), np.diag(a)) for a in ([3.0, 0.0], [0.0, 3.0], [0.0, -3.0])]
    >>> (cm.merge(updates, cm.Cart(k=1, coefficient=0.5)).to_dense() + 0.0).round(6)
    array([[2., 0.],
           [0., 0.]])
    """

    k: int | None = None
    fraction: float = 0.04
    rounding: str = "ceil"
    coefficient: float = 1.0
    noted: ClassVar = {"cancelled": "there are two tasks, of which CART is the mean, whatever its rank and coefficient"}
    name: ClassVar[str] = "cart"
    kind: ClassVar[str] = MERGE
    source = "Choi et al., 2024"
    spelled: ClassVar = {"rank": "k", "scaling": "coefficient"}
    dialects: ClassVar = {"original": {"rounding": "floor"}}
    searches = (
        Search("cart", {"cart": {"k": RANKS}}, {}, ONE_SPACE, ("cart", "coefficient"), ("k",)),
        Search(
            "cart", {"cart": {"fraction": (0.04, 0.08, 0.16, 0.32)}}, {"cart": {"rounding": ("ceil", "floor")}},
            EVERY_SIZE, ("cart", "coefficient"),
        ),
    )  # fmt: skip

    def __post_init__(self) -> None:
        self.check_rank("k")
        self.check_fraction("fraction")
        self.check_choice("rounding", ("ceil", "floor"))
        self.check_finite("coefficient")

    def apply(self, item: Stack) -> Merged:
        """The merged matrix; info["k"] is the rank each deviation was cut to, "cancelled" is there with two tasks."""
        stack = item.weighted()
        xp = array_namespace(stack.M)
        k = self.cut(stack.short_side) if self.k is None else arrays.sizes(self.k, stack.rows)
        mean = xp.sum(stack.M, axis=0) / stack.T
        if stack.T == 2:  # M_1 − M̄ = −(M_2 − M̄), see Cart.v, cart_of_two
            return stack.merged(mean, max(1.0, abs(self.coefficient)), k=k, cancelled=k > 0)
        # a deviation is computed from all tasks, so rounding in any of them is its own
        level = xp.broadcast_to(xp.max(stack.rounding_level, axis=0), stack.rounding_level.shape)
        parts = xp.sum(stack.with_entries(stack.M - mean, level).leading(k).product(), axis=0)
        return stack.merged(mean + self.coefficient * parts, max(1.0, abs(self.coefficient)), k=k)

    def cut(self, short_side: Array) -> Array:
        """The relative rank k of a live size's smaller side."""
        return arrays.clipped(arrays.rounded(short_side * self.fraction, self.rounding), 1.0)

    def carry(self, errors: Errors, before: Any, after: Any) -> Errors:
        """δ̄ + |λ| Σ_t (δ_t + δ̄) σ_k / (σ_k − σ_{k+1}), δ̄ the error of the mean, σ those of M_t − M̄.

        No deviation has a larger rank than all tasks together. Where none is cut they sum to zero, whatever the errors
        are: the result is the mean, but for what counts as zero and the rounding of the sum.
        """
        shares = np.asarray(before.weights) / before.T
        if not self.coefficient or before.T <= 2:  # what is kept of deviations is nothing, or cancels
            return carry_sum(self, errors, before, after, shares)
        stack, rank = before.weighted(), min(int(errors.ranks(before.weights).sum()), *after.M.shape)

        def setting(d: int) -> int:
            return min(int(self.cut(np.asarray(float(d)))), int(rank))

        unsized = self.k is None and errors.uses_size(self, setting=setting)
        delta, apart = errors.weighted(before)
        of_mean = float(delta.sum()) / stack.T
        bound, k, level = of_mean, int(after.info["k"]), float(np.max(stack.rounding_level))
        whole, lost = k >= rank and not unsized, 0.0
        columns = scaled(errors.factors, before.weights) if errors.factors and not errors.divided else []
        by = multipliers(errors, joined(columns) if columns else None)  # of every deviation, a sum of these
        for t, D in enumerate(stack.M - stack.M.mean(axis=0)):
            # the exact deviation is a sum of all tasks, the own one (T − 1) / T of them
            own, rest = (float(x[t]) * (1 - 1 / stack.T) + float(x.sum() - x[t]) / stack.T for x in (delta, apart))
            S = errors.singular_values(D)
            kept = min(k, int(np.sum(S > level)))
            factor = truncation(S, kept) if kept == k else 1.0
            gap = (S[k - 1] - S[k]) / S[0] if 0 < kept == k < len(S) else 1.0
            errors.spectrum(self, "singular values of M_t − M̄", S, kept, level, task=t)
            errors.margin(self, f"relative gap at k = {k} of M_t − M̄", gap, t, factor)
            crude, loose = 2 * norm(S if unsized else S[:kept]) + own, unsized
            if 0 < kept == k < len(S) and S[k] > level:
                change = 2 * own / (S[k - 1] - S[k]) if S[k - 1] > S[k] else np.inf
                last, cut = float(S[k - 1]), float(S[k] + level)
                span, _, relative = beside((multiplied_span(*by, cut / last), *multiplied(*by)), last, cut, rest)
                if np.isfinite(span):  # values cannot meet, and spaces turn by no more
                    if not change < LIMIT and not unsized:
                        loose, crude = True, min(crude, own + 2 * span * (1 + relative) * float(S[0]))
                else:
                    errors.check(
                        self,
                        change,
                        f"singular values {k} and {k + 1} of M_t − M̄ differ by {gap:.1e} of the largest",
                        t,
                        partial(another_rank, S, k),
                    )
            moved = own + norm(S[kept:k])  # what counts as zero
            lost += abs(self.coefficient) * (norm(S[kept:rank]) + 2 * errors.level.decomposed * norm(S))
            bound += abs(self.coefficient) * (
                crude if loose else min(moved * factor * beyond(moved * factor / (S[0] or 1.0)), crude)
            )
        if not whole:
            factors = None
            if columns and not (errors.level.formed or unsized):
                w = np.abs(np.asarray(before.weights))[:, None, None]
                factors = partial(self._factors, errors, stack, columns, safely(w, errors.entry), delta, k)
            errors = errors.merged(bound, None, after.M, rank)
            errors.factors = factors
            return errors
        errors = carry_sum(self, errors, before, after, shares)
        return errors if lost == 0 else errors.merged(float(errors.delta) + lost, errors.entry + lost, after.M)

    def _factors(
        self, errors: Errors, stack: Any, columns: list[Factors], entry: np.ndarray, delta: np.ndarray, k: int
    ) -> Factors:
        """Those of the result: of M̄ and of what is kept of each deviation; columns, entry and delta of the w_t M_t."""
        made, level = scaled(columns, np.full(stack.T, 1 / stack.T)), float(np.max(stack.rounding_level))
        for t, D in enumerate(stack.M - stack.M.mean(axis=0)):
            own = np.abs((np.arange(stack.T) == t) - 1 / stack.T)
            P, S, Qh = errors.svd(D)
            kept = min(k, int(np.sum(S > level)))
            part = Leading(P[:, :kept], S[:kept], Qh[:kept].T, 0.0, turns(S, kept), kept)
            met = known(errors, (P, S, Qh), joined(scaled(columns, own)), np.tensordot(own, entry, axes=1))
            turn = known_turns(errors, D, part, float(own @ delta), met)
            within = np.minimum(met.within[:kept, :kept], float(own @ delta))
            made += scaled([retold(part.P, part.S, part.Q, turn.left, turn.right, within)], [self.coefficient])
        return joined(made)
