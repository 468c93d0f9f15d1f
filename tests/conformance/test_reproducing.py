"""When a mistake explains an answer: it gives the same within rounding, and is much nearer to it than the right one."""

from dataclasses import replace

import numpy as np
import pytest

from coremerge_ref.conformance import cases
from coremerge_ref.conformance.determined import frames_of
from coremerge_ref.conformance.precision import FLOAT32
from coremerge_ref.conformance.questions import Case
from coremerge_ref.conformance.reproducing import FLOOR, likely_pairs, matching, reproduces, rounds_to_single, shows

CASE = cases("ta/core/generic")[0]
EPS = 2.0**-52


def case_of(expected: np.ndarray, bound: float = 0.0) -> Case:
    return replace(CASE, expected=expected, bound=bound)


RIGHT, WRONG = np.diag([1.0, 1.0]), np.diag([3.0, 4.0])  # 3.6 apart; the wrong one is 5 long


@pytest.mark.parametrize(("off", "same"), [(0.0, True), (0.9, True), (1.1, False), (np.inf, False), (np.nan, False)])
@pytest.mark.parametrize("bound", [0.0, 2.0**20])
def test_answers_are_the_same_within_twice_the_tolerance(off: float, same: bool, bound: float) -> None:
    """That of the case, or that of a worse conditioned answer of this size."""
    tolerance = 2 * max(50 * EPS * bound, FLOOR * EPS * 5)
    assert reproduces(case_of(RIGHT, bound), WRONG, WRONG + np.diag([0, off * tolerance])) is same
    assert reproduces(case_of(RIGHT, bound), WRONG, WRONG + np.full((2, 2), off * tolerance / 2)) is same


def test_an_answer_nearly_as_near_to_the_right_one_is_not_explained() -> None:
    case = case_of(RIGHT, bound=2.0**44)  # a tolerance of 0.2
    for distance, same in ((0.1 / 7.9, False), (0.1 / 8.1, True)):
        actual = RIGHT + np.diag([0, 0.1])
        assert reproduces(case, actual, actual + np.diag([distance, 0])) is same


def test_what_is_no_matrix_of_its_kind_is_not_the_same() -> None:
    equal_rows = np.array([[3.0, 4.0], [3.0, 4.0]])
    assert not reproduces(case_of(RIGHT), equal_rows, equal_rows[:1])
    assert not reproduces(case_of(RIGHT), WRONG, np.where(WRONG == 3, np.nan, WRONG))
    assert not reproduces(replace(CASE, expected=None), WRONG, WRONG)
    assert reproduces(case_of(np.zeros((0, 3))), np.zeros((0, 3)), np.zeros((0, 3)))


def test_a_mistake_that_gives_one_of_the_right_answers_explains_nothing() -> None:
    case = cases("ties-count/core/generic")[0]
    assert case.freedom == "entries"
    u, v = frames_of(case)
    inner = u.T @ case.expected @ v
    place = np.flatnonzero(case.undecided)[0]
    inner.flat[place] = max(case.possible[0], key=lambda x: abs(x - inner.flat[place]))
    other = u @ inner @ v.T
    assert np.linalg.norm(other - case.expected) > 0.01
    assert not reproduces(case, other, other)
    assert reproduces(replace(case, reasons=()), other, other)
    assert reproduces(case, 2 * other, 2 * other)


def test_rounding_to_single_is_told_from_smaller_errors() -> None:
    level = 2.0**-9 * FLOAT32.eps * 5
    assert rounds_to_single(WRONG + np.diag([0, 1.1 * level]), WRONG)
    assert not rounds_to_single(WRONG + np.diag([0, 0.9 * level]), WRONG)


def test_a_mistake_is_found_among_the_names_given_and_shows_where_it_fails() -> None:
    wrong = 3 * CASE.expected  # there are three tasks
    assert matching(CASE, wrong, ["result-negated", "result-multiplied-by-count"]) == ["result-multiplied-by-count"]
    assert matching(CASE, wrong, ["result-negated"]) == []
    assert matching(CASE, -wrong, ["result-negated+result-multiplied-by-count"]) == [
        "result-negated+result-multiplied-by-count"
    ]
    assert shows(CASE, "result-negated")
    assert not shows(CASE, "result-negated+result-negated")
    assert not shows(CASE, "iso-left-out")  # of a method that has none


def test_what_many_mistakes_look_like_is_named_only_where_no_other_explains_the_answer() -> None:
    case = cases("ta/core/tiny")[0]
    zero = np.zeros(case.shape)
    assert matching(case, zero, ["zero-matrix", "small-taken-for-zero"]) == ["small-taken-for-zero"]
    assert matching(case, zero, ["zero-matrix", "result-negated"]) == ["zero-matrix"]


def test_likely_pairs_are_of_a_common_mistake_and_another_that_the_case_can_show() -> None:
    pairs = [tuple(pair.split("+")) for pair in likely_pairs(CASE)]
    assert len(set(pairs)) == len(pairs)
    assert ("scaling-ignored", "sum-divided-by-count") in pairs
    assert all(first != second for first, second in pairs)
    assert not {"iso-left-out", "ties-without-trimming"} & {second for _, second in pairs}  # stages of other methods
    assert not {"zero-matrix", "updates-averaged"} & {second for _, second in pairs}  # of no stage
