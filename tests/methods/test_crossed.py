"""How far polar factors move as kept singular vectors turn into those that are cut, beside errors that are made."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from coremerge_ref.methods._graded import Met
from coremerge_ref.methods._orthogonalizing import Crossing, crossed, crossing, largest_sum, orthogonalizing
from coremerge_ref.methods._subspaces import Leading
from coremerge_ref.perturbation.carried import Errors, Level
from coremerge_ref.perturbation.theorems import beyond, polar, turns

STEP, SIDES = 1e-6, ("left", "right")


def errors_of(shape: tuple[int, int]) -> Errors:
    none = np.zeros(1)
    return Errors(
        Level("input", "float64", 2.0**-52, 1.0), shape, none, np.zeros((1, *shape)), none, (0, 1), True, {}, 2.0**-52
    )


def part_of(M: np.ndarray, k: int) -> Leading:
    P, S, Qh = np.linalg.svd(M, full_matrices=False)
    return Leading(P[:, :k], S[:k], Qh[:k].T, 0.0, turns(S, k), len(S))


def polar_factor(X: np.ndarray) -> np.ndarray:
    U, _, Vh = np.linalg.svd(X, full_matrices=False)
    return np.asarray(U @ Vh)


def side_by_side(stack: np.ndarray, k: int, side: str) -> np.ndarray:
    parts = [part_of(M, k) for M in stack]
    return np.concatenate([part.P if side == "left" else part.Q for part in parts], axis=1)


def aligned(stack: np.ndarray, before: np.ndarray, k: int, side: str) -> np.ndarray:
    """[P_1 … P_T] of the stack, in bases of their spans that are nearest to those before."""
    made = []
    for t, M in enumerate(stack):
        P = part_of(M, k).P if side == "left" else part_of(M, k).Q
        made.append(P @ polar_factor(P.T @ before[:, t * k : (t + 1) * k]))
    return np.concatenate(made, axis=1)


def stack_of(shape: tuple[int, int], seed: int, k: int = 2, gap: float = 0.05) -> np.ndarray:
    """Two matrices of full rank, of which singular values k and k + 1 are near."""
    made = []
    for s in range(2):
        P, S, Qh = np.linalg.svd(np.random.default_rng([seed, s]).standard_normal(shape), full_matrices=False)
        S[:k], S[k:] = np.linspace(3, 2, k), np.linspace(2 - gap, 1, len(S) - k)
        made.append(P * S @ Qh)
    return np.stack(made)


@pytest.mark.parametrize("shape", [(4, 4), (4, 7), (7, 4), (9, 6), (3, 7)])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("seed", range(3))
def test_polar_factors_move_no_further_than_the_bound_and_nearly_as_far(
    shape: tuple[int, int], side: str, seed: int
) -> None:
    """The worst error of all is found by differences of every entry: singular values of the Jacobian of each task."""
    stack, k = stack_of(shape, seed), 2
    X, errors = side_by_side(stack, k, side), errors_of(shape)
    blocks = [crossing(errors, side, M, part_of(M, k), 1.0, None) for M in stack]
    bound, found = crossed(np.linalg.svd(X, full_matrices=False), blocks), 0.0
    for t in range(2):
        columns = []
        for e in np.eye(stack[t].size):
            moved = stack.copy()
            moved[t] += STEP * e.reshape(shape)
            other = stack.copy()
            other[t] -= STEP * e.reshape(shape)
            ends = [polar_factor(aligned(one, X, k, side)) for one in (moved, other)]
            columns.append((ends[0] - ends[1]).ravel() / (2 * STEP))
        found += np.linalg.norm(np.stack(columns, axis=1), 2)
    assert found <= bound * (1 + 1e-4)
    assert bound < 12 * found


def moved_by(X: np.ndarray, i: int, p: np.ndarray) -> float:
    """How far polar(X) moves as column i turns into p."""
    E = STEP * np.outer(p, np.eye(X.shape[1])[i])
    return float(np.linalg.norm(polar_factor(X + E) - polar_factor(X - E)) / (2 * STEP))


@pytest.mark.parametrize("shape", [(4, 4), (6, 4), (2, 2), (3, 2), (2, 3), (3, 5)])
@pytest.mark.parametrize("seed", range(4))
def test_one_turn_moves_it_by_what_it_meets(shape: tuple[int, int], seed: int) -> None:
    """Never less; into any direction beyond those that are cut, no less than the farthest of two hundred."""
    rng = np.random.default_rng([seed, *shape])
    X, p = rng.standard_normal(shape), rng.standard_normal((shape[0], 1))
    p, triplets = p / np.linalg.norm(p), np.linalg.svd(X, full_matrices=False)
    zero, all_of = np.zeros((1, 2)), np.full((1, 2), np.inf)
    for i in range(shape[1]):
        blocks = [Crossing(p, zero, all_of, 1.0, np.zeros(1))] * shape[1]
        blocks[i] = Crossing(p, np.asarray([[3.0, 0.0]]), all_of, 0.5, np.zeros(1))
        found, true = crossed(triplets, blocks), 1.5 * moved_by(X, i, p[:, 0])
        assert true * (1 - 1e-6) <= found <= 1.5 * polar(triplets[1], shape) * (1 + 1e-9) * 2**0.5
        worst = max(moved_by(X, i, q / np.linalg.norm(q)) for q in rng.standard_normal((200, shape[0])))
        blocks[i] = Crossing(p, np.asarray([[0.0, 3.0]]), all_of, 0.5, np.zeros(1))
        assert crossed(triplets, blocks) >= 1.5 * worst * (1 - 1e-6)


def test_what_the_smallest_value_alone_meets_moves_nothing() -> None:
    """K is antisymmetric: one direction has no turn within itself, however small its value."""
    X, p, none = np.diag([1.0, 1e-3]), np.asarray([[0.0], [1.0]]), np.full((1, 2), np.inf)
    blocks = [Crossing(p, np.asarray([[x, 0.0]]), none, 1.0, np.zeros(1)) for x in (0.0, 1.0)]
    assert crossed(np.linalg.svd(X), blocks) < 1e-4 > moved_by(X, 1, p[:, 0])
    blocks = [Crossing(p, np.asarray([[x, 0.0]]), none, 1.0, np.zeros(1)) for x in (1.0, 0.0)]
    assert crossed(np.linalg.svd(X), blocks) == pytest.approx(2**0.5 / (1 + 1e-3), rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_sum_is_above_every_sum_and_near_the_largest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    slopes, cap, size = rng.exponential(size=(4, 5)) ** 3, rng.exponential(size=(4, 5)), 0.8
    bound, best = largest_sum(slopes, size, slopes * cap), 0.0
    for m in np.geomspace(1e-3, 1e3, 4000):  # the largest has e = min(slope / m, cap), of norm `size`
        e = np.minimum(slopes / m, cap)
        best = max(best, float((slopes * e).sum() * min(1.0, size / np.linalg.norm(e))))
    assert best * (1 - 1e-3) <= bound <= 1.1 * best


def test_the_largest_sum_of_nothing_is_nothing_and_without_caps_cauchys() -> None:
    slopes, none = np.asarray([[3.0, 4.0]]), np.full((1, 2), np.inf)
    assert largest_sum(slopes, 2.0, none) == 10.0
    assert largest_sum(slopes, 2.0, np.asarray([[0.0, np.inf]])) == pytest.approx(8.0, rel=0.05)
    assert largest_sum(0 * slopes, 2.0, none) == largest_sum(slopes, 0.0, none) == 0.0
    assert largest_sum(slopes, np.inf, none) == np.inf
    assert largest_sum(np.asarray([[0.0, 4.0]]), 2.0, np.asarray([[0.0, 1e-3]])) == pytest.approx(1e-3, rel=0.05)


def test_the_largest_sum_where_equal_singular_values_turn_without_a_bound() -> None:
    slopes, caps = np.asarray([[np.inf, 4.0]]), np.asarray([[3.0, 5.0]])
    assert largest_sum(slopes, 2.0, caps) == 8.0
    assert largest_sum(slopes, 2.0, np.full((1, 2), np.inf)) == np.inf
    assert largest_sum(slopes, 0.0, caps) == 0.0


def test_a_crossing_says_what_turns_into_what() -> None:
    M, errors = np.diag([4.0, 2.0, 1.0, 0.0])[:, :3], errors_of((4, 3))
    met = Met(np.arange(9.0).reshape(3, 3), np.asarray([1.0, 2.0, 3.0]), np.asarray([4.0, 5.0, 6.0]))
    left = crossing(errors, "left", M, part_of(M, 1), 0.5, met, 0.25)
    np.testing.assert_allclose(np.abs(left.others), np.eye(4)[:, 1:3])
    np.testing.assert_allclose(left.into, [[20**0.5 / 12, 17**0.5 / 15, 1 / 4]])
    # (σ_i E_ji + σ_j E_ij) / (σ_i² − σ_j²), E_ij = 3 i + j; and 1 / 4 of what lies beyond
    np.testing.assert_allclose(left.most, [[(4 * 3 + 2 * 1) / 12, (4 * 6 + 1 * 2) / 15, 1 / 4]])
    np.testing.assert_allclose(left.second, [4 * (0.5 * 20**0.5 / 12) ** 2 + 0.25])
    assert left.error == 0.5
    right = crossing(errors, "right", M, part_of(M, 1), 0.5, met)
    np.testing.assert_allclose(right.most, [[(4 * 1 + 2 * 3) / 12, (4 * 2 + 1 * 6) / 15, 4 / 4]])
    assert right.into[0, -1] == 0.0  # three columns, and nothing beyond
    none = crossing(errors, "left", M, Leading(M[:, :0], np.zeros(0), M[:0].T, 0.0, np.zeros(0), 0), 0.5, None)
    assert none.into.shape == (0, 1)


class Stage:
    name = "a stage"


@pytest.mark.parametrize("side", SIDES)
def test_narrow_gaps_do_not_meet_small_values_of_the_polar_factor(side: str) -> None:
    """The bound of all together is the condition number times the narrowest gap, and a multiple of what happens."""
    stack, k, size = stack_of((24, 24), 5, 12, 1e-3), 12, 1e-9
    errors, X = errors_of((24, 24)), side_by_side(stack, k, side)
    parts = [part_of(M, k) for M in stack]
    turned = [(size * part.turns, size * part.turns) for part in parts]
    blocks: list[Any] = [(M, part, size, None, 0.0) for M, part in zip(stack, parts, strict=True)]
    levels, span = np.ones(2 * k), (99, np.inf)
    plain = orthogonalizing(Stage, errors, X, levels, turned, 0.0, side, span, [])[0]
    finer = orthogonalizing(Stage, errors, X, levels, turned, 0.0, side, span, blocks)[0]
    uncut = [(M, replace(part, known=k), *rest) for M, part, *rest in blocks]
    assert orthogonalizing(Stage, errors, X, levels, turned, 0.0, side, span, uncut)[0] == pytest.approx(
        plain, rel=1e-12
    )
    assert finer < plain / 3
    first = crossed(np.linalg.svd(X), [crossing(errors, side, *block) for block in blocks])
    L = np.linalg.svd(X)[1]
    moved = size * max(np.linalg.norm(part.turns) for part in parts)
    assert first < finer < first + 1e-3 * plain + 16 * (moved * polar(L, X.shape)) ** 2 * beyond(0.1)


def test_the_largest_sum_of_numbers_near_the_ends_of_their_range() -> None:
    tiny = largest_sum(1e150 * np.asarray([[3.0, 4.0]]), 1e-160, np.asarray([[np.inf, 1e-10]]))
    assert tiny == pytest.approx(
        1e-10 * largest_sum(np.asarray([[3.0, 4.0]]), 1.0, np.asarray([[np.inf, 1.0]])), rel=1e-6, abs=0
    )
