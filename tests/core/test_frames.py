"""Frames: encode and decode as the two products they are."""

from dataclasses import replace

import numpy as np
import pytest
from backends import EPS, Backend

import coremerge_ref as cm
from coremerge_ref.core import arrays
from coremerge_ref.core.sides import Side
from coremerge_ref.testing import THRESHOLD, Recipe, orthonormal, ratio

RNG = np.random.default_rng(3)
U, V = orthonormal(RNG, 7, 3), orthonormal(RNG, 6, 4)
M = RNG.standard_normal((3, 4))


def test_project_is_the_product_with_both_frames(backend: Backend) -> None:
    factors = Recipe(7, 6, (2, 4), scales=(0.5, -3.0), seed=1).build()
    frames = cm.Frames(backend.array(U), backend.array(V))
    found = backend.host(cm.project(backend.updates(factors), frames))
    expected = [s * U.T @ (B @ A) @ V for B, A, s in factors]
    assert ratio(found, expected, 10.0, EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize(("left", "right"), [(True, True), (True, False), (False, True), (False, False)])
def test_reconstruct_is_the_product_back(backend: Backend, left: bool, right: bool) -> None:
    frames = cm.Frames(backend.array(U) if left else None, backend.array(V) if right else None)
    inner = M if left and right else np.random.default_rng(0).standard_normal((3 if left else 7, 4 if right else 6))
    back = cm.reconstruct(backend.array(inner), frames)
    expected = (U if left else np.eye(7)) @ inner @ (V if right else np.eye(6)).T
    assert isinstance(back, cm.LowRankUpdate if left or right else cm.DenseUpdate)
    assert back.shape == (7, 6)
    assert back.rank == {(1, 1): 3, (1, 0): 3, (0, 1): 4, (0, 0): 6}[left, right]
    assert ratio(backend.dense(back), expected, float(np.linalg.norm(inner)), EPS["float64"]) <= THRESHOLD


def test_the_smaller_side_bounds_the_rank(backend: Backend) -> None:
    back = cm.reconstruct(backend.array(M.T), cm.Frames(backend.array(V), backend.array(U)))
    assert back.rank == 3
    assert ratio(backend.dense(back), V @ M.T @ U.T, 5.0, EPS["float64"]) <= THRESHOLD
    batch = [np.stack([X, -X]) for X in (M.T, V, U)]
    inner, left, right = (backend.array(X) for X in batch)
    back = cm.reconstruct(inner, cm.Frames(left, right))
    assert back.rank == 3
    expected = np.stack([V @ M.T @ U.T, -V @ M.T @ U.T])
    assert ratio(backend.dense(back), expected, 10.0, EPS["float64"]) <= THRESHOLD


def test_divided_out_singular_values_come_back(backend: Backend) -> None:
    sigma = np.array([4.0, 0.5, 0.0])
    frames = cm.Frames(backend.array(U), None, sigma=backend.array(sigma))
    B, A = RNG.standard_normal((7, 2)), RNG.standard_normal((2, 6))
    inner = cm.project([(backend.array(B), backend.array(A))], frames)
    expected = np.array([0.25, 2.0, 0.0])[:, None] * (U.T @ B @ A)
    assert ratio(backend.host(inner)[0], expected, 20.0, EPS["float64"]) <= THRESHOLD
    back = cm.reconstruct(inner[0, ...], frames)
    assert ratio(backend.dense(back), U[:, :2] @ U[:, :2].T @ B @ A, 20.0, EPS["float64"]) <= THRESHOLD


def test_plain_frames_are_as_large_as_they_have_columns(backend: Backend) -> None:
    """One frame for a layer, or for each of two; what is given beside it is believed."""
    for batch in ((), (2,)):
        left, right = (backend.array(np.broadcast_to(X, (*batch, *X.shape)), "float32") for X in (U, V))
        frames = cm.Frames(left, right)
        assert (float(frames.rows), float(frames.cols)) == (3, 4)
        assert (arrays.dtype_name(frames.rows.dtype), arrays.dtype_name(frames.cols.dtype)) == ("float64", "float64")
        assert (frames.U is left, frames.V is right) == (True, True)
        assert (frames.left.live is frames.rows, frames.right.live is frames.cols) == (True, True)
        assert (cm.Frames(None, right).rows, float(cm.Frames(None, right).cols)) == (None, 4)
        assert (float(cm.Frames(left, None).rows), cm.Frames(left, None).cols) == (3, None)
        given = backend.array(2.0)
        assert cm.Frames(left, right, rows=given).rows is given
        assert cm.Frames(left, right, cols=given).cols is given


def test_products_and_their_rounding_are_those_of_the_coordinates(backend: Backend) -> None:
    """8 eps Σ ‖b_i‖ ‖a_i‖; of orthonormal rows, where singular values are divided out, 8 eps r."""
    lefts = [np.array([[2.0, 0.0], [4.0, 8.0]]), np.array([[0.0], [2.0]])]
    rights = [np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 3.0]]), np.array([[5.0], [0.0], [1.0]])]
    norms = ([[3.0, 2.0], [4.0]], [[1.0, 0.5], [10.0]])
    left, right = (
        Side(
            backend.array(np.eye(k)),
            coordinates=[backend.array(C) for C in coordinates],
            norms=[backend.array(size) for size in sizes],
        )
        for k, coordinates, sizes in zip((2, 3), (lefts, rights), norms, strict=True)
    )
    for sigma, rows, levels in (
        (None, [1.0, 1.0], [4.0, 40.0]),
        ([0.5, 4.0], [2.0, 0.25], [2, 1]),
        ([2.0, 0.0], [0.5, 0.0], [2, 1]),
    ):
        frames = cm.Frames(left, right, sigma=None if sigma is None else backend.array(sigma))
        for (L, R), C, D in zip(frames.products(), lefts, rights, strict=True):
            np.testing.assert_array_equal(backend.host(L), np.array(rows)[:, None] * C)
            np.testing.assert_array_equal(backend.host(R), D.T)
        np.testing.assert_array_equal(backend.host(frames.rounding_levels()), 8 * EPS["float64"] * np.array(levels))
    for change in ({"coordinates": right.coordinates[:1]}, {"norms": right.norms[:1]}):
        frames = cm.Frames(left, replace(right, **change))
        with pytest.raises(ValueError, match="zip"):
            frames.products() if "coordinates" in change else frames.rounding_levels()


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_frame_of_the_smaller_side_is_a_factor_itself(backend: Backend, size: int) -> None:
    """The left one of two that are as large."""
    left, right = backend.array(np.eye(5, 3)), backend.array(np.eye(6, size))
    inner = np.arange(3.0 * size).reshape(3, size)
    back = cm.reconstruct(backend.array(inner), cm.Frames(left, right))
    B, A = backend.host(back.B), backend.host(back.A)
    if size >= 3:
        np.testing.assert_array_equal(B, np.eye(5, 3))
        np.testing.assert_array_equal(A, inner @ np.eye(size, 6))
    else:
        np.testing.assert_array_equal(A, np.eye(size, 6))
        np.testing.assert_array_equal(B, np.eye(5, 3) @ inner)
