"""What a stage is: transform (stack → stack), merge (stack → matrix) or post (matrix → matrix)."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.errors import ParameterError

TRANSFORM, MERGE, POST = "transform", "merge", "post"

# How a stage commutes with changes of frame, from strong to weak. ORTHOGONAL: with all partial isometries that keep the
# M_t, hence one ΔW in every space. SIGNED_PERMUTATION: with those alone, hence the result depends on the basis.
ORTHOGONAL, SIGNED_PERMUTATION, UNKNOWN = "orthogonal", "signed-permutation", "unknown"
EQUIVARIANCES = (ORTHOGONAL, SIGNED_PERMUTATION, UNKNOWN)


class Stage:
    """One step of a pipeline, a frozen dataclass of its parameters; knows nothing of spaces.

    Stages act on a list, one item a group of layers of equal shape, because some thresholds look at the whole model.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    commutes_with: ClassVar[str] = ORTHOGONAL

    @property
    def equivariance(self) -> str:
        """What the stage, with its parameters, commutes with: one of EQUIVARIANCES."""
        return self.commutes_with

    @property
    def whole_model(self) -> bool:
        """Whether all layers are needed at once."""
        return False

    def __call__(self, items: list[Any]) -> list[Any]:
        """One result for each item."""
        return [self.apply(item) for item in items]

    def apply(self, item: Any) -> Any:
        """The result for one group of layers."""
        raise ParameterError(f"stage {type(self).__name__}: defines neither apply nor __call__")

    def check(self, holds: bool, parameter: str, expected: str) -> None:
        """ParameterError naming the stage, the parameter and its value unless `holds`."""
        if not holds:
            raise ParameterError(f"{self.name}.{parameter}: expected {expected}, got {getattr(self, parameter)!r}")

    def check_choice(self, parameter: str, choices: tuple[str, ...]) -> None:
        """ParameterError unless the parameter is one of `choices`."""
        self.check(getattr(self, parameter) in choices, parameter, f"one of {', '.join(choices)}")

    def check_fraction(self, parameter: str) -> None:
        """ParameterError unless the parameter is a number in (0, 1]."""
        value = getattr(self, parameter)
        self.check(isinstance(value, float | int) and 0 < value <= 1, parameter, "a number above 0 and at most 1")

    def check_finite(self, parameter: str) -> None:
        """ParameterError unless the parameter is a finite number."""
        value = getattr(self, parameter)
        self.check(isinstance(value, float | int) and math.isfinite(value), parameter, "a finite number")

    def check_rank(self, parameter: str) -> None:
        """ParameterError unless the parameter is None or an integer of at least 1."""
        value = getattr(self, parameter)
        ok = value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)
        self.check(ok, parameter, "an integer of at least 1, or None")

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]


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
