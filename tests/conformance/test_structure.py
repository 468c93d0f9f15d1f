"""Answers told by their kind: directions that no task has, or more than the right answer has."""

from dataclasses import replace

import numpy as np
import pytest

from coremerge_ref.conformance import cases
from coremerge_ref.conformance.model import Model
from coremerge_ref.conformance.questions import Case
from coremerge_ref.conformance.structure import HALF, by_structure, from_nothing, is_single

E = np.eye(4)
CASE = cases("tsv/full/generic")[0]


def case_of(method: str, space: str = "full") -> Case:
    """Two tasks in the first two coordinates of four, merged to diag(3, 1)."""
    updates = [(E[:, :1], E[:1], 3.0), (E[:, 1:2], E[1:2], 1.0)]
    return replace(CASE, updates=updates, method=method, space=space, expected=np.diag([3.0, 1, 0, 0]), bound=4.0)


OUTSIDE = np.diag([3.0, 1, 2, 0])


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("tsv", True), ("ta+iso", True), ("iso_cts", True),
        ("trim+tsv", False), ("dare+tsv", False), ("ties+iso", False), ("drm+iso", False), ("dare+ties+iso", False),
    ],
)  # fmt: skip
def test_in_full_space_a_direction_of_no_task_is_from_nothing_unless_a_stage_looks_at_entries(
    method: str, told: bool
) -> None:
    assert from_nothing(case_of(method), OUTSIDE) is told


@pytest.mark.parametrize("space", ["core", "knots", "knots-unscaled"])
def test_in_other_spaces_a_direction_of_no_task_is_something_else(space: str) -> None:
    assert from_nothing(case_of("tsv", space), OUTSIDE) is False


@pytest.mark.parametrize("space", ["full", "core"])
def test_more_directions_than_the_right_answer_has_are_from_nothing(space: str) -> None:
    case = replace(case_of("tsv", space), expected=np.diag([3.0, 0, 0, 0]))
    assert from_nothing(case, np.diag([3.0, 1, 0, 0])) is True
    assert from_nothing(case, np.diag([2.0, 0, 0, 0])) is False
    assert from_nothing(case_of("tsv", space), np.diag([1.0, 3, 0, 0])) is False


def test_an_answer_that_is_nearly_right_and_one_of_several_layers_are_not() -> None:
    case = case_of("tsv")
    for off, told in ((0.9, False), (1.1, True)):
        near = case.expected + off * 2.0**-8 * 10**0.5 * np.diag([0, 0, 1, 0])  # the right one is √10 long
        assert from_nothing(case, near) is told
    assert from_nothing(case, np.stack([OUTSIDE, OUTSIDE])) is False


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("tsv", ["null-vectors-in-tsv"]), ("iso_cts", ["null-vectors-in-tsv"]), ("ta+iso", ["null-vectors-in-iso"]),
        ("tsv+iso", ["null-vectors-in-iso"]), ("dare+tsv", []), ("ta", []), ("cart", []),
    ],
)  # fmt: skip
def test_what_is_from_nothing_is_put_down_to_the_last_stage_that_may_make_it(method: str, expected: list[str]) -> None:
    assert by_structure(case_of(method), OUTSIDE) == expected


# ---- rounding ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("off", "told"),
    [
        (0.1875, True),  # of 50 · 2⁻¹⁰ · 4, 0.195
        (-0.1875, True),
        (0.203125, False),
        (0.0, True),
        (0.1875 + 2.0**-20, False),  # no number of half precision
    ],
)
def test_an_answer_of_numbers_of_half_precision_that_is_off_by_their_rounding_is_that(off: float, told: bool) -> None:
    case = case_of("ta")
    assert by_structure(case, case.expected + off * np.diag([1, 0, 0, 0])) == [HALF] * told


@pytest.mark.parametrize(
    ("factor", "told"), [(1 / 33, False), (1 / 31, True), (1.0, True), (31.0, True), (33.0, False)]
)
def test_an_answer_is_of_single_precision_where_it_is_off_by_about_as_much(factor: float, told: bool) -> None:
    case = cases("ta/core/generic")[0]
    usual = np.linalg.norm(Model(dtype=np.float32)(case) - case.expected)
    E = np.random.default_rng(0).standard_normal(case.shape)
    assert is_single(case, case.expected + factor * usual * E / np.linalg.norm(E)) is told
    assert is_single(case.at("float32"), case.expected + usual * E / np.linalg.norm(E)) is False
    assert is_single(case, 2 * case.expected) is False
