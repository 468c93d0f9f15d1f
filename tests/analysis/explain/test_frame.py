"""What errors make of a frame and of the coordinates in it, beside errors that are made."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from said import parts

import coremerge_ref as cm
from coremerge_ref.analysis.explain.entering import _off, sized
from coremerge_ref.analysis.explain.frame import Frame
from coremerge_ref.analysis.explain.layers import Group, Layer, coarsest, layers_of, on_host
from coremerge_ref.core.pipeline import as_pipeline
from coremerge_ref.perturbation.carried import Errors, Level

STEP, EPS = 1e-9, 2.0**-52
SPACES = {
    "paper": cm.Core(), "tucker": cm.Core(basis="tucker"), "knots": cm.Knots(), "transposed": cm.Knots(transposed=True),
}  # fmt: skip
Pairs = list[tuple[np.ndarray, np.ndarray]]


def pairs_of(scales: tuple[float, ...], seed: int, sizes: tuple[int, int] = (9, 7)) -> Pairs:
    rng, (m, n) = np.random.default_rng(seed), sizes
    return [(s * rng.standard_normal((m, 2)), rng.standard_normal((2, n))) for s in scales]


def layer_of(pairs: Pairs, space: Any) -> Layer:
    pipeline = as_pipeline("ties")
    updates = [cm.LowRankUpdate(B, A) for B, A in pairs]
    host, factor = on_host(updates, pipeline)
    group = Group(host, space, "float64", ("",), None, coarsest(updates), [factor])
    frames, stack = group.encoded(pipeline)
    return next(layers_of(group, 0, stack, frames))


def errors_of(layer: Layer, step: float) -> Errors:
    level = Level("input", "float64", step, 1.0)
    tasks, (T, p, q) = layer.stack.tasks, layer.M.shape
    delta = np.asarray([2 * step * float(b @ a) for b, a in zip(layer.left.norms, layer.right.norms, strict=True)])
    return Errors(
        level, (layer.left.size, layer.right.size), delta, np.full((T, p, q), np.inf), np.full(T, 2), tasks, True, {},
        2.0**-52, entering=delta,
    )  # fmt: skip


def moved(pairs: Pairs, step: float, rng: np.random.Generator) -> Pairs:
    """Every column of B_t and row of A_t by `step` of its norm, in a random direction."""

    def off(X: np.ndarray, axis: int) -> np.ndarray:
        E = rng.standard_normal(X.shape)
        E *= np.linalg.norm(X, axis=axis, keepdims=True) / np.linalg.norm(E, axis=axis, keepdims=True)
        return X + step * E

    return [(off(B, 0), off(A, 1)) for B, A in pairs]


def changes(frame: Frame, other: Frame) -> list[np.ndarray]:
    """|L_t' − L_t|, frames being defined up to signs."""
    pairs = list(zip(frame.coordinates, other.coordinates, strict=True))
    signs = np.sign(sum(np.sum(L * X, axis=1) for L, X in pairs))[:, None]
    return [np.abs(signs * X - L) for L, X in pairs]


def bounds_of(frame: Frame, errors: Errors) -> list[np.ndarray]:
    """On the change of each L_t (p, r_t)."""
    K, rests = frame.graded(errors)
    live = np.arange(len(K))[:, None] < frame.live
    with np.errstate(invalid="ignore"):
        return [
            np.nan_to_num(K @ np.abs(L), nan=np.inf) + live * x for L, x in zip(frame.coordinates, rests, strict=True)
        ]


def test_a_task_that_is_zero_gives_the_stack_columns_all_the_same() -> None:
    """Copies of b, and a small c beside them whose A is zero: the second direction is that of c, until copies that are
    moved apart take it, and with it a coordinate of theirs that was nearly nothing."""
    rng = np.random.default_rng(4)
    b, c, a = rng.standard_normal((2, 1)), 1e-6 * rng.standard_normal((2, 1)), rng.standard_normal((1, 4))
    pairs = [(b, a), (b.copy(), 2 * a), (c, 0 * a)]
    layer = layer_of(pairs, SPACES["paper"])
    bounds = bounds_of(layer.left, errors_of(layer, 1e-5))
    other = layer_of([(b, a), (b * (1 + 1e-5 * np.array([[1], [-1]])), 2 * a), pairs[2]], SPACES["paper"])
    for change, bound in zip(changes(layer.left, other.left), bounds, strict=True):
        assert (change <= bound).all()
    assert max(change.max() for change in changes(layer.left, other.left)) > 1e-6


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("scales", [(1.0, 0.5), (1.0, 1e-3), (1e-4, 1.0, 30.0)], ids=str)
def test_coordinates_move_no_more_than_the_bounds_say(space: str, scales: tuple[float, ...]) -> None:
    pairs = pairs_of(scales, seed=len(scales))
    layer = layer_of(pairs, SPACES[space])
    errors = errors_of(layer, STEP)
    frames = {side: getattr(layer, side) for side in ("left", "right") if not getattr(layer, side).identity}
    for side, frame in frames.items():
        bounds = bounds_of(frame, errors)
        for seed in range(10):
            other = getattr(layer_of(moved(pairs, STEP, np.random.default_rng(seed)), SPACES[space]), side)
            for change, bound in zip(changes(frame, other), bounds, strict=True):
                slack = 1e-14 * np.max(np.abs(frame.S))
                assert (change <= bound * (1 + 1e-3) + slack).all()


@pytest.mark.parametrize("space", SPACES)
def test_coordinates_of_small_singular_values_are_known_to_their_own_size(space: str) -> None:
    """One task is a thousand times smaller: its directions stand last, where errors of the large one do not reach."""
    pairs = pairs_of((1.0, 1e-3), seed=0)
    if space == "transposed":  # the frame of the columns of Aᵀ
        pairs = [(A.T, B.T) for B, A in pairs]
    layer = layer_of(pairs, SPACES[space])
    errors, frame = errors_of(layer, STEP), layer.right if layer.left.identity else layer.left
    assert frame.S is not None
    small = frame.S[: frame.live] < 0.05 * frame.S[0]
    assert 0 < small.sum() < frame.live
    for L, bound in zip(frame.coordinates, bounds_of(frame, errors), strict=True):
        rows = np.linalg.norm(bound[: frame.live], axis=1)
        assert (rows[small] < 100 * STEP * frame.S[: frame.live][small]).all()
        assert rows.max() < 100 * STEP * max(np.linalg.norm(L), frame.S[0] * 1e-3)


@pytest.mark.parametrize("space", [*SPACES, "full"])
@pytest.mark.parametrize("scales", [(1.0, 0.5), (1e-5, 1.0, 30.0)], ids=str)
def test_the_space_of_all_columns_turns_no_more_than_columns_of_norm_1_say(
    space: str, scales: tuple[float, ...]
) -> None:
    pairs = pairs_of(scales, seed=7)
    layer = layer_of(pairs, SPACES.get(space, cm.Full()))
    for side in ("left", "right"):
        count, bound = getattr(layer, side).spread(errors_of(layer, STEP))
        assert count == 2 * len(scales)
        most, side_of = 0.0, lambda some, side=side: [B if side == "left" else A.T for B, A in some]
        Q = np.linalg.qr(np.concatenate(side_of(pairs), axis=1))[0]
        for seed in range(30):
            now = side_of(moved(pairs, STEP, np.random.default_rng(seed)))
            Y = np.linalg.qr(np.concatenate(now, axis=1))[0]
            most = max(most, float(np.linalg.norm(Y - Q @ (Q.T @ Y))))
        assert most <= bound
        assert bound <= 30 * most


def test_columns_that_are_zero_on_one_side_span_nothing() -> None:
    (B, A), other = pairs_of((1.0,), seed=1)[0], pairs_of((1.0,), seed=2)[0]
    layer = layer_of([(B, A * [[1.0], [0.0]]), other], cm.Knots())
    assert layer.right.spread(errors_of(layer, STEP))[0] == 3
    assert layer.left.spread(errors_of(layer, STEP))[0] == 3


def test_first_order_says_nothing_of_coordinates_no_larger_than_their_errors() -> None:
    B = np.eye(6)[:, :2] * [1.0, 1e-5]
    layer = layer_of([(B, np.eye(2, 7)), (np.eye(6)[:, 2:3], np.ones((1, 7)))], cm.Core())
    assert layer.left.S is not None
    rows = bounds_of(layer.left, errors_of(layer, 0.4))
    assert all(np.isinf(np.where(L != 0, X, np.inf)).all() for L, X in zip(layer.left.coordinates, rows, strict=True))


def test_columns_that_are_zero_are_no_columns() -> None:
    """As of a factor that was padded to another's rank."""
    pairs = pairs_of((1.0, 0.5), seed=1)
    B, A = pairs[1]
    padded = [pairs[0], (np.concatenate([B, np.zeros((9, 2))], axis=1), np.concatenate([A, np.ones((2, 7))], axis=0))]
    bounds = []
    for given in (pairs, padded):
        layer = layer_of(given, cm.Core(basis="tucker"))
        assert layer.left.columns == 4 == layer.left.live
        bounds.append(bounds_of(layer.left, errors_of(layer, STEP))[0][:4])
    np.testing.assert_allclose(bounds[1], bounds[0], rtol=1e-6)


# ---- the span of all columns by hand -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("angles", "bound"),
    [
        ([0.0], 1.0),
        ([0.0, np.pi / 2], 2**0.5),
        ([0.0, np.pi / 3], 2.0),  # the singular values of two columns are √2 times cos and sin of half their angle
        ([0.0, 1e-6], 2e6),
        ([0.0, 0.0], np.inf),
        ([0.0, np.pi / 3, 1.0], np.inf),  # three columns of a plane depend on each other, whatever they are
        ([], np.inf),
    ],
)
def test_the_span_of_all_columns_turns_by_errors_over_the_least_singular_value_of_columns_of_norm_1(
    angles: list[float], bound: float
) -> None:
    """Those of the frame, or those that it was given: the columns, twice as long, and one that stands beside zeros."""
    units = np.array([np.cos(angles), np.sin(angles)])
    there = np.array([1.0] * len(angles) + [0.0])
    columns, norms = np.concatenate([2 * units, np.ones((2, 1))], axis=1), np.full(len(there), 2.0)
    values = np.linalg.svd(units, compute_uv=False) if len(angles) else np.zeros(1)
    frame = Frame(
        [columns], [norms], np.zeros((1, 2, 2)), ([np.ones((2, len(there)))], [there]), np.ones(2), 2, False, False, 2,
        ("B", "W"), 2,
    )  # fmt: skip
    for given in (frame, replace(frame, units=(units, values, len(angles)))):
        count, found = given.spread(at(INPUT))
        assert count == len(angles)
        if np.isfinite(bound):
            assert found == pytest.approx(bound * INPUT.size, rel=1e-9, abs=0)
        else:
            assert found > 1e14 * INPUT.size  # rounding may leave a little of what is zero


# ---- bounds on ‖E v_i‖ by hand -----------------------------------------------------------------------------------
def frame_of(of_updates: bool, S: np.ndarray | None) -> Frame:
    """Of the columns 2 e_1 and e_2, of one task each, and a direction whose singular value is lost to underflow."""
    columns = [np.array([[2.0], [0.0], [0.0]]), np.array([[0.0], [1.0], [0.0]])]
    norms, ones = [np.array([2.0]), np.array([1.0])], [np.array([1.0])] * 2
    M = np.stack([X @ np.array([[1.0, 0.0]]) for X in columns])
    rows = [np.array([[1.0], [0.0]])] * 2
    return Frame(columns, norms, M, (rows, ones), S, 3, False, of_updates, 3, ("B", "W"), 2)


def at(level: Level) -> Errors:
    """Of the updates known up to 3 and 4 levels."""
    entering = level.size * np.array([3.0, 4.0])
    return Errors(level, (3, 2), entering, np.zeros((2, 3, 2)), np.ones(2), (0, 1), True, {}, 2.0**-52, entering)


INPUT, COMPUTE = Level("input", "float32", 2.0**-20, 0.5), Level("compute", "float32", 2.0**-20, 0.5)


@pytest.mark.parametrize(
    ("of_updates", "bounds"),
    [
        (False, [2, 1, 5**0.5]),  # Σ |C| x / S, and the error of the whole stack where S is zero
        (True, [3, 4, 5]),
    ],
)
def test_errors_of_inputs_stay_within_their_columns(of_updates: bool, bounds: list[float]) -> None:
    found = frame_of(of_updates, np.array([2.0, 1.0, 0.0])).own(at(INPUT))
    np.testing.assert_allclose(found, INPUT.size * np.array(bounds), rtol=1e-14)


def test_bounds_of_a_direction_are_never_above_those_of_the_stack() -> None:
    found = frame_of(False, np.array([2.0, 0.1, 0.1])).own(at(INPUT))
    np.testing.assert_allclose(found, INPUT.size * np.array([2, 5**0.5, 0]), rtol=1e-14)


@pytest.mark.parametrize("of_updates", [False, True])
@pytest.mark.parametrize("c", [2.0**600, 2.0**-600])
def test_what_errors_of_inputs_do_grows_with_the_updates_and_no_square_of_them_is_formed(
    c: float, of_updates: bool
) -> None:
    """Of A by the same power of two, which rounds nothing, or of the columns alone of a stack of factors."""
    one = crossed(of_updates)
    assert one.S is not None
    if of_updates:
        rows, lengths = one.facing
        other = replace(one, M=c * one.M, facing=([c * X for X in rows], [c * x for x in lengths]), S=c * one.S)
    else:
        columns, norms = [c * X for X in one.coordinates], [c * x for x in one.norms]
        other = replace(one, coordinates=columns, norms=norms, S=c * one.S)
    errors, larger = known_to(0.1, (1.2, 1.0)), known_to(0.1, (1.2 * c, c))
    np.testing.assert_allclose(other.own(larger), c * one.own(errors), rtol=1e-15)
    np.testing.assert_allclose(other.met(larger), c * np.array(one.met(errors)), rtol=1e-15)


@pytest.mark.parametrize("of_updates", [False, True])
def test_errors_of_a_decomposition_spread_over_all_directions(of_updates: bool) -> None:
    S = np.array([2.0, 1.0, 0.0])
    whole = 5 * COMPUTE.size + 2 * COMPUTE.decomposed * 5**0.5 if of_updates else COMPUTE.decomposed * 5**0.5
    np.testing.assert_allclose(frame_of(of_updates, S).own(at(COMPUTE)), [whole] * 3, rtol=1e-14)


def test_an_identity_has_no_singular_vectors_that_turn_or_leave() -> None:
    frame, errors = frame_of(False, None), at(INPUT)
    assert frame.scaled(errors).shape == (0, 0)
    assert frame.leaving(errors, np.ones((3, 2))) == 0
    change, most = frame.turned(errors, np.ones((3, 2)))
    assert (change.tolist(), most) == ([[0, 0]] * 3, 0)
    assert frame.closest() == (1, 1.0)


@pytest.mark.parametrize(
    ("S", "expected"),
    [
        ((5.0, 4.0, 1.0), (1, 0.2)),
        ((5.0, 2.0, 1.5), (2, 0.1)),
        ((4.0, 4.0, 0.0), (1, 0.0)),
        ((5.0, 1.0, 1.0), (2, 0.0)),
        ((4.0, 3.0), (1, 0.25)),
        ((4.0,), (1, 1.0)),
    ],
)
def test_the_nearest_singular_values_are_found(S: tuple[float, ...], expected: tuple[int, float]) -> None:
    found = replace(frame_of(False, np.array(S)), live=len(S)).closest()
    assert found == (expected[0], pytest.approx(expected[1]))


# ---- both factors' errors by hand --------------------------------------------------------------------------------
TENTH = Level("input", "float16", 0.2, 0.5)


def crossed(of_updates: bool = True) -> Frame:
    """Of 2 e_1 · 3 e_1ᵀ and e_2 · 5 e_2ᵀ, whose stack has the singular values 6 and 5 along the axes."""
    columns, norms = [np.array([[2.0], [0.0]]), np.array([[0.0], [1.0]])], [np.array([2.0]), np.array([1.0])]
    rows, lengths = [np.array([[3.0], [0.0]]), np.array([[0.0], [5.0]])], [np.array([3.0]), np.array([5.0])]
    M = np.stack([np.diag([6.0, 0.0]), np.diag([0.0, 5.0])])
    S = np.array([6.0, 5.0]) if of_updates else np.array([2.0, 1.0])
    return Frame(columns, norms, M, (rows, lengths), S, 2, False, of_updates, 2, ("B", "W"), 2)


def crossing(level: Level, first: float = 10.0) -> Errors:
    """Of updates known up to `first` and 10."""
    entering = np.array([first, 10.0])
    return Errors(level, (2, 2), entering, np.zeros((2, 2, 2)), np.ones(2), (0, 1), True, {}, EPS, entering)


def test_errors_of_either_factor_meet_the_directions_that_it_has() -> None:
    """A tenth of ‖b‖ ‖a‖ is 0.6 and 0.5, and both errors together a hundredth of 6 + 5."""
    frame = crossed()
    beta, alpha = frame.met(crossing(TENTH))
    np.testing.assert_allclose(beta, [0.6 + 0.11, 0.5 + 0.11], rtol=1e-14)
    np.testing.assert_allclose(alpha, [0.6, 0.5], rtol=1e-14)
    np.testing.assert_allclose(frame.met(crossing(TENTH, 0.65))[0], [0.65, 0.5 + 0.11], rtol=1e-14)
    np.testing.assert_allclose(frame.between(crossing(TENTH)), [[1.31, 1.21], [1.21, 1.11]], rtol=1e-14)
    np.testing.assert_allclose(frame.between(crossing(TENTH, 0.65)), [[0.65, 1.21], [0.65, 1.11]], rtol=1e-14)


def test_of_a_stack_of_factors_and_of_arithmetic_one_error_is_known() -> None:
    for frame, level in ((crossed(), Level("compute", "float16", 0.2, 0.5)), (crossed(of_updates=False), TENTH)):
        errors = crossing(level)
        beta, alpha = frame.met(errors)
        np.testing.assert_array_equal(beta, frame.own(errors))
        assert alpha.tolist() == [0, 0]
        np.testing.assert_array_equal(frame.between(errors), [frame.own(errors)] * 2)


def test_rows_of_coordinates_move_by_each_others_errors_over_the_difference_of_squares() -> None:
    """Columns 2 and 1 long known to one part in 2³⁰: (2 (2 · 1 / 1 + 2) and 1 (1 · 2 / 2 + 1)) / (4 − 1), and 2 / 2
    and 1 / 1 of their own length. Of updates also both errors over 36 − 25, with 6 and 5 for either."""
    level = Level("input", "float32", 2.0**-29, 0.5)
    K, rests = crossed(of_updates=False).graded(crossing(level))
    np.testing.assert_allclose(K, level.size * np.array([[1, 8 / 3], [2 / 3, 1]]), rtol=1e-7)
    assert [x.tolist() for x in rests] == [[[0.0]], [[0.0]]]
    K, rests = crossed().graded(crossing(level))
    first, second = 6 * (6 * 5 / 5 + 6) + 5 * 6 + 6 * 5, 5 * (5 * 6 / 6 + 5) + 6 * 5 + 5 * 6
    np.testing.assert_allclose(K, level.size * np.array([[1, first / 11], [second / 11, 1]]), rtol=1e-7)
    assert [x.tolist() for x in rests] == [[[0.0]], [[0.0]]]


@pytest.mark.parametrize(("size", "farther"), [(0.03, 1 / 0.9), (0.06, 1.25), (0.149, 1 / (1 - 0.149 * 10 / 3))])
def test_rows_of_coordinates_move_farther_the_farther_first_order_turns_them(size: float, farther: float) -> None:
    """By x = (2 · 2 + 1 · 1) / (4 − 1) of the level, and so 1 / (1 − 2 x) times as far."""
    K = crossed(of_updates=False).graded(crossing(Level("input", "float16", 2 * size, 0.5)))[0]
    np.testing.assert_allclose(K, farther * size * np.array([[1, 8 / 3], [2 / 3, 1]]), rtol=1e-12)


def test_rows_that_first_order_turns_by_more_than_a_quarter_are_not_known() -> None:
    K = crossed(of_updates=False).graded(crossing(Level("input", "float16", 0.302, 0.5)))[0]
    assert np.isinf(K).all()


def test_what_columns_hold_beside_the_span_moves_rows_whatever_their_size() -> None:
    """Two columns of length 3 and 4 along one axis: W⁺ has (3, 4) / 25 of them, of which I − (3, 4)ᵀ (3, 4) / 25 is
    left, 16 and 12 over 25 beside 12 and 9; times the columns' own errors, 3 and 4 levels."""
    columns, norms = [np.array([[3.0, 4.0]])], [np.array([3.0, 4.0])]
    frame = Frame(
        columns, norms, np.full((1, 1, 1), 7.0), ([np.ones((1, 2))], [np.ones(2)]), np.array([5.0]), 1, False, False, 2,
        ("B", "W"), 2,
    )  # fmt: skip
    errors = Errors(TENTH, (2, 1), np.ones(1), np.zeros((1, 1, 1)), np.ones(1), (0,), True, {}, EPS, np.ones(1))
    (rest,) = frame.graded(errors)[1]
    np.testing.assert_allclose(rest, 0.1 * np.array([[(3 * 16 + 4 * 12) / 25, (3 * 12 + 4 * 9) / 25]]), rtol=1e-12)


# ---- frames whose singular values are divided out, by hand -----------------------------------------------------------
def identity_beside(frame: Frame) -> Frame:
    """The other side, whose coordinates are the rows themselves."""
    rows, norms = frame.facing
    return Frame(rows, norms, frame.M.mT, (frame.coordinates, frame.norms), None, 2, True, True, 2, ("B", "W"), 2)


def known_to(size: float, entering: tuple[float, float]) -> Errors:
    errors = crossing(Level("input", "float16", 2 * size, 0.5))
    errors.entering = np.array(entering)
    return errors


@pytest.mark.parametrize("seen", [False, True])
def test_right_singular_vectors_move_out_of_their_rows_and_into_each_other_where_that_is_seen(seen: bool) -> None:
    """e_1 and e_2 of the first and the second task: each goes the other way in its own block by as much as its row,
    one part in 2³⁰, and into the other by (6 · 11 + 5 · 11) / (36 − 25) of that, 11 being both factors' errors."""
    frame, N, g = crossed(), np.array([[[1.0, 0], [0, 0]], [[0, 0], [0, 1.0]]]), 2.0**-30
    found = frame.divided(known_to(g, (100 * g, 100 * g)), N, identity_beside(frame), seen)
    into = 11.0 * seen
    np.testing.assert_allclose(found / g, [[[0, 1], [into, 0]], [[0, into], [1, 0]]], rtol=1e-6, atol=1e-6)


def test_right_singular_vectors_move_by_products_of_errors_as_well() -> None:
    """Rows known to a tenth, so vectors leave the span by a tenth: half of 1/100 each way, and a tenth of the tenth."""
    frame, N = crossed(), np.array([[[1.0, 0], [0, 0]], [[0, 0], [0, 1.0]]])
    found = frame.divided(known_to(0.1, (1.2, 1.0)), N, identity_beside(frame), False)
    np.testing.assert_allclose(found, [[[0.005, 0.11], [0.005, 0.01]], [[0.01, 0.005], [0.11, 0.005]]], atol=1e-7)


def test_no_vector_turns_by_more_than_2_though_sums_of_errors_leave_float64() -> None:
    """Updates of 6e307 and 5e307 that are known to 1.2e308 and rows to 2.5 of theirs: 2.5 out of the rows, twice that
    along with what leaves the span, and 2 into each other."""
    one, c, N = crossed(), 1e307, np.array([[[1.0, 0], [0, 0]], [[0, 0], [0, 1.0]]])
    assert one.S is not None
    frame = replace(one, coordinates=[c * X for X in one.coordinates], norms=[c * x for x in one.norms], M=c * one.M)
    frame = replace(frame, S=c * one.S)
    found = frame.divided(known_to(2.5, (1.2e308, 1.2e308)), N, identity_beside(frame), True)
    np.testing.assert_allclose(found, [[[0, 7.5], [2, 5]], [[5, 2], [7.5, 0]]], atol=1e-5)


def shared(live: int = 1) -> Frame:
    """Of e_1 · 3 e_1ᵀ and e_1 · 4 e_1ᵀ, whose stack has one singular value, 5."""
    columns, norms = [np.array([[1.0]])] * 2, [np.array([1.0])] * 2
    rows, lengths = [np.array([[3.0], [0.0]]), np.array([[4.0], [0.0]])], [np.array([3.0]), np.array([4.0])]
    M = np.array([[[3.0, 0.0]], [[4.0, 0.0]]])
    return Frame(columns, norms, M, (rows, lengths), np.array([5.0]), live, False, True, 3, ("B", "W"), 1)


def test_a_direction_that_tasks_share_moves_by_the_rows_and_by_the_columns_of_both() -> None:
    """The vector is (3/5, 0 | 4/5, 0). Of rows the projector beside it leaves 3 · (4/5, 1) and 4 · 4/5 · 3/5 in the
    first block, of columns 3 · 16/25 and 4 · 4/5 · 3/5; all over 5."""
    frame, N, g = shared(), np.array([[[0.6, 0.0]], [[0.8, 0.0]]]), 2.0**-30
    found = frame.divided(known_to(g, (100 * g, 100 * g)), N, identity_beside(frame), False)
    first, second = 3 * 0.8 + 1.92 + 1.92 + 1.92, 4 * 0.6 + 1.44 + 1.44 + 1.44
    np.testing.assert_allclose(found / g, [[[first / 5, 3 / 5]], [[second / 5, 4 / 5]]], rtol=1e-6)


def test_where_nothing_is_live_nothing_that_was_divided_moves() -> None:
    frame = shared(live=0)
    found = frame.divided(known_to(0.1, (1.0, 1.0)), np.zeros((2, 1, 2)), identity_beside(frame), True)
    assert found.tolist() == [[[0, 0]], [[0, 0]]]
    assert frame.scaled(known_to(0.1, (1.0, 1.0))).tolist() == [[0]]


def test_a_stack_in_its_own_frames_is_off_by_its_error_and_by_what_leaves_the_span() -> None:
    """Updates known to 1.2 and 1, and rows to a tenth: F and three halves of 0.6 and 0.5 times a tenth. Of columns that
    depend on each other all of the error may leave the span, 5 of 5."""
    found = crossed().scaled(known_to(0.1, (1.2, 1.0)))
    np.testing.assert_allclose(found, [[1.2 + 0.09, 1.0 + 0.09], [1.2 + 0.075, 1.0 + 0.075]], rtol=1e-12)
    np.testing.assert_allclose(crossed().out(known_to(0.1, (1.2, 1.0))), [0.1, 0.1], rtol=1e-12)
    np.testing.assert_allclose(crossed().out(known_to(30.0, (60.0, 60.0))), [2, 2], rtol=1e-12)
    np.testing.assert_allclose(shared().out(known_to(0.1, (3.0, 4.0))), [1], rtol=1e-12)


@pytest.mark.parametrize(("size", "leaving"), [(2, 0.0), (3, float(np.hypot(3 * 0.71 / 6, 4 * 0.61 / 5)))])
def test_a_frame_leaves_its_span_where_that_is_not_all(size: int, leaving: float) -> None:
    """Errors of columns, 0.71 and 0.61 over 6 and 5, see above, times rows 3 and 4 long."""
    frame, M = replace(crossed(), size=size), np.array([[3.0, 0.0], [0.0, 4.0]])
    assert frame.leaving(known_to(0.1, (1.2, 1.0)), M) == pytest.approx(leaving, rel=1e-12)


def test_rows_turn_into_each_other_within_the_span() -> None:
    """By 5 / 3 of the level, see above; at most √2 times that of all."""
    frame, g = crossed(of_updates=False), 2.0**-30
    for M, change, most in (
        ([[3.0, 4.0], [0, 0]], [[0, 0], [5, 20 / 3]], 25 / 3),
        ([[3.0, 4.0], [-3.0, 4.0]], [[5, 20 / 3], [5, 20 / 3]], 2**0.5 * 25 / 3),
    ):
        found, norm = frame.turned(known_to(g, (1.0, 1.0)), np.array(M))
        np.testing.assert_allclose(found / g, change, rtol=1e-12, atol=1e-12)
        assert norm / g == pytest.approx(most, rel=1e-12)


# ---- nearly dependent columns ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("counts", "inside"),
    [
        ([2, 1], True),  # of the updates as many
        ([1, 1], False),
        ([2, 0], False),
    ],
)
@pytest.mark.parametrize("angle", [1.0, 1e-3])
def test_singular_vectors_turn_as_columns_of_norm_1_depend_on_each_other(
    counts: list[int], inside: bool, angle: float
) -> None:
    """cos and sin of half the angle are the singular values of two columns, over 1 / √2; of the other task's one, 1."""
    columns = [np.array([[2.0, 3 * np.cos(angle)], [0, 3 * np.sin(angle)], [0, 0]]), np.array([[0.0], [0], [4]])]
    norms, ones = [np.array([2.0, 3.0]), np.array([4.0])], [np.ones(2), np.ones(1)]
    rows = [np.eye(2), np.array([[1.0], [0.0]])]
    frame = Frame(columns, norms, np.zeros((2, 3, 2)), (rows, ones), np.ones(3), 3, False, True, 3, ("B", "W"), 3)
    expected = 2.0**-52 * np.hypot(1 / np.tan(angle / 2), 1)
    assert _off(at(COMPUTE), frame, counts) == (pytest.approx(expected, rel=1e-9, abs=0), inside)


@pytest.mark.parametrize(("times", "dependence", "doubted"), [(2, 1.0, True), (3, 1.0, False), (3, 1e-3, True)])
def test_a_direction_that_copies_may_be_given_by_rounding_is_in_doubt(
    times: float, dependence: float, doubted: bool
) -> None:
    """Two tasks have the first two axes, but for a turn of the second in one of them: the third singular value of their
    vectors side by side is sin of half the turn, times √2, so many times the cut of 64 √2 eps. Their SVDs leave 99 eps
    of it, and columns that nearly depend on each other eps over their dependence."""
    level, eps = Level("compute", "float64", 2.0**-52, 0.5), 2.0**-52
    turn = times * 128 * eps
    M = np.zeros((2, 4, 2))
    M[:, 0, 0], M[0, 1, 1], M[1, 1:3, 1] = 2.0, 1.0, (np.cos(turn), np.sin(turn))
    columns = np.array([[1.0, 1.0], [0, dependence], [0, 0], [0, 0]])
    columns[:, 1] /= np.linalg.norm(columns[:, 1])
    if dependence == 1:
        columns = np.eye(4, 2)
    ones, rows = [np.ones(2)] * 2, [np.eye(2)] * 2
    frame = Frame([columns] * 2, ones, M, (rows, ones), np.ones(4), 3, False, True, 9, ("B", "W"), 4)
    errors = Errors(level, (9, 9), np.zeros(2), np.zeros((2, 4, 2)), np.ones(2), (0, 1), True, {}, eps, np.zeros(2))
    sized(errors, cm.Knots(), frame, M, np.zeros(2))
    assert bool(errors.size_doubt) == doubted


# ---- live sizes by hand: zero is 64 eps of the largest, and 8 eps of norms -----------------------------------------
FINE = Level("compute", "float64", EPS, 0.5)


def judged_by(
    values: list[float], live: int, level: Level, columns: int = 0, size: int = 9, distinct: int = 0
) -> Errors:
    """What is noted of a stack of factors that has nine columns of norm 1, of two tasks at the levels 1 and 2."""
    units = np.zeros((4, 9)), np.array(values), columns or len(values)
    none, ones = [np.zeros((4, 1))] * 2, [np.ones(1)] * 2
    M = np.zeros((2, 4, 3))
    frame = Frame(none, ones, M, (none, ones), np.ones(4), live, False, False, size, ("B", "W"), distinct, units)
    errors = Errors(level, (9, 9), np.zeros(2), np.zeros((2, 4, 3)), np.ones(2), (0, 1), True, {}, EPS, np.zeros(2))
    sized(errors, cm.Core(), frame, M, np.array([1.0, 2.0]))
    return errors


def test_the_spectrum_of_columns_of_norm_1_and_its_gap_are_noted() -> None:
    errors = judged_by([4.0, 2.0, 1.0], 2, FINE)
    ((spectrum,), (margin,)) = errors.spectra, errors.margins
    assert (spectrum.title, spectrum.values.tolist()) == ("core: B, columns of norm 1", [4.0, 2.0, 1.0])
    assert (spectrum.kept, spectrum.cut) == (2, 256 * EPS)
    assert (margin.stage, margin.what) == ("core", "gap between kept and dropped singular values of B")
    assert margin.value == 0.25  # 2 − 1 of 4
    assert judged_by([4.0, 2.0], 2, FINE).margins[0].value == 0.5  # nothing is dropped
    assert not judged_by([0.0], 0, FINE).margins


@pytest.mark.parametrize(
    ("level", "value", "live", "doubted"),
    [
        # nine columns are off by three times the level
        (INPUT, 2.9 * INPUT.size, 3, True),
        (INPUT, 3.1 * INPUT.size, 3, False),
        # arithmetic by 1.5 eps, so that 64 eps and 1.5 beside it are not told from zero, nor what is more than it makes
        (FINE, 65.4 * EPS, 3, True),
        (FINE, 65.6 * EPS, 3, False),
        (FINE, 1.6 * EPS, 2, True),
        (FINE, 1.4 * EPS, 2, False),
        (FINE, 1.4 * EPS, 3, True),  # which the merge took for a direction
    ],
)
def test_a_live_size_is_in_doubt_where_errors_reach_the_cut(
    level: Level, value: float, live: int, doubted: bool
) -> None:
    errors = judged_by([1.0, 0.5, value], live, level)
    assert bool(errors.size_doubt) == doubted
    if doubted:
        assert re.search(parts(f"singular value 3 of B is {value:.1e} of the largest, … live size"), errors.size_doubt)


@pytest.mark.parametrize(("columns", "size", "doubted"), [(2, 9, False), (3, 9, True), (3, 2, False)])
def test_errors_raise_a_rank_to_the_number_of_columns_or_of_rows(columns: int, size: int, doubted: bool) -> None:
    found = judged_by([2.0, 0.5], 2, INPUT, columns, size).size_doubt
    assert ("singular value 3 of B is 0.0e+00" in found) == doubted == bool(found)


@pytest.mark.parametrize(
    ("level", "dropped", "lost"),
    [
        (FINE, 31 * EPS, 0),  # half the cut, which is what arithmetic may make of zero
        (FINE, 33 * EPS, 1),
        (INPUT, 2.9 * INPUT.size, 0),  # nine columns off by so much
        (INPUT, 3.1 * INPUT.size, 1),
    ],
)
def test_what_is_dropped_without_being_rounding_leaves_no_bound(level: Level, dropped: float, lost: int) -> None:
    assert judged_by([1.0, 0.5, dropped], 2, level).lost == lost
    assert judged_by([1.0, 0.5, dropped], 3, level).lost == 0


@pytest.mark.parametrize(
    ("level", "size", "distinct", "held"),
    [(FINE, 9, 3, True), (FINE, 3, 9, True), (FINE, 9, 2, False), (FINE, 2, 9, False), (INPUT, 9, 3, False)],
)
def test_what_columns_that_differ_hold_beyond_the_live_directions_is_an_error_of_arithmetic(
    level: Level, size: int, distinct: int, held: bool
) -> None:
    """Up to the cut, 64 eps of 4, of norms whose levels are 8 eps of them: 32 levels."""
    errors = judged_by([4.0, 2.0, 0.0], 2, level, size=size, distinct=distinct)
    assert np.array_equal(judged_by([4.0, 0.0], 1, level, size=size - 1, distinct=distinct - 1).delta, errors.delta)
    expected = np.array([32.0, 64.0]) * held
    assert errors.delta.tolist() == pytest.approx(expected.tolist(), rel=1e-14)
    np.testing.assert_allclose(errors.entry, expected[:, None, None] * np.ones((2, 4, 3)), rtol=1e-14)


def stack_of(values: list[list[float]], axes: list[list[int]], q: int = 3) -> np.ndarray:
    """Tasks of these singular values whose left vectors are these axes of four."""
    M = np.zeros((len(values), 4, q))
    for X, S, places in zip(M, values, axes, strict=True):
        for i, (value, place) in enumerate(zip(S, places, strict=True)):
            X[place, i] = value
    return M


def judged_of_updates(
    M: np.ndarray, live: int, delta: list[float], levels: list[float], level: Level, size: int = 4
) -> Errors:
    """What is noted of a stack of updates M of `size` rows, known up to `delta`, whose columns are identities."""
    T = len(M)
    columns, ones, rows = [np.eye(4)] * T, [np.ones(4)] * T, [X.T for X in M]
    frame = Frame(columns, ones, M, (rows, ones), np.ones(4), live, False, True, size, ("B", "W"), 4)
    errors = Errors(
        level, (4, 4), np.array(delta), np.zeros(M.shape), np.ones(T), tuple(range(T)), True, {}, EPS, np.zeros(T)
    )
    sized(errors, cm.Knots(), frame, M, np.array(levels))
    return errors


def test_a_stack_of_updates_has_the_spectrum_of_their_singular_vectors() -> None:
    """Of e_1, e_2 and e_2, e_3: squares 1, 2 and 1. What is no more than the level of its task has none."""
    M = stack_of([[8.0, 2.0, 0.25], [4.0, 1.0, 1e-310]], [[0, 1, 3], [1, 2, 0]])
    errors = judged_of_updates(M, 3, [0.0, 0.0], [0.25, 0.5], FINE)
    (spectrum,) = errors.spectra
    assert spectrum.title == "knots: W, columns of norm 1"
    assert spectrum.values.tolist() == pytest.approx([2**0.5, 1, 1, 0], abs=1e-15)
    assert (spectrum.kept, spectrum.cut) == (3, pytest.approx(64 * 2**0.5 * EPS, rel=1e-6, abs=0))
    assert (errors.size_doubt, errors.lost) == ("", 0)
    with_all = judged_of_updates(M, 4, [0.0, 0.0], [0.2, 0.0], FINE)  # 1 / 1e-310 overflows, and no error is none
    assert with_all.spectra[0].values.tolist() == pytest.approx([2**0.5] * 2 + [1, 1], abs=1e-15)


@pytest.mark.parametrize(("second", "doubted"), [(0.4, False), (0.5, True)])
def test_singular_vectors_of_all_tasks_turn_by_their_errors_over_their_values(second: float, doubted: bool) -> None:
    """0.8 / 2, 0.8 / 1 and x / 4, x / 1 have squares that sum to 0.8 and 17 x² / 16; the last of the values is 1."""
    M = stack_of([[2.0, 1.0], [4.0, 1.0]], [[0, 1], [1, 2]])
    for X, delta in ((M, [0.8, second]), (M[::-1], [second, 0.8])):
        assert bool(judged_of_updates(X, 3, delta, [0.0, 0.0], INPUT, 3).size_doubt) == doubted


def test_no_singular_vector_turns_by_more_than_all_of_it() -> None:
    """Two of one direction have the value √2, which errors of 1 and 0.9 leave, and errors of 1 and 1 may not."""
    M = stack_of([[1.0], [1.0]], [[0], [0]])
    assert not judged_of_updates(M, 1, [100.0, 0.9], [0.0, 0.0], INPUT, 1).size_doubt
    assert judged_of_updates(M, 1, [100.0, 100.0], [0.0, 0.0], INPUT, 1).size_doubt


def test_updates_that_are_all_zero_have_one_singular_value_of_zero() -> None:
    errors = judged_of_updates(np.zeros((2, 4, 3)), 0, [0.0, 0.0], [0.0, 0.0], FINE)
    assert errors.spectra[0].values.tolist() == [0.0]
    assert (errors.spectra[0].cut, errors.margins, errors.size_doubt) == (0.0, [], "")


@pytest.mark.parametrize(
    ("counts", "angle", "error", "distinct", "doubted"),
    [
        ([2, 1], 1e-2, 300, 2, True),
        ([2, 2], 1e-2, 300, 2, False),  # as many as the columns of each: they stay within the span
        ([2, 1], 1.0, 300, 2, False),  # columns far from depending on each other
        ([2, 1], 1e-2, 10, 2, False),  # updates known to less than the cut
        ([2, 2], 1.0, 300, 3, True),  # a column more than there are directions, beside an error of more than the cut
        ([2, 2], 1.0, 10, 3, False),
    ],
)
def test_what_is_zero_is_in_doubt_where_nearly_dependent_columns_or_others_may_give_it(
    counts: list[int], angle: float, error: float, distinct: int, doubted: bool
) -> None:
    """In eps: the cut is 64 √2; errors as given; columns at an angle of 0.01 turn what they span by 200 √2."""
    values = [[1.0] * count for count in counts]
    M = stack_of(values, [list(range(count)) for count in counts])
    columns = np.zeros((4, 2))
    columns[:2] = [[1.0, np.cos(angle)], [0.0, np.sin(angle)]]
    frame = Frame(
        [columns] * 2, [np.ones(2)] * 2, M, ([np.eye(3, 2)] * 2, [np.ones(2)] * 2), np.ones(4), 2, False, True, 4,
        ("B", "W"), distinct,
    )  # fmt: skip
    delta = error * EPS / sum(counts) ** 0.5 * np.ones(2)
    errors = Errors(FINE, (4, 3), delta, np.zeros(M.shape), np.ones(2), (0, 1), True, {}, EPS, np.zeros(2))
    sized(errors, cm.Knots(), frame, M, np.zeros(2))
    assert ("singular value 3 of W is" in errors.size_doubt) == doubted == bool(errors.size_doubt)


def test_rounded_inputs_may_give_a_direction_to_each_column_that_is_not_zero() -> None:
    """Copies too, which arithmetic knows: four columns of two directions, in four rows."""
    M = stack_of([[1.0, 1.0]] * 2, [[0, 1]] * 2)
    for level, doubted in ((INPUT, True), (FINE, False)):
        frame = Frame(
            [np.eye(4, 2)] * 2, [np.ones(2)] * 2, M, ([np.eye(3, 2)] * 2, [np.ones(2)] * 2), np.ones(4), 2, False, True,
            4, ("B", "W"), 2,
        )  # fmt: skip
        delta = 100 * EPS * np.ones(2)
        errors = Errors(level, (4, 3), delta, np.zeros(M.shape), np.ones(2), (0, 1), True, {}, EPS, np.zeros(2))
        sized(errors, cm.Knots(), frame, M, np.zeros(2))
        assert ("singular value 3 of W is 0.0e+00" in errors.size_doubt) == doubted == bool(errors.size_doubt)
