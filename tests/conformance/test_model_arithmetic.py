"""The model's arithmetic: pairs of equal singular values turn as told, and nothing else does."""

import math

import numpy as np
import pytest

from coremerge_ref.conformance.model.arithmetic import Arithmetic, generic, lengths, rotation_by, signed

TIED = 1e-6


@pytest.mark.parametrize(
    ("values", "pairs"),
    [
        ((3, 2, 1), []),
        ((3, 2, 2), [1]),
        ((2, 2, 1), [0]),
        ((2, 2 - 1.5e-6, 1), [0]),  # closer than tied times the largest
        ((2, 2 - 3e-6, 1), []),
        ((2, 1e-6, 1e-6), []),  # no value, as far as it is known
        ((2, 4e-6, 4e-6), [1]),
        ((1,), []),
        ((), []),
    ],
)
@pytest.mark.parametrize("rotation", [0.3, 2.0])
def test_pairs_of_equal_values_turn_by_the_angle_and_others_stay(
    values: tuple[float, ...], pairs: list[int], rotation: float
) -> None:
    model, base = Arithmetic(rotation=rotation, tied=TIED), Arithmetic(tied=TIED)
    p = np.linalg.qr(np.random.default_rng(0).standard_normal((5, len(values))))[0]
    turn = model.turning(p, np.array(values, dtype=float))
    if not pairs:
        assert turn is None
        return
    start = base.turning(p, np.array(values, dtype=float))
    np.testing.assert_allclose(turn.T @ turn, np.eye(len(values)), atol=1e-14)
    (i,) = pairs
    inside = np.ix_([i, i + 1], [i, i + 1])
    np.testing.assert_allclose(turn[inside], start[inside] @ rotation_by(rotation), atol=1e-14)
    outside = np.ones_like(turn, dtype=bool)
    outside[inside] = False
    np.testing.assert_array_equal(turn[outside], np.eye(len(values))[outside])


def test_where_a_plane_is_turned_from_does_not_hang_on_the_vectors_that_span_it() -> None:
    plane = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 2)))[0]
    model, s = Arithmetic(rotation=0.7, tied=TIED), np.array([1.0, 1.0])
    first = plane @ model.turning(plane, s)
    for other in (plane @ rotation_by(1.3), plane[:, ::-1], plane * [-1, 1], -plane):
        np.testing.assert_allclose(other @ model.turning(other, s), first, atol=1e-14)


def test_without_a_tie_that_counts_vectors_are_those_of_lapack() -> None:
    X = np.diag([2.0, 2.0, 1.0])
    assert Arithmetic(rotation=0.5).turning(np.eye(3), np.array([2.0, 2, 1])) is None
    p, s, q = Arithmetic(rotation=0.5, tied=TIED).svd(X)
    assert s.tolist() == [2, 2, 1]
    np.testing.assert_allclose((p * s) @ q.T, X, atol=1e-14)
    assert np.count_nonzero(np.abs(p[:2, :2]) > 1e-3) == 4  # neither is an axis any more
    still = Arithmetic(rotation=0.5, tied=TIED).svd(np.diag([3.0, 2.0, 1.0]))
    for ours, theirs in zip(still, Arithmetic().svd(np.diag([3.0, 2.0, 1.0])), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_turn_has_the_type_of_the_vectors(dtype: type) -> None:
    turn = Arithmetic(rotation=0.5, tied=TIED, dtype=dtype).turning(np.eye(4, 2, dtype=dtype), np.ones(2, dtype=dtype))
    assert turn.dtype == dtype
    assert rotation_by(math.pi / 2).round(15).tolist() == [[0, -1], [1, 0]]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_inputs_are_rounded_to_the_dtype_without_a_warning(dtype: type) -> None:
    model, largest = Arithmetic(dtype=dtype), np.array([1e300, -1e300, 1e-300, 1 + 2.0**-40])
    with np.errstate(all="raise"):
        found = model.read(largest)
    assert found.dtype == dtype
    assert found.tolist() == (largest.tolist() if dtype is np.float64 else [np.inf, -np.inf, 0, 1])
    same = np.ones(3, dtype=dtype)
    assert model.read(same) is same
    assert model.read(np.array([1, 2], dtype=np.float16)).dtype == dtype


# ---- singular values ---------------------------------------------------------------------------------------------
def turned(values: tuple[float, ...], rows: int = 4, cols: int = 3) -> np.ndarray:
    """A matrix of these singular values along no axis."""
    rng = np.random.default_rng(0)
    p, q = (np.linalg.qr(rng.standard_normal((size, len(values))))[0] for size in (rows, cols))
    return (p * values) @ q.T


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
@pytest.mark.parametrize("mistakes", [(), ("svd-of-gram-matrix",), ("ascending-singular-values",)])
@pytest.mark.parametrize(("rows", "cols"), [(4, 3), (3, 4)])
def test_singular_triplets_make_the_matrix_whatever_its_size(
    mistakes: tuple[str, ...], size: float, rows: int, cols: int
) -> None:
    X = turned((3.0, 2.0, 1.0), rows, cols)
    p, s, q = Arithmetic(*mistakes).scaled_svd(X * size)
    assert (p.shape, q.shape) == ((rows, 3), (cols, 3))
    expected = [1, 2, 3] if "ascending-singular-values" in mistakes else [3, 2, 1]
    np.testing.assert_allclose(s / size, expected, rtol=1e-13)
    np.testing.assert_allclose((p * (s / size)) @ q.T, X, atol=1e-13)


def test_the_gram_matrix_loses_what_is_small() -> None:
    X = turned((1.0, 1e-3, 1e-10))
    assert Arithmetic().scaled_svd(X)[1] == pytest.approx([1, 1e-3, 1e-10], rel=1e-4)
    lost = Arithmetic("svd-of-gram-matrix").scaled_svd(X)[1]
    assert lost[:2] == pytest.approx([1, 1e-3], rel=1e-4)
    assert abs(lost[2] - 1e-10) > 1e-11


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("rows", "cols"), [(3, 2), (2, 3), (0, 2), (2, 0)])
def test_a_matrix_of_zeros_has_the_axes_for_its_vectors(rows: int, cols: int, dtype: type) -> None:
    p, s, q = Arithmetic(dtype=dtype).scaled_svd(np.zeros((rows, cols), dtype=dtype))
    d = min(rows, cols)
    assert [x.dtype for x in (p, s, q)] == [dtype] * 3
    assert (p.tolist(), s.tolist(), q.tolist()) == (np.eye(rows, d).tolist(), [0] * d, np.eye(cols, d).tolist())


# ---- frames ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("between", "mistakes", "rank"),
    [
        (1.0, (), 2),
        (1e-3, (), 2),
        (1e-3, ("frame-cut-1e-6",), 2),
        (1e-3, ("frame-cut-1e-2",), 1),
        (1e-7, (), 2),
        (1e-7, ("frame-cut-1e-6",), 1),
        (1e-14, (), 1),
        (1.0, ("frame-one-short",), 1),
        (1e-14, ("frame-one-short",), 1),  # never none
    ],
)
@pytest.mark.parametrize("length", [1e-200, 1.0])
def test_a_live_range_counts_directions_and_not_lengths(
    between: float, mistakes: tuple[str, ...], rank: int, length: float
) -> None:
    stack = np.array([[1.0, 0, 1], [0, 0, between], [0, 0, 0]]) * [1, 1, length]
    found = Arithmetic(*mistakes).live_range(stack)
    assert found.shape == (3, rank)
    np.testing.assert_allclose(found.T @ found, np.eye(rank), atol=1e-14)
    assert not found[2].any()
    assert Arithmetic().live_range(0 * stack).shape == (3, 0)


@pytest.mark.parametrize(
    ("mistakes", "values"),
    [
        ((), [4, 3e-7]),
        (("null-frames",), [4, 3e-7, 0]),
        (("frame-cut-absolute",), [4]),
        (("frames-by-qr",), [1, 1, 1]),
    ],
)
def test_a_frame_has_the_left_singular_vectors_of_the_live_range(
    mistakes: tuple[str, ...], values: list[float]
) -> None:
    stack = np.array([[0.0, 4, 0], [0, 0, 0], [3e-7, 0, 0]])
    u, s = Arithmetic(*mistakes).frame(stack)
    np.testing.assert_allclose(s, values, atol=1e-20)
    np.testing.assert_allclose(u.T @ u, np.eye(len(values)), atol=1e-14)
    if "frames-by-qr" not in mistakes:
        np.testing.assert_allclose(np.abs(u[:, :2]), np.eye(3)[:, [0, 2]][:, : min(len(values), 2)], atol=1e-14)


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
def test_a_frame_by_qr_spans_the_columns_in_their_order(size: float) -> None:
    stack = np.array([[3.0, 1], [4, 0], [0, 0]]) * size
    u, _ = Arithmetic("frames-by-qr").frame(stack)
    np.testing.assert_allclose(np.abs(u), [[0.6, 0.8], [0.8, 0.6], [0, 0]], atol=1e-14)
    assert np.isfinite(Arithmetic("frames-by-qr").frame(0 * stack)[0]).all()


def test_a_frame_within_a_live_range_that_is_given() -> None:
    live = np.array([[1.0], [0], [0]])
    u, s = Arithmetic().frame(np.array([[2.0, 0], [0, 9], [0, 0]]), live)
    assert (np.abs(u).tolist(), s.tolist()) == ([[1], [0], [0]], [2])


def test_signs_of_a_frame_that_is_turned_are_fixed() -> None:
    """By a vector cos(1 + i), of which the first two are positive and negative."""
    assert generic(3) == pytest.approx([math.cos(1), math.cos(2), math.cos(3)])
    for frame in (np.eye(3), -np.eye(3), np.eye(3) * [1, -1, 1]):
        assert signed(frame).tolist() == [[1, 0, 0], [0, -1, 0], [0, 0, -1]]
    assert signed(np.eye(2, dtype=np.float32)).dtype == np.float32
    stack = np.diag([2.0, 2.0, 1.0])
    for mirrored in (stack, stack[:, ::-1], -stack):
        u, _ = Arithmetic(rotation=0.5, tied=TIED).frame(mirrored)
        np.testing.assert_allclose(u, Arithmetic(rotation=0.5, tied=TIED).frame(stack)[0], atol=1e-14)


# ---- sizes -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_norms_of_columns_neither_overflow_nor_underflow(size: float) -> None:
    X = np.array([[3.0, 0, 1], [4.0, 0, 0]]) * size
    assert lengths(X) / size == pytest.approx([5, 0, 1])
    assert Arithmetic().norms(X) / size == pytest.approx([5, 0, 1])
    with np.errstate(all="ignore"):
        plain = Arithmetic("norms-underflow").norms(X)
    assert plain == pytest.approx([5 * size, 0, size] if size == 1 else [0, 0, 0] if size < 1 else [np.inf, 0, np.inf])
    assert lengths(np.zeros((0, 2))).tolist() == [0, 0]
    assert lengths(np.full((2, 1), 200, dtype=np.float16))[0] == pytest.approx(200 * 2**0.5)


@pytest.mark.parametrize(("dtype", "eps"), [(np.float64, 2.0**-52), (np.float32, 2.0**-23)])
def test_what_counts_as_zero_is_of_each_column_and_row(dtype: type, eps: float) -> None:
    B, A = np.array([[3.0, 0], [4, 2]], dtype=dtype), np.array([[0.0, 2, 0], [1, 2, 2]], dtype=dtype)
    assert Arithmetic(dtype=dtype).level(B, A) == pytest.approx(8 * eps * (5 * 2 + 2 * 3), rel=1e-6, abs=0)
    assert Arithmetic("zero-level-absolute", dtype=dtype).level(B, A) == 1e-12
    assert Arithmetic(dtype=dtype).level(B[:, :0], A[:0]) == 0
