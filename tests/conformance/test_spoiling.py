"""Answers that are no merge of the case's kind: factors summed apart, averages, and results cut at the end."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from coremerge_ref.conformance import cases, spoiling
from coremerge_ref.conformance.questions import Case

CASE = cases("ta/core/generic")[0]


def case_of(*scalings: float, weights: tuple[float, ...] | None = None, dtype: type = np.float64) -> Case:
    """Tasks of one column and one row: B_t = (t + 1, 1), A_t = (1, t, 0)."""
    updates = [
        (np.array([[t + 1], [1]], dtype=dtype), np.array([[1, t, 0]], dtype=dtype), s) for t, s in enumerate(scalings)
    ]
    return replace(CASE, updates=updates, params={"ta": {} if weights is None else {"weights": list(weights)}})


# weights 4 and -1 of tasks scaled by 9 and 4; factors of A and of B
SHARES = {
    "factors-apart-roots": ((6, -2), (6, 2)),
    "factors-apart-weight-on-both": ((4, -1), (36, -4)),
    "factors-apart-all-on-both": ((36, -4), (36, -4)),
    "factors-apart-all-on-b": ((1, 1), (36, -4)),
    "factors-apart-unscaled": ((4, -1), (4, -1)),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16], ids=lambda t: t.__name__)
@pytest.mark.parametrize("name", spoiling.SHARES)
def test_factors_are_summed_apart_in_float64(name: str, dtype: type) -> None:
    (x, y), (u, v) = SHARES[name]
    left, right = [u * 1 + v * 2, u + v], [x + y, y, 0]
    found = spoiling.factors_apart(spoiling.SHARES[name])(case_of(9.0, 4.0, weights=(4.0, -1.0), dtype=dtype))
    assert found.dtype == np.float64
    assert found.tolist() == np.outer(left, right).tolist()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=lambda t: t.__name__)
def test_narrow_factors_are_widened_before_they_are_multiplied(dtype: type) -> None:
    share = 1 + 2.0**-20
    found = spoiling.factors_apart(lambda w, s: (share, share))(case_of(1.0, 1.0, dtype=dtype))
    assert found.tolist() == (share**2 * np.outer([3, 2], [2, 1, 0])).tolist()


def test_shares_are_rounded_to_the_type_that_holds_them() -> None:
    apart = spoiling.factors_apart(lambda w, s: (w, s), np.float32)
    found = apart(case_of(0.1, 0.2, weights=(1.0, 1.0)))
    b, c = float(np.float32(0.1)), float(np.float32(0.2))
    assert found.tolist() == np.outer([b + 2 * c, b + c], [2, 1, 0]).tolist()


def test_weights_are_one_where_the_case_has_none() -> None:
    apart = spoiling.factors_apart(lambda w, s: (w, s))
    assert apart(case_of(2.0, 3.0)).tolist() == np.outer([8, 5], [2, 1, 0]).tolist()


def test_factors_of_one_task_or_of_several_ranks_are_not_summed_apart() -> None:
    apart = spoiling.factors_apart(lambda w, s: (1, 1))
    assert apart(case_of(2.0)) is None
    (B, A, s), other = case_of(2.0, 3.0).updates
    wide = (np.hstack([B, B]), np.vstack([A, A]), s)
    assert apart(replace(CASE, updates=[wide, other], params={})) is None
    assert spoiling.factors_averaged_apart(case_of(2.0)) is None


def test_averages_apart_are_the_sum_of_b_times_the_mean_of_a_without_weights() -> None:
    found = spoiling.factors_averaged_apart(case_of(2.0, 3.0, weights=(5.0, 7.0)))
    assert found.tolist() == np.outer([8, 5], [1, 0.5, 0]).tolist()


def test_the_mean_of_the_updates_is_given_whatever_the_method() -> None:
    case = case_of(2.0, 4.0, weights=(5.0, 7.0), dtype=np.float16)
    mean = np.array([[5, 4, 0], [3, 2, 0]])  # of 2 (1, 1)ᵀ (1, 0, 0) and 4 (2, 1)ᵀ (1, 1, 0)
    assert spoiling.averaged(case).tolist() == mean.tolist()
    for drop, expected in ((0, mean.tolist()), (0.5, None)):
        found = spoiling.undropped(replace(case, params={"drm": {"drop": drop}}))
        assert (found if found is None else found.tolist()) == expected
    assert spoiling.undropped(case) is None


def test_a_single_task_is_given_back_as_it_is() -> None:
    assert spoiling.single_task_returned(case_of(2.0, 4.0)) is None
    assert spoiling.single_task_returned(case_of(2.0, weights=(5.0,))).tolist() == [[2, 0, 0], [2, 0, 0]]


def test_tiny_factors_are_taken_for_zero_and_zeros_are_not() -> None:
    (B, A, s), other = case_of(1.0, 1.0).updates
    for factor, taken in ((1e-31, True), (1e-29, False), (0.0, False)):
        for tiny in ((factor * B, A, s), (B, factor * A, s)):
            found = spoiling.small_taken_for_zero(replace(CASE, updates=[tiny, other]))
            assert (found is not None) is taken
            assert found is None or (found.shape == (2, 3) and not found.any())


def test_a_result_is_cut_to_the_largest_rank_of_a_task() -> None:
    case = case_of(1.0, 1.0)
    X = np.array([[0, 3.0, 0], [0, 0, 2.0]])
    np.testing.assert_allclose(spoiling.truncated(X, case), [[0, 3, 0], [0, 0, 0]], atol=1e-15)
    (B, A, s), other = case.updates
    wide = replace(case, updates=[(np.hstack([B, B]), np.vstack([A, A]), s), other])
    np.testing.assert_allclose(spoiling.truncated(X, wide), X, atol=1e-15)


def test_results_beyond_a_type_are_infinite_and_below_it_zero_without_a_warning() -> None:
    X = np.array([1e300, -1e300, 1e-300, 1 / 3])
    with np.errstate(all="raise"):
        for dtype in (np.float32, np.float16):
            found = spoiling.rounded(dtype)(X, CASE)
            assert found.dtype == np.float64
            assert found[:3].tolist() == [np.inf, -np.inf, 0]
            assert found[3] == float(dtype(1 / 3)) != 1 / 3
