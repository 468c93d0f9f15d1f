"""Errors through scalar-weighted sums: the sum and the mean."""

from typing import Any

import numpy as np
import pytest
from carrying import carried, errors_of, moved
from examples import stack_of

import coremerge_ref as cm

M = np.asarray([[[3.0, 0.0], [0.0, 4.0]], [[0.0, -1.0], [2.0, 0.0]]])
E = np.asarray([[[0.1, 0.2], [0.3, 0.4]], [[0.5, 0.0], [0.7, 0.8]]])


@pytest.mark.parametrize("method", [cm.Ta, cm.Mean])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, -0.5), (2.0, 0.0), (-1.0, -3.0)])
def test_an_entry_is_off_by_what_moving_all_tasks_does(method: Any, weights: tuple[float, float]) -> None:
    errors, _ = carried(method(), M, E, weights=weights)
    np.testing.assert_allclose(errors.entry, moved(method(), M, E, weights, by_task=True), rtol=1e-9)
    assert not errors.doubts
    assert int(errors.rank) == np.count_nonzero(weights)


@pytest.mark.parametrize(("method", "total"), [(cm.Ta, 1.0), (cm.Mean, 2.5)])
def test_norms_of_errors_add_up(method: Any, total: float) -> None:
    """3 · 0.01 and 1/2 · 0.02. Tasks of norm 5 and √5 are summed, thrice the one and half the other."""
    errors, after = carried(method(), M, E, weights=(3.0, -0.5), delta=np.asarray([0.01, 0.02]))
    assert float(errors.delta) == pytest.approx(0.04 / total)
    assert (errors.entry <= 0.04 / total * (1 + 1e-12)).all()
    (margin,) = errors.margins
    share = np.linalg.norm([[9.0, 0.5], [-1.0, 12.0]]) / (15 + 5**0.5 / 2)
    assert (margin.stage, margin.what, margin.task) == (method.name, "size of the sum relative to its terms", None)
    assert margin.value == pytest.approx(share)
    assert margin.amplifies == pytest.approx(1 / share)
    np.testing.assert_allclose(after, np.asarray([[9.0, 0.5], [-1.0, 12.0]]) / total)


def test_arithmetic_rounds_every_term_once_and_the_sum_once_a_term() -> None:
    """Of two terms 2 / 2 + 1 units, of 3 |M_1| and 1/2 |M_2|; their norms are 5 and √5."""
    fine = np.asarray([0.01, 0.02])
    errors, _ = carried(cm.Ta(), M, E, weights=(3.0, -0.5), name="compute", eps=1e-3)
    np.testing.assert_allclose(errors.entry, 3 * E[0] + E[1] / 2 + 2e-3 * np.asarray([[9.0, 0.5], [1.0, 12.0]]))
    errors, _ = carried(cm.Ta(), M, E, weights=(3.0, -0.5), name="compute", eps=1e-3, delta=fine)
    assert float(errors.delta) == pytest.approx(0.04 + 2e-3 * (15 + 5**0.5 / 2))
    three = np.concatenate([M, M[:1]])
    errors, _ = carried(cm.Ta(), three, np.zeros(three.shape), name="compute", eps=1e-3, delta=np.zeros(3))
    assert float(errors.delta) == pytest.approx(2.5e-3 * (10 + 5**0.5))


def test_of_a_task_without_weight_nothing_is_infinite() -> None:
    infinite = np.asarray([E[0], np.full((2, 2), np.inf)])
    errors, _ = carried(cm.Ta(), M, infinite, weights=(2.0, 0.0), delta=np.asarray([0.5, np.inf]))
    np.testing.assert_allclose(errors.entry, 2 * E[0])
    assert float(errors.delta) == 1.0


def test_nothing_relative_to_nothing_is_whole_and_to_something_infinitely_off() -> None:
    for of_tasks, value, amplifies in ((np.zeros((2, 2, 2)), 1.0, 1.0), (np.stack([M[0], -M[0]]), 0.0, np.inf)):
        errors, _ = carried(cm.Ta(), of_tasks, E)
        assert [(m.value, m.amplifies) for m in errors.margins] == [(value, amplifies)]


def test_factors_and_what_was_not_divided_are_summed_as_well() -> None:
    L = [np.asarray([[1.0], [2.0]]), np.asarray([[3.0], [4.0]])]
    R, b, a = np.asarray([[5.0], [6.0]]), np.asarray([0.1]), np.asarray([0.2])
    undivided = (np.asarray([0.01, 0.02]), E)
    errors, _ = carried(
        cm.Ta(), M, E, weights=(3.0, -0.5), factors=[(X, R, b, a) for X in L], undivided=undivided
    )  # fmt: skip
    left, right, of_left, of_right = errors.factors
    np.testing.assert_allclose(np.abs(left), [[3.0, 1.5], [6.0, 2.0]])
    np.testing.assert_allclose(right, [[5.0, 5.0], [6.0, 6.0]])
    np.testing.assert_allclose(of_left, [0.3, 0.05])
    np.testing.assert_allclose(of_right, [0.2, 0.2])
    delta, entry = errors.undivided
    assert float(delta) == pytest.approx(0.04)
    np.testing.assert_allclose(entry, 3 * E[0] + E[1] / 2)
    errors, _ = carried(cm.Ta(), M, E)
    assert (errors.factors, errors.undivided) == (None, None)


def test_the_mean_divides_by_the_sum_of_the_weights_it_is_given() -> None:
    assert cm.Mean().coefficients((1.0, 3.0)) == (0.25, 0.75)
    np.testing.assert_allclose(cm.Mean().coefficients(np.asarray([1.0, 3.0])), [0.25, 0.75])
    assert cm.Ta().coefficients((1.0, 3.0)) == (1.0, 3.0)
    for weights in ((1.0, -1.0), np.asarray([1.0, -1.0])):
        with pytest.raises(cm.ParameterError) as error:
            cm.Mean().coefficients(weights)
        assert str(error.value) == f"mean: expected weights that do not sum to 0, got {weights}; use ta instead"


def test_a_sum_and_a_mean_keep_what_counts_as_zero_and_live_sizes() -> None:
    stack = stack_of(M, [0.5, 0.25], (4.0, -2.0))
    for method, level in ((cm.Ta(), 2.0), (cm.Mean(), 1.0)):
        merged = method([stack])[0]
        assert float(merged.rounding_level) == level
        assert (float(merged.rows), float(merged.cols)) == (2.0, 2.0)
    errors = errors_of(E)
    (found,) = cm.Mean().propagate([errors], [stack], cm.Mean()([stack]))
    assert found is errors
