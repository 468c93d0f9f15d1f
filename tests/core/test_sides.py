"""One side of a space by hand: frames in two factors, coordinates, live directions first, blocks of updates."""

from typing import Any

import numpy as np
import pytest
from backends import EPS, Backend

from coremerge_ref.core import arrays
from coremerge_ref.core.linalg import orthonormal
from coremerge_ref.core.sides import (
    Side,
    _live_first,
    _revealed,
    _stacked,
    _triangular,
    identity_side,
    stack_side,
    stack_sides,
    update_blocks,
)
from coremerge_ref.testing import THRESHOLD, ratio

RNG = np.random.default_rng(5)
Q, Z = np.eye(5)[:, [3, 0, 4]], np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
MADE: list[tuple[Any, Any, np.ndarray]] = [(Q, Z, Q @ Z), (Q, None, Q), (None, None, np.eye(5))]


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_frame_in_two_factors_is_their_product(place: int, batch: tuple[int, ...]) -> None:
    """I_m where there is no Q, and Q where there is no Z; products of whole numbers, which are exact."""

    def layers(X: Any) -> Any:
        return None if X is None else np.broadcast_to(X, (*batch, *X.shape))

    q, z, U = MADE[place]
    p = U.shape[1]
    X, M = (np.arange(float(rows * k)).reshape(rows, k) for rows, k in ((5, 4), (p, 6)))
    for invertible in (False, True):
        side = Side(layers(q), layers(z), invertible=invertible)
        if q is None:
            assert side.frame is None
        else:
            np.testing.assert_array_equal(side.frame, layers(U))
        np.testing.assert_array_equal(side.encode(layers(X)), layers(U.T @ X))
        np.testing.assert_array_equal(side.decode(layers(M)), layers(U @ M))
        np.testing.assert_array_equal(side.decode_rows(layers(M.T)), layers(M.T @ U.T))
        tall, small = side.split(layers(M))
        np.testing.assert_array_equal(tall @ small, layers(U @ M))
        np.testing.assert_array_equal(tall, layers(Q if q is not None and (invertible or z is None) else U))
        np.testing.assert_array_equal(small, layers(Z @ M) if z is not None and invertible else layers(M))


@pytest.mark.parametrize("place", range(2))
def test_a_side_is_turned_within_its_frame(place: int) -> None:
    q, z, U = MADE[place]
    p = U.shape[1]
    W = np.eye(p)[:, ::-1][:, :2]
    coordinates, norms = [np.arange(2.0 * p).reshape(p, 2), np.ones((p, 1))], [np.ones(2), np.ones(1)]
    side = Side(q, z, np.array(float(p)), coordinates, norms, np.ones(p), invertible=True)
    inner = Side(W, None, np.array(2.0), S=np.array([3.0, 1.0]))
    found = side.turned(inner)
    assert (found.S is inner.S, found.live is inner.live, found.norms is norms) == (True, True, True)
    assert (found.of_updates, found.invertible, side.of_updates) == (True, False, False)
    np.testing.assert_array_equal(found.frame, U @ W)
    for C, X in zip(found.coordinates, coordinates, strict=True):
        np.testing.assert_array_equal(C, W.T @ X)


def test_in_the_identity_everything_is_itself(backend: Backend) -> None:
    factors = [backend.array([[3.0, 0.0], [4.0, 2.0], [0.0, 0.0]]), backend.array([[1.0], [2.0], [2.0]])]
    side = identity_side(factors)
    assert (side.Q, side.Z, side.S, float(side.live)) == (None, None, None, 3.0)
    assert all(found is given for found, given in zip(side.coordinates, factors, strict=True))
    for found, expected in zip(side.norms, ([5.0, 2.0], [3.0]), strict=True):
        np.testing.assert_array_equal(backend.host(found), expected)


STACKS = {
    "tall": [RNG.standard_normal((6, r)) for r in (2, 1)],
    "wide": [RNG.standard_normal((3, r)) for r in (2, 4)],
    "deficient": [np.ones((5, 1)) @ [[1.0, -2.0]], np.array([[1.0], [0], [0], [0], [0]])],
    "zero columns": [np.eye(4)[:, :2] * [1.0, 0.0], 3 * np.eye(4)[:, 2:3]],
    "empty": [np.zeros((4, 0)), np.zeros((4, 0))],
}


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("any_frame", [False, True])
def test_a_stacks_side_holds_it(name: str, any_frame: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With proof and without: an orthonormal frame of the span, live columns first; coordinates; norms of columns."""
    factors = STACKS[name]
    X = np.concatenate(factors, axis=1)
    live, p = {"tall": (3, 3), "wide": (3, 3), "deficient": (2, 3), "zero columns": (2, 3), "empty": (0, 1)}[name]
    for way in range(2):
        if way:
            monkeypatch.setattr(orthonormal, "cholesky_qr2", lambda given: [None] * len(given))
        twice = stack_sides(factors, [2 * F.T for F in factors], any_frame)
        for side, unit in ((stack_side(factors, any_frame), 1.0), (twice[0], 1.0), (twice[1], 2.0)):
            assert (float(side.live), side.frame.shape, side.of_updates) == (live, (X.shape[0], p), False)
            assert side.invertible == (name == "tall" and way == 0)
            U = side.frame
            eye = np.diag([1.0] * live + [0.0] * (p - live))
            assert ratio(U.T @ U, eye, 2.0, EPS["float64"]) <= THRESHOLD
            assert not np.any(U[:, live:])
            scale = unit * float(np.linalg.norm(X)) or 1.0
            for C, norms, F in zip(side.coordinates, side.norms, factors, strict=True):
                assert C.shape == (p, F.shape[1])
                assert ratio(U @ C, unit * F, scale, EPS["float64"], kappa=4) <= THRESHOLD
                assert ratio(norms, unit * np.linalg.norm(F, axis=0), scale, EPS["float64"]) <= THRESHOLD
            if any_frame:
                assert side.S is None
                continue
            P, S, _ = np.linalg.svd(X, full_matrices=False)
            assert ratio(side.S[:live], unit * S[:live], scale, EPS["float64"]) <= THRESHOLD
            turn = np.abs(U[:, :live].T @ P[:, :live])
            assert ratio(turn, np.eye(live), 2.0, EPS["float64"], kappa=10) <= THRESHOLD


@pytest.mark.parametrize("batch", [(3,), (1, 3)])
@pytest.mark.parametrize("any_frame", [False, True])
@pytest.mark.parametrize("graded", [1.0, 1e-12])
def test_a_layer_that_is_not_proven_is_judged_by_itself(
    batch: tuple[int, ...], any_frame: bool, graded: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of three is of rank 2, and what was found of it is worth nothing."""
    X = np.random.default_rng(4).standard_normal((3, 6, 3)) * [1.0, graded, 1.0]
    X[1, :, 2] = X[1, :, 0] - X[1, :, 1]
    proven = orthonormal.cholesky_qr2

    def one_missing(given: Any) -> Any:
        found = []
        for stack in given:
            good = np.array(stack)
            good[..., 1, :, :] = good[..., 0, :, :]
            *parts, missing = proven([good])[0]  # type: ignore[misc]
            assert not missing
            for part, entries in zip(parts, (2, 2, 2, 1), strict=True):
                part[(..., 1, *[slice(None)] * entries)] = np.nan
            found.append(orthonormal.Factored(*parts, [1]))
        return found

    monkeypatch.setattr(orthonormal, "cholesky_qr2", one_missing)
    layers = X.reshape(*batch, 6, 3)
    factors = [layers[..., :2], layers[..., 2:]]
    both = stack_sides(factors, [np.swapaxes(2 * F, -1, -2) for F in factors], any_frame)
    for side, unit in ((stack_side(factors, any_frame), 1.0), (both[0], 1.0), (both[1], 2.0)):
        assert side.invertible is False
        np.testing.assert_array_equal(side.live, np.reshape([3, 2, 3], batch))
        coordinates = np.concatenate(side.coordinates, axis=-1).reshape(3, 3, 3)
        norms = np.concatenate(side.norms, axis=-1).reshape(3, 3)
        parts = zip(side.frame.reshape(3, 6, 3), coordinates, norms, unit * X, (3, 2, 3), strict=True)
        for U, C, norm, W, live in parts:
            assert ratio(U.T @ U, np.diag([1.0] * live + [0.0] * (3 - live)), 2.0, EPS["float64"]) <= THRESHOLD
            size = np.linalg.norm(W, axis=0)
            assert ratio((U @ C) / size, W / size, 2.0, EPS["float64"], 4.0) <= THRESHOLD
            assert ratio(norm / size, np.ones(3), 1.0, EPS["float64"]) <= THRESHOLD
        if any_frame:
            assert side.S is None
            continue
        for S, W in zip(side.S.reshape(3, 3), unit * X, strict=True):
            expected = np.linalg.svd(W, compute_uv=False)
            assert ratio(S, expected, float(expected[0]), EPS["float64"]) <= THRESHOLD


def test_singular_values_of_a_stack_are_found_unless_any_frame_will_do() -> None:
    """Of diagonal stacks, (3, 1) and twice that."""
    factors, others = [np.eye(4)[:, :1] * 3, np.eye(4)[:, 1:2]], [np.eye(5)[:1] * 6, np.eye(5)[1:2] * 2]
    for side, S in zip((stack_side(factors), *stack_sides(factors, others)), ([3, 1], [3, 1], [6, 2]), strict=True):
        assert ratio(side.S, np.array(S), 1.0, EPS["float64"]) <= THRESHOLD


def test_stacks_of_nothing_have_one_zero_column(backend: Backend) -> None:
    one, two = backend.array(np.ones((2, 3, 1))), backend.array(np.full((2, 3, 2), 2.0))
    np.testing.assert_array_equal(backend.host(_stacked([one, two])), [[[1.0, 2.0, 2.0]] * 3] * 2)
    empty = backend.array(np.zeros((2, 3, 0)))
    np.testing.assert_array_equal(backend.host(_stacked([empty, one])), np.ones((2, 3, 1)))
    np.testing.assert_array_equal(backend.host(_stacked([empty, empty])), np.zeros((2, 3, 1)))


@pytest.mark.parametrize("shape", [(3, 5), (3, 3), (5, 3), (2, 3, 5), (2, 5, 3)])
def test_what_is_revealed_multiplies_back(backend: Backend, shape: tuple[int, ...]) -> None:
    """A wide X keeps its rows, and a tall one has them in an orthonormal Q; columns may differ by 1e20 in size."""
    unit = np.geomspace(1e-10, 1e10, shape[-1])
    X = np.random.default_rng(2).standard_normal(shape) * unit
    q, z, C, norms, size = (backend.host(part) for part in _revealed(backend.array(X)))
    if shape[-2] <= shape[-1]:
        np.testing.assert_array_equal(q, np.broadcast_to(np.eye(shape[-2]), (*shape[:-1], shape[-2])))
    p = min(shape[-2:])
    assert (q.shape, z.shape, C.shape) == ((*shape[:-1], p), (*shape[:-2], p, p), (*shape[:-2], p, shape[-1]))
    U, eye = q @ z, np.broadcast_to(np.eye(p), (*shape[:-2], p, p))
    assert ratio(np.swapaxes(U, -1, -2) @ U, eye, 2.0, EPS["float64"]) <= THRESHOLD
    assert ratio((U @ C) / unit, X / unit, float(np.linalg.norm(X / unit)), EPS["float64"]) <= THRESHOLD
    assert ratio(norms / unit, np.linalg.norm(X / unit, axis=-2), 5.0, EPS["float64"]) <= THRESHOLD
    np.testing.assert_array_equal(size, np.full(shape[:-2], p))


def test_directions_are_live_above_64_eps_of_the_largest() -> None:
    """Two columns of norm 1, at an angle that leaves a second singular value of so many eps beside √2."""
    for dtype in ("float64", "float32"):
        for units, live in ((50.0, 1), (80.0, 2)):
            tiny = units * EPS[dtype]  # σ_2 / σ_1 of (1, 1; −t, t) is t
            X = np.array([[1.0, 1.0], [-tiny, tiny], [0.0, 0.0]], dtype)
            q, z, _, _, size = _revealed(np.stack([X, 0 * X, 1000 * X]))
            assert size.tolist() == [live, 0, live]
            assert size.dtype == np.float64
            assert np.count_nonzero(np.any(q @ z != 0, axis=-2), axis=-1).tolist() == [live, 0, live]


@pytest.mark.parametrize("unit", [1e-300, 1.0, 1e300])
def test_triangles_have_the_left_singular_vectors_and_values(unit: float) -> None:
    C = RNG.standard_normal((2, 3, 5))
    C[1] = 0.0
    ((triangle),) = _triangular(unit * C)
    assert triangle.shape == (2, 3, 3)
    found, expected = triangle[0] / unit, C[0] @ C[0].T
    assert ratio(found @ found.T, expected, float(np.linalg.norm(expected)), EPS["float64"]) <= THRESHOLD
    assert not np.any(triangle[1])
    assert np.all(np.triu(found, 1) == 0)


def test_live_directions_come_first(backend: Backend) -> None:
    """Columns that stand on live rows, 0 and 1, in their order, with their singular values; the others are zero."""
    P = np.array([[0.0, 0.6, 0.0, 0.8], [0.0, 0.8, 0.0, -0.6], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    S, live = np.array([9.0, 4.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.0, 0.0])
    given = [backend.array([X, X]) for X in (P, S, live)]
    found, values = (backend.host(X) for X in _live_first(given[0], given[1], given[2] > 0))
    expected = np.array([[0.6, 0.8, 0, 0], [0.8, -0.6, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(found, [expected, expected])
    np.testing.assert_array_equal(values, [[4.0, 0.0, 9.0, 0.0]] * 2)


def test_blocks_are_the_triplets_of_each_update(backend: Backend) -> None:
    """Above its rounding: ΔW_1 = 6 e_2 e_1ᵀ + 2 e_1 e_3ᵀ, ΔW_2 cancels, ΔW_3 = −5 e_3 e_2ᵀ."""
    e = np.eye(4)
    lefts = [np.stack([3 * e[1], e[0]], 1), np.stack([e[0], -e[0]], 1), -5 * e[2][:, None]]
    rights = [np.stack([2 * e[0], 2 * e[2]]), np.stack([e[1], e[1] * (1 + 1e-15)]), e[1][None]]
    sides = (identity_side([backend.array(L) for L in lefts]), identity_side([backend.array(R.T) for R in rights]))
    blocks = update_blocks(*sides)
    expected: Any = [([6 * e[1], 2 * e[0]], [6 * e[0], 2 * e[2]]), ([], []), ([5 * e[2]], [5 * e[1]])]
    for found, side in zip(blocks, range(2), strict=True):
        assert len(found) == 3
        for block, columns, rank in zip(found, (pair[side] for pair in expected), (2, 2, 1), strict=True):
            host = np.abs(backend.host(block))
            whole = np.stack([*columns, *[np.zeros(4)] * (rank - len(columns))], axis=1)
            assert ratio(host, whole, 6.0, EPS["float64"]) <= THRESHOLD
            assert not np.any(host[:, len(columns) :])
    for P, R, W in zip(*blocks, (lefts[k] @ rights[k] for k in (0, 1, 2)), strict=True):
        values = np.maximum(np.linalg.norm(backend.host(P), axis=0), 1e-300)
        again = (backend.host(P) / values) @ backend.host(R).T
        assert ratio(again, W, 6.0, EPS["float64"]) <= THRESHOLD
    assert arrays.dtype_name(blocks[0][0].dtype) == "float64"


def test_sides_go_with_each_other() -> None:
    left, right = identity_side([np.ones((3, 1))]), identity_side([np.ones((4, 1)), np.ones((4, 1))])
    with pytest.raises(ValueError, match="zip"):
        update_blocks(left, right)
