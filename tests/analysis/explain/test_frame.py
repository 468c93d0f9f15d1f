"""What errors make of a frame and of the coordinates in it, beside errors that are made."""

from typing import Any

import numpy as np
import pytest

import coremerge_ref as cm
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
