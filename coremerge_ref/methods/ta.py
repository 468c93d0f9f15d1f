"""Task arithmetic: the scalar-weighted sum, one ΔW in every lossless space (paper, Eq. 13)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core.arrays import array_namespace
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods._graded import joined, scaled
from coremerge_ref.methods.base import MERGE, Stage, register
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import norm


@register
@dataclass(frozen=True)
class Ta(Stage):
    """Add the tasks up, each times its weight: task arithmetic, Σ_t w_t M_t.

    weights: one a task; None takes those given to merge.

    >>> updates = [(np.eye(2), np.eye(2)), (np.eye(2), np.diag([1.0, 3.0]))]
    >>> cm.merge(updates, cm.Ta(), weights=[1, 2]).to_dense()
    array([[3., 0.],
           [0., 7.]])
    """

    weights: Any = None
    name: ClassVar[str] = "ta"
    kind: ClassVar[str] = MERGE
    source = "Ilharco et al., 2023"
    called: ClassVar = {
        "peft": {"linear": "ta", "cat": "ta", "svd": "ta"}, "mergekit": {"task_arithmetic": "ta"},
        "fusionbench": {"task_arithmetic": "ta"},
    }  # fmt: skip
    linear: ClassVar[bool] = True

    def coefficients(self, weights: Any) -> Any:
        """w_t."""
        return weights

    def apply(self, item: Stack) -> Merged:
        """Σ_t w_t M_t."""
        return summed(item)

    def carry(self, errors: Errors, before: Any, after: Any) -> Errors:
        """Σ |c_t| δ_t, see carry_sum."""
        return carry_sum(self, errors, before, after, self.coefficients(before.weights))


def summed(stack: Stack) -> Merged:
    """Σ_t w_t M_t, w_t the weights of the stack."""
    return stack.merged(array_namespace(stack.M).sum(stack.weigh() * stack.M, axis=0))


def carry_sum(stage: Stage, errors: Errors, before: Any, after: Any, coefficients: Any) -> Errors:
    """Σ |c_t| δ_t, exact for errors that agree in direction, and the rounding of the sum itself."""
    c, factors, undivided = np.abs(np.asarray(coefficients)), errors.factors, errors.undivided
    apart = errors.apart + np.zeros(len(c))
    sizes = float(sum(w * norm(M) for w, M in zip(c, before.M, strict=True)))
    share = norm(after.M) / sizes if sizes else 1.0
    if not c.all():  # nothing of such a task is known to be infinite
        errors.delta, errors.entry = (
            np.where(c.reshape(-1, *[1] * (X.ndim - 1)), X, 0.0) for X in (errors.delta, errors.entry)
        )
    errors.margin(stage, "size of the sum relative to its terms", share, amplifies=1 / share if share else np.inf)
    summing = errors.unit * (before.T / 2 + 1) if errors.level.name == "compute" else 0.0
    entry = np.tensordot(c, errors.entry + summing * np.abs(before.M) if summing else errors.entry, axes=1)
    rank = min(*after.M.shape, int(errors.ranks(c).sum()))
    errors = errors.merged(float(c @ errors.delta) + summing * sizes, entry, after.M, rank)
    if undivided is not None:
        errors.undivided = tuple(np.tensordot(c, X, axes=1) for X in undivided)
    if factors is not None:
        errors.factors, errors.apart = joined(scaled(factors, c)), float(c @ apart) + summing * sizes
    return errors
