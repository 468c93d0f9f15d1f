"""Parameters of a stage, a dataclass: all by name, and checks that each can call in its __post_init__."""

import math
from collections.abc import Callable
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, ClassVar

from coremerge_ref.core.arrays import as_float
from coremerge_ref.errors import ParameterError


class Parameters:
    """What a stage has by its parameters; `name` is the stage's."""

    name: ClassVar[str]

    def check(self, holds: bool, parameter: str, expected: str) -> None:
        """ParameterError naming the stage, the parameter and its value unless `holds`."""
        if not holds:
            raise ParameterError(f"{self.name}.{parameter}: expected {expected}, got {getattr(self, parameter)!r}")

    def check_choice(self, parameter: str, choices: tuple[str, ...]) -> None:
        """ParameterError unless the parameter is one of `choices`."""
        self.check(getattr(self, parameter) in choices, parameter, f"one of {', '.join(choices)}")

    def check_fraction(self, parameter: str) -> None:
        """ParameterError unless the parameter is a number in (0, 1]; it becomes Python's float."""
        self.check_number(parameter, lambda value: 0 < value <= 1, "a number above 0 and at most 1")

    def check_share(self, parameter: str) -> None:
        """ParameterError unless the parameter is a number in [0, 1); it becomes Python's float."""
        self.check_number(parameter, lambda value: 0 <= value < 1, "a number from 0 to below 1")

    def check_finite(self, parameter: str) -> None:
        """ParameterError unless the parameter is a finite number; it becomes Python's float."""
        self.check_number(parameter, math.isfinite, "a finite number")

    def check_number(self, parameter: str, holds: Callable[[float], bool], expected: str) -> None:
        """ParameterError unless the parameter is a number of any type for which `holds`; it becomes Python's float."""
        value = getattr(self, parameter)
        number = isinstance(value, Real) and not isinstance(value, bool)
        self.check(number and holds(as_float(value)), parameter, expected)
        object.__setattr__(self, parameter, as_float(value))

    def check_integer(self, parameter: str, least: int | None = None, expected: str = "an integer") -> None:
        """ParameterError unless the parameter is an integer of any type, at least `least`; it becomes Python's int."""
        value = getattr(self, parameter)
        number = isinstance(value, Integral) and not isinstance(value, bool)
        self.check(number and (least is None or int(value) >= least), parameter, expected)
        object.__setattr__(self, parameter, int(value))

    def check_rank(self, parameter: str) -> None:
        """ParameterError unless the parameter is None or an integer of at least 1, which becomes Python's int."""
        if getattr(self, parameter) is not None:
            self.check_integer(parameter, 1, "an integer of at least 1, or None")

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
