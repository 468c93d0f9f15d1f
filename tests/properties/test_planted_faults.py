"""A test of the tests: every planted fault is killed by some property, and by none where there is no fault."""

import pytest
from every import PROPERTIES, SHAPES, VARIES, Merge
from planted import FAULTS

from coremerge_ref.testing import KINDS


def killers(merge: Merge, spaces: tuple[str, ...]) -> list[str]:
    """The first property, space, shape and kind that sees it."""
    for space in spaces:
        for holds in PROPERTIES:
            places = [(s, k) for s in SHAPES for k in KINDS] if holds in VARIES else [("square", "generic")]
            for shape, kind in places:
                try:
                    holds(merge, space, shape, kind)
                except AssertionError:
                    return [holds.__name__, space, shape, kind]
    return []


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_killed_by_properties_alone(fault: str) -> None:
    assert killers(FAULTS[fault], ("core", "knots transposed")), fault


def test_there_are_at_least_twenty() -> None:
    assert len(FAULTS) >= 20
