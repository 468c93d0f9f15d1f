"""Spaces of the model, right and with each of its mistakes, on updates along the axes."""

from typing import Any

import numpy as np
import pytest

from coremerge_ref.conformance.model.arithmetic import Arithmetic
from coremerge_ref.conformance.model.spaces import encode

EPS = 2.0**-52
SPACES = ("full", "knots", "core", "knots-unscaled")


def axis(size: int, at: int, length: float = 1.0) -> np.ndarray:
    """A column."""
    return length * np.eye(size, 1, -at)


# 2 e_1 · 4 f_1ᵀ · 1 and 1 e_2 · 3 f_2ᵀ · 5: B alone has the lengths 2 and 1, with its scaling 2 and 5, ΔW 8 and 15
UPDATES = [
    (axis(3, 0, 2.0), axis(4, 0, 4.0).T, 1.0),
    (axis(3, 1), axis(4, 1, 3.0).T, 5.0),
]


def order(frame: Any) -> list[int]:
    """Which axis each column of a frame is along."""
    assert np.allclose(np.sort(np.abs(frame), axis=0)[-1], 1)
    return np.abs(frame).argmax(axis=0).tolist()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("space", SPACES)
def test_what_is_encoded_comes_back_and_is_seen_as_it_was(space: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    updates = [(rng.standard_normal((6, r)), rng.standard_normal((r, 5)), s) for r, s in ((2, 0.5), (1, -3.0))]
    found = encode(Arithmetic(dtype=dtype), updates, space)
    rounding = 100 * np.finfo(dtype).eps
    for M, (B, A, s) in zip(found.stack, updates, strict=True):
        assert M.dtype == dtype
        np.testing.assert_allclose(found.decode(found.restored(M)), s * B @ A, atol=rounding)
        np.testing.assert_allclose(found.seen(s * B @ A), M, atol=rounding)
    other = found.copy()
    other.stack = other.stack * 0
    assert found.stack.any()


@pytest.mark.parametrize(
    ("space", "mistakes", "left", "right"),
    [
        ("full", (), None, None),
        ("core", (), [1, 0], [0, 1]),
        ("core", ("scaling-folded-into-a",), [0, 1], [1, 0]),  # then A has the lengths 4 and 15
        ("core", ("tucker-basis",), [1, 0], [1, 0]),
        ("core", ("frames-of-first-task",), [0], [0]),
        ("knots", (), [1, 0], None),
        ("knots", ("knots-other-side",), None, [1, 0]),
        ("knots-unscaled", (), [1, 0], None),
        ("knots-unscaled", ("knots-other-side",), None, [1, 0]),
        ("full", ("knots-other-side", "tucker-basis", "frames-of-first-task"), None, None),
    ],
)
def test_frames_are_of_the_factors_or_of_the_products(
    space: str, mistakes: tuple[str, ...], left: list[int] | None, right: list[int] | None
) -> None:
    found = encode(Arithmetic(*mistakes), UPDATES, space)
    assert (found.u if found.u is None else order(found.u)) == left
    assert (found.v if found.v is None else order(found.v)) == right
    assert found.stack.shape == (2, len(left) if left else 3, len(right) if right else 4)


@pytest.mark.parametrize(
    ("space", "mistakes", "divided"),
    [
        ("knots", (), None),
        ("knots", ("knots-without-singular-values",), [15, 8]),
        ("knots-unscaled", (), [15, 8]),
        ("knots-unscaled", ("knots-other-side",), None),
        ("core", ("knots-without-singular-values",), None),
    ],
)
def test_singular_values_are_divided_out_of_the_rows(
    space: str, mistakes: tuple[str, ...], divided: list[float] | None
) -> None:
    found = encode(Arithmetic(*mistakes), UPDATES, space)
    if divided is None:
        assert found.divided is None
        assert found.levels == pytest.approx([8 * EPS * 8, 8 * EPS * 15], rel=1e-6, abs=0)  # of ‖b‖ ‖a‖
        return
    assert found.divided == pytest.approx(divided)
    assert np.abs(found.stack).max(axis=(1, 2)) == pytest.approx([1, 1])
    assert found.levels == pytest.approx([8 * EPS, 8 * EPS], rel=1e-6, abs=0)  # a task of rank 1 each


def test_levels_where_rows_are_orthonormal_are_those_of_the_rank() -> None:
    wide = [(np.eye(3, 2), np.eye(2, 4), 3.0), UPDATES[1]]
    assert encode(Arithmetic(), wide, "knots-unscaled").levels == pytest.approx([16 * EPS, 8 * EPS], rel=1e-6, abs=0)
    assert encode(Arithmetic(), wide, "full").levels == pytest.approx([8 * EPS * 6, 8 * EPS * 15], rel=1e-6, abs=0)


def test_one_frame_serves_both_sides_where_they_are_alike() -> None:
    square = [(B, A[:, :3], s) for B, A, s in UPDATES]
    right = encode(Arithmetic(), square, "core")
    assert right.u is not right.v
    assert (order(right.u), order(right.v)) == ([1, 0], [0, 1])
    found = encode(Arithmetic("left-frame-on-both-sides"), square, "core")
    assert found.v is found.u
    np.testing.assert_allclose(found.stack, right.stack)  # encoded with both
    for other in (UPDATES, [(B, A[:, :3], s) for B, A, s in UPDATES[:1]] + [(axis(3, 1), axis(3, 0).T, 1.0)]):
        assert encode(Arithmetic("left-frame-on-both-sides"), other, "core").v is not None
    oblong = encode(Arithmetic("left-frame-on-both-sides"), UPDATES, "core")
    assert oblong.v is not oblong.u


def test_frames_are_cut_to_the_smaller_rank() -> None:
    """B has two directions, A one."""
    updates = [(axis(3, 0, 2.0), axis(4, 0).T, 1.0), (axis(3, 1), axis(4, 0).T, 1.0)]
    for given, turned in ((updates, False), ([(A.T, B.T, s) for B, A, s in updates], True)):
        sizes = [encode(Arithmetic(*m), given, "core").stack.shape[1:] for m in ((), ("frames-cut-to-common-rank",))]
        assert sizes == [(1, 2) if turned else (2, 1), (1, 1)]


def test_frames_are_capped_at_twelve() -> None:
    updates = [(np.eye(14), np.eye(14) * np.arange(1, 15), 1.0)]
    assert encode(Arithmetic(), updates, "core").stack.shape == (1, 14, 14)
    assert encode(Arithmetic("frames-capped-at-12"), updates, "core").stack.shape == (1, 12, 12)


def test_products_span_what_lies_above_their_own_rounding() -> None:
    """A faint task has its direction, rounding of a strong one has none."""
    faint = [(axis(3, 0, 2.0**30), axis(4, 0).T, 1.0), (axis(3, 1), axis(4, 1).T, 2.0**-30)]
    assert order(encode(Arithmetic(), faint, "knots").u) == [0, 1]
    cancelling = [(np.array([[1.0, -1], [1.0, -1], [0, 1e-18]]), np.array([[1.0, 0], [1.0, 0]]), 1.0), UPDATES[1]]
    cancelling[1] = (cancelling[1][0], cancelling[1][1][:, :2], 5.0)
    assert order(encode(Arithmetic(), cancelling, "knots").u) == [1]
