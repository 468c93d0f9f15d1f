"""Stacks by hand: weights, sizes, rounding, and singular triplets with and without the factors."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from backends import BACKENDS, EPS, Backend

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.stack import Merged, Products, Stack, as_array, check_weights, chosen_weights, exact_total
from coremerge_ref.errors import DTypeError, NonFiniteError, ParameterError
from coremerge_ref.testing import THRESHOLD, ratio

NUMPY = BACKENDS["numpy"]
M = np.arange(1.0, 13.0).reshape(2, 2, 3)  # two tasks, 2 × 3
NOISE = np.array([0.5, 0.25])


def stack(backend: Backend = NUMPY, **changes: Any) -> Stack:
    """Tasks 0 and 2 of three, with weights 2 and −3."""
    sizes = (backend.array(2.0), backend.array(3.0))
    given = Stack(backend.array(M), backend.array(NOISE), *sizes, (2.0, -3.0), (0, 2), ("q",))
    return replace(given, **changes)


def product_stack(backend: Backend, factors: Any, **changes: Any) -> Stack:
    """The stack of these products, which knows its factors."""
    given = [(backend.array(L), backend.array(R)) for L, R in factors]
    M = backend.array(np.stack([L @ R for L, R in factors]))
    return stack(backend, M=M, products=Products(M, given), **changes)


def test_sizes(backend: Backend) -> None:
    assert (stack().T, float(stack(backend).short_side)) == (2, 2.0)
    sizes = stack(backend, rows=backend.array([3.0, 1.0]), cols=backend.array([2.0, 4.0]))
    np.testing.assert_array_equal(backend.host(sizes.short_side), [2.0, 1.0])


def test_weights_multiply_each_task(backend: Backend) -> None:
    np.testing.assert_array_equal(backend.host(stack(backend).weigh()), [[[2.0]], [[-3.0]]])
    found = product_stack(backend, [(X, np.eye(3)) for X in M]).weighted()
    expected = [2 * M[0], -3 * M[1]]
    np.testing.assert_array_equal(backend.host(found.M), expected)
    np.testing.assert_array_equal(backend.host(found.rounding_level), [1.0, 0.75])
    assert found.weights == (1.0, 1.0)
    assert found.products is not None
    assert found.products.M is found.M  # so that it has them
    for (L, R), X in zip(found.products.factors, expected, strict=True):
        np.testing.assert_array_equal(backend.host(L), X)
        np.testing.assert_array_equal(backend.host(R), np.eye(3))
    assert stack(backend).weighted().products is None


def test_weights_of_a_batch_multiply_each_task(backend: Backend) -> None:
    batch = stack(backend, M=backend.array([[X, X] for X in M]), rounding_level=backend.array([[0.5, 1], [2, 3]]))
    assert batch.weigh().shape == (2, 1, 1, 1)
    np.testing.assert_array_equal(backend.host(batch.weighted().M), [[2 * M[0]] * 2, [-3 * M[1]] * 2])
    np.testing.assert_array_equal(backend.host(batch.weighted().rounding_level), [[1, 2], [6, 9]])


def test_weights_of_one_change_nothing() -> None:
    given = stack(weights=(1.0, 1.0))
    assert given.weighted() is given
    assert stack(weights=(1.0, 2.0)).weighted().M[1, 0, 0] == 2 * M[1, 0, 0]


def test_weights_of_the_tasks_that_are_there(backend: Backend) -> None:
    assert chosen_weights((5.0, 6.0, 7.0), (0, 2)) == (5.0, 7.0)
    np.testing.assert_array_equal(backend.host(chosen_weights(backend.array([5.0, 6.0, 7.0]), (0, 2))), [5.0, 7.0])


@pytest.mark.parametrize("weights", [(1.0, 1e-8, -1.0), (0.1,) * 10, (1e16, 1.0, -1e16), (1.0, 2.0)])
def test_the_total_weight_is_exactly_rounded(backend: Backend, weights: tuple[float, ...]) -> None:
    exact = float(sum(map(Fraction, weights)))
    assert exact_total(weights) == exact
    if backend.name != "numpy":  # whose arrays are taken as numbers
        assert float(exact_total(backend.array(weights))) == exact


def test_other_entries_are_no_products_any_more() -> None:
    given = product_stack(NUMPY, [(X, np.eye(3)) for X in M])
    assert given.with_entries(M + 1).products is None
    np.testing.assert_array_equal(given.with_entries(M + 1).M, M + 1)
    np.testing.assert_array_equal(given.with_entries(M + 1).rounding_level, NOISE)
    np.testing.assert_array_equal(given.with_entries(M, 2 * NOISE).rounding_level, 2 * NOISE)


def test_factors_of_other_entries_are_not_used() -> None:
    """Whatever way the entries were replaced, and whatever is done to them afterwards."""
    given = replace(product_stack(NUMPY, [(X, np.eye(3)) for X in M]), rounding_level=np.zeros(2))
    changed = replace(given, M=0 * given.M)
    for item in (changed, changed.weighted(), replace(changed, rows=np.asarray(1.0))):
        assert not np.any(item.leading(np.asarray(2.0)).S)


def test_rounding_of_the_result_is_the_largest_of_any_weighted_task(backend: Backend) -> None:
    """|2| · 0.5 = 1 and |−3| · 0.25 = 0.75."""
    found = stack(backend).merged(backend.array(M[0]), 4.0, k=7)
    assert isinstance(found, Merged)
    assert (float(found.rounding_level), float(found.rows), float(found.cols), found.info) == (4.0, 2, 3, {"k": 7})
    assert float(stack(backend).merged(backend.array(M[0])).rounding_level) == 1.0
    batch = stack(
        backend, M=backend.array(np.stack([M, M], axis=1)), rounding_level=backend.array([[0.5, 1], [2, 0.25]])
    )
    np.testing.assert_array_equal(backend.host(batch.merged(backend.array(M)).rounding_level), [6.0, 2.0])
    noisy = stack(backend, rounding_level=backend.array([0.5, 0.75]))
    assert float(noisy.merged(backend.array(M[0]), 4.0).rounding_level) == 9.0  # 4 · 3 · 0.75


@pytest.mark.parametrize("ranks", [(1, 1), (2, 2), (1, 3), (3, 2), (0, 2), (5, 7)])
@pytest.mark.parametrize("known", [True, False])
def test_leading_triplets_are_singular(backend: Backend, ranks: tuple[int, int], known: bool) -> None:
    """Whether the factors are known or not: P S Qᵀ = M_t, S is that of an SVD, live vectors are orthonormal."""
    rng = np.random.default_rng(3)
    factors = [(rng.standard_normal((6, r)), rng.standard_normal((r, 5))) for r in ranks]
    matrices = np.stack([L @ R for L, R in factors])
    level = backend.array([1e-13, 1e-13])
    given = product_stack(backend, factors, rounding_level=level)
    found = (given if known else given.with_entries(given.M)).leading(backend.array(5.0))
    P, S, Q = (backend.host(x) for x in (found.P, found.S, found.Q))
    for t, r in enumerate(min(r, 5) for r in ranks):
        scale = float(np.linalg.norm(matrices[t])) or 1.0
        assert ratio((P[t] * S[t]) @ Q[t].T, matrices[t], scale, EPS["float64"]) <= THRESHOLD
        assert ratio(S[t, :r], np.linalg.svd(matrices[t], compute_uv=False)[:r], scale, EPS["float64"]) <= THRESHOLD
        assert not np.any(S[t, r:])
        for X in (P, Q):
            assert ratio(X[t, :, :r].T @ X[t, :, :r], np.eye(r), 1.0, EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize(
    ("ranks", "columns"), [((0, 1), 1), ((1, 3), 3), ((3, 2), 3), ((5, 7), 5), ((1, 9), 5), ((2, 2), 2)]
)
@pytest.mark.parametrize("graded", [False, True])
def test_triplets_are_as_many_as_the_largest_rank(
    ranks: tuple[int, int], columns: int, graded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And found as the products say that they are, whether these are of one rank or not."""
    rng, seen, of_product = np.random.default_rng(3), [], linalg.product_svd

    def watched(L: Any, R: Any, graded: bool = False) -> Any:
        seen.append(graded)
        return of_product(L, R, graded)

    monkeypatch.setattr(linalg, "product_svd", watched)
    given = product_stack(NUMPY, [(rng.standard_normal((6, r)), rng.standard_normal((r, 5))) for r in ranks])
    assert given.products is not None
    given = replace(given, products=replace(given.products, graded=graded), rounding_level=np.zeros(2))
    found = given.leading(np.asarray(9.0))
    assert (found.P.shape, found.S.shape, found.Q.shape) == ((2, 6, columns), (2, columns), (2, 5, columns))
    assert seen == [graded] * (1 if ranks[0] == ranks[1] else 2)


def test_weights_that_lead_out_of_the_range_are_said_to() -> None:
    said = "weights times updates: expected numbers within the range of float64, got some beyond it or too small"
    for unit, weights in ((1e200, (1.0, 1e200)), (1e-155, (1e-155, 1.0))):
        with arrays.overflow_checked(), pytest.raises(NonFiniteError, match=f"^{said} for their digits; scale the i"):
            stack(M=unit * M, weights=weights).weighted()


@pytest.mark.parametrize("tasks", [1, 3])
def test_weights_are_one_finite_number_a_task(backend: Backend, tasks: int) -> None:
    """Python's numbers become floats; arrays of other libraries stay what they are."""
    plain = [2, -0.5, Fraction(1, 4)][:tasks]
    for given in (plain, tuple(plain), np.array(plain, float), iter(plain)):
        found = check_weights(given, tasks)
        assert (found, {type(w) for w in found}) == ((2.0, -0.5, 0.25)[:tasks], {float})  # type: ignore[union-attr]
    for given, said in (
        ([1.0] * (tasks + 1), f"weights: expected {tasks} numbers, one a task, got {tasks + 1}"),
        ("ab", f"weights: expected a sequence of {tasks} numbers, got 'ab'"),
        (3, f"weights: expected a sequence of {tasks} numbers, got 3"),
        ([np.inf] * tasks, f"weights: expected finite numbers, got {(np.inf,) * tasks}"),
    ):
        with pytest.raises(ParameterError) as caught:
            check_weights(given, tasks)
        assert str(caught.value) == said
    if isinstance(backend.array(1.0), np.ndarray):
        return
    array = backend.array(np.ones(tasks), "float32")
    assert check_weights(array, tasks) is array
    for shape in ((tasks + 1,), (tasks, 1), ()):
        with pytest.raises(ParameterError) as caught:
            check_weights(backend.array(np.ones(shape)), tasks)
        assert str(caught.value) == f"weights: expected {tasks} numbers, one a task, got an array of shape {shape}"
    with pytest.raises(NonFiniteError, match=r"^weights: expected finite numbers, got NaN or Inf; find out"):
        check_weights(backend.array(np.append(np.ones(tasks - 1), np.nan)), tasks)
    with pytest.raises(DTypeError, match=r"^weights: expected one of .*float64, got .*bool; cast it first$"):
        check_weights(backend.array(np.ones(tasks)) > 0, tasks)


def test_weights_as_arrays_have_the_dtype_of_what_they_multiply(backend: Backend) -> None:
    like = backend.array(1.0, "float32")
    for weights in ((2.0, -3.0), backend.array([2.0, -3.0])):
        for ndim, shape in ((1, (2,)), (2, (2, 1)), (4, (2, 1, 1, 1))):
            found = as_array(weights, like, ndim)
            assert (tuple(found.shape), "float32" in str(found.dtype)) == (shape, True)
            np.testing.assert_array_equal(backend.host(found).ravel(), [2.0, -3.0])
        assert tuple(as_array(weights, like).shape) == (2,)
