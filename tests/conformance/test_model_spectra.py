"""CART of the model, right and with each of its mistakes, on diagonal matrices where all can be said by hand."""

from typing import Any

import numpy as np
import pytest

from coremerge_ref.conformance.model.arithmetic import Arithmetic
from coremerge_ref.conformance.model.spectra import cart

GIVEN: dict[str, Any] = {"k": 1, "fraction": 0.5, "rounding": "ceil", "coefficient": 2.0}
# of diag(3, 1, 0) and diag(5, 9, 2): mean diag(4, 5, 1), apart by ∓diag(1, 4, 1)
TWO = ((3.0, 1.0, 0.0), (5.0, 9.0, 2.0))
ONE = ((3.0, 2.0, 1.0),)


def merged(tasks: tuple[tuple[float, ...], ...], *mistakes: str, full_size: int = 3, **changes: Any) -> list[float]:
    stack = np.stack([np.diag(values) for values in tasks])
    levels = np.full(len(stack), 1e-12)
    out = cart(Arithmetic(*mistakes), stack, levels, {**GIVEN, **changes}, full_size)
    diagonal = np.diagonal(out)
    np.testing.assert_allclose(out, np.diag(diagonal), atol=1e-13)
    return diagonal.round(12).tolist()


@pytest.mark.parametrize(
    ("mistakes", "two", "one"),
    [
        ((), [4, 5, 1], [3, 2, 1]),
        (("cart-sum-for-mean",), [8 + 2 * -3, 10 + 2 * -9, 2], [3, 2, 1]),
        (("cart-first-task-for-mean",), [3, 1 + 2 * 8, 0], [3, 2, 1]),
        (("cart-without-mean",), [2 * 3, 2 * 9, 0], [2 * 3, 0, 0]),
        (("cart-not-centred",), [4 + 2 * 3, 5 + 2 * 9, 1], [3 + 2 * 3, 2, 1]),
        (("cart-mean-not-added",), [0, 0, 0], [0, 0, 0]),
        (("cart-coefficient-on-mean",), [8, 10, 2], [6, 4, 2]),
        (("cart-not-centred", "cart-residuals-averaged"), [4 + 3, 5 + 9, 1], [9, 2, 1]),
        (("cart-not-centred", "rank-one-too-large"), [4 + 2 * 8, 5 + 2 * 10, 1], [9, 6, 1]),
        (("cart-not-centred", "rank-one-too-small"), [4, 5, 1], [3, 2, 1]),
    ],
)
def test_each_mistake_gives_what_it_says(mistakes: tuple[str, ...], two: list[float], one: list[float]) -> None:
    assert merged(TWO, *mistakes) == two
    assert merged(ONE, *mistakes) == one


@pytest.mark.parametrize(
    ("changes", "mistakes", "kept"),
    [
        ({"k": 2, "fraction": 1.0}, (), 2),
        ({"fraction": 0.5}, (), 2),  # half of 3, rounded up
        ({"fraction": 0.5, "rounding": "floor"}, (), 1),
        ({"fraction": 0.1, "rounding": "floor"}, (), 1),  # at least
        ({"fraction": 0.1}, (), 1),
        ({"fraction": 0.1}, ("relative-rank-of-the-full-size",), 2),  # of 20
        ({"fraction": 0.1, "rounding": "floor"}, ("relative-rank-of-the-full-size",), 2),
        ({"k": 1}, ("relative-rank-of-the-full-size",), 1),
    ],
)
def test_the_rank_is_given_or_a_share_of_the_size(
    changes: dict[str, Any], mistakes: tuple[str, ...], kept: int
) -> None:
    found = merged(ONE, "cart-without-mean", *mistakes, full_size=20, **{"k": None, "coefficient": 1.0, **changes})
    assert found == [3, 2, 1][:kept] + [0] * (3 - kept)


def test_what_counts_as_zero_for_any_task_is_no_direction_whatever_the_rank() -> None:
    stack, levels = np.stack([np.diag([3.0, 1e-3])] * 2), np.array([1e-12, 1e-2])
    out = cart(Arithmetic("cart-without-mean"), stack, levels, {**GIVEN, "k": 2}, 2)
    np.testing.assert_allclose(out, np.diag([12.0, 0]), atol=1e-15)
