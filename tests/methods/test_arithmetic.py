"""Task arithmetic and the mean."""

import numpy as np
import pytest
from backends import BACKENDS, Backend
from examples import flat, rows, stack_of
from said import parts

import coremerge_ref as cm

X, Y = [1.0, -2.0, 4.0], [3.0, 5.0, -1.0]
NUMPY = BACKENDS["numpy"]


def test_sum_and_mean(backend: Backend) -> None:
    updates = rows(backend, X, Y)
    assert flat(backend, updates, "ta") == pytest.approx([4.0, 3.0, 3.0], rel=1e-14)
    assert flat(backend, updates, "mean") == pytest.approx([2.0, 1.5, 1.5], rel=1e-14)


def test_weights(backend: Backend) -> None:
    updates = rows(backend, X, Y)
    for given, own in (({"weights": [2, -1]}, None), ({}, (2, -1)), ({"weights": [9, 9]}, (2, -1))):
        assert flat(backend, updates, cm.Ta(own), **given) == pytest.approx([-1.0, -9.0, 9.0], rel=1e-14)
        assert flat(backend, updates, cm.Mean(own), **given) == pytest.approx([-1.0, -9.0, 9.0], rel=1e-14)
    assert flat(backend, updates, "mean", weights=[1, 3]) == pytest.approx([2.5, 3.25, 0.25], rel=1e-14)


def test_mean_of_weights_that_cancel() -> None:
    for method, options in ((cm.Mean((1, -1)), {}), ("mean", {"weights": (1, -1)})):
        with pytest.raises(cm.ParameterError, match=parts("mean: expected … sum … 0 … got (1.0, -1.0)")):
            cm.merge(rows(NUMPY, X, Y), method, **options)


def test_rounding_shrinks_with_the_mean() -> None:
    """The largest of |4| · 0.5 and |−2| · 0.25, over 4 − 2; the same where the sum is −2."""
    for sign in (1, -1):
        weights = (4.0 * sign, -2.0 * sign)
        stack = stack_of(np.ones((2, 1, 3)), [0.5, 0.25], weights)
        assert float(cm.Mean().apply(stack).rounding_level) == 1.0
        assert float(cm.Ta().apply(stack).rounding_level) == 2.0


def test_the_sum_of_the_weights_is_exactly_rounded() -> None:
    """1 + 1e-8 − 1 is 1e-8, not 9.99999994e-9."""
    updates = rows(NUMPY, [1.0, 0.0], [0.0, 1.0], [1.0, 0.0])
    assert flat(NUMPY, updates, "mean", weights=(1, 1e-8, -1)) == [0.0, 1.0]


def test_mean_counts_the_tasks_that_are_there() -> None:
    x, y = rows(NUMPY, X, Y)
    assert flat(NUMPY, [None, x, y], "mean") == pytest.approx([2.0, 1.5, 1.5], rel=1e-14)
    assert flat(NUMPY, [None, x, y], "mean", weights=[7, 1, 3]) == pytest.approx([2.5, 3.25, 0.25], rel=1e-14)
    assert flat(NUMPY, [x, None, y], cm.Ta((2, 100, -1))) == pytest.approx([-1.0, -9.0, 9.0], rel=1e-14)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1], "weights: expected 2 numbers, one a task, got 1"),
        ([1, 2, 3], "weights: expected 2 numbers, one a task, got 3"),
        ([1, np.nan], "weights: expected finite numbers, got"),
        ([1, np.inf], "weights: expected finite numbers, got"),
        (1.0, "weights: expected a sequence of 2 numbers, got 1.0"),
        (["a", 1], "weights: expected a sequence of 2 numbers"),
    ],
)
def test_weights_refused(weights: object, message: str) -> None:
    for method, options in (("ta", {"weights": weights}), (cm.Ta(weights), {}), ("tsv", {"weights": weights})):
        with pytest.raises(cm.ParameterError, match=message):
            cm.merge(rows(NUMPY, X, Y), method, **options)
