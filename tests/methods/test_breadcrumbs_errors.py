"""Errors through Model Breadcrumbs: a cut at either end, and the factor of what is between."""

from typing import Any

import numpy as np
import pytest
from carrying import carried, doubts_of, margins_of, moved

import coremerge_ref as cm
from coremerge_ref.methods.breadcrumbs import Breadcrumbs

TOP, END = ("relative gap between the last outlier dropped and the first kept",
            "relative gap between the last kept and the first cut")  # fmt: skip
ROW = [1.0, -8.0, 4.0, 2.0]
MIDDLE = Breadcrumbs(0.5, 0.25)  # 8 goes, 4 and 2 stay, 1 goes


def at_a_threshold(task: int, number: int) -> str:
    return f"breadcrumbs: task {task}: {number} entries lie at a threshold, within the rounding of float64"


def test_clear_cuts_leave_the_errors_of_what_is_kept() -> None:
    M, E = [[ROW], [[3.0, 5.0, 1.0, 6.0]]], [[[0.25, 0.5, 0.125, 0.375]], [[0.125, 0.25, 0.375, 0.25]]]
    errors, after = carried(MIDDLE, M, E, factors=["columns"])
    assert after.tolist() == [[[0.0, 0.0, 4.0, 2.0]], [[3.0, 5.0, 0.0, 0.0]]]
    assert errors.entry.tolist() == [[[0.0, 0.0, 0.125, 0.375]], [[0.125, 0.25, 0.0, 0.0]]]
    np.testing.assert_allclose(errors.entry, moved(MIDDLE, M, E, by_task=True))
    assert margins_of(errors) == [
        (TOP, 0, 0.5), (END, 0, 0.5), (TOP, 2, round(1 / 6, 12)), (END, 2, round(2 / 3, 12)),
    ]  # fmt: skip
    assert (errors.doubts, errors.factors, errors.rank.tolist()) == ([], None, [1, 1])
    assert not errors.unsure.any()


@pytest.mark.parametrize(
    ("row", "E", "entry", "number"),
    [
        ([1.0, -8.0, 7.5, 2.0], 0.25, [0.0, 8.25, 7.75, 0.25], 2),  # at the upper cut
        ([1.5, -8.0, 4.0, 2.0], 0.25, [1.75, 0.0, 0.25, 2.25], 2),  # at the lower one
        ([1.5, -8.0, 7.5, 2.0], 0.25, [1.75, 8.25, 7.75, 2.25], 4),
        ([1.0, -8.0, 7.25, 2.0], 0.25, [0.0, 0.0, 0.25, 0.25], 0),
        ([0.25, -8.0, 7.0, 0.5], 0.4375, [0.6875, 0.0, 0.4375, 0.9375], 1),  # 1/4 is no larger than its error: faint
    ],
)
def test_at_either_cut_entries_may_change_sides(row: list[float], E: float, entry: list[float], number: int) -> None:
    M = [ROW, row]
    errors, _ = carried(MIDDLE, np.asarray(M)[:, None, :], [[[0.0] * 4], [[E] * 4]])
    assert errors.entry.tolist() == [[[0.0] * 4], [entry]]
    assert doubts_of(errors) == [at_a_threshold(2, number)] * bool(number)
    assert (moved(MIDDLE, [[row]], [[[E] * 4]])[0] <= errors.entry[1] + 1e-15).all()


def test_without_outliers_there_is_one_cut() -> None:
    errors, _ = carried(Breadcrumbs(0.5, 0.0), [[[8.0, 7.75, 2.0, 1.0]]], [[[0.25] * 4]])
    assert errors.entry.tolist() == [[[0.25, 0.25, 0.0, 0.0]]]
    assert margins_of(errors) == [(TOP, 0, 1.0), (END, 0, round(5.75 / 7.75, 12))]


def test_outliers_give_way_to_what_is_to_be_kept() -> None:
    """int(4 · 0.75) are kept, so that of 4 · 0.5 outliers one goes: 8 and 7.75 may change sides, no others."""
    errors, after = carried(Breadcrumbs(0.75, 0.5), [[[8.0, 7.75, 2.0, 1.75]]], [[[0.25] * 4]])
    assert after.tolist() == [[[0.0, 7.75, 2.0, 1.75]]]
    assert errors.entry.tolist() == [[[8.25, 8.0, 0.25, 0.25]]]
    assert margins_of(errors) == [(TOP, 0, round(0.25 / 8, 12)), (END, 0, 1.0)]


def test_zeros_are_no_entries_that_a_cut_keeps() -> None:
    """Three of four are 0: the largest goes, and zeros stay zeros whichever is kept, exactly."""
    errors, _ = carried(MIDDLE, [[[0.0, 8.0, 0.0, 0.0]]], [[[0.0, 0.5, 0.0, 0.0]]])
    assert errors.entry.tolist() == [[[0.0] * 4]]
    assert not errors.doubts
    assert margins_of(errors) == [(TOP, 0, 1.0), (END, 0, 1.0)]


def test_where_none_is_kept_all_is_zero_and_exact_without_doubt() -> None:
    """int(4 · 0.2) are none; 8 and 7.75 meet at the upper cut, and both go."""
    M, E = [[[8.0, 7.75, 2.0, 1.0]], [[8.0, 7.75, 2.0, 1.0]]], np.full((2, 1, 4), 0.25)
    errors, _ = carried(Breadcrumbs(0.2, 0.25), M, E)
    assert not errors.entry.any()
    assert not errors.delta.any()
    assert not errors.unsure.any()
    assert not errors.doubts
    errors, _ = carried(Breadcrumbs(0.25, 0.25), M, E)
    assert errors.entry[1].tolist() == [[8.25, 8.0, 0.0, 0.0]]
    assert doubts_of(errors) == [at_a_threshold(0, 2), at_a_threshold(2, 2)]


@pytest.mark.parametrize("density", [0.5, 0.2])
def test_where_the_live_size_is_in_doubt_so_is_every_entry(density: float) -> None:
    errors, _ = carried(
        Breadcrumbs(density, 0.25), [[ROW]], [[[0.5, 0.25, 0.125, 0.375]]], size_doubt="the size is 3 or 4"
    )
    assert errors.entry.tolist() == [[[1.5, 8.25, 4.125, 2.375]]]
    assert doubts_of(errors) == ["breadcrumbs: the size is 3 or 4, within the rounding of float64"]


def test_l1_is_off_by_the_errors_of_all_and_of_what_is_kept() -> None:
    """4 and 2 take the norm 15 of all: by 2/36 · 15 of one error, by 4/36 · 15 of the other, and by 10e-6 of the 15."""
    E = 1e-6 * np.asarray([[[1.0, 2.0, 3.0, 4.0]]])
    stage = Breadcrumbs(0.5, 0.25, "l1")
    errors, _ = carried(stage, [[ROW]], E, level=1e-9)
    both = 15 * np.asarray([2 / 36 * 3.0 + 4 / 36 * 4.0, 4 / 36 * 4.0 + 2 / 36 * 3.0]) + 10 / 15 * np.asarray(
        [10.0, 5.0]
    )
    np.testing.assert_allclose(errors.entry, 1e-6 * np.asarray([[[0.0, 0.0, *both]]]), rtol=1e-5)
    assert (moved(stage, [[ROW]], E) <= errors.entry * (1 + 1e-6)).all()
    assert errors.margins[-1].amplifies == pytest.approx(15 / 6)
    none, _ = carried(MIDDLE, [[ROW]], E, level=1e-9)
    np.testing.assert_array_equal(none.entry, E * [0, 0, 1, 1])
    assert len(none.margins) == 2


def test_density_one_is_not_looked_at() -> None:
    """Not even what counts as zero."""
    errors, after = carried(Breadcrumbs(1.0, 0.5), [[ROW]], [[[0.5] * 4]], 1.0, factors=["columns"])
    assert after.tolist() == [[ROW]]
    assert (errors.entry.tolist(), errors.factors, errors.margins) == ([[[0.5] * 4]], ["columns"], [])
    assert (Breadcrumbs(1.0).sees(1), Breadcrumbs(0.99).sees(1)) == ((), ("left", "right"))


@pytest.mark.parametrize("rescale", ["none", "l1"])
def test_what_counts_as_zero_is_no_entry(rescale: str) -> None:
    """1/8 is nothing beyond doubt, and exact then. Kept are 4 and 2, by l1 times 14 / 6, 1/4 of 6 in doubt in all."""
    errors, after = carried(Breadcrumbs(0.5, 0.25, rescale), [[[0.125, -8.0, 4.0, 2.0]]], [[[0.125] * 4]], 0.5)
    assert (after[0, 0, :2] == 0).all()
    assert errors.entry[0, 0, :2].tolist() == [0.0, 0.0]
    if rescale == "none":
        assert errors.entry[0, 0].tolist() == [0.0, 0.0, 0.125, 0.125]
    else:
        smooth = 14 / 6 * (6 / 5.75) ** 2 * 0.125 * (1 + 0.375 / 14)
        assert errors.entry[0, 0, 2:].tolist() == pytest.approx([smooth + 0.375 * 4 / 6, smooth + 0.375 * 2 / 6])


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [("density", 0.0, "a number above 0 and at most 1"), ("gamma", 1.0, "a number from 0 to below 1"),
     ("rescale", "inverse", "one of none, l1")],
)  # fmt: skip
def test_refused(parameter: str, value: Any, expected: str) -> None:
    with pytest.raises(cm.ParameterError) as error:
        Breadcrumbs(**{parameter: value})
    assert str(error.value) == f"breadcrumbs.{parameter}: expected {expected}, got {value!r}"
