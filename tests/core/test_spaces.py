"""Spaces: which frames each one takes, what they cost, and the factors that come back."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from backends import EPS, Backend
from said import parts

import coremerge_ref as cm
from coremerge_ref.core.spaces import SPACES, Space, as_space
from coremerge_ref.testing import THRESHOLD, Recipe, dense, ratio, size

FACTORS = Recipe(6, 5, (2, 2), scales=(1.0, -2.0), seed=2).build()


def test_names_have_defaults() -> None:
    assert list(SPACES) == ["full", "knots", "core", "compressed"]
    assert [as_space(name) for name in ("full", "knots", "core")] == [cm.Full(), cm.Knots(), cm.Core()]
    with pytest.raises(cm.ParameterError, match=r"compressed\.rank: expected an integer"):
        as_space("compressed")  # to what rank?
    assert cm.Knots() == cm.Knots(transposed=False, scaled=True)
    assert cm.Core() == cm.Core(basis="paper")


@pytest.mark.parametrize(
    ("space", "shape", "live"),
    [
        (cm.Full(), (6, 5), (6, 5)),
        (cm.Knots(), (4, 5), (4, 5)),
        (cm.Knots(transposed=True), (6, 4), (6, 4)),
        (cm.Knots(scaled=False), (4, 5), (4, 5)),
        (cm.Core(), (4, 4), (4, 4)),
        (cm.Core("tucker"), (4, 4), (4, 4)),
    ],
)
def test_sizes(backend: Backend, space: object, shape: tuple, live: tuple) -> None:
    updates = backend.updates(FACTORS)
    frames = cm.reference_bases(updates, space=space)
    assert (float(frames.rows), float(frames.cols)) == live
    assert tuple(cm.project(updates, frames).shape) == (2, *shape)


def test_full_space_is_the_update_itself(backend: Backend) -> None:
    updates = backend.updates(FACTORS)
    frames = cm.reference_bases(updates, space="full")
    assert (frames.U, frames.V, frames.rows, frames.cols) == (None, None, 6, 5)
    M = cm.project(updates, frames)
    assert ratio(backend.host(M), dense(FACTORS), size(FACTORS), EPS["float64"]) <= THRESHOLD
    assert isinstance(cm.reconstruct(M[0, ...], frames), cm.DenseUpdate)


@pytest.mark.parametrize(
    "space", ["knots", cm.Knots(transposed=True), cm.Knots(scaled=False), "core", cm.Core("tucker")]
)
def test_projection_comes_back_as_factors(backend: Backend, space: object) -> None:
    updates = backend.updates(FACTORS)
    frames = cm.reference_bases(updates, space=space)
    M = cm.project(updates, frames)
    for t, W in enumerate(dense(FACTORS)):
        back = cm.reconstruct(M[t, ...], frames)
        assert isinstance(back, cm.LowRankUpdate)
        assert back.rank == 4
        assert ratio(backend.dense(back), W, size(FACTORS), EPS["float64"], kappa=5) <= THRESHOLD


def test_unscaled_knots_has_orthonormal_rows(backend: Backend) -> None:
    """[M_1 … M_T] is Vᵀ of the SVD of [ΔW_1 … ΔW_T]: the singular values are divided out."""
    updates = backend.updates(FACTORS)
    M = backend.host(cm.project(updates, cm.reference_bases(updates, space=cm.Knots(scaled=False))))
    rows = np.concatenate(list(M), axis=1)
    assert ratio(rows @ rows.T, np.eye(4), 1.0, EPS["float64"], kappa=20) <= THRESHOLD
    expected = np.linalg.svd(np.concatenate(list(dense(FACTORS)), axis=1), full_matrices=False)[2][:4]
    assert ratio(np.abs(np.sum(rows * expected, axis=1)), np.ones(4), 1.0, EPS["float64"], kappa=20) <= THRESHOLD


def test_knots_never_forms_the_wide_stack() -> None:
    """Nothing of m × T·n entries: the largest array made is far smaller."""
    import tracemalloc

    updates = [f[:2] for f in Recipe(400, 300, (2, 2, 2, 2), seed=1).build()]
    cm.merge(updates, "ta", space="knots")
    tracemalloc.start()
    cm.merge(updates, "ta", space="knots")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400 * 300 * 8 / 2


SPACE = "space: expected … full, knots, core, compressed or a space object, got"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cm.Core(basis="hosvd"), "Core: basis: expected one of paper, tucker, got 'hosvd'"),
        (lambda: as_space("weights"), f"{SPACE} 'weights'"),
        (lambda: as_space("cores"), f"{SPACE} 'cores'; did you mean 'core'?"),
        (lambda: as_space(3), f"{SPACE} 3"),  # type: ignore[arg-type]
        (lambda: as_space(cm.Core), f"{SPACE} {cm.Core!r}"),  # type: ignore[arg-type]
        (
            lambda: cm.Knots(transposed=True, scaled=False),
            "Knots: scaled=False is defined for transposed=False alone, as in the paper's code",
        ),
    ],
)
def test_spaces_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(cm.ParameterError) as caught:
        make()
    assert re.fullmatch(parts(message), str(caught.value)), str(caught.value)


@pytest.mark.parametrize("space", [cm.Full(), cm.Core()])
def test_singular_vectors_of_the_stacks_are_computed_where_the_frame_matters_alone(space: Space) -> None:
    """Any frame of the spans is an orthonormal one, of the space's size; nobody pays for singular vectors there."""
    factors = [(s * B, A) for B, A, s in FACTORS]
    free, plain = space.frames(factors, any_frame=True), space.frames(factors)
    assert (free.left.S, free.right.S) == (None, None)
    assert (float(free.rows), float(free.cols)) == ((6, 5) if space == cm.Full() else (4, 4))
    for side, stack in ((free.left, [B for B, _ in factors]), (free.right, [A.T for _, A in factors])):
        X = np.concatenate(stack, axis=1)
        assert ratio(side.frame.T @ side.frame, np.eye(4), 2.0, EPS["float64"]) <= THRESHOLD
        assert ratio(side.frame @ side.frame.T @ X, X, float(np.linalg.norm(X)), EPS["float64"]) <= THRESHOLD
    if space == cm.Full():
        assert (plain.U, plain.V) == (None, None)
        return
    for side, stack in ((plain.left, [B for B, _ in factors]), (plain.right, [A.T for _, A in factors])):
        S = np.linalg.svd(np.concatenate(stack, axis=1), compute_uv=False)[:4]
        assert ratio(side.S, S, float(np.linalg.norm(S)), EPS["float64"]) <= THRESHOLD


def test_singular_values_are_divided_out_where_that_is_asked_alone() -> None:
    """Those of [ΔW_1 … ΔW_T]; 0 where a direction is masked, as of two equal tasks."""
    twice = Recipe(6, 5, (2, 2), kind="duplicated", seed=2).build()
    for factors, live in ((FACTORS, 4), (twice, 2)):
        sigma = cm.reference_bases([cm.LowRankUpdate(*f) for f in factors], cm.Knots(scaled=False)).sigma
        S = np.linalg.svd(np.concatenate(list(dense(factors)), axis=1), compute_uv=False)[:4]
        assert ratio(sigma[:live], S[:live], size(factors), EPS["float64"]) <= THRESHOLD
        assert not np.any(sigma[live:])
    for space in (cm.Full(), cm.Knots(), cm.Knots(transposed=True), cm.Core(), cm.Core("tucker")):
        assert cm.reference_bases([cm.LowRankUpdate(*f) for f in FACTORS], space).sigma is None


@pytest.mark.parametrize("space", [cm.Full(), cm.Knots(), cm.Knots(transposed=True), cm.Core(), cm.Core("tucker")])
@pytest.mark.parametrize("any_frame", [False, True])
def test_frames_of_one_task_and_of_layers(space: Space, any_frame: bool) -> None:
    """One task of rank 2, alone and as both layers of a batch: what is in the frames is all of it."""
    B, A = FACTORS[0][:2]
    small = {"full": (6, 5), "knots": (2, 5) if space != cm.Knots(transposed=True) else (6, 2), "core": (2, 2)}
    for shape in ((), (2,)):
        batch = [np.broadcast_to(X, (*shape, *X.shape)) for X in (B, A)]
        frames = space.frames([(batch[0], batch[1])], any_frame)
        for found, expected in zip((frames.rows, frames.cols), small[space.name], strict=True):
            np.testing.assert_array_equal(np.broadcast_to(found, shape), np.full(shape, expected))
        back = frames.decode(frames.encode(batch[0], batch[1])).to_dense()
        expected = np.broadcast_to(B @ A, (*shape, 6, 5))
        assert ratio(back, expected, float(np.linalg.norm(expected)), EPS["float64"]) <= THRESHOLD


def test_what_spaces_promise() -> None:
    """Lossless are all but the compressed one; unscaled KnOTS is no isometry."""
    spaces = [cm.Full(), cm.Knots(), cm.Knots(transposed=True), cm.Knots(scaled=False), cm.Core(), cm.Compressed(2)]
    assert [space.name for space in spaces] == ["full", "knots", "knots", "knots", "core", "compressed"]
    assert [space.lossless for space in spaces] == [True] * 5 + [False]
    assert [space.isometric for space in spaces] == [True, True, True, False, True, False]
