"""What a stage is: transform (stack → stack), merge (stack → matrix) or post (matrix → matrix); and the table of them.

The core imports no method: a method's class puts itself in the table STAGES by `@register`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from coremerge_ref.core.parameters import Parameters
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.errors import ParameterError

BOTH = ("left", "right")
TRANSFORM, MERGE, POST = KINDS = ("transform", "merge", "post")

# How a stage commutes with changes of frame, from strong to weak. ORTHOGONAL: with all partial isometries that keep the
# M_t, hence one ΔW in every space. SIGNED_PERMUTATION: with those alone, hence the result depends on the basis.
ORTHOGONAL, SIGNED_PERMUTATION, UNKNOWN = EQUIVARIANCES = ("orthogonal", "signed-permutation", "unknown")


class Stage(Parameters):
    """One step of a pipeline, a frozen dataclass of its parameters; knows nothing of spaces.

    Stages act on a list, one item a group of layers of equal shape, because some thresholds look at the whole model.
    name: how pipelines call it. kind: one of KINDS. commutes_with: one of EQUIVARIANCES. source: what defines it.
    dialects: {dialect: parameters}, what projects set differently from the defaults. company: {dialect: {stage:
    parameters}}, what other stages mean there when they stand beside this one. noted: {key of info: sentence}, what
    people should be told of layers where that is true. called: {dialect: {name there: pipeline
    here}} and spelled: {parameter elsewhere: what to write here}, for who knows those names. searches: what `compare`
    tries, of type methods.base.Search. remedy: what `explain` says can be done where its answer hangs on rounding.

    >>> sorted(cm.Trim(density=0.5).parameters)
    ['density', 'keep', 'scope']
    >>> cm.Tsv().equivariance
    'orthogonal'
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    commutes_with: ClassVar[str] = ORTHOGONAL
    source: ClassVar[str] = ""
    dialects: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    company: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {}
    called: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    spelled: ClassVar[Mapping[str, str]] = {}
    searches: ClassVar[tuple[Any, ...]] = ()
    noted: ClassVar[Mapping[str, str]] = {}
    remedy: ClassVar[str] = ""

    @property
    def equivariance(self) -> str:
        """What the stage, with its parameters, commutes with: one of EQUIVARIANCES."""
        return self.commutes_with

    @property
    def whole_model(self) -> bool:
        """Whether all layers are needed at once."""
        return False

    @property
    def expected_failures(self) -> Mapping[str, str]:
        """{check of coremerge_ref.testing.check_method: why it fails}, for what the method is not by its nature."""
        return {}

    linear: ClassVar[bool] = False  # a merge Σ c_t M_t with the scalars c_t that `coefficients` gives

    def coefficients(self, weights: Any) -> Any:
        """The c_t (T) of a linear merge, from the weights (T) of its tasks."""
        raise ParameterError(f"stage {type(self).__name__}: is not linear")

    @property
    def differentiable(self) -> bool:
        """Whether automatic differentiation through it is right wherever a derivative exists."""
        return True

    def __call__(self, items: list[Any]) -> list[Any]:
        """One result for each item."""
        return [self.apply(item) for item in items]

    def apply(self, item: Any) -> Any:
        """The result for one group of layers."""
        raise ParameterError(f"stage {type(self).__name__}: defines neither apply nor __call__")

    def sees(self, T: int) -> tuple[str, ...]:
        """The sides, "left" and "right", whose basis decides what it returns, with its parameters and T tasks."""
        return () if self.commutes_with == ORTHOGONAL else BOTH

    def propagate(self, errors: list[Any], before: list[Any], after: list[Any]) -> list[Any]:
        """For `explain`: the errors of what it returned, `after`, one a layer, from those of what it was given."""
        return [self.carry(*one) for one in zip(errors, before, after, strict=True)]

    def carry(self, errors: Any, before: Any, after: Any) -> Any:
        """`propagate` for one layer, of perturbation.carried.Errors. A stage without a rule of its own returns
        NotImplemented: it is probed, and its bounds are estimates."""
        return NotImplemented


STAGES: dict[str, type[Stage]] = {}


@dataclass(frozen=True)
class Custom(Stage):
    """A user's own function of the weighted stack M (T, …, p, q), returning (…, p, q): any merging technique."""

    function: Callable[[Any], Any]
    name: ClassVar[str] = "custom"
    kind: ClassVar[str] = MERGE
    commutes_with: ClassVar[str] = UNKNOWN

    def apply(self, item: Stack) -> Merged:
        """Calls the function; ParameterError if what it returns has another shape than one task's matrix."""
        stack = item.weighted()
        M = self.function(stack.M)
        if tuple(getattr(M, "shape", ())) != tuple(stack.M.shape[1:]):
            raise ParameterError(
                f"merge function: expected a result of shape {tuple(stack.M.shape[1:])} from a stack of shape "
                f"{tuple(stack.M.shape)}, got {tuple(getattr(M, 'shape', ()))}"
            )
        return stack.merged(M)
