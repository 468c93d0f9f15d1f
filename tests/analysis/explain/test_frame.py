"""What errors make of a frame and of the coordinates in it, beside errors that are made."""

from typing import Any

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.analysis.explain.entering import _off, sized
from coremerge_ref.analysis.explain.frame import Frame
from coremerge_ref.analysis.explain.layers import Group, Layer, coarsest, layers_of, on_host
from coremerge_ref.core.pipeline import as_pipeline
from coremerge_ref.perturbation.carried import Errors, Level

STEP = 1e-9
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
    ],
)
def test_the_nearest_singular_values_are_found(S: tuple[float, ...], expected: tuple[int, float]) -> None:
    found = frame_of(False, np.array(S)).closest()
    assert found == (expected[0], pytest.approx(expected[1]))


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
