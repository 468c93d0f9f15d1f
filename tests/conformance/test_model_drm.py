"""Decom-Renorm-Merge of the model, right and with each of its mistakes, on rows where all can be said by hand."""

from typing import Any

import numpy as np
import pytest

from coremerge_ref.conformance.model.arithmetic import Arithmetic
from coremerge_ref.conformance.model.drm import drm, one_sided_frame, turns

# [M_1 M_2] has orthogonal rows of norms √50 and √1.25: its left singular vectors are the axes. Rows of norm 1 have the
# entries 0.6, 0.8; 0.8, −0.6 and 0, 1; −1, 0.
STACK = np.array([[[3.0, 4.0], [0.4, -0.3]], [[0.0, 5.0], [-1.0, 0.0]]])
GIVEN: dict[str, Any] = {"direction": "horizontal", "drop": 0.75, "rank_cut": 0.01}


def merged(*mistakes: str, stack: Any = STACK, weights: Any = (1.0, 1.0), levels: Any = 1e-12, **changes: Any) -> Any:
    levels = np.broadcast_to(levels, len(stack))
    return drm(Arithmetic(*mistakes), np.asarray(stack), levels, np.array(weights), {**GIVEN, **changes})


@pytest.mark.parametrize(
    ("drop", "weights", "expected"),
    [
        (0.75, (1, 1), [[0, 4.5], [-1, 0]]),  # 4, 0.4, 5 and −1 are kept, and 0.4 is outvoted
        (0.625, (1, 1), [[0, 4.5], [-1, 0]]),
        (0.5, (1, 1), [[3, 4.5], [-1, -0.3]]),
        (0.0, (1, 1), [[3, 4.5], [-1, -0.3]]),
        (0.75, (2, 1), [[0, 6.5], [-1, 0]]),
        (0.75, (1, 3), [[0, 9.5], [-3, 0]]),
    ],
)
def test_rows_of_norm_one_are_trimmed_and_their_signs_elected(
    drop: float, weights: tuple[float, ...], expected: list[list[float]]
) -> None:
    np.testing.assert_allclose(merged(drop=drop, weights=weights), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("drop", "mistake", "expected"),
    [
        (0.0, "drm-without-election", [[3, 4.5], [-0.3, -0.3]]),
        (0.0, "drm-divided-by-all-tasks", [[1.5, 4.5], [-0.5, -0.15]]),
        (0.75, "drm-not-renormalised", [[3, 4.5], [0, 0]]),
        (0.75, "drm-columns-normalised", [[0, 4.5], [-1, 0]]),
        (0.625, "drm-columns-normalised", [[3, 4.5], [-1, 0]]),  # 3 / √9.16 comes next
        (0.75, "drm-norms-not-multiplied-back", [[0, 0.9], [-1, 0]]),
        (0.625, "drm-threshold-per-task", [[3, 4.5], [-1, -0.3]]),  # the second smallest of four
        (0.75, "drm-threshold-per-task", [[0, 4.5], [-1, 0]]),
        (0.0, "drm-threshold-per-task", [[3, 4.5], [-1, -0.3]]),
        (0.75, "drm-rank-cut-too-high", [[0, 4.5], [0, 0]]),
    ],
)
def test_each_mistake_gives_what_it_says(drop: float, mistake: str, expected: list[list[float]]) -> None:
    np.testing.assert_allclose(merged(mistake, drop=drop), expected, atol=1e-12)


def test_vertical_is_horizontal_of_the_transposed() -> None:
    turned = np.swapaxes(STACK, 1, 2)
    np.testing.assert_allclose(merged(stack=turned, direction="vertical"), [[0, -1], [4.5, 0]], atol=1e-12)


@pytest.mark.parametrize("size", [0.0, 1e-3])
def test_a_row_at_the_level_of_its_task_is_zero(size: float) -> None:
    """Then 0.6 of six entries is below the threshold, 0.8, and the first task alone is heard in the second row."""
    stack = STACK.copy()
    stack[1, 1] = [-size, 0]
    found = merged(stack=stack, levels=[1e-12, 1e-2])
    np.testing.assert_allclose(found, [[0, 4.5], [0.4, 0]], atol=1e-2)
    assert abs(found[1, 0]) == pytest.approx(0.4, abs=1e-4)


def test_nothing_divided_by_nothing_takes_the_threshold_with_it() -> None:
    stack = STACK.copy()
    stack[1, 1] = 0
    with np.errstate(invalid="ignore"):  # of 0, 0.6, 0.6, 0.8, 0.8, 1 and two that are no numbers the sixth
        found = merged("drm-divides-zero-rows", stack=stack)
    np.testing.assert_allclose(found, [[0, 5], [0, 0]], atol=1e-12)


def test_a_sum_of_zero_takes_the_sign_of_most() -> None:
    """Both entries of the second row cancel, and take one sign, whichever the vectors of the frame have."""
    stack = np.array([[[3.0, 4.0], [0.4, -0.3]], [[3.0, 4.0], [-0.4, 0.3]]])
    found = merged(stack=stack, drop=0.0)
    np.testing.assert_allclose(found[0], [3, 4], atol=1e-12)
    np.testing.assert_allclose(np.abs(found[1]), [0.4, 0.3], atol=1e-12)
    assert found[1, 0] * found[1, 1] > 0


@pytest.mark.parametrize(("cut", "rank"), [(0.01, 2), (0.15, 2), (0.16, 1), (0.99, 1)])
def test_the_frame_has_the_vectors_above_the_cut(cut: float, rank: int) -> None:
    u = one_sided_frame(Arithmetic(), STACK, cut)  # √1.25 / √50 is 0.158
    np.testing.assert_allclose(np.abs(u), np.eye(2)[:, :rank], atol=1e-12)
    assert one_sided_frame(Arithmetic(), STACK[:, :, :0], cut).shape == (2, 0)


def test_vectors_are_known_as_their_gap_is_to_either_side() -> None:
    """Singular values 7, 4 and 3, so gaps of 3, 1 and 1; no worse than √eps."""
    stack = np.diag([7.0, 4.0, 3.0])[None]
    np.testing.assert_allclose(turns(Arithmetic(), stack, 3e-9), [1e-9, 3e-9, 3e-9], rtol=1e-12)
    np.testing.assert_allclose(turns(Arithmetic(), np.diag([7.0, 4, 1])[None], 3e-9), [1e-9, 1e-9, 3e-9], rtol=1e-12)
    assert turns(Arithmetic(), stack, 1.0).tolist() == [2.0**-26] * 3
    assert turns(Arithmetic(), np.eye(2)[None], 3e-9)[0] == 2.0**-26  # equal ones
