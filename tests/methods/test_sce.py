"""SCE, entry by entry."""

from typing import Any

import numpy as np
import pytest
from backends import EPS, Backend
from examples import flat, row_factors, rows, stack_of

import coremerge_ref as cm
from coremerge_ref.conformance.definition import merged
from coremerge_ref.core.stack import Stack
from coremerge_ref.testing import THRESHOLD, ratio

# parameters, entries of the tasks, merged entries
EXAMPLES: dict[str, tuple[dict[str, Any], list[list[float]], list[float]]] = {
    # squares sum to 35 and 27; the second entry's sum is 0, so the positive one has it
    "weighed by energy": ({}, [[3, 1, 5], [1, -1, 5]], [(35 * 3 + 27 * 1) / 62, 1, 5]),
    # variances 1, 1, 0: one of the two that vary, the first; squares then sum to 9 and 1
    "selected by variance": ({"density": 0.5}, [[3, 1, 5], [1, -1, 5]], [(9 * 3 + 1 * 1) / 10, 0, 0]),
    # variances 1, 1, 1e-400 and 0: two of the three that vary; squares then sum to 10 and 2
    "what varies by less than has a square": (
        {"density": 0.7},
        [[3, 1, 1e-200, 5], [1, -1, 3e-200, 5]],
        [(10 * 3 + 2 * 1) / 12, 1, 0, 0],
    ),
    "the minority is erased": ({}, [[-4, 2], [1, 2], [1, 2]], [-4, 2]),
    "of one task nothing varies": ({"density": 0.9}, [[3, 1, 5]], [0, 0, 0]),
    "one task is itself": ({}, [[3, -1, 5]], [3, -1, 5]),
    # mean squares sum to 1.8e-7 in all: equal shares
    "too small to be weighed": ({"floor": 1e-6}, [[1e-4, 5e-4], [3e-4, -1e-4]], [2e-4, 5e-4]),
    # squares sum to 1 and 3 over 8 entries: their mean is the floor, so they are weighed, not below it
    "at the floor": ({"floor": 0.5}, [[1] + [0] * 7, [1, 1, 1] + [0] * 5], [1, 1, 1] + [0] * 5),
    "below the floor": ({"floor": 0.8}, [[2] + [0] * 7, [1, 0, -1] + [0] * 5], [1.5, 0, -0.5 / 0.8] + [0] * 5),
    # squares sum to 1e8 and 2; where the second task alone has the sign, its share, 2e-8, is divided by 1e-6
    "a share below the floor": ({"floor": 1e-6}, [[1e4, 0], [1, 1]], [(1e12 + 2) / (1e8 + 2), 2e6 / (1e8 + 2)]),
    "zeros": ({}, [[0, 0], [0, 0]], [0, 0]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_definition(name: str) -> None:
    parameters, tasks, expected = EXAMPLES[name]
    found = merged(row_factors(*tasks), "sce", {"sce": parameters}, "full")
    assert found[0].tolist() == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("name", EXAMPLES)
def test_by_hand(name: str, backend: Backend) -> None:
    parameters, tasks, expected = EXAMPLES[name]
    found = flat(backend, rows(backend, *tasks), cm.Sce(**parameters))
    assert ratio(found, expected, float(np.abs(tasks).sum()), EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("density", [0.3, 0.7, 1.0])
def test_each_layer_of_a_batch_is_that_layer(density: float) -> None:
    rng = np.random.default_rng(5)
    factors = [(rng.normal(size=(3, 5, 2)), rng.normal(size=(3, 2, 4))) for _ in range(3)]
    batch = cm.merge([cm.LowRankUpdate(B, A) for B, A in factors], cm.Sce(density), "full").to_dense()
    for at, layer in enumerate(batch):
        alone = cm.merge([(B[at], A[at]) for B, A in factors], cm.Sce(density), "full").to_dense()
        assert ratio(layer, alone, float(np.abs(alone).sum()), EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("stage", [cm.Sce(), cm.Sce(0.5), cm.Sce(0.7, floor=0.3)], ids=str)
def test_each_layer_of_a_batch_is_that_layer_at_its_own_level_and_of_its_own_size(stage: cm.Sce) -> None:
    """The same matrices, of which sums up to 0.5 count as zero in the first layer, and two columns in the last."""
    M = np.round(np.random.default_rng(3).normal(size=(3, 1, 2, 4)), 1) * np.ones((3, 3, 1, 1))
    M[:, 2, :, 2:] = 0.0
    levels, rows, cols = np.asarray([[0.5, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0] * 3]), np.full(3, 2.0), [4.0, 4.0, 2.0]
    found = stage.apply(Stack(M, levels, rows, np.asarray(cols), (1.0,) * 3, (0, 1, 2), ("a", "b", "c"))).M
    for at, n in enumerate((4, 4, 2)):
        alone = stage.apply(stack_of(M[:, at, :, :n], levels[:, at], (1.0,) * 3)).M
        np.testing.assert_allclose(found[at, :, :n], alone, rtol=1e-14)
        assert not found[at, :, n:].any()
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_what_is_selected_is_weighed_by_itself_beside_larger_entries() -> None:
    """Variances 2, 0 and 0.005: half of two are one, with energies 9 and 1 over the floor 0.5 of three entries."""
    M = [[[3.0, 10.0, 0.1]], [[1.0, 10.0, 0.2]]]
    np.testing.assert_allclose(cm.Sce(0.5, floor=0.5).apply(stack_of(M, [0.0, 0.0])).M, [[2.8, 0, 0]], rtol=1e-14)


def test_below_the_floor_shares_are_equal_and_what_is_divided_by_is_no_less_than_it() -> None:
    """Squares sum to 0.14 of 1.6: halves, and 0.8 where one task alone is there."""
    M = [[[0.3, 0.2]], [[0.1, 0.0]]]
    np.testing.assert_allclose(cm.Sce(floor=0.8).apply(stack_of(M, [0.0, 0.0])).M, [[0.2, 0.1 / 0.8]], rtol=1e-14)
