"""The model's arithmetic: pairs of equal singular values turn as told, and nothing else does."""

import math

import numpy as np
import pytest

from coremerge_ref.conformance.model.arithmetic import Arithmetic, rotation_by

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
