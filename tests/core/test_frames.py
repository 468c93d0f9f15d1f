"""Frames: encode and decode as the two products they are."""

import numpy as np
import pytest
from backends import EPS, Backend

import coremerge_ref as cm
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
