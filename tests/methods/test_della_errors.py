"""Errors through DELLA: ranks within a row that errors may change, and what that makes of entries."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from carrying import carried, doubts_of, margins_of, moved
from examples import stack_of

import coremerge_ref as cm
from coremerge_ref.core.arrays import uniform_numbers
from coremerge_ref.methods.della import Della

WIDE = {"density": 0.5, "epsilon": 0.3}  # of four in a row, kept with probabilities 0.2, 0.4, 0.6, 0.8 by rank
ALL = np.ones((1, 1, 4), dtype=bool)
CLEAR = [[[4.0, -2.0, 1.0, 3.0]]]
E = np.asarray([[[0.125, 0.25, 0.0625, 0.375]]])


def of_rank(number: int) -> str:
    return f"della: {number} entries have a rank in their row that is not determined, within the rounding of float64"


def test_where_ranks_are_clear_errors_are_divided_as_entries_are() -> None:
    masks = np.asarray([[[True, True, False, True]]])
    stage = Della(**WIDE, masks=masks, rescale="inverse")
    errors, _ = carried(stage, CLEAR, E, factors=["columns"])
    expected = [0.125 / 0.8, 0.25 / 0.4, 0.0, 0.375 / 0.6]
    np.testing.assert_allclose(errors.entry[0, 0], expected)
    np.testing.assert_allclose(errors.entry[0], moved(stage, CLEAR, E)[0])
    np.testing.assert_allclose(errors.delta, [np.linalg.norm(expected)])
    assert (errors.doubts, errors.margins, errors.factors) == ([], [], None)
    assert not errors.unsure.any()


def test_not_rescaled_they_stay() -> None:
    errors, _ = carried(Della(**WIDE, masks=ALL, rescale="none"), CLEAR, E, level=1e-3)
    np.testing.assert_allclose(errors.entry, E)
    assert not errors.margins


def test_the_l1_factor_brings_errors_of_both_sums() -> None:
    """4 and −2 of 10 in all are kept: times 10 / 6, the 10 off by 0.8125 and each by shares 1/3 and 2/3."""
    masks, small = np.asarray([[[True, True, False, False]]]), 1e-6
    stage = Della(**WIDE, masks=masks)
    errors, _ = carried(stage, CLEAR, E * small, level=1e-9)
    both = 10 / 6 * (1 / 3 * 0.125 + 2 / 3 * 0.25), 10 / 6 * (2 / 3 * 0.25 + 1 / 3 * 0.125)
    expected = [both[0] + 0.8125 * 4 / 6, both[1] + 0.8125 * 2 / 6, 0.0, 0.0]
    np.testing.assert_allclose(errors.entry[0, 0], np.asarray(expected) * small, rtol=1e-5)
    assert margins_of(errors) == [("what is kept relative to what is there", 0, 0.6)]
    assert (moved(stage, CLEAR, E * small) <= errors.entry * (1 + 1e-6)).all()


@pytest.mark.parametrize(("second", "open_"), [(2.0, True), (2.125, False)])
def test_two_whose_errors_just_meet_have_either_rank(second: float, open_: bool) -> None:
    """1 and 2 ± 1/2 are kept with 0.2 or 0.4, so divided by 1/5 at most, and 5 or 2.5 times what they are."""
    row, off = [[[second, 16.0, 1.0, -8.0]]], [[[0.5, 0.0, 0.5, 0.0]]]
    stage = Della(**WIDE, masks=ALL, rescale="inverse")
    errors, _ = carried(stage, row, off)
    expected = [2.5 + 2.5 * second, 0.0, 2.5 + 2.5, 0.0] if open_ else [1.25, 0.0, 2.5, 0.0]
    np.testing.assert_allclose(errors.entry[0, 0], expected)
    np.testing.assert_allclose(errors.delta, [np.linalg.norm(expected)])
    assert doubts_of(errors) == [of_rank(2)] * open_
    assert (moved(stage, row, off) <= errors.entry * (1 + 1e-12)).all()


def test_a_rank_that_no_mask_and_no_factor_looks_at_is_no_doubt() -> None:
    row, off = [[[2.0, 16.0, 1.0, -8.0]]], [[[0.5, 0.0, 0.5, 0.0]]]
    masks = np.asarray([[[True, True, False, True]]])
    assert not carried(Della(**WIDE, masks=ALL, rescale="none"), row, off)[0].doubts
    errors, _ = carried(Della(**WIDE, masks=masks, rescale="inverse"), row, off)
    assert doubts_of(errors) == [of_rank(1)]
    np.testing.assert_allclose(errors.entry[0, 0], [2.5 + 5.0, 0.0, 0.0, 0.0])


def test_zeros_have_no_rank_that_matters() -> None:
    """Two of four are nothing, exactly; as they are equal either may be the least."""
    errors, _ = carried(
        Della(**WIDE, masks=ALL, rescale="inverse"), [[[0.0, 4.0, 0.0, 2.0]]], [[[0.0, 0.25, 0.0, 0.25]]]
    )
    np.testing.assert_allclose(errors.entry[0, 0], [0.0, 0.25 / 0.8, 0.0, 0.25 / 0.6])
    assert not errors.doubts
    errors, _ = carried(
        Della(**WIDE, masks=ALL, rescale="inverse"), [[[0.0, 4.0, 0.0, 2.0]]], [[[0.5, 0.25, 0.0, 0.25]]]
    )
    np.testing.assert_allclose(errors.entry[0, 0], [0.5 / 0.2, 0.25 / 0.8, 0.0, 0.25 / 0.6])
    assert doubts_of(errors) == [of_rank(1)]


@pytest.mark.parametrize("rescale", ["none", "inverse"])
def test_drawn_by_rank_an_entry_may_be_kept_or_not(rescale: str) -> None:
    """A number between 0.6 and 0.8 drops an entry of rank 1, kept with 0.2, and keeps it at rank 2, kept with 0.4."""
    drawn = ((seed, uniform_numbers(seed, "", 0, (1, 4))[0]) for seed in range(2000))
    seed = next(seed for seed, x in drawn if 0.6 < x[0] < 0.8 < x[1] and x[2] > 0.3 > x[3])
    stage = Della(**WIDE, seed=seed, rescale=rescale)
    row, off = [[[1.0, 2.0, 16.0, -8.0]]], [[[0.5, 0.5, 0.25, 0.25]]]
    errors, after = carried(stage, row, off, level=1e-9)
    assert (after[0, 0] != 0).tolist() == [False, True, True, False]
    assert errors.unsure.tolist() == [[[True, False, False, False]]]
    assert (moved(stage, row, off) <= errors.entry * (1 + 1e-12)).all()
    if rescale == "none":
        assert errors.entry[0, 0].tolist() == [1.5, 0.5, 0.25, 0.0]
        assert doubts_of(errors) == [of_rank(1)]
    else:  # 1 may be there, and divided by 1/5 or 2/5; 2 is there
        np.testing.assert_allclose(errors.entry[0, 0], [1.5 * 5 + 2.5, 2.5 + 5.0, 0.25 / 0.8, 0.0])
        assert doubts_of(errors) == [of_rank(2)]


def test_rows_have_ranks_of_their_own() -> None:
    """Two tasks of two rows: 1.5 and 1 of the one row meet, in no other row anything does."""
    M = [[[1.0, 9.0], [4.0, 8.0]], [[1.5, 1.0], [5.0, 1.0]]]
    stage = Della(**WIDE, masks=np.ones((2, 2, 2), dtype=bool), rescale="inverse")
    errors, _ = carried(stage, M, np.full((2, 2, 2), 0.25))
    low, high = 0.25 / 0.2, 0.25 / 0.8
    np.testing.assert_allclose(errors.entry[0], [[low, high], [low, high]])
    np.testing.assert_allclose(errors.entry[1], [[low + 1.5 * (5 - 1.25), low + 5 - 1.25], [high, low]])
    np.testing.assert_allclose(errors.delta, [np.linalg.norm(X) for X in errors.entry])


@pytest.mark.parametrize("rescale", ["none", "inverse"])
def test_where_the_live_size_is_in_doubt_so_is_every_entry(rescale: str) -> None:
    row, off = [[[4.0, 0.0, 1.0, 3.0]]], [[[0.125, 0.0, 0.0625, 0.375]]]
    errors, _ = carried(Della(**WIDE, masks=ALL, rescale=rescale), row, off, size_doubt="the size is 3 or 4")
    factor = np.asarray([0.8, 1.0, 0.4, 0.6]) if rescale == "inverse" else 1.0  # the zero is the least
    np.testing.assert_allclose(errors.entry[0, 0], np.asarray([4.125, 0.0, 1.0625, 3.375]) / factor)
    assert doubts_of(errors) == ["della: the size is 3 or 4, within the rounding of float64"]
    assert errors.unsure.tolist() == [[[True, False, True, True]]]


def test_density_one_is_not_looked_at() -> None:
    stack = stack_of(CLEAR, [9.0], (1.0,))
    assert Della(1.0).apply(stack) is stack
    errors, _ = carried(Della(1.0), CLEAR, E, level=9.0, factors=["columns"])
    assert (errors.entry.tolist(), errors.factors) == (E.tolist(), ["columns"])
    assert (Della(1.0).sees(1), Della(0.7).sees(1)) == ((), ("left", "right"))


@pytest.mark.parametrize(
    ("row", "cols", "chances"),
    [
        ([4.0, -2.0, 1.0, 3.0], 4.0, [0.8, 0.4, 0.2, 0.6]),
        ([3.0, 1.0, 0.0, 0.0], 2.0, [0.8, 0.2, 0.2, 0.2]),
        ([3.0, 1.0, 2.0, 0.0], 3.0, [0.8, 0.2, 0.5, 0.2]),
        ([3.0, 0.0, 0.0, 0.0], 1.0, [0.5] * 4),
    ],
)
def test_chances_are_those_of_ranks_among_live_entries(row: list[float], cols: float, chances: list[float]) -> None:
    """Columns that are dead are zero, and whatever chance they have is none."""
    stack = replace(stack_of([[row, row]], [0.0], (1.0,)), cols=np.asarray(cols))
    np.testing.assert_allclose(Della(**WIDE)._chances(stack), [[chances, chances]])


@pytest.mark.parametrize(("rescale", "level"), [("inverse", 5.0), ("none", 1.0), ("l1", 10 / 6)])
def test_what_counts_as_zero_grows_as_much_as_an_entry_may(rescale: str, level: float) -> None:
    masks = np.asarray([[[True, True, False, False]]])
    stack = stack_of(CLEAR, [0.0078125], (1.0,))
    found = Della(**WIDE, masks=masks, rescale=rescale).apply(stack)
    np.testing.assert_allclose(found.rounding_level, [0.0078125 * level])


def test_what_counts_as_zero_has_no_rank_but_that_of_zeros() -> None:
    """1/8 of 1/2 is nothing, and exact; of the l1 norm 9 the rest is off by what it was, 5/16."""
    masks = np.asarray([[[True, True, True, True]]])
    errors, after = carried(
        Della(**WIDE, masks=masks), [[[4.0, -2.0, 0.125, 3.0]]], [[[0.125, 0.0625, 0.125, 0.125]]], 0.5
    )
    assert after.tolist() == [[[4.0, -2.0, 0.0, 3.0]]]
    assert errors.entry[0, 0, 2] == 0.0
    grown = (9 / (9 - 0.3125)) ** 2
    first = grown * (5 / 9 * 0.125 + 4 / 9 * 0.1875) * (1 + 0.3125 / 9) + 0.3125 * 4 / 9
    assert errors.entry[0, 0, 0] == pytest.approx(first)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"density": 0.0}, "density: expected a number above 0 and at most 1, got 0.0"),
        ({"epsilon": -0.5}, "epsilon: expected a number from 0 to below 1, got -0.5"),
        ({"density": 0.5, "epsilon": 0.5}, "epsilon: expected density ± epsilon within (0, 1) at density 0.5, got 0.5"),
        (
            {"density": 0.75, "epsilon": 0.25},
            "epsilon: expected density ± epsilon within (0, 1) at density 0.75, got 0.25",
        ),
        (
            {"density": 0.25, "epsilon": 0.25},
            "epsilon: expected density ± epsilon within (0, 1) at density 0.25, got 0.25",
        ),
        ({"seed": 0.5}, "seed: expected an integer, got 0.5"),
        ({"rescale": "l2"}, "rescale: expected one of l1, inverse, none, got 'l2'"),
    ],
)
def test_refused(parameters: Any, expected: str) -> None:
    with pytest.raises(cm.ParameterError) as error:
        Della(**parameters)
    assert str(error.value) == f"della.{expected}"
