"""Errors through DARE: of what is kept, times the factor, and of the factor."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from carrying import carried, doubts_of, errors_of, margins_of, moved
from examples import stack_of

import coremerge_ref as cm
from coremerge_ref.methods.breadcrumbs import Breadcrumbs
from coremerge_ref.methods.dare import Dare
from coremerge_ref.methods.della import Della

M = np.asarray([[[1.0, -2.0, 4.0]], [[3.0, 5.0, -1.0]]])
E = np.asarray([[[0.01, 0.02, 0.03]], [[0.04, 0.05, 0.06]]])
KEPT = np.asarray([[[True, False, True]], [[False, True, True]]])


@pytest.mark.parametrize(
    ("rescale", "drop", "factor"), [("inverse", 0.75, 4.0), ("none", 0.75, 1.0), ("inverse", 0.5, 2.0)]
)
def test_kept_entries_take_their_errors_times_a_fixed_factor(rescale: str, drop: float, factor: float) -> None:
    dare = Dare(drop, masks=KEPT, rescale=rescale)
    errors, after = carried(dare, M, E, level=1e-3, factors=["columns"])
    np.testing.assert_allclose(after, factor * M * KEPT)
    np.testing.assert_allclose(errors.entry, factor * E * KEPT)
    np.testing.assert_allclose(errors.entry, moved(dare, M, E, by_task=True), rtol=1e-9)
    np.testing.assert_allclose(errors.delta, [np.linalg.norm(X) for X in errors.entry])
    assert (errors.margins, errors.doubts, errors.factors, errors.rank.tolist()) == ([], [], None, [1, 1])
    assert not errors.unsure.any()


@pytest.mark.parametrize("masks", [None, np.ones((2, 1, 3), dtype=bool)])
def test_where_nothing_can_be_dropped_the_matrix_keeps_its_factors(masks: Any) -> None:
    errors, _ = carried(Dare(0.0, masks=masks), M, E, factors=["columns"])
    assert (errors.factors == ["columns"]) == (masks is None)
    np.testing.assert_allclose(errors.entry, E)
    assert Dare(0.0, masks=masks).sees(2) == (() if masks is None else ("left", "right"))
    assert Dare(0.1).sees(1) == ("left", "right")


def test_the_l1_factor_of_what_is_all_kept_is_one_whatever_the_errors() -> None:
    errors, _ = carried(Dare(0.0, rescale="l1"), M, E)
    assert (errors.entry.tolist(), errors.margins) == (E.tolist(), [])


def test_the_l1_factor_is_off_by_the_errors_of_both_sums() -> None:
    """Of 1, 2, 4 the first and last are kept, times 7/5: x_1 = 7 · 1 / (1 + 4) to first order by 4/25 of either error,
    of errors 0.01 and 0.03, and by the 0.06 of the 7."""
    small = 1e-6
    errors, _ = carried(Dare(0.5, masks=KEPT, rescale="l1"), M, E * small, level=1e-9)
    first = 7 * (4 / 25 * 0.01 + 1 / 25 * 0.03) + 0.06 * 1 / 5
    last = 7 * (1 / 25 * 0.03 + 4 / 25 * 0.01) + 0.06 * 4 / 5
    np.testing.assert_allclose(errors.entry[0, 0], np.asarray([first, 0.0, last]) * small, rtol=1e-6)
    by_moving = moved(Dare(0.5, masks=KEPT, rescale="l1"), M, E * small)
    assert (by_moving <= errors.entry * (1 + 1e-9)).all()
    what = "what is kept relative to what is there"
    assert margins_of(errors) == [(what, 0, round(5 / 7, 12)), (what, 2, round(6 / 9, 12))]
    assert [m.amplifies for m in errors.margins] == pytest.approx([7 / 5, 9 / 6])


LAST = np.asarray([[[True, False], [False, False]], [[False, False], [True, False]]])


@pytest.mark.parametrize(
    "stage", [Dare(0.5, masks=LAST, rescale="l1"), Della(0.5, 0.25, masks=LAST), Breadcrumbs(0.25, 0.0, "l1")],
    ids=["dare", "della", "breadcrumbs"],
)  # fmt: skip
def test_the_one_entry_that_is_left_of_a_task_becomes_its_norm_and_is_off_by_all_its_errors(stage: Any) -> None:
    """Tasks of two rows with norms 13 and 9, off by 16e-3 and 11e-3."""
    two = [[[9.0, 2.0], [1.0, -1.0]], [[1.0, 2.0], [-5.0, 1.0]]]
    off = 1e-3 * np.asarray([[[1.0, 2.0], [4.0, 9.0]], [[3.0, 1.0], [2.0, 5.0]]])
    errors, after = carried(stage, two, off, level=1e-9)
    assert after.tolist() == [[[13.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [-9.0, 0.0]]]
    np.testing.assert_allclose(errors.entry, [[[16e-3, 0.0], [0.0, 0.0]], [[0.0, 0.0], [11e-3, 0.0]]], rtol=1e-9)
    np.testing.assert_allclose(errors.entry, moved(stage, two, off), rtol=1e-6)


def test_an_l1_factor_of_what_may_be_nothing_is_in_doubt() -> None:
    """Of 4 and 1/4 the latter is kept: within 1/8 of the 1/4 that counts as zero."""
    masks = np.asarray([[[False, True]]])
    errors, _ = carried(Dare(0.5, masks=masks, rescale="l1"), [[[4.0, 0.375]]], [[[0.0, 0.25]]], level=0.25)
    assert doubts_of(errors) == [
        "dare: task 0: what is kept is at the level that counts as zero, within the rounding of float64"
    ]
    assert errors.doubts[0][1] == "drop fewer entries"
    # of the sum of all 4.375, off by 1/2 with what may be set to zero, it may be nothing or all of it
    assert errors.entry[0, 0].tolist() == [0.0, pytest.approx(2 * 4.375 + 0.5)]


@pytest.mark.parametrize("rescale", ["inverse", "none", "l1"])
def test_what_counts_as_zero_is_none_that_was_dropped(rescale: str) -> None:
    """0.1 and nothing are below 1/4 beyond doubt and exact; 1/4 ± 1/8 may be dropped as rounding and is in doubt."""
    masks = np.asarray([[[True, True, True, False]]])
    entries, E = [[[4.0, 0.0625, 0.25, 2.0]]], [[[0.125, 0.125, 0.125, 0.125]]]
    errors, _ = carried(Dare(0.5, masks=masks, rescale=rescale), entries, E, level=0.25)
    assert errors.entry[0, 0, 1] == 0.0
    assert errors.entry[0, 0, 3] == 0.0
    assert errors.unsure.tolist() == [[[False, False, True, False]]]
    if rescale != "l1":
        assert errors.entry[0, 0, [0, 2]].tolist() == [
            0.125 * (1 + (rescale == "inverse")),
            0.375 * (1 + (rescale == "inverse")),
        ]


def test_drawn_masks_are_those_of_the_merge() -> None:
    """Where an entry is dropped its error is gone, whatever the draw."""
    for seed in range(4):
        dare = Dare(0.5, seed=seed)
        errors, after = carried(dare, M, E)
        np.testing.assert_array_equal(errors.entry != 0, after != 0)


def test_layers_carry_their_own() -> None:
    stacks = [stack_of(M, [1e-3, 2e-3]), stack_of(2 * M, [1e-3, 2e-3])]
    dare = Dare(0.5, masks=KEPT)
    after = dare(stacks)
    assert [s.rounding_level.tolist() for s in after] == [[2e-3, 4e-3]] * 2
    found = dare.propagate([errors_of(E), errors_of(3 * E)], stacks, after)
    np.testing.assert_allclose(found[1].entry, 6 * E * KEPT)
    assert replace(after[0], M=M).T == 2


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [("drop", 1.0, "a number from 0 to below 1"), ("drop", -0.1, "a number from 0 to below 1"),
     ("seed", 0.5, "an integer"), ("rescale", "l2", "one of inverse, l1, none"),
     ("masks", "all", "a boolean array (T, …, p, q), True where an entry is kept")],
)  # fmt: skip
def test_refused(parameter: str, value: Any, expected: str) -> None:
    with pytest.raises(cm.ParameterError) as error:
        Dare(**{parameter: value})
    assert str(error.value) == f"dare.{parameter}: expected {expected}, got {value!r}"
