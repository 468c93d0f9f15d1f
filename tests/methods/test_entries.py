"""What the elementwise methods share: what counts as zero, what is kept, what is drawn, and the l1 factor."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from backends import Backend
from examples import stack_of

import coremerge_ref as cm
from coremerge_ref.core.arrays import uniform_numbers
from coremerge_ref.methods._entries import denoised, drawn, l1_factor, largest, signs


def test_up_to_its_level_an_entry_is_zero(backend: Backend) -> None:
    M, level = [[[0.5, -0.5, 0.625, -0.625]], [[0.5, -0.25, 0.25, 0.0]]], [0.5, 0.25]
    stack = replace(stack_of(M, level), M=backend.array(M), rounding_level=backend.array(level))
    expected = [[[0.0, 0.0, 0.625, -0.625]], [[0.5, 0.0, 0.0, 0.0]]]
    assert backend.host(denoised(stack).M).tolist() == expected


def test_rows_and_columns_of_an_update_have_levels_as_small_as_they_are(backend: Backend) -> None:
    """ν √(ρ_i γ_j) is 0.5 times 1, 1/2 and 1/4 in the columns, and half of that in the second row."""
    M = np.array([[[0.5, 0.25, 0.125], [0.26, 0.126, 0.06]]])
    rows, cols = backend.array([[1.0, 0.5]]), backend.array([[1.0, 0.5, 0.25]])
    for shares, expected in (
        ((None, None), [[0, 0, 0], [0, 0, 0]]),
        ((None, cols), [[0, 0, 0], [0, 0, 0]]),
        ((rows, None), [[0, 0, 0], [0.26, 0, 0]]),
        ((rows, cols), [[0, 0, 0], [0.26, 0.126, 0]]),
    ):
        stack = replace(
            stack_of(M, [0.5]), M=backend.array(M), rounding_level=backend.array([0.5]), entry_shares=(*shares, None)
        )
        assert backend.host(denoised(stack).M).tolist() == [expected]


def test_no_level_of_an_entry_is_below_the_least(backend: Backend) -> None:
    rows, cols, least = (backend.array(x) for x in ([[1.0, 0.5]], [[1.0, 0.5, 0.25]], [0.25]))
    stack = replace(stack_of(np.ones((1, 2, 3)), [0.5]), rounding_level=backend.array([0.5]))
    level = replace(stack, entry_shares=(rows, cols, least)).entry_level
    assert backend.host(level).tolist() == [[[0.5, 0.25, 0.125], [0.25, 0.125, 0.125]]]


def test_up_to_its_level_a_sum_has_no_sign(backend: Backend) -> None:
    total = backend.array([[[0.5, -0.5, 0.75, -0.75]], [[0.5, -0.5, 0.0, 0.25]]])
    level = backend.array([[[0.5]], [[0.25]]])
    assert backend.host(signs(total, level)).tolist() == [[[0, 0, 1, -1]], [[1, -1, 0, 0]]]


MAGNITUDES = [3.0, 0.0, 1.0, 2.0, 2.0, 0.0]


@pytest.mark.parametrize(
    ("d", "fraction", "keep", "rounding", "kept"),
    [
        (6.0, 0.5, "exact", "floor", [0, 3, 4]),
        (6.0, 0.4, "exact", "floor", [0, 3]),
        (6.0, 0.4, "exact", "ceil", [0, 3, 4]),
        (6.0, 0.1, "exact", "floor", []),
        (4.0, 0.75, "exact", "floor", [0, 3, 4]),
        (6.0, 0.2, "threshold", "floor", [0, 3, 4]),  # 2 by size, and the equal one
        (4.0, 0.75, "threshold", "floor", [0, 2, 3, 4]),
        (4.0, 0.2, "threshold", "floor", [0]),  # of none that are kept, one more
        (4.0, 0.7, "threshold", "ceil", [0, 2, 3, 4]),
        (6.0, 1.0, "threshold", "floor", [0, 1, 2, 3, 4, 5]),
        (4.0, 1.0, "threshold", "floor", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_so_many_of_the_live_entries_are_kept(
    d: float, fraction: float, keep: str, rounding: str, kept: list[int], numpy_backend: Backend
) -> None:
    found = largest(np.asarray([MAGNITUDES]), np.asarray([d]), fraction, keep, np.zeros((1, 1)), rounding)
    assert np.flatnonzero(found).tolist() == kept
    if rounding == "floor":
        default = largest(np.asarray([MAGNITUDES]), np.asarray([d]), fraction, keep, np.zeros((1, 1)))
        np.testing.assert_array_equal(default, found)


def test_each_layer_has_its_own_number_and_its_own_slack(backend: Backend) -> None:
    magnitude = backend.array([[4.0, 3.0, 2.5, 1.0], [4.0, 3.0, 2.5, 1.0]])
    d, none, slack = backend.array([4.0, 2.0]), backend.array([[0.0], [0.0]]), backend.array([[0.0], [0.5]])
    exact = largest(magnitude, d, 0.5, "exact", none)
    assert backend.host(exact).tolist() == [[True, True, False, False], [True, False, False, False]]
    threshold = largest(magnitude, d, 0.5, "threshold", slack)
    assert backend.host(threshold).tolist() == [[True, True, True, False], [True, True, True, False]]
    assert backend.host(largest(magnitude, d, 0.5, "threshold", none)).tolist()[1] == [True, True, False, False]


class Drawing:
    name = "a stage"
    seed = 3
    masks: Any = None


def test_numbers_are_drawn_by_name_and_task_and_at_least_the_chance_of_dropping_keeps() -> None:
    stack = replace(stack_of(np.ones((2, 2, 3)), [0.0, 0.0]), tasks=(1, 4), names=("q",))
    numbers = np.stack([uniform_numbers(3, "q", task, (2, 3)) for task in (1, 4)])
    np.testing.assert_array_equal(drawn(Drawing, stack, 0.5), numbers >= 0.5)
    np.testing.assert_array_equal(drawn(Drawing, stack, numbers), np.ones((2, 2, 3)))
    batch = replace(stack, M=np.ones((2, 2, 1, 2, 3)), names=("q", "k"))
    found = drawn(Drawing, batch, 0.5)
    assert found.shape == (2, 2, 1, 2, 3)
    np.testing.assert_array_equal(found[1, 1, 0], uniform_numbers(3, "k", 4, (2, 3)) >= 0.5)


def test_given_masks_are_taken_where_their_shape_is_that_of_the_entries() -> None:
    class Masked(Drawing):
        masks = np.asarray([[[True, False]]])

    class Shapeless(Drawing):
        masks = type("Masks", (), {"dtype": "bool"})()

    assert drawn(Masked, stack_of(np.ones((1, 1, 2)), [0.0]), 0.5).tolist() == [[[True, False]]]
    for stage, got in ((Masked, "(1, 1, 2)"), (Shapeless, "()")):
        with pytest.raises(cm.ShapeError) as error:
            drawn(stage, stack_of(np.ones((2, 1, 2)), [0.0, 0.0]), 0.5)
        assert str(error.value) == f"a stage.masks: expected boolean (2, 1, 2), (T, …, p, q), got {got}"


def test_the_l1_factor_is_that_of_all_to_what_is_left_and_one_where_nothing_is(backend: Backend) -> None:
    before = backend.array([[[1.0, -2.0], [4.0, 1.0]], [[1.0, 2.0], [0.0, 0.0]], [[3.0, 0.125], [0.0, -0.125]]])
    after = backend.array([[[0.0, -2.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.125], [0.0, -0.125]]])
    assert backend.host(l1_factor(before, after)).tolist() == [4.0, 1.0, 13.0]
