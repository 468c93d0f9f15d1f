"""What errors of tasks do to their mean on the sphere, by hand: two points and their mean share a plane.

With an angle θ between two points and α of the weight on the second, the mean is sin((1 − α) θ) / sin θ of the first
and sin(α θ) / sin θ of the second, and dθ/dG = −1 / sin θ for their cosine G. Steps of the exponential map along one
great circle are exact, so that one is enough.
"""

import math
from typing import Any

import numpy as np
import pytest
from examples import stack_of

import coremerge_ref as cm
from coremerge_ref.perturbation.carried import Errors, Level

EIGHTH = math.cos(math.pi / 8), math.sin(math.pi / 8)
HALF = 0.5**0.5
AXES = [[[3.0, 0.0]], [[0.0, 4.0]]]
TURNS = [[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]]
NEARLY = [[[2.0, 0.0]], [[-3 * math.cos(0.1), 3 * math.sin(0.1)]]]
FIRST = math.atan2(math.sin(0.1), 3 - math.cos(0.1))
OPPOSITE = "opposite to each other or to their mean, or tol decides"


def errors_of(
    entry: Any, delta: Any = None, formed: float = 0.0, factors: Any = None, unit: float = 2.0**-52
) -> Errors:
    entry = np.asarray(entry, dtype=float)
    T, p, q = entry.shape
    level = Level("compute" if formed else "input", "float64", formed or 1e-4, 1.0)
    delta = np.sqrt(np.sum(entry**2, axis=(1, 2))) if delta is None else np.asarray(delta, dtype=float)
    return Errors(level, (p, q), delta, entry, np.full(T, 1), tuple(range(T)), True, {}, unit, factors=factors)


def carried(
    M: Any, errors: Errors, stage: Any = None, weights: tuple[float, ...] = (1.0, 1.0), level: Any = 0.0
) -> Errors:
    stack = stack_of(M, np.broadcast_to(np.asarray(level, dtype=float), (len(M),)), weights)
    stage = stage or cm.Karcher()
    return stage.carry(errors, stack, stage.apply(stack))


def of_norms(M: Any, delta: list[float], stage: Any = None, unit: float = 2.0**-52, **rest: Any) -> Errors:
    """Errors of which nothing but the norms is known."""
    entry = np.broadcast_to(np.asarray(delta)[:, None, None], np.shape(M))
    return carried(M, errors_of(entry, delta, unit=unit), stage, **rest)


def margin(errors: Errors, what: str) -> float:
    (found,) = [m.value for m in errors.margins if m.what == what]
    return found


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("formed", [0.0, 1e-3])
def test_two_tasks_at_right_angles_move_their_mean_by_three_parts(formed: float, steps: int) -> None:
    """Lengths 3 and 4 move by 3e-3 and 8e-3, points by 1e-3 and 2e-3, so the cosine by 3e-3 (1 + 3e-3).

    α = 1/4: dc_1/dG = −3/4 cos(3π/8), dc_2/dG = −1/4 cos(π/8), and scale (3 · 3 + 4) / 4. Arithmetic is off by
    `formed` in the cosine, and in the sum and each step.
    """
    entry = np.asarray([[[1e-3, 2e-3]], [[4e-3, 5e-3]]])
    factors = [
        (np.asarray([[3.0, 1.0]]), np.eye(2), np.asarray([0.1, 0.2]), np.asarray([0.3, 0.4])),
        (np.asarray([[4.0]]), np.asarray([[0.0], [1.0]]), np.asarray([0.5]), np.asarray([0.6])),
    ]
    e = carried(
        AXES, errors_of(entry, [3e-3, 8e-3], formed, factors), cm.Karcher(steps), (3.0, 1.0)
    )  # fmt: skip
    cos, sin = EIGHTH
    scale, off, cosine, more = 13 / 4, (3 * 3e-3 + 8e-3) / 4, 3e-3 * 1.003 + formed, formed * (steps + 1)
    slope = np.asarray([0.75 * sin, 0.25 * cos])
    moved = cos * 1e-3 + sin * 2e-3 + cosine * np.linalg.norm(slope)
    assert float(e.delta) == pytest.approx(off + scale * moved + more * scale, rel=1e-6)
    own = cos / 3 * (entry[0, 0] + [3e-3, 0.0]) + sin / 4 * (entry[1, 0] + [0.0, 8e-3])
    size = np.asarray([cos, sin])
    expected = scale * own + scale * cosine * slope + off * size + more * scale * size
    np.testing.assert_allclose(e.entry[0], np.minimum(expected, float(e.delta)), rtol=1e-6)
    assert margin(e, "how far the mean turns with the tasks") == pytest.approx(moved / 2e-3, rel=1e-6)
    assert int(e.rank) == 1
    assert not e.doubts
    # the sum is k_1 M_1 + k_2 M_2, k_t = scale c_t / ‖M_t‖
    k = scale * size / [3, 4]
    kappa = scale * cosine * slope / [3, 4] + k * ([1e-3 + off / scale, 2e-3 + off / scale])
    L, R, b, a = e.factors
    both = k + kappa
    np.testing.assert_allclose(L, [[3 * both[0], both[0], 4 * both[1]]], rtol=1e-6)
    np.testing.assert_allclose(R, [[1, 0, 0], [0, 1, 1]])
    np.testing.assert_allclose(
        b, [0.1 * both[0] + 3 * kappa[0], 0.2 * both[0] + kappa[0], 0.5 * both[1] + 4 * kappa[1]], rtol=1e-6
    )  # fmt: skip
    np.testing.assert_allclose(a, [0.3, 0.4, 0.6])
    assert e.apart == pytest.approx(both @ (more * np.asarray([3, 4])), rel=1e-6, abs=0)  # each M_t rounds on its way


def test_cosines_of_equal_directions_move_in_second_order_alone() -> None:
    """c = 1 / √(2 + 2 G) each, so dc/dG = −1/8, and G moves by (0.1 + 0.2)²; u_1 = u_2 = (1, 0)."""
    e = of_norms([[[3.0, 0.0]], [[4.0, 0.0]]], [0.3, 0.8])
    assert float(e.delta) == pytest.approx(0.55 + 3.5 * (0.05 + 0.1 + 0.09 * 0.25), rel=1e-3)


def test_errors_as_large_as_the_tasks_move_the_mean_to_the_other_side_at_most() -> None:
    """Points moved by 0.6: √½ · 1.2 and half of 1.2 · 2.2 are more than 2."""
    e = of_norms(AXES, [1.8, 2.4])
    assert not e.doubts
    assert float(e.delta) == pytest.approx(2 * 3.5 + 2.1)


def test_a_zero_task_shortens_and_a_task_of_weight_zero_is_not_there() -> None:
    """Scale 7/3 of three tasks, of which the third is exactly zero; its cosine is none."""
    e = of_norms([*AXES, [[0.0, 0.0]]], [3e-3, 8e-3, 0.0], weights=(1.0, 1.0, 1.0))
    expected = 11e-3 / 3 + 7 / 3 * (3e-3 * HALF + 3e-3 * 1.003 / 2)
    assert float(e.delta) == pytest.approx(expected, rel=1e-6)
    assert margin(e, "distance of the farthest task from opposite to the mean") == pytest.approx(2 * EIGHTH[0])
    e = of_norms([*AXES, [[5.0, 5.0]]], [3e-3, 8e-3, 1e3], weights=(1.0, 0.0, 0.0))
    assert float(e.delta) == pytest.approx(3e-3)  # one alone is itself
    assert margin(e, "size of the sum relative to its terms") == 1.0


@pytest.mark.parametrize(("delta", "opposite"), [(0.0098, False), (0.0101, True)])
def test_where_the_sum_of_directions_may_vanish_so_may_where_steps_begin(delta: float, opposite: bool) -> None:
    """Three at 120°, which cancel but for 0.03 / 3.03 of the first; the others are 60° from opposite to it."""
    M = np.asarray(TURNS)[:, None, :]
    e = of_norms(M, [delta] * 3, weights=(1.03, 1.0, 1.0))
    assert margin(e, "distance of the farthest task from opposite to the mean") == pytest.approx(1.0)
    assert [OPPOSITE in doubt for doubt, _ in e.doubts] == [True] * opposite
    assert not opposite or float(e.delta) == pytest.approx(2.0 + delta)


@pytest.mark.parametrize(("eps", "opposite"), [(0.0745, False), (0.0751, True)])
@pytest.mark.parametrize("steps", [0, 1])
def test_a_task_may_be_opposite_to_the_first_mean(steps: int, eps: float, opposite: bool) -> None:
    """(3, 1) · directions that are π − 0.1 apart: steps begin 0.04979 from the first, so 0.14979 from opposite."""
    e = of_norms(NEARLY, [0.0, 3 * eps], cm.Karcher(steps), weights=(3.0, 1.0))
    away = margin(e, "distance of the farthest task from opposite to the mean")
    assert away == pytest.approx(2 * math.sin((FIRST + 0.1) / 2))
    assert [OPPOSITE in doubt for doubt, _ in e.doubts] == [True] * opposite


TOL = {
    # the sum of directions, √½ long
    "start": (0.70, (1.0, 1.0), 0.0068, 0.0074),
    # the sum is shorter than tol, so steps begin at the first; half the way to the other is π/4, half as fast as G
    "step": (0.78, (1.0, 1.0), 0.0053, 0.0055),
    # π/8 less the angle of (3, 1), which move by 1/4 and 1/10 of θ
    "step of others": (0.07, (3.0, 1.0), 0.0030, 0.0033),
    # the angle of (3, 1), 0.3218, moves by 1/10 of θ
    "angle": (0.32, (3.0, 1.0), 0.0085, 0.0089),
}


@pytest.mark.parametrize("name", TOL)
def test_what_errors_may_move_across_tol_is_in_doubt(name: str) -> None:
    tol, weights, less, more = TOL[name]
    for eps, doubts in ((less, 0), (more, 1)):
        e = of_norms(AXES, [3 * eps, 4 * eps], cm.Karcher(tol=tol), weights=weights)
        assert len(e.doubts) == doubts
        assert all(OPPOSITE in doubt for doubt, _ in e.doubts)


@pytest.mark.parametrize(
    ("M", "stage", "weights", "distance"),
    [
        (AXES, cm.Karcher(), (1.0, 1.0), HALF),
        (NEARLY, cm.Karcher(1), (3.0, 1.0), 2 * math.sin((FIRST + 0.1) / 2)),
        (AXES, cm.Karcher(tol=0.32), (3.0, 1.0), math.atan2(1, 3) - 0.32),
    ],
)
def test_what_arithmetic_hardly_sees_is_in_doubt_whatever_the_errors(
    M: Any, stage: Any, weights: tuple[float, float], distance: float
) -> None:
    """The length of the sum, the angle from opposite and that from tol, beside 16 √eps: roots have half the digits."""
    for share, doubts in ((0.95, 0), (1.05, 1)):
        e = of_norms(M, [0.0, 0.0], stage, weights=weights, unit=(share * distance / 16) ** 2)
        assert len(e.doubts) == doubts


@pytest.mark.parametrize("level", [0.25, 0.0])
@pytest.mark.parametrize(("length", "delta", "doubts"), [(0.25, 0.01, 1), (0.27, 0.01, 0), (0.23, 0.01, 0)])
def test_a_task_whose_length_may_be_the_level_is_in_doubt(
    length: float, delta: float, doubts: int, level: float
) -> None:
    """Be that tol or its own rounding; the result may be anything of the length that it has."""
    stage = cm.Karcher() if level else cm.Karcher(tol=0.25)
    e = of_norms([[[0.0, 4.0]], [[length, 0.0]]], [0.0, delta], stage, level=[0.0, level])
    assert len(e.doubts) == doubts
    if doubts:
        assert e.doubts[0][0].startswith("karcher: a task is at the level that counts as zero")
        assert e.doubts[0][1] == "leave it out"
        assert float(e.delta) == pytest.approx(2 * 2.125 + 0.005)
    e = of_norms([[[0.0, 4.0]], [[length, 0.0]]], [0.0, delta], stage, level=[0.0, level], weights=(1.0, 0.0))
    assert not e.doubts  # it has no part


def test_tasks_that_all_count_as_zero_leave_their_errors() -> None:
    """By definition below tol; beside rounding they may not be zero."""
    e = of_norms([[[0.1, 0.0]], [[0.0, 0.2]]], [0.3, 0.7], cm.Karcher(tol=0.95), weights=(3.0, 1.0))
    assert float(e.delta) == 0.0
    e = of_norms([[[0.1, 0.0]], [[0.0, 0.2]]], [0.03, 0.07], weights=(3.0, 1.0), level=0.5)
    assert not e.doubts
    assert float(e.delta) == pytest.approx((3 * 0.03 + 0.07) / 4)


def test_a_task_shorter_than_tol_is_no_point_but_its_error_counts() -> None:
    """Scale (0.2 + 4) / 2, no turn: of the second alone, 8e-3 / 4."""
    e = of_norms([[[0.2, 0.0]], [[0.0, 4.0]]], [2e-3, 8e-3], cm.Karcher(tol=0.5))
    assert float(e.delta) == pytest.approx(5e-3 + 2.1 * 2e-3)


@pytest.mark.parametrize("apart", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize(("weights", "share"), [((1.0, 1.0), 0.5), ((3.0, 1.0), 0.25)])
@pytest.mark.parametrize("tol", [0.0, 1e-9])
def test_coefficients_change_with_the_cosine_as_sines_say(
    apart: float, weights: tuple[float, float], share: float, tol: float
) -> None:
    theta = math.pi - apart
    u = np.asarray([[1.0, 0.0], [math.cos(theta), math.sin(theta)]])
    c, slopes, _, cosines = cm.Karcher(1, tol)._slopes(u, np.asarray(weights) / sum(weights))
    sine, other = math.sin(theta), 1 - share
    np.testing.assert_allclose(c, [math.sin(other * theta) / sine, math.sin(share * theta) / sine], rtol=1e-6)
    # of sin(a θ) / sin θ: (a cos(a θ) sin θ − sin(a θ) cos θ) / sin² θ, times dθ/dG
    expected = [
        -(a * math.cos(a * theta) * sine - math.sin(a * theta) * math.cos(theta)) / sine**3 for a in (other, share)
    ]
    np.testing.assert_allclose(slopes, [expected], rtol=1e-4)
    assert len(cosines) == 1


def test_a_task_alone_is_multiplied_by_its_share() -> None:
    e = of_norms([[[3.0, 0.0]]], [0.3], weights=(2.0,))
    assert float(e.delta) == pytest.approx(0.3)


def test_what_is_computed_once_for_all_levels_is_that_of_one_stage_and_one_layer() -> None:
    layers = [stack_of(M, [0.0, 0.0], (3.0, 1.0)) for M in (AXES, NEARLY)]
    shared: dict[Any, Any] = {}
    for stage in (cm.Karcher(0), cm.Karcher(1)):
        for layer in layers:
            found = []
            for known in (shared, {}):
                errors = errors_of(np.full((2, 1, 2), 1e-3))
                errors.shared = known
                found.append(float(stage.carry(errors, layer, stage.apply(layer)).delta))
            assert found[0] == found[1]
