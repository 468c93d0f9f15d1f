"""Task arithmetic: the scalar-weighted sum, one ΔW in every lossless space (paper, Eq. 13)."""

from dataclasses import dataclass
from typing import Any, ClassVar

from array_api_compat import array_namespace

from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods.base import MERGE, Stage, register


@register
@dataclass(frozen=True)
class Ta(Stage):
    """Task arithmetic Σ_t w_t M_t (Ilharco et al., 2023). weights: one a task; None takes those given to merge."""

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


def summed(stack: Stack) -> Merged:
    """Σ_t w_t M_t, w_t the weights of the stack."""
    return stack.merged(array_namespace(stack.M).sum(stack.weigh() * stack.M, axis=0))
