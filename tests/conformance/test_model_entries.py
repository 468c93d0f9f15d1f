"""What the model makes of single entries, right and with each mistake, on entries where all can be said by hand."""

from typing import Any

import numpy as np
import pytest

from coremerge_ref.conformance.model.arithmetic import Arithmetic
from coremerge_ref.conformance.model.entries import dare, elected, flush, ties, trim

X = [4.0, -3.0, 2.0, 1.0]


def kept(values: list[float], *mistakes: str, full_size: int = 8, density: float = 0.5, keep: str = "threshold") -> Any:
    """Which of the entries of a 2 × 2 matrix are left, as they were."""
    given = np.array(values).reshape(2, 2)
    found = trim(Arithmetic(*mistakes), given, {"density": density, "keep": keep}, full_size)
    assert np.array_equal(found, np.where(found != 0, given, 0))
    return [x for x in found.ravel().tolist() if x]


@pytest.mark.parametrize(
    ("mistakes", "density", "expected"),
    [
        ((), 0.5, [4, -3, 2]),  # the second smallest is the threshold, and stays
        (("trim-strictly-above",), 0.5, [4, -3]),
        (("trim-off-by-one",), 0.5, [4, -3]),
        (("trim-one-too-low",), 0.5, X),
        (("trim-by-quantile",), 0.5, [4, -3]),  # 2.5
        (("trim-by-value",), 0.5, [4, 2]),
        (("trim-keeps-the-smallest",), 0.5, [2, 1]),
        ((), 0.6, [4, -3, 2]),  # of 2.4, rounded down
        (("density-rounded-up",), 0.6, X),
        ((), 0.75, X),
        (("density-is-the-dropped-share",), 0.75, [4, -3]),
        ((), 0.25, [4, -3]),
        (("density-of-the-full-size",), 0.25, [4, -3, 2]),  # 2 of 8
        (("density-of-the-full-size", "trim-strictly-above"), 0.25, [4, -3]),
        (("density-of-the-full-size", "trim-strictly-above"), 0.5, X),  # 4 of 4: nothing lies below
        (("trim-strictly-above",), 0.75, [4, -3, 2]),
        (("trim-off-by-one",), 0.75, [4, -3, 2]),
        (("trim-one-too-low",), 0.75, X),
        ((), 1.0, X),
        (("trim-strictly-above",), 1.0, X),
        ((), 0.0, [4]),  # the largest is the threshold
    ],
)
def test_trimming_at_a_threshold(mistakes: tuple[str, ...], density: float, expected: list[float]) -> None:
    assert kept(X, *mistakes, density=density) == expected


@pytest.mark.parametrize(
    ("values", "mistakes", "density", "expected"),
    [
        (X, (), 0.5, [4, -3]),
        ([2, -2, 1, 2], (), 0.5, [2, -2]),  # the first among equals
        ([2, -2, 1, 2], ("last-among-equals-first",), 0.5, [-2, 2]),
        (X, (), 0.2, []),
        (X, ("at-least-one-entry-kept",), 0.2, [4]),
        (X, ("at-least-one-entry-kept",), 0.5, [4, -3]),
        (X, ("density-rounded-up",), 0.6, [4, -3, 2]),
        (X, (), 1.0, X),
    ],
)
def test_trimming_to_a_number(
    values: list[float], mistakes: tuple[str, ...], density: float, expected: list[float]
) -> None:
    assert kept(values, *mistakes, density=density, keep="exact") == expected


# two tasks whose sums are 3, 2, −3 and 0: more are positive
TASKS = np.array([[[2.0, 1.0, -1.0, 1.0]], [[1.0, 1.0, -2.0, -1.0]]])


@pytest.mark.parametrize(
    ("zero_sign", "more_positive", "more_negative", "as_many"),
    [("majority", 1, -1, -1), ("positive", 1, 1, 1), ("negative", -1, -1, -1), ("drop", 0, 0, 0)],
)
@pytest.mark.parametrize("elect", ["mass", "count"])
def test_sums_of_zero_take_the_sign_that_is_chosen(
    elect: str, zero_sign: str, more_positive: int, more_negative: int, as_many: int
) -> None:
    def signs(stack: np.ndarray) -> list[float]:
        return elected(Arithmetic(), stack, 1e-12, elect, zero_sign)[0].tolist()

    assert signs(TASKS) == [1, 1, -1, more_positive]
    assert signs(-TASKS) == [-1, -1, 1, more_negative]
    assert signs(TASKS[:, :, 1:]) == [1, -1, as_many]


@pytest.mark.parametrize(
    ("entries", "mass", "count"),
    [
        ((3, -1, -1), 1, -1),
        ((-5, 1, 1), -1, 1),
        ((2, 1, -4), -1, 1),
        ((1e-3, 0, 0), 0, 1),  # a sum within the level is none
        ((2, 0, 0), 1, 1),
    ],
)
def test_elections_by_mass_and_by_count(entries: tuple[float, ...], mass: int, count: int) -> None:
    stack = np.array(entries, dtype=float).reshape(3, 1, 1)
    found = [elected(Arithmetic(), stack, 1e-2, elect, "drop")[0, 0] for elect in ("mass", "count")]
    assert found == [mass, count]
    largest = elected(Arithmetic("sign-of-the-largest-entry"), stack, 1e-2, "mass", "drop")[0, 0]
    assert largest == np.sign(max(entries, key=abs))


GIVEN: dict[str, Any] = {
    "density": 1.0, "keep": "threshold", "elect": "mass", "zero_sign": "positive", "aggregate": "mean",
    "weight_order": "after", "divisor": "count",
}  # fmt: skip
# sums 6, −2 and 4; in the last the third task is zero
THREE = ((5.0, -3.0, 1.0), (2.0, 2.0, 3.0), (-1.0, -1.0, 0.0))


@pytest.mark.parametrize(
    ("changes", "mistakes", "expected"),
    [
        ({}, (), [7 / 2, -2, 2]),
        ({"aggregate": "sum"}, (), [7, -4, 4]),
        ({}, ("mean-over-all-tasks",), [7 / 3, -4 / 3, 4 / 3]),
        ({}, ("disagreeing-entries-kept",), [2, -2 / 3, 2]),
        ({}, ("elected-sign-reversed",), [-1, 2, 0]),
        ({}, ("zeros-agree",), [7 / 2, -2, 4 / 3]),
        ({"weights": (1, 2, 4)}, (), [9 / 2, -7 / 2, 7 / 2]),
        ({"weights": (1, 2, 4), "divisor": "weight"}, (), [3, -7 / 5, 7 / 3]),
        ({"weights": (1, 2, 4), "aggregate": "sum"}, (), [9, -7, 7]),
        ({"weights": (1, 2, 10), "weight_order": "before"}, (), [-10, -13 / 2, 7 / 2]),  # the first sum is 5 + 4 − 10
        ({"weights": (0, 1, 1)}, (), [1, -1 / 2, 3 / 2]),
        ({"density": 0.5}, (), [7 / 2, -2, 3]),  # 5 and −3, 2, 2 and 3, −1 and −1
        ({"density": 0.5}, ("ties-without-trimming",), [7 / 2, -2, 2]),
        ({"density": 0.4}, (), [7 / 2, -2, 3]),
        ({"density": 0.4}, ("one-threshold-for-all-tasks",), [7 / 2, -3, 3]),  # 2, of nine entries
    ],
)
def test_ties_takes_the_mean_of_what_agrees(
    changes: dict[str, Any], mistakes: tuple[str, ...], expected: list[float]
) -> None:
    weights = np.array(changes.get("weights", (1, 1, 1)), dtype=float)
    stack = np.array(THREE)[:, None, :]
    found = ties(Arithmetic(*mistakes), stack, np.full(3, 1e-12), weights, {**GIVEN, **changes}, 3)
    np.testing.assert_allclose(found, [expected], rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("divisor", ["count", "weight"])
def test_ties_of_single_precision_divides_in_it(divisor: str, dtype: type) -> None:
    stack, weights = np.array([[[1.0]], [[1.0]], [[5.0]]], dtype=dtype), np.ones(3, dtype=dtype)
    found = ties(Arithmetic(dtype=dtype), stack, np.zeros(3), weights, {**GIVEN, "divisor": divisor}, 1)
    assert found.dtype == dtype
    assert found.item() == dtype(7) / dtype(3)


@pytest.mark.parametrize(
    ("changes", "mistakes", "expected", "factor"),
    [
        ({}, (), [[4, 0], [0, -12]], 4),
        ({"rescale": "none"}, (), [[1, 0], [0, -3]], 1),
        ({"rescale": "l1"}, (), [[2.5, 0], [0, -7.5]], 2.5),  # 10 of 4
        ({"rescale": "l1"}, ("dare-l2-for-l1",), [[3**0.5, 0], [0, -3 * 3**0.5]], 3**0.5),  # 30 of 10
        ({}, ("dare-rescaled-by-the-kept-share",), [[2, 0], [0, -6]], 2),
        ({}, ("dare-rescaled-twice",), [[16, 0], [0, -48]], 16),
    ],
)
def test_dare_drops_what_the_masks_say_and_rescales_the_rest(
    changes: dict[str, Any], mistakes: tuple[str, ...], expected: list[list[float]], factor: float
) -> None:
    stack, masks = np.array([[[1.0, 2.0], [4.0, -3.0]]]), np.array([[[True, False], [False, True]]])
    given = {"drop": 0.75, "rescale": "inverse", **changes}
    found, levels = dare(Arithmetic(*mistakes), stack, np.array([1e-3]), masks, given)
    np.testing.assert_allclose(found, [expected], rtol=1e-14)
    np.testing.assert_allclose(levels, [1e-3 * factor], rtol=1e-14)


@pytest.mark.parametrize(
    ("mistakes", "expected"),
    [
        ((), [[1, 2, 0], [0, 5, 0]]),
        (("masks-in-column-order",), [[1, 0, 3], [4, 0, 0]]),
        (("masks-cut-from-the-end",), [[0, 2, 0], [4, 0, 6]]),
    ],
)
def test_masks_are_cut_to_the_live_size(mistakes: tuple[str, ...], expected: list[list[float]]) -> None:
    masks = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1]], dtype=bool)
    if "masks-in-column-order" in mistakes:  # which shows in masks as wide as they are read
        masks = masks[:2]
    stack = np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    found, _ = dare(Arithmetic(*mistakes), stack, np.zeros(1), masks[None], {"drop": 0.5, "rescale": "none"})
    np.testing.assert_array_equal(found, [expected])


def test_entries_within_the_level_of_their_task_are_zero() -> None:
    stack = np.array([[[1.0, -0.5, 0.25]], [[1.0, -0.5, 0.25]]], dtype=np.float32)
    found = flush(stack, np.array([0.5, 0.1]))
    assert found.dtype == np.float32
    assert found.tolist() == [[[1, 0, 0]], [[1, -0.5, 0.25]]]
