"""PCB, entry by entry: settings in which scores are 0 or 1, so that no exponential is left."""

import numpy as np
import pytest
from backends import EPS, Backend
from examples import flat, row_factors, rows, stack_of

import coremerge_ref as cm
from coremerge_ref.conformance.definition import merged
from coremerge_ref.core.stack import Stack
from coremerge_ref.testing import THRESHOLD, ratio

# ratio, entries of the tasks, merged entries
EXAMPLES: dict[str, tuple[float, list[list[float]], list[float]]] = {
    # the largest magnitude becomes the second largest; the least scores 0 in every task, so nothing is there
    "one task, all compete": (1.0, [[1, 2, 3]], [0, 2, 2]),
    "one task, the upper half competes": (0.5, [[1, 2, 3]], [0, 0, 2]),
    "signs stay": (0.5, [[-1, 2, -3]], [0, 0, -2]),
    # sums 0.6, 0.2, 0.8; clamped to 0.2, 0.1, 0.2 and 0.1, 0.1, 0.1; scores e² tanh 0.30, tanh 0.02, e² tanh 0.16 and
    # tanh 0.06, tanh 0.02, tanh 0.48: the first entry wins in the first task, the last in the second
    "each task has its winner": (0.5, [[0.5, 0.1, 0.2], [0.1, 0.1, 0.6]], [0.2, 0, 0.1]),
    "entries that cancel have no part": (1.0, [[1, 2, 4], [-1, 2, 4]], [0, 2, 2]),
    "equal scores": (0.1, [[3]], [3]),
    "a zero task takes no part": (0.1, [[3], [0]], [3]),
    "zeros": (0.1, [[0, 0], [0, 0]], [0, 0]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_definition(name: str) -> None:
    ratio, tasks, expected = EXAMPLES[name]
    found = merged(row_factors(*tasks), "pcb", {"pcb": {"ratio": ratio}}, "full")
    assert found[0].tolist() == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("name", EXAMPLES)
def test_by_hand(name: str, backend: Backend) -> None:
    share, tasks, expected = EXAMPLES[name]
    found = flat(backend, rows(backend, *tasks), cm.Pcb(share))
    assert ratio(found, expected, float(np.abs(tasks).sum()), EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("T", [1, 2, 5])
def test_generic_entries_are_the_definitions(share: float, T: int, numpy_backend: Backend) -> None:
    tasks = np.random.default_rng(T).normal(size=(T, 30)).tolist()
    expected = merged(row_factors(*tasks), "pcb", {"pcb": {"ratio": share}}, "full")[0]
    found = flat(numpy_backend, rows(numpy_backend, *tasks), cm.Pcb(share))
    assert ratio(found, expected.tolist(), float(np.abs(tasks).sum()), EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_each_layer_of_a_batch_is_that_layer_at_its_own_level_and_of_its_own_size(share: float) -> None:
    """The same matrices, of which sums up to 0.2 count as zero in the first layer, and two columns in the last."""
    M = np.round(np.random.default_rng(3).normal(size=(3, 1, 2, 4)), 1) * np.ones((3, 3, 1, 1))
    M[:, 2, :, 2:] = 0.0
    levels, rows, cols = np.asarray([[0.2, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0] * 3]), np.full(3, 2.0), [4.0, 4.0, 2.0]
    batch = Stack(M, levels, rows, np.asarray(cols), (1.0,) * 3, (0, 1, 2), ("a", "b", "c"))
    found = cm.Pcb(share).apply(batch).M
    for at, n in enumerate((4, 4, 2)):
        alone = cm.Pcb(share).apply(stack_of(M[:, at, :, :n], levels[:, at], (1.0,) * 3)).M
        np.testing.assert_allclose(found[at, :, :n], alone, rtol=1e-14)
        assert not found[at, :, n:].any()
    assert np.abs(found[0] - found[1]).max() > 0.01


@pytest.mark.parametrize("other", [0.0, 1.0, -1.0])
def test_of_equal_scores_zeros_have_none(other: float) -> None:
    """The mean of the nonzero ones."""
    found = cm.Pcb(0.1).apply(stack_of([[[3.0]], [[other]]], [0.0, 0.0])).M.item()
    assert found == pytest.approx((3 + other) / 2 if other else 3)
