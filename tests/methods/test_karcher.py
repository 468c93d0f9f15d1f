"""The Karcher mean: tasks as points on a sphere, where angles can be halved by hand."""

import math
from typing import Any

import numpy as np
import pytest
from backends import EPS, Backend
from examples import flat, row_factors, rows, stack_of
from said import parts

import coremerge_ref as cm
from coremerge_ref.conformance.definition import merged
from coremerge_ref.testing import THRESHOLD, ratio

ROOT = math.sqrt(0.5)
EIGHTH = math.cos(math.pi / 8), math.sin(math.pi / 8)

# parameters, weights, entries of the tasks, merged entries
EXAMPLES: dict[str, tuple[dict[str, Any], list[float], list[list[float]], list[float]]] = {
    "half way between two directions, at their mean length": ({}, [1, 1], [[3, 0], [0, 4]], [3.5 * ROOT, 3.5 * ROOT]),
    # a quarter of the right angle from the first; lengths (3 · 3 + 1 · 4) / 4
    "weights divide the angle": ({}, [3, 1], [[3, 0], [0, 4]], [13 / 4 * EIGHTH[0], 13 / 4 * EIGHTH[1]]),
    "before any step": ({"steps": 0}, [3, 1], [[3, 0], [0, 4]], [13 / 4 * 3 / 10**0.5, 13 / 4 / 10**0.5]),
    "a task of weight 0 has no part": ({}, [1, 0], [[3, 0], [0, 4]], [3, 0]),
    "a zero task shortens": ({}, [1, 1], [[3, 0], [0, 0]], [1.5, 0]),
    "opposite to the first, which does not move": ({}, [1, 1], [[2, 0], [-4, 0]], [3, 0]),
    "one task is itself": ({}, [2], [[3, -4]], [3, -4]),
    "the same direction twice": ({}, [1, 1], [[1, 2], [2, 4]], [1.5, 3]),
    "three axes": ({}, [1, 1, 1], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], [1 / 3**0.5] * 3),
    "zeros": ({}, [1, 1], [[0, 0], [0, 0]], [0, 0]),
    # half their sum, of length 0.2, is where the steps begin, unless that is tol or less: then the first is
    "a mean longer than tol": ({"tol": 0.1, "steps": 0}, [1, 1], [[1, 0], [-0.92, 0.1536**0.5]], [0.2, 0.96**0.5]),
    "a mean shorter than tol": ({"tol": 0.3, "steps": 0}, [1, 1], [[1, 0], [-0.92, 0.1536**0.5]], [1, 0]),
    "shorter than tol": ({"tol": 0.5}, [1, 1], [[0.25, 0], [0, 4]], [0, 2.125]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_definition(name: str) -> None:
    parameters, weights, tasks, expected = EXAMPLES[name]
    found = merged(row_factors(*tasks), "karcher", {"karcher": parameters}, "full", weights=weights)
    assert found[0].tolist() == pytest.approx(expected, rel=1e-15, abs=1e-15)


@pytest.mark.parametrize("name", EXAMPLES)
def test_by_hand(name: str, backend: Backend) -> None:
    parameters, weights, tasks, expected = EXAMPLES[name]
    found = flat(backend, rows(backend, *tasks), cm.Karcher(**parameters), weights=weights)
    assert ratio(found, expected, float(np.abs(tasks).sum()), EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("weights", [[1, -1], [0, 0]])
def test_weights_refused(weights: list[float], backend: Backend) -> None:
    with pytest.raises(cm.ParameterError, match=parts("karcher: expected weights … 0 … got (")):
        cm.merge(rows(backend, [3, 0], [0, 4]), "karcher", weights=weights)


def test_the_mean_of_a_triangle_is_where_no_step_leads_on(backend: Backend) -> None:
    """After many steps the logarithms of the points cancel: the defining property of the Karcher mean."""
    points = np.random.default_rng(1).normal(size=(3, 5))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    mean = np.array(flat(backend, rows(backend, *points), cm.Karcher(steps=200)))
    cosines = points @ mean
    pulls = (np.arccos(cosines) / np.sqrt(1 - cosines**2))[:, None] * (points - cosines[:, None] * mean)
    assert ratio(pulls.sum(axis=0), np.zeros(5), 3.0, EPS["float64"]) <= THRESHOLD
    assert ratio(np.linalg.norm(mean), 1.0, 1.0, EPS["float64"]) <= THRESHOLD


def test_the_level_below_which_entries_of_the_mean_count_as_zero_is_that_of_a_sum() -> None:
    """c_1 = 3.5 √½ / 3 and c_2 = 3.5 √½ / 4."""
    merged = cm.Karcher().apply(stack_of([[[3.0, 0.0]], [[0.0, 4.0]]], [0.03, 0.08]))
    assert float(merged.rounding_level) == pytest.approx(3.5 * ROOT * 0.02)


STEPS: dict[str, tuple[float, tuple[float, float], float]] = {
    "a first step of π/8 − atan(1/3) = 0.0709 is one": (0.07, (3.0, 1.0), math.pi / 8),
    "a first step of 0.0709 is none": (0.071, (3.0, 1.0), math.atan2(1, 3)),
    # 0.24498 from the first, so that the other alone pulls, by a fifth of 1.3258, and then what both do is too little
    "what is nearer than tol does not pull": (0.25, (4.0, 1.0), math.atan2(1, 4) + math.atan2(4, 1) / 5),
    # (2, 1) is 0.745 of 3 long, shorter than tol, so that steps begin at the first: a third of π/2 at once
    "a short sum begins at the first": (0.75, (2.0, 1.0), 0.0),
    "a long sum begins where it points": (0.70, (2.0, 1.0), math.atan2(1, 2)),
}


@pytest.mark.parametrize("name", STEPS)
def test_tol_stops_the_steps(name: str) -> None:
    tol, weights, angle = STEPS[name]
    M = cm.Karcher(tol=tol).apply(stack_of([[[4.0, 0.0]], [[0.0, 4.0]]], [0.0, 0.0], weights)).M
    np.testing.assert_allclose(M, [[4 * math.cos(angle), 4 * math.sin(angle)]], atol=1e-12)


@pytest.mark.parametrize(("level", "tol"), [(0.5, 0.0), (0.0, 0.5)])
def test_a_task_exactly_as_long_as_the_level_is_no_point(level: float, tol: float) -> None:
    M = cm.Karcher(tol=tol).apply(stack_of([[[0.5, 0.0]], [[0.0, 4.0]]], [level, level])).M
    np.testing.assert_allclose(M, [[0.0, 2.25]])


def test_settings_that_are_none_are_refused() -> None:
    with pytest.raises(cm.ParameterError, match=r"steps.*an integer of at least 0.*-1"):
        cm.Karcher(steps=-1)
    with pytest.raises(cm.ParameterError, match=r"tol"):
        cm.Karcher(tol=1.5)
    assert not cm.Karcher(steps=0).expected_failures
    assert set(cm.Karcher(tol=0.1).expected_failures) == {"check_scaling"}
