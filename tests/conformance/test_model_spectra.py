"""CART, TSV, isotropization and Iso-CTS of the model, right and with each of their mistakes, on diagonal matrices where
all can be said by hand."""

import math
from typing import Any

import numpy as np
import pytest

from coremerge_ref.conformance.model.arithmetic import Arithmetic
from coremerge_ref.conformance.model.nearest import completed, signs_like
from coremerge_ref.conformance.model.spectra import cart, iso, iso_cts, leading, opened, polar, tsv, turn

GIVEN: dict[str, Any] = {"k": 1, "fraction": 0.5, "rounding": "ceil", "coefficient": 2.0}
# of diag(3, 1, 0) and diag(5, 9, 2): mean diag(4, 5, 1), apart by ∓diag(1, 4, 1)
TWO = ((3.0, 1.0, 0.0), (5.0, 9.0, 2.0))
ONE = ((3.0, 2.0, 1.0),)


def merged(tasks: tuple[tuple[float, ...], ...], *mistakes: str, full_size: int = 3, **changes: Any) -> list[float]:
    stack = np.stack([np.diag(values) for values in tasks])
    levels = np.full(len(stack), 1e-12)
    out = cart(Arithmetic(*mistakes), stack, levels, {**GIVEN, **changes}, full_size)
    diagonal = np.diagonal(out)
    np.testing.assert_allclose(out, np.diag(diagonal), atol=1e-13)
    return diagonal.round(12).tolist()


@pytest.mark.parametrize(
    ("mistakes", "two", "one"),
    [
        ((), [4, 5, 1], [3, 2, 1]),
        (("cart-sum-for-mean",), [8 + 2 * -3, 10 + 2 * -9, 2], [3, 2, 1]),
        (("cart-first-task-for-mean",), [3, 1 + 2 * 8, 0], [3, 2, 1]),
        (("cart-without-mean",), [2 * 3, 2 * 9, 0], [2 * 3, 0, 0]),
        (("cart-not-centred",), [4 + 2 * 3, 5 + 2 * 9, 1], [3 + 2 * 3, 2, 1]),
        (("cart-mean-not-added",), [0, 0, 0], [0, 0, 0]),
        (("cart-coefficient-on-mean",), [8, 10, 2], [6, 4, 2]),
        (("cart-not-centred", "cart-residuals-averaged"), [4 + 3, 5 + 9, 1], [9, 2, 1]),
        (("cart-not-centred", "rank-one-too-large"), [4 + 2 * 8, 5 + 2 * 10, 1], [9, 6, 1]),
        (("cart-not-centred", "rank-one-too-small"), [4, 5, 1], [3, 2, 1]),
    ],
)
def test_each_mistake_gives_what_it_says(mistakes: tuple[str, ...], two: list[float], one: list[float]) -> None:
    assert merged(TWO, *mistakes) == two
    assert merged(ONE, *mistakes) == one


@pytest.mark.parametrize(
    ("changes", "mistakes", "kept"),
    [
        ({"k": 2, "fraction": 1.0}, (), 2),
        ({"fraction": 0.5}, (), 2),  # half of 3, rounded up
        ({"fraction": 0.5, "rounding": "floor"}, (), 1),
        ({"fraction": 0.1, "rounding": "floor"}, (), 1),  # at least
        ({"fraction": 0.1}, (), 1),
        ({"fraction": 0.1}, ("relative-rank-of-the-full-size",), 2),  # of 20
        ({"fraction": 0.1, "rounding": "floor"}, ("relative-rank-of-the-full-size",), 2),
        ({"k": 1}, ("relative-rank-of-the-full-size",), 1),
    ],
)
def test_the_rank_is_given_or_a_share_of_the_size(
    changes: dict[str, Any], mistakes: tuple[str, ...], kept: int
) -> None:
    found = merged(ONE, "cart-without-mean", *mistakes, full_size=20, **{"k": None, "coefficient": 1.0, **changes})
    assert found == [3, 2, 1][:kept] + [0] * (3 - kept)


def test_what_counts_as_zero_for_any_task_is_no_direction_whatever_the_rank() -> None:
    stack, levels = np.stack([np.diag([3.0, 1e-3])] * 2), np.array([1e-12, 1e-2])
    out = cart(Arithmetic("cart-without-mean"), stack, levels, {**GIVEN, "k": 2}, 2)
    np.testing.assert_allclose(out, np.diag([12.0, 0]), atol=1e-15)


# ---- triplets ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("k", "level", "kept", "known"),
    [
        (1, 0.5, 1, 0.25),  # of a gap of 2
        (2, 0.5, 2, 0.25),
        (3, 0.5, 3, 0.5),  # down to zero
        (9, 0.5, 3, 0.5),
        (3, 1.0, 2, 0.5),  # a value at the level is none
        (3, 3.0, 1, 1.5),
        (3, 6.0, 0, 0.0),
        (0, 0.5, 0, 0.0),
    ],
)
def test_leading_triplets_lie_above_the_level_and_are_known_by_the_gap_below(
    k: int, level: float, kept: int, known: float
) -> None:
    X = np.diag([5.0, 3.0, 1.0])[:, [1, 2, 0]]
    p, s, q = leading(Arithmetic(), X, k, level)
    assert (p.shape, s.tolist(), q.shape) == ((3, kept), [5, 3, 1][:kept], (3, kept))
    np.testing.assert_allclose((p * s) @ q.T, np.diag([5, 3, 1][:kept] + [0] * (3 - kept))[:, [1, 2, 0]], atol=1e-14)
    assert turn(Arithmetic(), X, k, level) == pytest.approx(known)


def test_of_equal_values_one_alone_is_not_known() -> None:
    assert turn(Arithmetic(), np.diag([2.0, 2.0]), 1, 1e-3) == math.inf
    assert turn(Arithmetic(), np.diag([2.0, 2.0]), 2, 1e-3) == pytest.approx(5e-4)


# ---- TSV ---------------------------------------------------------------------------------------------------------
# of diag(3, 1, 0) and diag(0, 2, 5): the second direction is in both
PAIR = ((3.0, 1.0, 0.0), (0.0, 2.0, 5.0))


def with_diagonal(found: Any, diagonal: list[float]) -> None:
    np.testing.assert_allclose(found, np.diag(diagonal), atol=1e-12)


RANKS = [
    (1, (), [3, 0, 5]),
    (2, (), [3, 1.5, 5]),  # half of 1 + 2
    (9, (), [3, 1.5, 5]),
    (None, (), [3, 0, 5]),  # half of three directions, rounded down
    (None, ("relative-rank-of-the-full-size",), [3, 1.5, 5]),  # half of four
    (1, ("relative-rank-of-the-full-size",), [3, 0, 5]),
    (None, ("relative-rank-may-be-0",), [3, 0, 5]),
    (1, ("rank-one-too-large",), [3, 1.5, 5]),
    (2, ("rank-one-too-small",), [3, 0, 5]),
]
BESIDE = [
    (2, ("polar-left-out",), [3, 3, 5]),
    (2, ("right-side-not-orthogonalized",), [3, 3 / 2**0.5, 5]),
    (2, ("qr-for-polar",), [3, 1, 5]),  # the last direction is there already
    (2, ("tsv-without-singular-values",), [1, 1, 1]),
    (2, ("singular-values-sorted-over-tasks",), [5, 2, 2]),  # 5, 3, 2, 1 for 3, 1, 5, 2
    (2, ("singular-values-averaged",), [1.5, 0.75, 2.5]),
    (3, ("null-vectors-in-tsv",), [1.5, 1.5, 2.5]),  # each direction twice
]


def tsv_is(k: int | None, mistakes: tuple[str, ...], diagonal: list[float]) -> None:
    stack = np.stack([np.diag(values) for values in PAIR])
    with_diagonal(tsv(Arithmetic(*mistakes), stack, np.full(2, 1e-12), {"k": k}, 4), diagonal)


@pytest.mark.parametrize(("k", "mistakes", "diagonal"), RANKS)
def test_tsv_keeps_so_many_directions_of_each_task(
    k: int | None, mistakes: tuple[str, ...], diagonal: list[float]
) -> None:
    tsv_is(k, mistakes, diagonal)


@pytest.mark.parametrize(("k", "mistakes", "diagonal"), BESIDE)
def test_tsv_puts_leading_directions_side_by_side(k: int, mistakes: tuple[str, ...], diagonal: list[float]) -> None:
    tsv_is(k, mistakes, diagonal)


@pytest.mark.parametrize(
    ("mistakes", "full_size", "kept"),
    [((), 3, 1), (("relative-rank-may-be-0",), 3, 0), (("relative-rank-of-the-full-size",), 3, 1)],
)
def test_of_more_tasks_than_directions_each_keeps_one(mistakes: tuple[str, ...], full_size: int, kept: int) -> None:
    stack = np.stack([np.diag([8.0, 1.0, 0])] * 4)
    out = tsv(Arithmetic(*mistakes), stack, np.full(4, 1e-12), {"k": None}, full_size)
    with_diagonal(out, [8.0 * kept, 0, 0])


def test_tsv_takes_what_lies_above_each_tasks_own_level() -> None:
    stack = np.stack([np.diag(values) for values in PAIR])
    for levels, diagonal in (((1.0, 0.1), [3, 2, 5]), ((0.1, 2.0), [3, 1, 5]), ((9.0, 9.0), [0, 0, 0])):
        with_diagonal(tsv(Arithmetic(), stack, np.array(levels) + 1e-9, {"k": 2}, 3), diagonal)


# ---- the polar factor --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("angle", "mistakes", "turns", "rank"),
    [
        (1e-6, (), [0.0], 2),
        (1e-6, ("polar-cut-1e-5",), [0.0], 1),
        (1e-4, ("polar-cut-1e-5",), [0.0], 2),
        (1e-8, (), [0.0], 2),  # a relative singular value of 5e-9
        (1e-8, (), [0.0, 1.0], 1),  # no better than √eps is asked
        (1e-8, (), [1e-9], 2),
        (1e-8, (), [1e-8], 1),
        (1e-14, (), [0.0], 1),  # of less than 64 eps
        (0.0, (), [0.0], 1),
        (0.0, ("null-vectors-in-polar",), [0.0], 2),
    ],
)
def test_directions_that_are_one_within_what_is_known_are_one_in_the_polar_factor(
    angle: float, mistakes: tuple[str, ...], turns: list[float], rank: int
) -> None:
    parts = [np.array([[1.0], [0], [0]]), np.array([[math.cos(angle)], [math.sin(angle)], [0]])]
    found = polar(Arithmetic(*mistakes), parts, turns)
    values = np.linalg.svd(found, compute_uv=False)
    np.testing.assert_allclose(values, [1, 1] if rank == 2 else [1, 0], atol=1e-8)
    assert polar(Arithmetic(), [parts[0][:, :0]], []).shape == (3, 0)


# ---- isotropization ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("support", "level", "diagonal"),
    [
        ("rank", 0.0, [3, 3, 3]),  # of 6, 2 and 1
        ("rank", 1.0, [4, 4, 0]),
        ("size", 1.0, [3, 3, 3]),
        ("rank", 6.0, [0, 0, 0]),
    ],
)
def test_isotropization_makes_all_values_their_mean(support: str, level: float, diagonal: list[float]) -> None:
    with_diagonal(iso(Arithmetic(), np.diag([6.0, 2.0, 1.0]), level, support), diagonal)
    assert iso(Arithmetic(), np.zeros((2, 3)), 0.0, support).tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("support", "level", "mistake", "diagonal"),
    [
        ("rank", 1.0, "null-vectors-in-iso", [3, 3, 3]),
        ("rank", 1.0, "iso-mean-over-wrong-count", [8 / 3, 8 / 3, 0]),
        ("size", 1.0, "iso-mean-over-wrong-count", [4.5, 4.5, 4.5]),
        ("size", 6.0, "iso-mean-over-wrong-count", [9, 9, 9]),
        ("rank", 0.0, "iso-largest-for-mean", [6, 6, 6]),
        ("rank", 0.0, "iso-median-for-mean", [2, 2, 2]),
        ("rank", 0.0, "iso-root-mean-square", [(41 / 3) ** 0.5] * 3),
        ("rank", 0.0, "iso-sum-for-mean", [9, 9, 9]),
        ("rank", 1.0, "iso-sum-for-mean", [8, 8, 0]),
    ],
)
def test_each_mistake_of_isotropization_makes_them_what_it_says(
    support: str, level: float, mistake: str, diagonal: list[float]
) -> None:
    with_diagonal(iso(Arithmetic(mistake), np.diag([6.0, 2.0, 1.0]), level, support), diagonal)


# ---- Iso-CTS -----------------------------------------------------------------------------------------------------
# the sum is diag(10, 7, 2, 1), the third direction is the first task's own, the fourth the second's
OWN = ((5.0, 3.0, 2.0, 0.0), (5.0, 4.0, 0.0, 1.0))


def common_and_own(stack: Any, *mistakes: str, fraction: float = 0.5, rounding: str = "round") -> Any:
    given = {"common_fraction": fraction, "rounding": rounding}
    return iso_cts(Arithmetic(*mistakes), np.asarray(stack), np.full(len(stack), 1e-12), given)


@pytest.mark.parametrize(
    ("fraction", "rounding", "mistakes", "diagonal"),
    [
        (0.5, "round", (), [5, 5, 5, 5]),  # the mean of 10, 7, 2 and 1
        (0.5, "round", ("cts-without-residuals",), [6.75, 6.75, 0, 0]),  # of 10, 7, 5 and 5
        (0.5, "round", ("cts-common-part-left-out",), [0, 0, 1.5, 1.5]),
        (0.5, "round", ("cts-mean-of-the-common",), [8.5, 8.5, 8.5, 8.5]),
        (0.5, "round", ("cts-common-part-not-adjusted",), [5, 5, 5, 5]),
        (0.3, "round", (), [4.25, 4.25, 0, 0]),  # two of each task, no common one: 5, 3, 5 and 4
        (0.3, "floor", (), [5, 5, 5, 5]),
        (0.3, "round", ("cts-common-part-not-adjusted",), [4, 4, 4, 4]),  # of 10, 3, 2, 4 and 1
        (1.0, "round", (), [5, 5, 5, 5]),
        (0.3, "round", ("cts-mean-of-the-common",), [4.25, 4.25, 0, 0]),  # there is none
    ],
)
def test_iso_cts_takes_common_directions_and_each_tasks_own(
    fraction: float, rounding: str, mistakes: tuple[str, ...], diagonal: list[float]
) -> None:
    stack = [np.diag(values) for values in OWN]
    with_diagonal(common_and_own(stack, *mistakes, fraction=fraction, rounding=rounding), diagonal)


def test_iso_cts_projects_on_the_left_of_the_common_directions() -> None:
    """What cancels in the sum lies in the common directions on one side alone."""
    tasks = [np.diag([5.0, 3, 1, 0]), np.diag([5.0, 4, 0, 0.5])]
    plain = np.diag([4.625] * 4)  # the mean of 10, 7, 1 and 0.5
    both, right = "cts-projects-on-both-sides", "cts-projects-on-the-right"
    for place, same, other in (((2, 0), (both, right), ()), ((0, 2), (None, both), (right,))):
        X = np.zeros((4, 4))
        X[place] = 2.0
        stack = [tasks[0] + X, tasks[1] - X]
        for name in same:
            np.testing.assert_allclose(common_and_own(stack, *filter(None, [name])), plain, atol=1e-12)
        for name in other or (None,):
            found = common_and_own(stack, *filter(None, [name]))
            assert abs(found[3, 3]) < 1e-12  # what cancels is longer than the second task's own direction


def test_iso_cts_of_zeros_and_of_a_task_without_a_direction_of_its_own() -> None:
    assert not common_and_own(np.zeros((2, 3, 4))).any()
    stack = [np.diag([0.5, 0.3, 0.2, 0]), np.diag([0.5, 0.4, 0, 0])]
    with_diagonal(common_and_own(stack), [1.9 / 3, 1.9 / 3, 1.9 / 3, 0])
    counted = common_and_own(stack, "null-vectors-in-tsv")  # a zero in the mean
    np.testing.assert_allclose(np.diagonal(counted)[1:3], [1.9 / 4] * 2, atol=1e-12)


# ---- what is left open -------------------------------------------------------------------------------------------
def test_null_vectors_are_chosen_so_that_the_answer_looked_at_comes_out() -> None:
    e, values = np.array([1.0, 0, 0]), np.array([3.0, 2.0])
    along, across = np.array([1.0, 1.0]) / 2**0.5, np.array([1.0, -1.0]) / 2**0.5
    canonical = np.outer(e, along)
    for x, y in (((0, 0.6, 0.8), (0, 1.0, 0)), ((0, -1.0, 0), (0, 0.8, -0.6))):
        left, right = canonical + np.outer(x, across), canonical + np.outer(y, across)
        seen = (left * values) @ right.T
        p, q = completed(canonical, canonical, values, seen, 1e-8)
        np.testing.assert_allclose((p * values) @ q.T, seen, atol=1e-10)
        for side in (p, q):
            np.testing.assert_allclose(side.T @ side, np.eye(2), atol=1e-12)
        model = Arithmetic("null-vectors-in-polar")
        assert opened(model, canonical, canonical, values)[0] is canonical  # where no answer is looked at
        model.seen = seen
        p, q = opened(model, canonical, canonical, values)
        np.testing.assert_allclose((p * values) @ q.T, seen, atol=1e-10)
        model.flat, model.seen = True, 2.5 * left @ right.T  # of equal lengths, as isotropization makes them
        p, q = opened(model, canonical, canonical, values)
        np.testing.assert_allclose(2.5 * p @ q.T, model.seen, atol=1e-10)


def test_signs_are_those_of_the_answer_looked_at() -> None:
    left, right, values = np.eye(3, 2), np.eye(3, 2)[:, ::-1], np.array([3.0, 2.0])
    assert signs_like(left, left * [-1, 1]).tolist() == [-1, 1]
    assert signs_like(left, 0 * left).tolist() == [1, 1]
    model = Arithmetic("qr-for-polar")
    model.seen = (left * [-3.0, 2.0]) @ right.T
    p, q = opened(model, left, right, values)
    np.testing.assert_allclose((p * values) @ q.T, model.seen)
    other = Arithmetic()
    other.seen = model.seen
    assert opened(other, left, right, values)[0] is left
