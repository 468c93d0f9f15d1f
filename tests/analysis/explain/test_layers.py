"""What layers are made of: copies on the host, columns that differ, the coarsest dtype."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from backends import BACKENDS

import coremerge_ref as cm
from coremerge_ref.analysis.explain.layers import _distinct, coarsest, on_host
from coremerge_ref.core.pipeline import as_pipeline


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        ([[1, 2], [2, 4]], 1),
        ([[1, 2], [-3, -6], [0.5, 1]], 1),
        ([[1, 2], [2, 1]], 2),
        ([[1, 2], [1, 2.5], [0, 0]], 2),
        ([[0, 3], [-0.0, -5], [-2, 0]], 2),  # a zero has no sign
        ([[1, -1], [-1, 1]], 1),
        ([[1, -1], [1, 1]], 2),
        ([[0, 0], [0, 0]], 0),
        ([[2.0**-500, 2.0**-499], [2.0**500, 2.0**501]], 1),
    ],
)
def test_rows_that_are_multiples_of_each_other_count_once_and_zeros_not(rows: list[list[float]], count: int) -> None:
    assert _distinct(np.array(rows, dtype=float)) == count


def factors(dtypes: tuple[Any, Any]) -> cm.LowRankUpdate:
    return cm.LowRankUpdate(np.ones((3, 1), dtype=dtypes[0]), np.ones((1, 2), dtype=dtypes[1]))


@pytest.mark.parametrize(
    ("dtypes", "coarse"),
    [
        ([(np.float64, np.float64)], "float64"),
        ([(np.float64, np.float32)], "float32"),
        ([(np.float32, np.float64), (np.float64, np.float16)], "float16"),
        ([(np.float16, np.float16), None, (ml_dtypes.bfloat16, np.float64)], "bfloat16"),
    ],
)
def test_the_coarsest_factor_of_all_tasks_says_how_far_inputs_were_rounded(dtypes: list[Any], coarse: str) -> None:
    assert coarsest([one and factors(one) for one in dtypes]) == coarse


@pytest.mark.parametrize("method", ["tsv", "ta+iso", "ties"])
def test_numbers_are_copied_as_they_are(method: str) -> None:
    """But for narrow dtypes and other libraries, the arrays themselves."""
    own = cm.LowRankUpdate(np.full((3, 1), 0.1), np.ones((1, 2), dtype=np.float32), 0.5)
    narrow = cm.LowRankUpdate(np.full((3, 1), 0.1, dtype=np.float16), np.ones((1, 2), dtype=ml_dtypes.bfloat16))
    strict = BACKENDS["strict-device1"]
    other = cm.LowRankUpdate(strict.array(np.full((3, 1), 0.1)), strict.array(np.ones((1, 2))), strict.array(0.25))
    made, factor = on_host([own, None, narrow, other], as_pipeline(method))
    assert made[0] is own
    assert made[1] is None
    assert factor == 1.0
    for update, entry, scale in zip(made[2:], (float(np.float16(0.1)), 0.1), (1.0, 0.25), strict=True):
        assert update is not None
        assert type(update.B) is type(update.A) is np.ndarray
        assert (np.unique(update.B).tolist(), np.unique(update.A).tolist()) == ([entry], [1.0])
        assert float(update.scale) == scale


@pytest.mark.parametrize("method", ["ta", "mean"])
def test_factors_of_a_sum_are_brought_below_one_by_powers_of_two(method: str) -> None:
    """The largest entries of B, and of A, of all tasks come to lie from 1/2 on, and rounding does not; B's is said."""
    tasks = [
        cm.LowRankUpdate(np.array([[3.0], [-5.0]]), np.array([[0.1, 1e-200]]), 7.0),
        cm.LowRankUpdate(np.array([[1e-9], [0.0]]), np.array([[-0.01, 0.0]])),
    ]
    made, factor = on_host([tasks[0], None, tasks[1]], as_pipeline(method))
    assert factor == 1 / 8  # 5 is less than 8
    assert made[1] is None
    for update, task in zip((made[0], made[2]), tasks, strict=True):
        assert update is not None
        assert np.array_equal(update.B, task.B / 8)
        assert np.array_equal(update.A, task.A * 8)  # 0.1 is less than 1/8
        assert update.scale == task.scale


@pytest.mark.parametrize(("largest", "power"), [(0.0, 1.0), (1e-320, 2.0**1000), (1.7e308, 2.0**-1000), (1.0, 0.5)])
def test_powers_of_two_stay_within_float64(largest: float, power: float) -> None:
    given = [cm.LowRankUpdate(np.full((2, 1), largest), np.full((1, 2), largest))]
    (made,), factor = on_host(given, as_pipeline("ta"))
    assert made is not None
    assert factor == power
    assert np.all(np.asarray(made.B) == largest * power)
    assert np.all(np.asarray(made.A) == largest * power)
