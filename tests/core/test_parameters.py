"""What each check of a parameter takes, what becomes of it, and what it says of all else."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.core.parameters import Parameters


@dataclass(frozen=True)
class Tried(Parameters):
    """One parameter and another, which no check may look at."""

    given: Any
    other: Any = 0.5
    name: ClassVar[str] = "tried"


TINY = 5e-324
NO_NUMBERS = [True, False, "1", None, 1j, [0.5], float("nan")]

# check: its arguments after the parameter's name, what it takes, what it does not, and what was expected then
NUMBERS: dict[str, tuple[tuple[Any, ...], list[Any], list[Any], str]] = {
    "check_fraction": ((), [TINY, 0.5, 1, 1.0], [0, 0.0, -TINY, 1 + 2**-52, 2], "a number above 0 and at most 1"),
    "check_share": ((), [0, 0.0, 0.5, 1 - 2**-53], [-TINY, 1, 1.0, 2], "a number from 0 to below 1"),
    "check_finite": ((), [0, -1e308, 1e308], [float("inf"), float("-inf"), 10**400, -(10**400)], "a finite number"),
    "check_number": ((lambda value: value > 1, "more than 1"), [1.5, 2], [1, 0.5], "more than 1"),
}
INTEGERS: dict[str, tuple[tuple[Any, ...], list[Any], list[Any], str]] = {
    "check_integer": ((), [-7, 0, 10**30], [], "an integer"),
    "check_integer from 1": ((1,), [1, 2], [0, -1], "an integer"),
    "check_integer from 0": ((0, "a size"), [0, 2], [-1], "a size"),
    "check_rank": ((), [1, 2], [0, -1], "an integer of at least 1, or None"),
}


@pytest.mark.parametrize("check", NUMBERS)
def test_numbers_in_range_become_floats(check: str) -> None:
    more, taken, refused, expected = NUMBERS[check]
    for value in [*taken, *map(Fraction, taken), *map(np.float64, taken)]:
        tried = Tried(value)
        getattr(tried, check)("given", *more)
        assert (type(tried.given), tried.given, tried.other) == (float, float(value), 0.5)
    for value in [*refused, *NO_NUMBERS]:
        with pytest.raises(cm.ParameterError) as caught:
            getattr(Tried(value), check)("given", *more)
        assert str(caught.value) == f"tried.given: expected {expected}, got {value!r}"


@pytest.mark.parametrize("check", INTEGERS)
def test_integers_in_range_become_ints(check: str) -> None:
    more, taken, refused, expected = INTEGERS[check]
    check = check.partition(" ")[0]
    for value in [*taken, *map(np.int64, [v for v in taken if v < 2**63])]:
        tried = Tried(value)
        getattr(tried, check)("given", *more)
        assert (type(tried.given), tried.given, tried.other) == (int, int(value), 0.5)
    for value in [*refused, *NO_NUMBERS, 1.0, Fraction(2)]:
        if value is None and check == "check_rank":
            tried = Tried(None)
            tried.check_rank("given")
            assert tried.given is None
            continue
        with pytest.raises(cm.ParameterError) as caught:
            getattr(Tried(value), check)("given", *more)
        assert str(caught.value) == f"tried.given: expected {expected}, got {value!r}"


def test_choices() -> None:
    Tried("a").check_choice("given", ("a", "b"))
    for value in ("c", "A", None):
        with pytest.raises(cm.ParameterError) as caught:
            Tried(value).check_choice("given", ("a", "b"))
        assert str(caught.value) == f"tried.given: expected one of a, b, got {value!r}"


def test_parameters_are_all_fields_by_name() -> None:
    assert Tried(3).parameters == {"given": 3, "other": 0.5}
