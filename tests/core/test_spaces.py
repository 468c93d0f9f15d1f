"""Spaces: which frames each one takes, what they cost, and the factors that come back."""

import numpy as np
import pytest
from backends import EPS, Backend

import coremerge_ref as cm
from coremerge_ref.core.spaces import SPACES, as_space
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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cm.Core(basis="hosvd"), "Core: basis: expected one of paper, tucker, got 'hosvd'"),
        (
            lambda: as_space("weights"),
            "space: expected one of full, knots, core, compressed or a space object, got 'weights'",
        ),
        (lambda: as_space(3), "space: expected one of full, knots, core, compressed or a space object, got 3"),
        (
            lambda: cm.merge([f[:2] for f in FACTORS], "ta", space=cm.Knots(transposed=True, scaled=False)),
            "Knots: scaled=False is defined for transposed=False alone",
        ),
    ],
)
def test_spaces_refused(make: object, message: str) -> None:
    with pytest.raises(cm.ParameterError, match=message):
        make()  # type: ignore[operator]
