"""Model Breadcrumbs, entry by entry."""

from typing import Any

import numpy as np
import pytest
from backends import EPS, Backend
from examples import flat, row_factors, rows, stack_of

import coremerge_ref as cm
from coremerge_ref.conformance.definition import merged
from coremerge_ref.testing import THRESHOLD, ratio

TEN = [-1, 2, -3, 4, -5, 6, -7, 8, -9, 10]

# parameters, entries of the one task, what is left of them
EXAMPLES: dict[str, tuple[dict[str, Any], list[float], list[float]]] = {
    "the largest goes, half stays below it": (
        {"density": 0.5, "gamma": 0.1}, TEN, [0, 0, 0, 0, -5, 6, -7, 8, -9, 0],
    ),
    "int(0.1) outliers are none": ({}, TEN, [0, 2, -3, 4, -5, 6, -7, 8, -9, 10]),
    "fewer outliers, so that 8 of 10 can stay": (
        {"density": 0.8, "gamma": 0.6}, TEN, [-1, 2, -3, 4, -5, 6, -7, 8, 0, 0],
    ),
    "density 1 keeps outliers too": ({"density": 1.0, "gamma": 0.5}, TEN, TEN),
    "55 in all, 35 kept": (
        {"density": 0.5, "gamma": 0.1, "rescale": "l1"}, TEN,
        [0, 0, 0, 0, -55 / 7, 66 / 7, -11, 88 / 7, -99 / 7, 0],
    ),
    "nothing kept, nothing to rescale": ({"density": 0.05, "rescale": "l1"}, TEN, [0] * 10),
    "the later is the larger among equals": ({"density": 0.5, "gamma": 0.25}, [1, -1, 1, -1], [0, -1, 1, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_definition(name: str) -> None:
    parameters, entries, expected = EXAMPLES[name]
    found = merged(row_factors(entries), "breadcrumbs", {"breadcrumbs": parameters}, "full")
    assert found[0].tolist() == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("name", EXAMPLES)
def test_by_hand(name: str, backend: Backend) -> None:
    parameters, entries, expected = EXAMPLES[name]
    found = flat(backend, rows(backend, entries), cm.Breadcrumbs(**parameters))
    tasks = [entries]
    assert ratio(found, expected, float(np.abs(tasks).sum()), EPS["float64"]) <= THRESHOLD


def test_what_counts_as_zero_grows_with_the_entries() -> None:
    stack = stack_of([[[1.0, 3.0, 2.0, 0.5]]], [1e-6], (1.0,))
    kept = cm.Breadcrumbs(density=0.5, gamma=0.25, rescale="l1")([stack])[0]
    assert kept.M.tolist() == [[[6.5 / 3, 0.0, 13 / 3, 0.0]]]
    assert kept.rounding_level.tolist() == [6.5e-6 / 3]
