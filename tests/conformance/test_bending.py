"""How questions are bent: the best factors of a rank, and scalings taken for what they are not."""

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from coremerge_ref.conformance import bending, cases

CASE = cases("ta/core/hetero")[0]
DARE, DRM = cases("dare+ties/full/generic")[0], cases("drm/core/generic")[0]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_leading_factors_are_the_best_of_their_rank(k: int, turned: bool) -> None:
    """Of a diagonal its largest entries; no more factors than there are rows and columns, whatever is asked."""
    X = np.zeros((4, 3))
    X[[0, 1, 2], [2, 0, 1]] = 5.0, 1.0, 3.0
    best = np.where(np.abs(X) >= (5, 3, 1)[min(k, 3) - 1], X, 0)
    left, right = bending.leading_factors(X.T if turned else X, k)
    assert left.shape[1] == right.shape[0] == min(k, 3)
    np.testing.assert_allclose(left @ right, best.T if turned else best, atol=1e-14)


def test_leading_factors_of_a_batch_are_each_layers_own() -> None:
    X = np.stack([np.diag([1.0, 2.0]), np.diag([4.0, 3.0])])
    left, right = bending.leading_factors(X, 1)
    np.testing.assert_allclose(left @ right, [np.diag([0, 2.0]), np.diag([4.0, 0])], atol=1e-14)


def test_updates_are_cut_to_a_rank_where_one_has_more() -> None:
    ranks = [B.shape[-1] for B, _, _ in CASE.updates]
    assert len(set(ranks)) > 1
    assert bending.capped(max(ranks))(CASE) is None
    cut = bending.capped(1)(CASE)
    for (B, A, s), (given, other, scale) in zip(cut.updates, CASE.updates, strict=True):
        whole = given.astype(float) @ other.astype(float)
        assert (B.shape[1], A.shape[0], s) == (1, 1, scale)
        values = np.linalg.svd(whole, compute_uv=False)
        assert np.linalg.norm(whole - B @ A) == pytest.approx(np.linalg.norm(values[1:]), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scaling-ignored", 1),
        ("scaling-twice", 36),
        ("scaling-inverted", -1 / 6),
        ("scaling-root", -(6**0.5)),
        ("rslora-for-lora", -12),
        ("lora-for-rslora", -3),
        ("alpha-for-alpha-over-r", -24),
        ("alpha-over-r-twice", -1.5),
    ],
)
def test_a_scaling_of_minus_six_at_rank_four_is_taken_for_another(name: str, expected: float) -> None:
    assert bending.SCALINGS[name](-6.0, 4) == pytest.approx(expected)
    bent = bending.scalings(bending.SCALINGS[name])(CASE)
    for (B, A, s), (given, other, scale) in zip(bent.updates, CASE.updates, strict=True):
        assert B is given
        assert A is other
        assert s == bending.SCALINGS[name](scale, B.shape[-1])
    assert bending.SCALINGS["scaling-inverted"](0.0, 4) == 0


# ---- parameters and weights --------------------------------------------------------------------------------------
def test_parameters_are_changed_where_a_stage_has_them() -> None:
    changed = bending.params("ties", "trim", density=0.25, drop=0.9)(DARE)
    assert changed.params["ties"] == {**DARE.params["ties"], "density": 0.25}
    assert changed.params["dare"] == DARE.params["dare"]
    assert bending.params("ties", density=DARE.params["ties"]["density"])(DARE) is None
    assert bending.params("tsv", k=1)(DARE) is None
    assert DARE.params["ties"]["density"] == 0.5  # the case stays


def test_weights_are_changed_where_that_makes_a_difference() -> None:
    assert CASE.params["ta"]["weights"] == [1.0, -0.5, 2.0]
    assert bending.weights(lambda w: w[::-1])(CASE).params == {"ta": {"weights": [2.0, -0.5, 1.0]}}
    assert bending.weights(lambda w: list(w))(CASE) is None
    mean = cases("mean/core/generic")[0]
    assert bending.weights(lambda w: [1.0, -2.0, 1.0])(mean) is None  # divided by their sum
    assert bending.weights(lambda w: [2.0, -2.0, 1.0])(mean).params["mean"]["weights"] == [2.0, -2.0, 1.0]
    assert bending.weights(lambda w: [1.0, -2.0, 1.0])(CASE) is not None  # a sum of zero is one
    iso = cases("tsv/core/generic")[0]
    assert bending.weights(lambda w: [0.0] * len(w))(iso) is None
    changed = bending.weights(lambda w: [5.0] * len(w))(DARE)
    assert changed.params["dare"] == DARE.params["dare"]


def test_masks_are_changed_where_there_are_any() -> None:
    assert np.array_equal(bending.masks(lambda z: ~z)(DARE).masks, ~DARE.masks)
    assert bending.masks(lambda z: ~z)(CASE) is None


# ---- tasks -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("index", "kept"), [(0, [1, 2]), (1, [0, 2]), (2, [0, 1]), (-1, [0, 1]), (3, [1, 2]), (4, [0, 2])]
)
def test_a_task_is_dropped_with_its_weight_and_its_mask(index: int, kept: list[int]) -> None:
    left = bending.dropped(index)(CASE)
    assert [u is CASE.updates[t] for u, t in zip(left.updates, kept, strict=True)] == [True] * 2
    assert left.params["ta"]["weights"] == [[1.0, -0.5, 2.0][t] for t in kept]
    assert left.masks is None
    masked = bending.dropped(index)(DARE)
    assert np.array_equal(masked.masks, DARE.masks[kept])
    assert masked.params["dare"] == DARE.params["dare"]


def test_all_tasks_or_none_are_no_other_case() -> None:
    one = cases("ta/core/single")[0]
    assert bending.dropped(0)(one) is None
    assert bending.keeping(CASE, []) is None
    assert bending.keeping(CASE, [0, 1, 2]) is None
    assert bending.without_zeros(CASE) is None
    assert bending.without_zeros(cases("ta/core/all_zero")[0]) is None
    zero = cases("ta/core/zero_b")[0]
    assert bending.without_zeros(zero).updates == [zero.updates[0], zero.updates[2]]


# ---- spaces and stages -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "of", "case", "moved"),
    [
        ("full", None, CASE, True),
        ("knots", None, CASE, True),
        ("core", None, CASE, False),
        ("full", "core", CASE, True),
        ("full", "knots", CASE, False),
        ("core", None, DARE, False),  # masks tie it to its space
    ],
)
def test_a_case_is_moved_to_another_space(name: str, of: str | None, case: Any, moved: bool) -> None:
    found = bending.space(name, **({} if of is None else {"of": of}))(case)
    assert (found is not None) is moved
    assert found is None or (found.space, found.updates) == (name, case.updates)


def test_a_stage_is_left_out_of_several() -> None:
    assert bending.without("dare")(DARE).method == "ties"
    assert bending.without("ties")(DARE).method == "dare"
    assert bending.without("tsv")(DARE) is None
    assert bending.without("ta")(CASE) is None  # nothing would be left
    three = replace(DARE, method="dare+ties+iso")
    assert bending.without("ties")(three).method == "dare+iso"


def test_a_drop_is_taken_for_the_kept_share_and_a_side_for_the_other() -> None:
    assert bending.swapped("dare")(DARE).params["dare"]["drop"] == 0.75
    assert bending.swapped("dare")(CASE) is None
    assert bending.swapped("drm")(DRM) is None  # of a half
    assert bending.other_direction(DRM).params["drm"] == {**DRM.params["drm"], "direction": "vertical"}
    again = bending.other_direction(bending.other_direction(DRM))
    assert again.params == DRM.params
    assert bending.other_direction(CASE) is None


# ---- factors -----------------------------------------------------------------------------------------------------
def test_factors_are_cut_to_the_smallest_rank() -> None:
    cut = bending.smallest_rank(CASE)
    for (B, A, s), (given, other, scale) in zip(cut.updates, CASE.updates, strict=True):
        assert (B.tolist(), A.tolist(), s) == (given[:, :1].tolist(), other[:1].tolist(), scale)
    batch = replace(CASE, updates=[(np.ones((2, 3, r)), np.ones((2, r, 4)), 1.0) for r in (2, 3)])
    assert [(B.shape, A.shape) for B, A, _ in bending.smallest_rank(batch).updates] == [((2, 3, 2), (2, 2, 4))] * 2


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16], ids=lambda t: t.__name__)
def test_factors_are_rounded_to_another_type_and_held_in_float64(dtype: type) -> None:
    rounded = bending.rounded_factors(dtype)(CASE)
    for (B, A, s), (given, other, scale) in zip(rounded.updates, CASE.updates, strict=True):
        assert (B.dtype, A.dtype, s) == (np.float64, np.float64, scale)
        assert B.tolist() == given.astype(dtype).astype(float).tolist()
        assert A.tolist() == other.astype(dtype).astype(float).tolist()
        assert (B.tolist() != given.tolist()) is (dtype is not np.float32)  # which holds their 20 bits


def test_a_is_flattened_in_the_order_of_its_transpose() -> None:
    A = np.arange(6.0).reshape(2, 3)
    for given, expected in ((A, [[0, 2, 4], [1, 3, 5]]), (np.stack([A, A]), [[[0, 2, 4], [1, 3, 5]]] * 2)):
        B = np.ones((*given.shape[:-2], 4, 2))
        found = bending.flattened_wrongly(replace(CASE, updates=[(B, given, 2.0)])).updates[0]
        assert found[0] is B
        assert (found[1].tolist(), found[2]) == (expected, 2.0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_subnormal_numbers_are_read_as_zero(dtype: type) -> None:
    least = 2.0**-1022
    given = np.array([[1.0, 2.0**-140, 0.0, -(2.0**-140)]], dtype=dtype)  # subnormal in float32, and kept
    x = np.array([[least, -least, least / 2, -least / 4]]) if dtype is np.float64 else given
    expected = [[least, -least, 0, 0]] if dtype is np.float64 else given.astype(float).tolist()
    for B, A in ((x.T, np.ones((1, 2))), (np.ones((2, 1)), x)):
        left, right, s = bending.subnormals_flushed(replace(CASE, updates=[(B, A, 3.0)])).updates[0]
        found = left.T if B.shape == (4, 1) else right
        assert (found.tolist(), found.dtype, s) == (expected, np.float64, 3.0)
