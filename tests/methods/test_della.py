"""DELLA, entry by entry."""

from typing import Any

import numpy as np
import pytest
from backends import EPS, Backend
from examples import flat, row_factors, rows

import coremerge_ref as cm
from coremerge_ref.conformance.definition import merged
from coremerge_ref.testing import THRESHOLD, ratio

MASK = np.array([[[True, False, True, True]]])

# parameters, entries of the one task, what becomes of them under MASK
EXAMPLES: dict[str, tuple[dict[str, Any], list[float], list[float]]] = {
    "10 in all, 8 kept": ({}, [1, -2, 3, 4], [1.25, 0, 3.75, 5]),
    "not rescaled": ({"rescale": "none"}, [1, -2, 3, 4], [1, 0, 3, 4]),
    "kept with probabilities 0.8, 0.4, 0.2, 0.6": (
        {"density": 0.5, "epsilon": 0.3, "rescale": "inverse"}, [4, -2, 1, -3], [5, 0, 5, -5],
    ),
    "the first is the least among equals: 0.2, 0.4, 0.6, 0.8": (
        {"density": 0.5, "epsilon": 0.3, "rescale": "inverse"}, [6, 6, -6, 6], [30, 0, -10, 7.5],
    ),
    "density 1 keeps all": ({"density": 1.0}, [1, -2, 3, 4], [1, -2, 3, 4]),
    "a zero task": ({}, [0, 0, 0, 0], [0, 0, 0, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_definition(name: str) -> None:
    parameters, entries, expected = EXAMPLES[name]
    found = merged(row_factors(entries), "della", {"della": parameters}, "full", masks=MASK)
    assert found[0].tolist() == pytest.approx(expected, rel=1e-15)


def test_definition_of_a_row_of_one_entry() -> None:
    parameters = {"density": 0.25, "epsilon": 0.2, "rescale": "inverse", "masks": np.ones((1, 1, 1), dtype=bool)}
    assert merged(row_factors([3]), "della", {"della": parameters}, "full").item() == 12


def test_definition_without_epsilon_is_dare() -> None:
    rng = np.random.default_rng(0)
    tasks = [(rng.normal(size=(4, 2)), rng.normal(size=(2, 5))) for _ in range(2)]
    della = merged(tasks, "della", {"della": {"density": 0.5, "epsilon": 0.0, "seed": 7, "rescale": "inverse"}}, "full")
    np.testing.assert_array_equal(della, merged(tasks, "dare", {"dare": {"drop": 0.5, "seed": 7}}, "full"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_by_hand(name: str, backend: Backend) -> None:
    parameters, entries, expected = EXAMPLES[name]
    found = flat(backend, rows(backend, entries), cm.Della(masks=MASK, **parameters))
    tasks = [entries]
    assert ratio(found, expected, float(np.abs(tasks).sum()), EPS["float64"]) <= THRESHOLD


def test_without_epsilon_it_is_dare(backend: Backend) -> None:
    tasks = [(np.random.default_rng(t).normal(size=(4, 2)), np.eye(2, 5), 1.0) for t in range(2)]
    options = {"space": "full", "names": None}
    della = cm.merge(backend.updates(tasks), cm.Della(0.5, 0.0, seed=7, rescale="inverse"), **options)
    dare = cm.merge(backend.updates(tasks), cm.Dare(0.5, seed=7), **options)
    np.testing.assert_array_equal(backend.dense(della), backend.dense(dare))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"density": 0.9}, "della.epsilon: expected density ± epsilon within (0, 1) at density 0.9, got 0.15"),
        ({"density": 0.1}, "della.epsilon: expected density ± epsilon within (0, 1) at density 0.1, got 0.15"),
        (
            {"masks": "all"},
            "della.masks: expected a boolean array (T, …, p, q), True where an entry is kept, got 'all'",
        ),
    ],
)
def test_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(cm.ParameterError) as error:
        cm.Della(**parameters)
    assert str(error.value) == message
