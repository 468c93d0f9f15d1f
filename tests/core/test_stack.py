"""Stacks by hand: weights, sizes, rounding, and singular triplets with and without the factors."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from backends import BACKENDS, EPS, Backend

from coremerge_ref.core.stack import Merged, Stack, smaller, whole
from coremerge_ref.testing import THRESHOLD, ratio

NUMPY = BACKENDS["numpy"]
M = np.arange(1.0, 13.0).reshape(2, 2, 3)  # two tasks, 2 × 3
NOISE = np.array([0.5, 0.25])


def stack(backend: Backend = NUMPY, **changes: Any) -> Stack:
    """Tasks 0 and 2 of three, with weights 2 and −3."""
    given = Stack(backend.array(M), backend.array(NOISE), 2, 3, 1e-15, (2.0, -3.0), (0, 2), 3, ("q",))
    return replace(given, **changes)


def test_sizes() -> None:
    assert (stack().T, stack().least, stack(rows=3, cols=1).least) == (2, 2, 1)


def test_weights_multiply_each_task(backend: Backend) -> None:
    np.testing.assert_array_equal(backend.host(stack(backend).weigh()), [[[2.0]], [[-3.0]]])
    found = stack(backend, products=[(backend.array(X), backend.array(np.eye(3))) for X in M]).weighted()
    expected = [2 * M[0], -3 * M[1]]
    np.testing.assert_array_equal(backend.host(found.M), expected)
    np.testing.assert_array_equal(backend.host(found.noise), [1.0, 0.75])
    assert found.weights == (1.0, 1.0)
    for (L, R), X in zip(found.products or [], expected, strict=True):
        np.testing.assert_array_equal(backend.host(L), X)
        np.testing.assert_array_equal(backend.host(R), np.eye(3))
    assert stack(backend).weighted().products is None


def test_weights_of_a_batch_multiply_each_task(backend: Backend) -> None:
    batch = stack(backend, M=backend.array([[X, X] for X in M]), noise=backend.array([[0.5, 1], [2, 3]]))
    assert batch.weigh().shape == (2, 1, 1, 1)
    np.testing.assert_array_equal(backend.host(batch.weighted().M), [[2 * M[0]] * 2, [-3 * M[1]] * 2])
    np.testing.assert_array_equal(backend.host(batch.weighted().noise), [[1, 2], [6, 9]])


def test_weights_of_one_change_nothing() -> None:
    given = stack(weights=(1.0, 1.0))
    assert given.weighted() is given
    assert stack(weights=(1.0, 2.0)).weighted().M[1, 0, 0] == 2 * M[1, 0, 0]


def test_own_weights_are_one_for_each_task_of_the_call() -> None:
    assert stack().reweighted([5, 6, 7]).weights == (5.0, 7.0)
    assert stack().reweighted(None).weights == (2.0, -3.0)


def test_other_entries_are_no_products_any_more() -> None:
    given = stack(products=[(X, np.eye(3)) for X in M])
    assert given.with_entries(M + 1).products is None
    np.testing.assert_array_equal(given.with_entries(M + 1).M, M + 1)
    np.testing.assert_array_equal(given.with_entries(M + 1).noise, NOISE)
    np.testing.assert_array_equal(given.with_entries(M, 2 * NOISE).noise, 2 * NOISE)


def test_rounding_of_the_result_is_the_largest_of_any_weighted_task(backend: Backend) -> None:
    """|2| · 0.5 = 1 and |−3| · 0.25 = 0.75."""
    found = stack(backend).merged(backend.array(M[0]), 4.0, k=7)
    assert isinstance(found, Merged)
    assert (float(found.noise), found.rows, found.cols, found.info) == (4.0, 2, 3, {"k": 7})
    assert float(stack(backend).merged(backend.array(M[0])).noise) == 1.0


@pytest.mark.parametrize("ranks", [(1, 1), (2, 2), (1, 3), (3, 2)])
@pytest.mark.parametrize("rtol", [1e-15, -1.0])
@pytest.mark.parametrize("known", [True, False])
def test_triplets_are_singular(backend: Backend, ranks: tuple[int, int], rtol: float, known: bool) -> None:
    """Whether the factors are known or not: P S Qᵀ = M_t, S is that of an SVD, live vectors are orthonormal."""
    rng = np.random.default_rng(3)
    factors = [(rng.standard_normal((6, r)), rng.standard_normal((r, 5))) for r in ranks]
    matrices = np.stack([L @ R for L, R in factors])
    products = [(backend.array(L), backend.array(R)) for L, R in factors] if known else None
    P, S, Qh = (
        backend.host(x) for x in stack(backend, M=backend.array(matrices), rtol=rtol, products=products).triplets()
    )
    s = max(ranks) if known and rtol > 0 else 5
    assert (P.shape, S.shape, Qh.shape) == ((2, 6, s), (2, s), (2, s, 5))
    for t, r in enumerate(ranks):
        scale = float(np.linalg.norm(matrices[t]))
        assert ratio((P[t] * S[t]) @ Qh[t], matrices[t], scale, EPS["float64"]) <= THRESHOLD
        assert ratio(S[t], np.linalg.svd(matrices[t], compute_uv=False)[:s], scale, EPS["float64"]) <= THRESHOLD
        assert ratio(P[t, :, :r].T @ P[t, :, :r], np.eye(r), 1.0, EPS["float64"]) <= THRESHOLD
        assert ratio(Qh[t, :r] @ Qh[t, :r].T, np.eye(r), 1.0, EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("rank", [0, 5, 7])
def test_triplets_of_factors_that_save_nothing_are_those_of_the_matrix(rank: int) -> None:
    products = [(np.ones((6, rank)), np.ones((rank, 5)))] * 2
    given = stack(M=np.stack([L @ R for L, R in products]), products=products)
    assert [x.shape for x in given.triplets()] == [(2, 6, 5), (2, 5), (2, 5, 5)]


def test_smaller_of_numbers_and_arrays(backend: Backend) -> None:
    sizes = backend.array([1.0, 4.0])
    assert smaller(2, 3) == smaller(3, 2) == 2
    for found in (smaller(2, sizes), smaller(sizes, 2), smaller(sizes, backend.array([2.0, 2.0]))):
        np.testing.assert_array_equal(backend.host(found), [1.0, 2.0])


@pytest.mark.parametrize(("rounding", "function"), [("floor", math.floor), ("ceil", math.ceil), ("round", round)])
def test_whole_numbers_are_those_of_python(backend: Backend, rounding: str, function: Any) -> None:
    values = [0.0, 0.4, 0.5, 1.5, 2.5, 2.6, 3.0]
    assert [whole(v, rounding) for v in values] == [function(v) for v in values]
    assert all(type(whole(v, rounding)) is int for v in [*values, 3])
    np.testing.assert_array_equal(backend.host(whole(backend.array(values), rounding)), [function(v) for v in values])


def test_whole_numbers_are_rounded_down_if_nothing_is_said(backend: Backend) -> None:
    assert whole(2.9) == 2
    assert float(whole(backend.array(2.9))) == 2.0
