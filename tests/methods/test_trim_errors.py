"""Errors through trimming: which entries may be cut or not, of one tensor and of a model."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from carrying import carried, doubts_of, errors_of, margins_of, moved
from examples import stack_of

import coremerge_ref as cm
from coremerge_ref.core.stack import Stack
from coremerge_ref.methods.trim import Trim, live_entries

GAP = "relative gap between the last entry kept and the first one cut"


def at_threshold(task: int, number: int) -> str:
    return f"trim: task {task}: {number} entries lie at the threshold, within the rounding of float64"


def test_kept_entries_keep_their_errors_and_cut_ones_have_none() -> None:
    """Each task by itself: the rank and the factors of the matrix are gone."""
    M = [[[4.0, -1.0], [2.0, 0.5]], [[-1.0, 8.0], [6.0, 3.0]]]
    E = [[[0.1, 0.2], [0.3, 0.1]], [[0.4, 0.5], [0.6, 0.7]]]
    trim = Trim(0.5, keep="exact")
    errors, _ = carried(trim, M, E, factors=["columns"])
    assert errors.entry.tolist() == [[[0.1, 0.0], [0.3, 0.0]], [[0.0, 0.5], [0.6, 0.0]]]
    np.testing.assert_allclose(errors.entry, moved(trim, M, E, by_task=True))
    np.testing.assert_allclose(errors.delta, [np.hypot(0.1, 0.3), np.hypot(0.5, 0.6)])
    assert margins_of(errors) == [(GAP, 0, 0.5), (GAP, 2, 0.5)]
    assert (errors.doubts, errors.jumped, errors.factors, errors.rank.tolist()) == ([], False, None, [2, 2])
    assert not errors.unsure.any()


def test_entries_that_may_change_sides_bring_their_size_in_the_task_where_they_do() -> None:
    """2 ± 1/2 and 1 ± 1/2 of the second task meet, 4 and 2 of the first do not; 3/4 ± 1/2 is cut whatever it is."""
    M = [[[4.0, 1.0], [2.0, 0.5]], [[0.75, 8.0], [-2.0, 1.0]]]
    E = [[[0.25] * 2] * 2, [[0.5] * 2] * 2]
    errors, _ = carried(Trim(0.5, keep="exact"), M, E)
    assert errors.entry.tolist() == [[[0.25, 0.0], [0.25, 0.0]], [[0.0, 0.5], [2.5, 1.5]]]
    assert np.argwhere(errors.unsure).tolist() == [[1, 1, 0], [1, 1, 1]]
    assert errors.doubts == [(at_threshold(2, 2), Trim.remedy)]
    assert margins_of(errors) == [(GAP, 0, 0.5), (GAP, 2, 0.5)]
    assert errors.jumped
    assert (moved(Trim(0.5, keep="exact"), M[1:], E[1:]) <= errors.entry[1]).all()


def test_a_dropped_entry_no_larger_than_its_error_may_be_kept_without_doubt() -> None:
    """2 is kept beside 4; it may fall to 3/2, which 1/2 may rise to: kept or not, it is an error as it is one now."""
    errors, _ = carried(Trim(0.5, keep="exact"), [[[4.0, 2.0, 0.5, 0.25]]], [[[0.0, 0.5, 1.0, 0.0]]])
    assert errors.entry.tolist() == [[[0.0, 2.5, 1.5, 0.0]]]
    assert doubts_of(errors) == [at_threshold(0, 1)]


@pytest.mark.parametrize(("keep", "kept"), [("threshold", [3.0, 2.0]), ("exact", [3.0])])
def test_a_threshold_keeps_one_more(keep: str, kept: list[float]) -> None:
    errors, after = carried(Trim(0.25, keep), [[[1.0, 3.0, 2.0, 0.5]]], [[[0.1, 0.2, 0.3, 0.4]]])
    assert sorted(after[after > 0].tolist(), reverse=True) == kept
    assert errors.entry.tolist() == [[[0.0, 0.2, 0.3 * (keep == "threshold"), 0.0]]]


def test_equals_at_the_threshold_are_kept_without_doubt_as_long_as_errors_leave_them_equal() -> None:
    """2 and 1.875 are equal up to 1/4. Errors of 1/16 leave them that, of 1/8 not; nor is 1.5625 reached, then 1.5."""
    M = [[[1.0, 3.0, 2.0, 1.875]]]
    for error, unsure in ((0.03125, []), (0.125, [3])):
        errors, after = carried(Trim(0.25), M, np.full((1, 1, 4), error), level=0.25)
        assert np.count_nonzero(after) == 3
        assert np.flatnonzero(errors.unsure).tolist() == unsure
        assert doubts_of(errors) == [at_threshold(0, 1)] * len(unsure)


def test_within_its_level_a_dropped_entry_is_too_near() -> None:
    """2.5 and 2 are kept, 1.5 is cut, at most 1/4 each way and a level of 1/8: 1.5 + 1/4 + 1/8 reaches 2 − 1/4."""
    M = [[[1.0, 2.5, 2.0, 1.5]]]
    for level, unsure in ((0.125, [2, 3]), (0.0, [2, 3]), (0.03125, [2, 3])):
        assert np.flatnonzero(carried(Trim(0.25), M, np.full((1, 1, 4), 0.25), level)[0].unsure).tolist() == unsure
    for level, unsure in ((0.125, []), (0.25, [2, 3])):
        assert np.flatnonzero(carried(Trim(0.25), M, np.full((1, 1, 4), 0.125), level)[0].unsure).tolist() == unsure


def test_density_one_cuts_nothing_but_what_counts_as_zero() -> None:
    errors, _ = carried(Trim(1.0), [[[4.0, 1.0, 0.25]]], [[[0.25, 0.5, 0.125]]], 0.5, factors=["columns"])
    assert errors.entry.tolist() == [[[0.25, 1.0, 0.0]]]  # 1 may be 1/2
    assert not errors.margins
    assert errors.rank.tolist() == [1]
    errors, _ = carried(Trim(1.0), [[[4.0, 1.0, 2.0]]], [[[0.25, 0.25, 0.125]]], 0.5, factors=["columns"])
    assert errors.factors == ["columns"]


@pytest.mark.parametrize(("keep", "empty"), [("exact", True), ("threshold", False)])
def test_where_none_is_kept_the_task_is_zero_and_exact(keep: str, empty: bool) -> None:
    """int(4 · 0.2) entries are none; a threshold keeps one, here 4 or 3."""
    M = np.asarray([[[4.0, 3.0, 2.0, 1.0]], [[4.0, 3.0, 2.0, 1.0]]])
    errors, _ = carried(Trim(0.2, keep), M, np.full(M.shape, 0.5), unsure=np.ones(M.shape, dtype=bool))
    assert errors.entry.any() != empty
    assert errors.delta.any() != empty
    assert errors.unsure.any() != empty
    assert [margin.value for margin in errors.margins] == ([1.0, 1.0] if empty else [0.25, 0.25])


@pytest.mark.parametrize("keep", ["exact", "threshold"])
def test_where_the_live_size_is_in_doubt_so_is_every_entry(keep: str) -> None:
    M, E = [[[4.0, 0.0, 2.0, 1.0]]], [[[0.5, 0.0, 0.25, 0.125]]]
    errors, _ = carried(Trim(0.2, keep), M, E, size_doubt="the live size is 3 or 4")
    assert errors.entry.tolist() == [[[4.5, 0.0, 2.25, 1.125]]]
    assert doubts_of(errors) == ["trim: the live size is 3 or 4, within the rounding of float64"]
    assert errors.unsure.tolist() == [[[True, False, True, True]]]


def model(keep: str = "exact") -> tuple[list[Stack], list[Any], Trim]:
    """Tasks 0 and 1 in a layer of 2 × 2, task 1 alone in one of 1 × 3 where errors are larger."""
    first = stack_of([[[8.0, 5.0], [4.0, 1.0]], [[0.5, 3.0], [7.0, 0.25]]], [0.0, 0.0])
    second = replace(stack_of([[[6.0, 2.5, 0.125]]], [0.0], (1.0,)), tasks=(1,))
    errors = [errors_of(np.full((2, 2, 2), 0.125), tasks=(0, 1)), errors_of(np.full((1, 1, 3), 0.5), tasks=(1,))]
    return [first, second], errors, Trim(0.5, keep, "model")


def test_over_a_model_each_task_has_one_threshold() -> None:
    """Of task 1's seven, 7, 6 and 3 stay; 3 ± 1/8 in the one layer and 2.5 ± 1/2 in the other may change sides."""
    stacks, errors, trim = model()
    after = trim(stacks)
    assert [np.asarray(s.M).tolist() for s in after] == [
        [[[8.0, 5.0], [0.0, 0.0]], [[0.0, 3.0], [7.0, 0.0]]], [[[6.0, 0.0, 0.0]]],
    ]  # fmt: skip
    first, second = trim.propagate(errors, stacks, after)
    assert first.entry.tolist() == [[[0.125, 0.125], [0.0, 0.0]], [[0.0, 3.125], [0.125, 0.0]]]
    assert second.entry.tolist() == [[[0.5, 3.0, 0.0]]]
    assert (doubts_of(first), doubts_of(second)) == ([at_threshold(1, 1)], [at_threshold(1, 1)])
    gap = round(0.5 / 3, 12)
    assert margins_of(first) == [(GAP, 0, 0.2), (GAP, 1, gap)]
    assert margins_of(second) == [(GAP, 1, gap)]


def test_over_a_model_each_entry_has_its_layers_slack() -> None:
    """K + 1 of a threshold stay: 7, 6, 3 and 2.5. 1.5 and a level of 3/4, each off by 1/8, just reach 2.5."""
    (first, _), _, trim = model("threshold")
    second = replace(stack_of([[[6.0, 2.5, 1.5]]], [0.75], (1.0,)), tasks=(1,))
    stacks = [first, second]
    errors = [errors_of(np.full(s.M.shape, 0.125), tasks=s.tasks) for s in stacks]
    found = trim.propagate(errors, stacks, trim(stacks))
    assert [np.argwhere(e.unsure).tolist() for e in found] == [[], [[0, 0, 1], [0, 0, 2]]]
    assert margins_of(found[1]) == [(GAP, 1, 0.4)]


def test_a_task_of_the_model_that_keeps_nothing_is_exact_wherever_it_is() -> None:
    """Of 4 entries int(0.2 · 4) stay, none; of the other task's 7 one does."""
    stacks, errors, _ = model()
    trim = Trim(0.2, "exact", "model")
    first, second = trim.propagate(errors, stacks, trim(stacks))
    assert first.delta.tolist() == [0.0, 0.125]
    assert second.delta.tolist() == [0.0]  # 7 is the largest, and 6 ± 1/2 no larger than 7 − 1/8


def test_a_task_without_live_entries_has_no_threshold() -> None:
    stack = replace(stack_of(np.zeros((1, 2, 2)), [0.0], (1.0,)), rows=np.asarray(0.0))
    trim = Trim(0.5)
    (errors,) = trim.propagate([errors_of(np.zeros((1, 2, 2)))], [stack], trim([stack]))
    assert errors.margins == []


def test_live_entries_are_those_of_all_layers_of_a_batch() -> None:
    """Two layers of 2 × 3 are 12 with one live size, and what each says where they differ."""
    stack = stack_of(np.zeros((1, 2, 3)), [0.0], (1.0,))
    assert float(live_entries(stack)) == 6.0
    batch = replace(stack, M=np.zeros((1, 2, 2, 3)))
    assert float(live_entries(batch)) == 12.0
    assert float(live_entries(replace(batch, rows=np.asarray([2.0, 1.0]), cols=np.asarray([3.0, 2.0])))) == 8.0


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [("density", 0, "a number above 0 and at most 1"), ("keep", "all", "one of threshold, exact"),
     ("scope", "layer", "one of tensor, model")],
)  # fmt: skip
def test_refused(parameter: str, value: Any, expected: str) -> None:
    with pytest.raises(cm.ParameterError) as error:
        Trim(**{parameter: value})
    assert str(error.value) == f"trim.{parameter}: expected {expected}, got {value!r}"


def test_looks_at_the_whole_model_or_at_entries_only_if_it_is_said() -> None:
    assert (Trim().whole_model, Trim(scope="model").whole_model) == (False, True)
    assert (Trim(1.0).sees(2), Trim(0.99).sees(1)) == ((), ("left", "right"))


@pytest.mark.parametrize("doubtful", [0, 1])
def test_a_live_size_in_doubt_in_one_layer_is_one_in_all_that_are_cut_at_once(doubtful: int) -> None:
    stacks, errors, trim = model()
    errors[doubtful].size_doubt = "the live size is 3 or 4"
    after = trim(stacks)
    found = trim.propagate(errors, stacks, after)
    for i, (e, stack) in enumerate(zip(found, stacks, strict=True)):
        where = "" if i == doubtful else "in another layer "
        assert f"trim: {where}the live size is 3 or 4, within the rounding of float64" in doubts_of(e)
        assert (e.unsure == (stack.M != 0)).all()
    stacks, errors, trim = model()
    errors[doubtful].size_doubt = "the live size is 3 or 4"
    apart = replace(trim, scope="tensor")
    found = apart.propagate(errors, stacks, apart(stacks))
    assert [any("live size" in sentence for sentence in doubts_of(e)) for e in found] == [
        i == doubtful for i in range(2)
    ]
