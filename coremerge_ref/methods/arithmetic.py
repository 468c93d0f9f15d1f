"""Task arithmetic and the mean: the linear merges, one ΔW in every lossless space (paper Eq. 13)."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.errors import ParameterError
from coremerge_ref.methods.base import MERGE, Stage, register


@register
@dataclass(frozen=True)
class Ta(Stage):
    """Task arithmetic Σ_t w_t M_t (Ilharco et al., 2023). weights: one a task; None takes those given to merge."""

    weights: tuple[float, ...] | None = None
    name: ClassVar[str] = "ta"
    kind: ClassVar[str] = MERGE
    source = "Ilharco et al., 2023"

    def apply(self, item: Stack) -> Merged:
        """Σ_t w_t M_t."""
        stack = item.reweighted(self.weights)
        return stack.merged(array_namespace(stack.M).sum(stack.weigh() * stack.M, axis=0))


@register
@dataclass(frozen=True)
class Mean(Stage):
    """Σ_t w_t M_t / Σ_t w_t. ParameterError where Σ_t w_t = 0."""

    weights: tuple[float, ...] | None = None
    name: ClassVar[str] = "mean"
    kind: ClassVar[str] = MERGE
    source = "Ilharco et al., 2023"

    def apply(self, item: Stack) -> Merged:
        """Σ_t w_t M_t / Σ_t w_t."""
        stack = item.reweighted(self.weights)
        total = sum(stack.weights)
        if total == 0:
            raise ParameterError(f"mean: expected weights that do not sum to 0, got {stack.weights}; use ta instead")
        return stack.merged(array_namespace(stack.M).sum(stack.weigh() * stack.M, axis=0) / total, 1 / abs(total))
