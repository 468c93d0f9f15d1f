"""The space that all tasks' columns or rows span together, and how far errors turn it."""

from typing import Any

import numpy as np
import pytest

from coremerge_ref.methods._subspaces import spanned
from coremerge_ref.perturbation.carried import Errors, Level

E1, E2, F1, F2 = np.eye(3)[0], np.eye(3)[1], np.eye(4)[0], np.eye(4)[1]
DELTA = np.asarray([3e-3, 4e-3])


def span_of(
    *M: np.ndarray, ranks: tuple[int, ...] = (1, 1), side: str = "left", columns: Any = None, closed: bool = False
) -> tuple[int, float]:
    level, stack = Level("input", "float64", 1e-7, 0.5), np.stack(M)
    errors = Errors(
        level, (3, 4), DELTA, np.zeros(stack.shape), np.asarray(ranks), (0, 1), True, {}, 2.0**-52, closed=closed
    )
    errors.columns = {side: lambda: columns}
    return spanned(errors, stack, DELTA, np.asarray(ranks), side, columns)


@pytest.mark.parametrize("side", ["left", "right"])
def test_it_turns_by_the_norm_of_all_errors_over_the_smallest_singular_value_of_all(side: str) -> None:
    """Of [2 e_1 f_1ᵀ, e_2 f_2ᵀ] 2 and 1, and so of the transposed ones: √(3² + 4²) thousandths."""
    assert span_of(2 * np.outer(E1, F1), np.outer(E2, F2), side=side) == (2, pytest.approx(5e-3))
    assert span_of(2 * np.outer(E1, F1), 0.5 * np.outer(E2, F2), side=side) == (2, pytest.approx(1e-2))


def test_columns_and_rows_span_different_spaces() -> None:
    """e_1 f_1ᵀ and e_1 f_2ᵀ: one column space, of which the dimension that ranks promise is not reached."""
    pair = np.outer(E1, F1), np.outer(E1, F2)
    assert span_of(*pair, side="left") == (2, np.inf)
    assert span_of(*pair, side="right") == (2, pytest.approx(5e-3))


def test_no_more_directions_are_spanned_than_there_are_rows_or_columns() -> None:
    M = np.eye(3, 4)
    assert span_of(M, M, ranks=(3, 3), side="left") == (3, pytest.approx(5e-3 / 2**0.5))  # values √2, three times
    assert span_of(M, M, ranks=(3, 3), side="right") == (4, np.inf)


def test_tasks_without_a_direction_span_none() -> None:
    assert span_of(np.zeros((3, 4)), np.zeros((3, 4)), ranks=(0, 0)) == (0, np.inf)


@pytest.mark.parametrize("side", ["left", "right"])
def test_as_many_columns_as_directions_turn_the_space_as_they_do(side: str) -> None:
    pair = 2 * np.outer(E1, F1), 1e-6 * np.outer(E2, F2)  # by their norm alone nothing would be known
    assert span_of(*pair, side=side) == (2, pytest.approx(5e3))
    assert span_of(*pair, side=side, columns=(2, 1e-7)) == (2, 1e-7)
    assert span_of(*pair, side=side, columns=(3, 1e-7)) == (2, pytest.approx(5e3))  # they span no less than all three
    assert span_of(np.outer(E1, F1), np.outer(E2, F2), side=side, columns=(2, 1.0)) == (2, pytest.approx(5e-3))


def test_the_whole_of_a_frame_that_turns_along_is_not_moved() -> None:
    M = np.eye(3, 4)
    assert span_of(M, M, ranks=(3, 3), closed=True) == (3, 0.0)
    assert span_of(M, M, ranks=(3, 0), side="right", closed=True)[1] > 0  # three of four
