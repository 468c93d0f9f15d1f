"""Entries at a threshold or at zero: which are in doubt, and what that leaves of their errors, by hand."""

from typing import Any

import numpy as np
import pytest
from carrying import doubts_of, errors_of
from examples import stack_of

from coremerge_ref.methods._votes import Cut, cut_at, emptied, pruned, rescaled, zeroed
from coremerge_ref.perturbation.carried import Errors


class Stage:
    name = "a stage"
    remedy = "something else"


# an entry, its error, its error afterwards, whether it is unsure; up to 1/2 counts as zero
ENTRIES = {
    "well above": (2.0, 0.25, 0.25, False),
    "just reached from above": (0.75, 0.25, 0.75, True),
    "at the level": (-0.5, 0.125, 0.625, True),
    "just reached from below": (0.25, 0.25, 0.75, True),
    "surely below": (-0.125, 0.25, 0.0, False),
    "nothing, and nothing that counts": (0.0, 0.25, 0.0, False),
    "nothing, and up to what still counts as zero": (0.0, 0.5, 0.0, False),
    "nothing, or something": (0.0, 0.625, 1.125, True),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_an_entry_counts_as_zero_surely_or_perhaps_or_not(case: str) -> None:
    x, error, expected, unsure = ENTRIES[case]
    errors = errors_of([[[error]]])
    zeroed(errors, stack_of([[[x]]], [0.5]))
    assert (errors.entry.item(), errors.unsure.item(), errors.jumped) == (expected, unsure, unsure)
    assert float(errors.delta[0]) == error + (0.5 if unsure else 0.0)


def test_nothing_is_no_doubt_where_inputs_round_coarsely_but_their_error_is_below_the_level() -> None:
    """At 1/4 an entry, the level of 1 itself is off by 1/2: that puts 0 ± 0.6 near it, but not above."""
    errors = errors_of([[[0.6]]], eps=0.25)
    zeroed(errors, stack_of([[[0.0]]], [1.0]))
    assert (errors.entry.item(), errors.unsure.item()) == (0.0, False)


@pytest.mark.parametrize(("gauge_free", "expected"), [(False, 0.4), (True, 0.9)])
def test_arithmetic_is_held_to_half_of_what_counts_as_zero_but_not_where_frames_turn(
    gauge_free: bool, expected: float
) -> None:
    """0.8 is 0.3 above the level: more than half of it, less than its error."""
    errors = errors_of([[[0.4]]], "compute", gauge_free)
    zeroed(errors, stack_of([[[0.8]]], [0.5]))
    assert errors.entry.item() == pytest.approx(expected)


def test_each_task_has_its_own_level_and_keeps_its_rank_unless_an_entry_goes() -> None:
    """Task 0 is clear, task 1 has two entries in doubt, task 2 has one zero, of task 3 one entry surely goes."""
    M = [[[4.0, 3.0, 2.0], [2.0, 2.0, 2.0]], [[1.0, -1.0, 9.0], [9.0, 9.0, 9.0]], [[0.0, 9.0, 9.0], [9.0, 9.0, 9.0]],
         [[0.125, 9.0, 9.0], [9.0, 9.0, 9.0]]]  # fmt: skip
    E = np.full((4, 2, 3), 0.25)
    errors = errors_of(E, factors=["columns"], undivided=(0.0, E))
    zeroed(errors, stack_of(M, [0.5, 1.0, 0.5, 0.5]))
    assert errors.rank.tolist() == [1, 2, 1, 2]
    assert np.argwhere(errors.unsure).tolist() == [[1, 0, 0], [1, 0, 1]]
    gone = [[2, 0, 0], [3, 0, 0]]
    assert np.argwhere(errors.entry == 0).tolist() == gone
    assert errors.entry[1, 0].tolist() == [1.25, 1.25, 0.25]
    whole = 0.25 * 6**0.5
    np.testing.assert_allclose(errors.delta, [whole, whole + 2**0.5, whole, whole])
    assert errors.factors is None
    assert errors.undivided is None


@pytest.mark.parametrize("error", [0.1, 0.0])
def test_a_zero_that_is_one_in_exact_arithmetic_too_leaves_the_rank(error: float) -> None:
    """Its error is none any more, which errors of columns do not know: those of the others they may cancel."""
    errors = errors_of([[[error, 0.1], [0.1, 0.1]]], factors=["columns"], undivided=(0.0, 0.0))
    zeroed(errors, stack_of([[[0.0, 2.0], [2.0, 2.0]]], [0.5]))
    assert (errors.rank.tolist(), errors.undivided) == ([1], None)
    assert errors.factors == (None if error else ["columns"])
    assert errors.entry.tolist() == [[[0.0, 0.1], [0.1, 0.1]]]


@pytest.mark.parametrize("x", [2.0, 0.5])
def test_what_was_in_doubt_before_stays_so_beside_what_is_now(x: float) -> None:
    errors = errors_of([[[0.1, 0.1, 0.1]]], unsure=np.asarray([[[True, False, False]]]), jumped=True)
    zeroed(errors, stack_of([[[2.0, x, 2.0]]], [0.5]))
    assert errors.unsure.tolist() == [[[True, x == 0.5, False]]]
    assert errors.jumped


@pytest.mark.parametrize("before", [None, False, True])
def test_of_pruned_entries_the_unsure_bring_their_size_and_the_matrix_loses_its_factors(before: bool | None) -> None:
    """Kept, dropped, and two in doubt of size 4 and 0: jumps of 4.5 and 0.5 beside an error of 1/2."""
    unsure = np.asarray([[[False, False, True], [True, False, False]], [[False] * 3] * 2])
    kept = ~unsure & [[[True, False, True], [True, True, True]], [[True] * 3] * 2]
    M = np.asarray([[[1.0, 1.0, -4.0], [0.0, 1.0, 1.0]], [[1.0] * 3] * 2])
    old = None if before is None else np.full(M.shape, before)
    errors = errors_of(
        np.full((2, 2, 3), 0.5), factors=["columns"], entering=np.ones(3), unsure=old, jumped=bool(before)
    )
    pruned(errors, stack_of(M, [0.0, 0.0]), kept, unsure)
    assert errors.entry.tolist() == [[[0.5, 0.0, 4.5], [0.5, 0.5, 0.5]], [[0.5] * 3] * 2]
    assert errors.delta.tolist() == pytest.approx([(4 * 0.25 + 4.5**2) ** 0.5, 0.25 * 24**0.5])
    assert errors.unsure.tolist() == (unsure | bool(before)).tolist()
    assert (errors.jumped, errors.factors, errors.entering.shape, errors.rank.tolist()) == (True, None, (0,), [2, 2])


def test_a_finer_bound_on_the_norm_holds_when_entries_are_pruned_and_is_none_beside_doubt() -> None:
    """Nothing is unsure: the norm of the error falls to no more than it was, 0.1. One that is brings 2.5 more."""
    everything = np.ones((1, 1, 2), dtype=bool)
    for unsure, delta, jumped in (([False, False], 0.1, False), ([True, False], 2.54, True)):
        errors = errors_of([[[0.5, 0.5]]], delta=np.asarray([0.04 if jumped else 0.1]))
        pruned(errors, stack_of([[[2.0, 2.0]]], [0.0]), everything, np.asarray([[unsure]]))
        assert (float(errors.delta[0]), errors.jumped) == (pytest.approx(delta), jumped)


def test_a_jump_from_before_is_not_forgotten_where_pruning_is_clear() -> None:
    everything = np.ones((1, 1, 2), dtype=bool)
    errors = errors_of([[[0.5, 0.5]]], jumped=True)
    pruned(errors, stack_of([[[2.0, 2.0]]], [0.0]), everything, ~everything)
    assert errors.jumped


def test_of_an_empty_task_nothing_is_in_doubt_and_of_others_all_stays() -> None:
    errors = errors_of(np.ones((2, 1, 2)), unsure=np.ones((2, 1, 2), dtype=bool))
    emptied(errors, 0)
    assert errors.delta.tolist() == [0.0, pytest.approx(2**0.5)]
    assert errors.entry.tolist() == [[[0.0, 0.0]], [[1.0, 1.0]]]
    assert errors.unsure.tolist() == [[[False, False]], [[True, True]]]


def cut(x: list[float], error: Any, kept: list[int], K: int, keep: str = "exact", slack: float = 0.0) -> Cut:
    size = len(x)
    return cut_at(
        np.asarray(x), np.broadcast_to(np.asarray(error, dtype=float), size), np.isin(np.arange(size), kept), K, keep,
        np.full(size, slack),
    )  # fmt: skip


# magnitudes, their errors, which are kept, K, keep, slack; which are unsure, which faint
CUTS: dict[str, tuple[Any, ...]] = {
    "kept and dropped just meet": ([4.0, 3.0, 2.5, 1.0], 0.25, [0, 1], 2, "exact", 0.0, [1, 2], []),
    "they do not quite": ([4.0, 3.0, 2.5, 1.0], 0.125, [0, 1], 2, "exact", 0.0, [], []),
    "errors of their own": ([4.0, 3.0, 2.5, 1.0], [0.0, 0.5, 0.0, 2.0], [0, 1], 2, "exact", 0.0, [1, 2], [3]),
    "slack is none to an exact cut": ([4.0, 3.0, 2.5, 1.0], 0.125, [0, 1], 2, "exact", 9.0, [], []),
    "slack brings a dropped one nearer": ([4.0, 3.0, 2.5, 1.0], 0.125, [0, 1], 1, "threshold", 0.25, [1, 2], []),
    "but not so near": ([4.0, 3.0, 2.5, 1.0], 0.125, [0, 1], 1, "threshold", 0.125, [], []),
    "no larger than its error": ([4.0, 0.5, 0.5, 0.25], 0.5, [0, 1], 2, "exact", 0.0, [], [2, 3]),
    "all are kept": ([4.0, 3.0, 2.5, 1.0], 9.0, [0, 1, 2, 3], 4, "exact", 0.0, [], []),
    "none is": ([4.0, 3.0, 2.5, 1.0], 9.0, [], 0, "exact", 0.0, [], []),
    # K + 1 = 2 are kept for their size, the third for being within 1/2 of the second largest there may be
    "equal beyond doubt": ([4.0, 3.0, 2.875, 1.0], 0.03125, [0, 1, 2], 1, "threshold", 0.5, [], []),
    "perhaps not equal": ([4.0, 3.0, 2.875, 1.0], 0.25, [0, 1, 2], 1, "threshold", 0.5, [2], []),
    "all kept, one perhaps not equal": ([4.0, 3.0, 2.875], 0.25, [0, 1, 2], 1, "threshold", 0.5, [2], []),
    "just equal": ([4.0, 3.0, 3.0], 0.25, [0, 1, 2], 1, "threshold", 0.5, [], []),
    "K + 1 are none beyond": ([4.0, 3.0, 2.875, 1.0], 0.25, [0, 1, 2], 2, "threshold", 0.0, [], []),
    "an exact cut keeps none for being equal": ([4.0, 3.0, 2.875, 1.0], 0.25, [0, 1, 2], 1, "exact", 0.0, [], []),
}


@pytest.mark.parametrize("half", [0, 1])
def test_which_may_change_sides(half: int) -> None:
    for case, (x, error, kept, K, keep, slack, unsure, faint) in list(CUTS.items())[half::2]:
        found = cut(x, error, kept, K, keep, slack)
        assert np.flatnonzero(found.unsure).tolist() == unsure, case
        assert np.flatnonzero(found.faint).tolist() == faint, case
        assert found.open.tolist() == (found.unsure | found.faint).tolist() or "no larger" in case, case


def test_one_that_is_kept_and_no_larger_than_its_error_is_neither_unsure_nor_faint() -> None:
    found = cut([4.0, 0.5, 0.5, 0.25], 0.5, [0, 1], 2)
    assert found.open.tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("x", "kept", "gap"),
    [([4.0, 8.0, 3.0, 1.0], [0, 1], 0.25), ([4.0, 4.0, 4.0], [0], 0.0), ([0.0, 0.0], [0], 0.0), ([2.0, 1.0], [], 1.0),
     ([4.0, 3.0], [0, 1], 1.0), ([0.5, 0.25], [0], 0.5)],
)  # fmt: skip
def test_the_gap_is_that_of_the_least_kept_and_the_largest_dropped_over_the_former(
    x: list[float], kept: list[int], gap: float
) -> None:
    assert cut(x, 0.0, kept, len(kept)).gap == gap


def rescaled_of(M: Any, after: Any, E: Any, level: float = 0.25, f: float = 2.0, l1: Any = None, **rest: Any) -> Errors:
    errors = errors_of(E, **{"unsure": np.zeros(np.shape(M), dtype=bool), **rest})
    T = len(errors.entry)
    rescaled(Stage, errors, stack_of(M, [level] * T), stack_of(after, [f * level] * T), l1)
    return errors


def test_a_factor_takes_errors_along_and_no_more_of_their_norm_than_is_there() -> None:
    """Twice 3 and 4; a finer bound on their norm, 1, is twice that."""
    for delta, expected in ((9.0, 10.0), (1.0, 2.0)):
        errors = rescaled_of([[[5.0, 5.0]]], [[[10.0, 10.0]]], [[[3.0, 4.0]]], delta=np.asarray([delta]))
        assert errors.entry.tolist() == [[[6.0, 8.0]]]
        assert errors.delta.tolist() == [expected]
        assert not errors.margins


def test_without_any_level_the_factor_is_one() -> None:
    errors = rescaled_of([[[5.0, 5.0]]], [[[5.0, 5.0]]], [[[3.0, 4.0]]], level=0.0)
    assert errors.entry.tolist() == [[[3.0, 4.0]]]


def test_small_errors_of_entries_that_take_the_norm_of_all() -> None:
    """Of 3, 1, 4 the first two are kept and doubled: x_1 = 8 M_1 / (M_1 + M_2). Errors of 1/4 and 1/8 move what is left
    by 3/8 of 4, so that 1 / (4 − 3/8) is 32/29 of 1/4, twice in a quotient; 1/2 of the 8 is 1/16 of the result, however
    far it is off."""
    twice, E = (32 / 29) ** 2, (0.25, 0.125)
    first = 2 * twice * (0.25 * E[0] + 0.75 * E[1]) * 17 / 16 + 6 / 16
    second = 2 * twice * (0.75 * E[1] + 0.25 * E[0]) * 17 / 16 + 2 / 16
    errors = rescaled_of([[[3.0, -1.0, 4.0]]], [[[6.0, -2.0, 0.0]]], [[[*E, 0.0]]], l1=np.asarray([0.5]))
    assert errors.entry[0, 0].tolist() == pytest.approx([first, second, 0.0])
    assert errors.delta.tolist() == pytest.approx([np.hypot(first, second)])
    (margin,) = errors.margins
    assert (margin.what, margin.value, margin.task) == ("what is kept relative to what is there", 0.5, 0)
    assert margin.amplifies == 2.0
    assert not errors.doubts


def test_a_finer_bound_on_the_norm_of_errors_grows_with_the_factor_and_what_the_factor_gains() -> None:
    """Three of 1 take the norm 6 of all, each off by 1/16: 3 may be 45/16, and the factor 16/15 of 2. A bound of 1/64
    on the norm makes 1/30 then, 1/15 of the result, √12, is what the factor gains, and 1/24 of all is for the 6."""
    M, after, E = [[[1.0, 1.0, 1.0, 3.0]]], [[[2.0, 2.0, 2.0, 0.0]]], [[[1 / 16, 1 / 16, 1 / 16, 0.0]]]
    errors = rescaled_of(M, after, E, l1=np.asarray([0.25]), delta=np.asarray([1 / 64]))
    assert float(errors.delta[0]) == pytest.approx(25 / 24 / 30 + (25 / 24 * 16 / 15 - 1) * 12**0.5)
    assert float(errors.delta[0]) < np.linalg.norm(errors.entry)


def test_a_quarter_of_what_is_left_is_still_small_and_arithmetic_brings_its_own() -> None:
    """1 of the 4 left: 1 / (4 − 1) is 4/3, squared; the sums are formed anew, each off by 2⁻¹⁰."""
    errors = rescaled_of(
        [[[4.0, 4.0]]], [[[8.0, 0.0]]], [[[1.0, 0.0]]], l1=np.asarray([1.0]), name="compute", eps=2**-10
    )
    # all of the norm of what is left is in one entry: what it loses it gains
    assert errors.entry[0, 0].tolist() == pytest.approx([8 * (1 / 8 + 2**-10), 0.0])
    errors = rescaled_of([[[2.0, 2.0, 4.0]]], [[[4.0, 4.0, 0.0]]], [[[0.5, 0.5, 0.0]]], l1=np.asarray([1.0]))
    assert errors.entry[0, 0].tolist() == pytest.approx([9 / 8 * 2 * 16 / 9 * 0.5 + 4 / 8] * 2 + [0.0])


def test_large_errors_add_what_the_factor_gains_of_each_entry() -> None:
    """2 of the 4 left: as little as 2, so twice the factor. (3 + 1) · 4 for 3 · 2 is 10 more, (1 + 1) · 4 for 1 · 2 is
    6; 1/4 of the 8 is 1/32 of all that; nothing exceeds the norm 8.25 beyond what it is."""
    errors = rescaled_of([[[3.0, -1.0, 4.0]]], [[[6.0, -2.0, 0.0]]], [[[1.0, 1.0, 0.0]]], l1=np.asarray([0.25]))
    assert errors.entry[0, 0].tolist() == pytest.approx([10 + 16 / 32, 6 + 8 / 32, 0.0])
    assert float(errors.delta[0]) == pytest.approx(min(np.hypot(10.5, 6.25), 40**0.5 + 8.25))


def test_where_nothing_need_be_left_an_entry_is_the_whole_norm_at_most() -> None:
    """|after| + 8 + 1/4: the other sign, and all there is. In doubt alone where an entry need not be there."""
    for unsure, error, doubt in ((True, 4.0, True), (True, 5.0, True), (False, 4.0, False), (True, 3.0, False)):
        M, after, E = [[[3.0, -1.0, 4.0]]], [[[6.0, -2.0, 0.0]]], [[[error - 1.0, 1.0, 0.0]]]
        there = np.asarray([[[False, unsure, False]]])
        errors = rescaled_of(M, after, E, l1=np.asarray([0.25]), unsure=there)
        sentence = "a stage: task 0: what is kept is at the level that counts as zero, within the rounding of float64"
        assert doubts_of(errors) == [sentence] * doubt
        if error >= 4:
            assert errors.entry[0, 0, :2].tolist() == [6 + 8.25, 2 + 8.25]
            assert float(errors.delta[0]) == pytest.approx(40**0.5 + 8.25)


def test_a_doubt_that_moves_nothing_is_none() -> None:
    errors = rescaled_of(
        [[[3.0, 1.0]]], [[[3.0, 0.0]]], [[[3.0, 0.0]]], l1=np.ones(1), unsure=np.asarray([[[False, True]]])
    )
    assert not errors.doubts


def test_of_a_task_of_which_nothing_is_kept_nothing_is_off() -> None:
    """In the second task, and the first is no zero of the second's."""
    M, after = [[[3.0, -1.0]], [[0.0, 0.0]], [[2.0, 2.0]]], [[[12.0, 0.0]], [[0.0, 0.0]], [[0.0, 0.0]]]
    E = [[[0.3, 0.0]], [[0.0, 0.0]], [[0.0, 0.0]]]
    errors = rescaled_of(M, after, E, l1=np.asarray([0.5, 0.0, 0.1]), f=4.0)
    assert errors.entry[1:].tolist() == [[[0.0, 0.0]], [[0.0, 0.0]]]
    assert errors.delta[1:].tolist() == [0.0, 0.0]
    assert errors.entry[0, 0].tolist() == pytest.approx([12 * 0.5 / 4, 0.0])
    assert [(m.task, m.value) for m in errors.margins] == [(0, 0.75), (2, 1.0), (4, 0.0)]
