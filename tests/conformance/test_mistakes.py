"""Every planted mistake is caught, and those the kit knows are named."""

import re
from pathlib import Path

import numpy as np
import pytest
from doubles import Double
from planted import FURTHER, NAMED

from coremerge_ref import conformance

FAMILIES = (
    "generic",
    "hetero",
    "deficient",
    "duplicated",
    "opposite",
    "zero_b",
    "overfull",
    "square",
    "batch",
    "many",
    "tiny",
    "forty-nine",
    "signs",
    "equal",
    "ladder",
    "denormal",
    "single",
    "mixed",
)
CASES = [c for c in conformance.cases() if c.family in FAMILIES]


def test_every_mistake_of_the_double_is_listed():
    source = (Path(__file__).parent / "doubles.py").read_text()
    assert set(re.findall(r'self\.bad\("([^"]+)"\)', source)) == set(NAMED) | set(FURTHER)
    assert len(FURTHER) >= 50
    assert not set(NAMED) & set(FURTHER)


@pytest.mark.parametrize("mistake", FURTHER)
def test_caught(mistake):
    with np.errstate(all="ignore"):
        report = conformance.run(Double(mistake), cases=CASES, diagnoses=False)
    assert report.failures


@pytest.mark.parametrize("mistake", NAMED)
def test_named(mistake):
    with np.errstate(all="ignore"):
        report = conformance.run(Double(mistake), cases=CASES)
    assert report.failures
    assert NAMED[mistake] in list(report.diagnoses())[:3], report.summary()
