"""A test of the tests: every planted fault is killed by some property, and by none where there is no fault."""

import re
from pathlib import Path

import pytest
from every import PROPERTIES, SHAPES, VARIES, Merge
from planted import FAULTS
from test_every_space_and_kind import PLACES

from coremerge_ref.testing import KINDS

ROOT = Path(__file__).parents[2]


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


def test_make_quick_runs_every_property_that_kills_one() -> None:
    """The number in CONTRIBUTING.md: quick runs all properties where `killers` asks them, so it sees all faults."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    quick = re.search(r"^QUICK := (.*)$", makefile, re.MULTILINE)[1].split()
    assert "tests/properties/test_every_space_and_kind.py" in quick
    asked = {(holds, shape, kind) for holds in VARIES for shape in SHAPES for kind in KINDS}
    asked |= {(holds, "square", "generic") for holds in PROPERTIES}
    assert asked <= {*PLACES, *((holds, "square", "generic") for holds in VARIES)}
    count = len(FAULTS)
    contributing = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    assert f"sees {count} of the {count} faults" in contributing


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_killed_by_properties_alone(fault: str) -> None:
    assert killers(FAULTS[fault], ("core", "knots transposed")), fault


def test_there_are_at_least_twenty() -> None:
    assert len(FAULTS) >= 20
