"""Merges in balls, rule by rule, on diagonal matrices where the result is known; nothing else about certificates."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from said import parts

import coremerge_ref as cm
from coremerge_ref.analysis import balls
from coremerge_ref.analysis.verified import Weighted, _frame, _rounding_level, _turn, _turned, _whole, exact_merge
from coremerge_ref.analysis.verified_karcher import _cos_and_sinc
from coremerge_ref.core.pipeline import Pipeline

flint = pytest.importorskip("flint")
LEVEL = 2.0**-40


@pytest.fixture(autouse=True)
def bits() -> Iterator[None]:
    before, flint.ctx.prec = flint.ctx.prec, 320
    yield
    flint.ctx.prec = before


def diagonal(values: Sequence[float]) -> balls.Balls:
    return balls.diagonal([balls.matrix([[flint.arb(x)]]) for x in values])


def merged(
    method: str, *tasks: Sequence[float], least: int = 4, levels: Any = None, weights: Any = None, **parameters: Any
) -> list[Any]:
    """The diagonal of what is returned for diagonal matrices, weighted already, whose other entries have to be zero."""
    stages = Pipeline.parse(method, {method.split("+")[0]: parameters} if parameters else {}).stages
    levels, weights = levels or [LEVEL] * len(tasks), weights or [1.0] * len(tasks)
    found = exact_merge(stages, Weighted([diagonal(task) for task in tasks], levels, least, weights))
    assert all(found[i, j].contains(0) for i in range(found.nrows()) for j in range(found.ncols()) if i != j)
    assert all(float(x.rad()) < 1e-30 for x in found.entries())
    return [found[i, i] for i in range(found.nrows())]


def holds(found: list[Any], expected: Sequence[float]) -> bool:
    """Whether each ball holds its number, of few bits."""
    return len(found) == len(expected) and all(x.contains(flint.arb(y)) for x, y in zip(found, expected, strict=True))


A, B = (8.0, 4.0, 0.0, 0.0), (0.0, 0.0, 2.0, 1.0)
C = (9.0, 1.0, 4.0, 0.0)
# their mean is (2, 2, 1), and they are (5, 3, −5/2), (−4, 2, 0), (−2, −3, 5/2) and (1, −2, 0) apart from it
FOUR = ((7.0, 5.0, -1.5), (-2.0, 4.0, 1.0), (0.0, -1.0, 3.5), (3.0, 0.0, 1.0))


KARCHER: dict[str, tuple[dict[str, Any], tuple[float, float], float]] = {
    "weights are shares of the angle": ({}, (3.0, 1.0), math.pi / 8),
    "no step is taken": ({"steps": 0}, (3.0, 1.0), math.atan2(1, 3)),
    "a first step of π/8 − atan(1/3) = 0.0709 is one": ({"tol": 0.07}, (3.0, 1.0), math.pi / 8),
    "a first step of 0.0709 is none": ({"tol": 0.071}, (3.0, 1.0), math.atan2(1, 3)),
    # 0.24498 from the first, so that the other alone pulls, by a fifth of 1.3258, and then what both do is too little
    "what is nearer than tol does not pull": ({"tol": 0.25}, (4.0, 1.0), math.atan2(1, 4) + math.atan2(4, 1) / 5),
    "a short sum begins at the first": ({"tol": 0.75}, (2.0, 1.0), 0.0),
    "a task of weight 0 is no point": ({}, (2.0, 0.0), 0.0),
}


@pytest.mark.parametrize("name", KARCHER)
def test_the_karcher_mean_of_two_at_right_angles_lies_between_them(name: str) -> None:
    """Both are 4 long, and so is their mean."""
    parameters, (v, w), angle = KARCHER[name]
    found = merged("karcher", (4 * v, 0.0), (0.0, 4 * w), weights=(v, w), **parameters)
    assert [float(x) for x in found] == pytest.approx([4 * math.cos(angle), 4 * math.sin(angle)], abs=1e-14)


def test_a_karcher_mean_is_not_pulled_by_its_opposite_and_stays_where_it_starts() -> None:
    assert holds(merged("karcher", (6.0, 0.0), (-3.0, 0.0), weights=(2.0, 1.0)), [3, 0])
    # as long as each other: the sum is none, and the first is where it starts
    assert holds(merged("karcher", (-3.0, 0.0), (3.0, 0.0)), [-3, 0])


def test_what_lies_within_the_level_or_tol_is_no_point_of_a_karcher_mean() -> None:
    """It counts in the length, 4 and little over 2, alone."""
    assert holds(merged("karcher", (4.0, 0.0), (0.0, LEVEL / 2)), [2 + LEVEL / 4, 0])
    assert holds(merged("karcher", (4.0, 0.0), (0.0, 0.5), tol=0.5), [2.25, 0])
    found = merged("karcher", (4.0, 0.0), (0.0, 1.0), tol=0.5, weights=(1.0, 2.0))  # 1/2 long, twice
    assert [float(x) for x in found] == pytest.approx([5 / 3, 0], rel=1e-15, abs=0)
    assert holds(merged("karcher", (LEVEL / 2, 0.0), (0.0, 0.0)), [0, 0])


@pytest.mark.parametrize("thirds", [0, 1, 2, 3])
def test_the_cosine_of_a_step_and_its_sine_over_the_step_are_known_nearly_as_well_as_its_square(thirds: int) -> None:
    """Of 0, 60°, 120° and 180°: cosines 1, 1/2, −1/2 and −1, sines 0, √3/2, √3/2 and 0."""
    step, root = flint.arb.pi() * thirds / 3, flint.arb(3).sqrt() / 2
    cos, sinc = _cos_and_sinc(step**2)
    expected = flint.arb([2, 1, -1, -2][thirds]) / 2, [1, root, root, 0][thirds] / (step if thirds else 1)
    for found, exact in zip((cos, sinc), expected, strict=True):
        assert found.overlaps(flint.arb(exact))
        assert float(found.rad()) < 2.0**-312  # of 320 bits


def test_a_small_step_is_not_known_worse_than_its_square() -> None:
    """Whose root is anywhere up to 2⁻⁵⁰: the series is 1 − s / 2 and 1 − s / 6."""
    for found, share in zip(_cos_and_sinc(flint.arb(0, 2.0**-100)), (2, 6), strict=True):
        assert found.contains(1)
        assert float(found.rad()) < 1.01 * 2.0**-100 / share


@pytest.mark.parametrize("square", ["16", "nan", "15.9 +/- 0.2"])
def test_steps_that_are_hardly_enclosed_are_not_taken(square: str) -> None:
    with pytest.raises(balls.Uncertain, match="steps of the Karcher mean are not enclosed"):
        _cos_and_sinc(flint.arb(square))


@pytest.mark.parametrize(("epsilon", "expected"), [(0.75, [3.0, 0.0]), (1.5, [1.5, 1.5])])
def test_iso_after_a_karcher_mean_cuts_at_the_largest_level_times_a_coefficient(
    epsilon: float, expected: list[float]
) -> None:
    """(3, ε) twice, each with the coefficient 1/2: what is zero up to 2 in either is so up to 1, in units of 2⁻³⁰."""
    task, unit = (3.0, epsilon * 2.0**-30), 2.0**-30
    found = merged("karcher+iso", task, task, levels=[2 * unit] * 2)
    assert [float(x) for x in found] == pytest.approx(expected, abs=2 * unit)


def test_weights_below_zero_have_no_karcher_mean() -> None:
    with pytest.raises(cm.ParameterError, match=r"weights of at least 0.*-1"):
        merged("karcher", A, B, weights=(2.0, -1.0))


def test_a_number_at_a_level_is_told_from_it_or_not() -> None:
    assert balls.surely_above(flint.arb(2), 1.0)
    assert not balls.surely_above(flint.arb(1), 1.0)
    with pytest.raises(balls.Uncertain, match="cannot tell"):
        balls.surely_above(flint.arb(1, 0.5), 1.0)
    with pytest.raises(balls.Uncertain):
        balls.surely_above(flint.arb("nan"), 1.0)


@pytest.mark.parametrize("method", ["ta", "mean"])
def test_linear_merges_are_sums_of_what_is_weighted_already(method: str) -> None:
    assert holds(merged(method, A, B, C), [17, 5, 6, 1])


@pytest.mark.parametrize(
    ("k", "least", "kept"), [(1, 4, 1), (2, 1, 2), (9, 1, 2), (None, 4, 2), (None, 3, 1), (None, 2, 1), (None, 1, 1)]
)
def test_tsv_keeps_k_of_each_task_or_a_share_of_the_live_size(k: int | None, least: int, kept: int) -> None:
    expected = [8, 4, 2, 1] if kept == 2 else [8, 0, 2, 0]
    assert holds(merged("tsv", A, B, least=least, k=k), expected)


def test_tsv_of_one_direction_in_two_tasks_is_their_mean() -> None:
    assert holds(merged("tsv", (8.0, 0, 0), (4.0, 0, 0), k=1), [6, 0, 0])


def test_what_lies_below_the_level_is_no_direction() -> None:
    assert holds(merged("tsv", (8.0, LEVEL / 2), (0.0, 0.0), k=2), [8, 0])
    assert holds(merged("tsv", (0.0, 0.0), (LEVEL / 2, 0.0), k=2), [0, 0])
    assert holds(merged("ta+iso", (8.0, LEVEL / 2), (0.0, 4.0)), [6 + LEVEL / 4] * 2)
    assert holds(merged("ta+iso", (8.0, LEVEL / 2)), [8, 0])
    assert holds(merged("iso_cts", (LEVEL / 2, 0.0), (0.0, 0.0), least=2), [0, 0])
    assert holds(merged("cart", (0.0, LEVEL / 2), (0.0, 0.0), k=1), [0, LEVEL / 4])


def test_cart_of_two_tasks_is_their_mean_though_singular_values_at_the_cut_are_equal() -> None:
    assert holds(merged("cart", (4.0, 0.0), (0.0, 4.0), k=1, coefficient=3.0), [2, 2])


@pytest.mark.parametrize(
    ("parameters", "least", "kept"),
    [
        ({"k": 1, "coefficient": 2.0}, 9, 1),
        ({"k": 2, "coefficient": -1.0}, 1, 2),
        ({"fraction": 0.5, "coefficient": 2.0}, 3, 2),
        ({"fraction": 0.5, "coefficient": 2.0, "rounding": "floor"}, 3, 1),
        ({"fraction": 0.1, "coefficient": 2.0, "rounding": "floor"}, 3, 1),
        ({"fraction": 0.5}, 4, 2),
        ({"fraction": 0.5, "rounding": "floor"}, 4, 2),
    ],
)
def test_cart_adds_the_leading_deviations_from_the_mean(parameters: dict[str, Any], least: int, kept: int) -> None:
    factor, sums = parameters.get("coefficient", 1.0), {1: (5 - 4, -3 - 2, 0), 2: (5 - 4 + 1, 3 + 2 - 3 - 2, 2.5)}
    expected = [x + factor * y for x, y in zip((2, 2, 1), sums[kept], strict=True)]
    assert holds(merged("cart", *FOUR, least=least, **parameters), expected)


@pytest.mark.parametrize(
    ("parameters", "least", "expected"),
    [
        ({"common_fraction": 0.5}, 4, [6.75] * 4),  # 16 and 8 of the sum, then 2 and 1
        ({"common_fraction": 0.5}, 2, [12, 12, 0, 0]),  # two of the sum, and no more
        ({"common_fraction": 0.25}, 4, [6, 6, 0, 0]),  # 8 and 4 of each task, in the same directions
        ({"common_fraction": 0.25, "rounding": "floor"}, 4, [6.75] * 4),  # one of each task, so two of the sum
    ],
)
def test_iso_cts_makes_common_directions_and_those_left_over_equal(
    parameters: dict[str, Any], least: int, expected: list[float]
) -> None:
    tasks = ((8.0, 4.0, 2.0, 0.0), (8.0, 4.0, 0.0, 1.0))
    assert holds(merged("iso_cts", *tasks, least=least, **parameters), expected)


@pytest.mark.parametrize("method", ["ta+iso", "mean+iso"])
def test_iso_makes_the_singular_values_of_the_sum_equal(method: str) -> None:
    assert holds(merged(method, (8.0, -1.0, 0.0), (1.0, -2.0, 0.0)), [6, -6, 0])


def test_iso_after_another_merge_sees_what_it_gave() -> None:
    assert holds(merged("tsv+iso", A, B, k=1), [5, 0, 5, 0])
    assert holds(merged("cart+iso", *FOUR, k=1, coefficient=-1.0), [3, 3, 3])  # of 1, 7 and 1


def test_of_what_tasks_make_together_the_largest_level_says_what_is_zero() -> None:
    assert holds(merged("ta+iso", (8.0, 1.0), (0.0, 0.0), levels=[LEVEL, 2.0]), [8, 0])
    assert holds(merged("cart", *FOUR, levels=[LEVEL, LEVEL, 2.75, LEVEL], k=3), [2 + 5 - 4, 2 + 3 - 3, 1])
    assert holds(merged("iso_cts", (16.0, 0.0), (0.0, 1.0), levels=[2.0, LEVEL], least=2, common_fraction=1.0), [16, 0])


def test_what_counts_as_zero_after_cart_grows_with_its_coefficient() -> None:
    for coefficient, expected in ((1.0, [4 + LEVEL] * 2), (-4.0, [8, 0]), (0.25, [4 + LEVEL] * 2)):
        assert holds(merged("cart+iso", (8.0, 2 * LEVEL), k=1, coefficient=coefficient), expected)


@pytest.mark.parametrize("method", ["ties", "dare+ta", "trim+tsv", "drm", "sce"])
def test_stages_that_look_at_entries_have_no_rule(method: str) -> None:
    pattern = parts(f"certify: method: … cart, iso_cts, karcher, mean, ta, tsv … iso … {Pipeline.parse(method)!s}")
    with pytest.raises(cm.ParameterError, match=pattern):
        merged(method, A, B)


def test_iso_over_null_vectors_has_no_rule() -> None:
    stages = Pipeline.parse("ta+iso", {"iso": {"support": "size"}}).stages
    with pytest.raises(cm.ParameterError, match=parts("certify: method: … 'ta+iso' … null vectors")):
        exact_merge(stages, Weighted([diagonal(A)], [LEVEL], 4, [1.0]))


# ---- frames and levels -------------------------------------------------------------------------------------------
def test_columns_are_made_whole_by_a_power_of_two_alone() -> None:
    assert _whole([0.75, -2.0, 0.125]) == [6, -16, 1]
    assert _whole([3.0, 0.0]) == [3, 0]
    assert _whole([2.0**-1074, 2.0**1000]) == [1, 2**2074]


@pytest.mark.parametrize(
    ("columns", "rank"),
    [
        ([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0]], 2),
        ([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], 2),
        ([[1.0, 0.0, 0.0], [1.0, 2.0**-500, 0.0], [2.0**400, 0.0, 0.0]], 2),  # apart, however little
        ([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, -1.0], [5.0, 0.0, 0.0]], 3),
    ],
)
def test_a_frame_is_an_orthonormal_basis_of_all_columns(columns: list[list[float]], rank: int) -> None:
    flint.ctx.prec = 4096
    X = np.array(columns).T
    U = _frame([X[:, :1], X[:, 1:]])
    assert (U.nrows(), U.ncols()) == (3, rank)
    exact = balls.matrix([[flint.arb(x) for x in row] for row in X.tolist()])
    for apart in (U.transpose() * U - balls.eye(rank), exact - U * (U.transpose() * exact)):
        assert all(x.contains(0) and float(x.rad()) < 1e-100 for x in apart.entries())


def test_of_columns_that_are_all_zero_there_is_no_frame() -> None:
    assert _frame([np.zeros((3, 1)), np.zeros((3, 2))]) is None


def test_a_singular_value_is_none_up_to_8_eps_of_the_sum_of_products_of_norms() -> None:
    B, A = np.array([[3.0, 0.0], [4.0, 2.0]]), np.array([[1.0, 0.0], [6.0, 8.0]])
    assert _rounding_level(B, A) == 8 * 2.0**-52 * (5 * 1 + 2 * 10)
    assert _rounding_level(1e200 * B, 1e200 * A) == math.inf


@pytest.mark.parametrize(
    ("values", "k", "level", "turn"),
    [
        ((5.0, 3.0, 2.5), 1, 0.5, 0.25),  # 0.5 / (5 − 3)
        ((5.0, 3.0, 2.5), 2, 0.25, 0.5),
        ((5.0, 3.0, 2.5), 3, 0.5, 0.2),  # nothing is dropped
        ((5.0, 3.0, 2.5), 9, 0.5, 0.2),
        ((5.0, 3.0, 0.25), 3, 0.25, 0.25 / 2.75),  # the last is none
        ((5.0, 3.0, 2.5), 2, 1.0, 1.0),
        ((5.0, 3.0, 3.0), 2, 1e-9, 1.0),
        ((5.0, 3.0, 2.5), 2, 7.0, 0.0),
    ],
)
def test_leading_vectors_turn_by_the_level_over_the_gap_after_them(
    values: tuple[float, ...], k: int, level: float, turn: float
) -> None:
    assert _turn(diagonal(values), k, level) == pytest.approx(turn, rel=1e-14)


def test_polar_factors_are_cut_at_the_largest_turn_between_64_eps_and_the_root_of_eps() -> None:
    X, eps = diagonal((4.0, 2.0)), 2.0**-52
    for levels, cut in (([0.0, 0.0], 64 * eps), ([2e-9, 2e-12], 1e-9), ([2e-12, 2e-9], 1e-9), ([1.0, 0.0], 2.0**-26)):
        assert _turned([X, X], 1, levels) == pytest.approx(cut, rel=1e-12)
