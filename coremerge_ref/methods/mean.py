"""The mean: the weighted sum over the sum of the weights."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from coremerge_ref.core import arrays
from coremerge_ref.core.stack import Merged, Stack, exact_total
from coremerge_ref.errors import ParameterError
from coremerge_ref.methods.base import MERGE, Stage, register
from coremerge_ref.methods.ta import carry_sum, summed
from coremerge_ref.perturbation.carried import Errors


@register
@dataclass(frozen=True)
class Mean(Stage):
    """The mean of the tasks, with weights.

    Σ_t w_t M_t / Σ_t w_t, the sum of the weights exactly rounded. ParameterError where it is 0.

    >>> updates = [(np.eye(2), np.eye(2)), (np.eye(2), np.diag([1.0, 3.0]))]
    >>> cm.merge(updates, cm.Mean()).to_dense()
    array([[1., 0.],
           [0., 2.]])
    """

    weights: Any = None
    name: ClassVar[str] = "mean"
    kind: ClassVar[str] = MERGE
    source = "Ilharco et al., 2023"
    called: ClassVar = {"mergekit": {"linear": "mean"}, "fusionbench": {"simple_average": "mean"}}
    linear: ClassVar[bool] = True

    def coefficients(self, weights: Any) -> Any:
        """w_t / Σ_j w_j."""
        total = exact_total(weights)
        if arrays.is_concrete(total) and float(arrays.detached(total)) == 0:
            raise ParameterError(f"mean: expected weights that do not sum to 0, got {weights}; use ta instead")
        return tuple(w / total for w in weights) if isinstance(weights, tuple) else weights / total

    def apply(self, item: Stack) -> Merged:
        """Σ_t w_t M_t / Σ_t w_t."""
        return summed(replace(item, weights=self.coefficients(item.weights)))

    def carry(self, errors: Errors, before: Any, after: Any) -> Errors:
        """Σ |w_t| δ_t / |Σ w_t|, see carry_sum."""
        return carry_sum(self, errors, before, after, self.coefficients(before.weights))
