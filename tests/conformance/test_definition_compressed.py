"""Compressed core space of the definition: the best directions a side, whatever the size of the updates."""

import numpy as np
import pytest
from mpmath import mp, mpf

from coremerge_ref.conformance.definition import exact, merged
from coremerge_ref.conformance.definition.compressed import Compressed
from coremerge_ref.conformance.definition.linalg import norm
from coremerge_ref.conformance.definition.spaces import Frames

EPS = mpf(2) ** -52


def frames_of(space: Compressed, scale: float = 1.0) -> Frames:
    rng = np.random.default_rng(0)
    tasks = [(rng.standard_normal((6, 3)), rng.standard_normal((3, 5))) for _ in range(3)]
    return space.frames([(exact(B * scale), exact(A)) for B, A in tasks], EPS)


@pytest.mark.parametrize("scale", [2.0**-100, 2.0**100])
def test_the_directions_found_do_not_depend_on_the_size_of_the_updates(scale: float) -> None:
    with mp.workdps(60):
        one, other = frames_of(Compressed(2)), frames_of(Compressed(2), scale)
        for X, Y in ((one.u, other.u), (one.v, other.v)):
            assert norm(X * X.T - Y * Y.T) < 1e-40
        assert (one.m, one.n, one.static) == (other.m, other.n, other.static) == (6, 5, (2, 2))


def test_directions_are_the_largest_of_all_tasks_after_their_norms_are_drawn_together() -> None:
    """Norms 8 and 2, mean 5: at β = 0 both are 5 long, and the second's one direction outweighs the first's two."""
    tasks = [(np.diag([4.8, 6.4, 0]), np.eye(3)), (np.diag([0, 0, 2.0]), np.eye(3))]
    for beta, kept in ((0.0, [2]), (0.25, [1]), (1.0, [1])):
        out = merged(tasks, "ta", space=Compressed(1, beta))
        assert np.flatnonzero(np.abs(out) > 1e-12).tolist() == [4 * i for i in kept]
    assert np.allclose(merged(tasks, "ta", space=Compressed(3, 0.25)), np.diag([4.8, 6.4, 2]), rtol=0, atol=1e-14)


def test_updates_of_zero_have_no_direction() -> None:
    tasks = [(np.zeros((3, 2)), np.zeros((2, 4)))] * 2
    assert not merged(tasks, "ta", space=Compressed(2)).any()
    tasks[1] = (np.eye(3, 2), np.eye(2, 4))
    assert np.allclose(merged(tasks, "ta", space=Compressed(2)), np.eye(3, 2) @ np.eye(2, 4), rtol=0, atol=1e-14)


def test_both_sides_are_turned_until_neither_gains() -> None:
    """One vector a side of four tasks of rank 1: five in a hundred of the share are still to win."""
    rng = np.random.default_rng(111)
    pairs = [(rng.standard_normal((6, 1)), rng.standard_normal((1, 5))) for _ in range(4)]
    tasks = [(B / np.linalg.norm(B), A / np.linalg.norm(A)) for B, A in pairs]
    V = np.linalg.svd(np.vstack([B @ A for B, A in tasks]))[2][:1].T
    shares = []
    for _ in range(100):
        U = np.linalg.svd(np.hstack([B @ (A @ V) for B, A in tasks]))[0][:, :1]
        V = np.linalg.svd(np.hstack([A.T @ (B.T @ U) for B, A in tasks]))[0][:, :1]
        shares.append(np.linalg.norm([U.T @ B @ A @ V for B, A in tasks]) / 2)
    assert shares[-1] > shares[0] + 0.05
    found = Compressed(1).frames([(exact(B), exact(A)) for B, A in tasks], EPS)
    kept = mp.sqrt(mp.fsum(norm(found.encode(exact(B), exact(A))) ** 2 for B, A in tasks)) / 2
    assert float(kept) == pytest.approx(shares[-1], abs=1e-5)
