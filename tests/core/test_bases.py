"""Reference bases: orthonormal, of the right rank, with null directions masked, in the right order."""

from typing import Any

import numpy as np
import pytest
from backends import BACKENDS, EPS, Backend

import coremerge_ref as cm
from coremerge_ref.core.linalg import orthonormal
from coremerge_ref.testing import KINDS, THRESHOLD, Recipe, dense, ratio, size

# Live sizes of the two stacks for 6 × 5 tasks of ranks 2, 2, of which the second is replaced.
LIVE = {
    "generic": (4, 4),
    "duplicated": (2, 2),
    "cancelling": (2, 2),
    "zero": (2, 4),  # B = 0 has no columns, but A its rows
    "empty": (2, 2),
    "deficient": (2, 2),
    "vera": (4, 2),
}
TUCKER = {**LIVE, "zero": (2, 2)}


@pytest.fixture(params=["proven", "revealed"])
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Frames by Cholesky-QR2 where it proves itself, or by QR and SVD."""
    if request.param == "revealed":
        monkeypatch.setattr(orthonormal, "cholesky_qr2", lambda given: [None] * len(given))
    return request.param


@pytest.mark.parametrize("basis", ["paper", "tucker"])
@pytest.mark.parametrize("kind", KINDS)
def test_live_columns_are_orthonormal_and_the_rest_zero(backend: Backend, kind: str, basis: str) -> None:
    factors = Recipe(6, 5, (2, 2), scales=(1.0, -2.0), kind=kind, seed=11).build()
    frames = cm.reference_bases(backend.updates(factors), basis=basis)
    expected = {"paper": LIVE, "tucker": TUCKER}[basis][kind]
    assert (float(frames.rows), float(frames.cols)) == expected
    R = sum(B.shape[-1] for B, _, _ in factors)
    for frame, live, rows in ((frames.U, expected[0], 6), (frames.V, expected[1], 5)):
        U = backend.host(frame)
        assert U.shape == (rows, min(rows, R))
        assert ratio(U[:, :live].T @ U[:, :live], np.eye(live), 1.0, EPS["float64"]) <= THRESHOLD
        assert not np.any(U[:, live:])


def test_paper_basis_is_the_left_singular_vectors_of_the_stack(backend: Backend) -> None:
    """Up to signs, since the singular values are apart."""
    factors = Recipe(6, 5, (2, 2), scales=(1.0, 3.0), seed=4).build()
    frames = cm.reference_bases(backend.updates(factors))
    B = np.concatenate([s * B for B, _, s in factors], axis=1)
    A = np.concatenate([A for _, A, _ in factors], axis=0)
    for frame, stack in ((frames.U, B), (frames.V, A.T)):
        U, S, _ = np.linalg.svd(stack, full_matrices=False)
        gap = np.min(-np.diff(S)) / S[0]
        assert ratio(np.abs(np.sum(backend.host(frame) * U, axis=0)), np.ones(4), 1.0, EPS["float64"]) <= THRESHOLD
        overlap = np.abs(backend.host(frame).T @ U)
        assert ratio(overlap, np.eye(4), 1.0, EPS["float64"], 1 / gap) <= THRESHOLD


def test_tucker_basis_is_the_singular_vectors_of_the_updates(backend: Backend) -> None:
    factors = Recipe(6, 5, (2, 2), scales=(1.0, 3.0), seed=5).build()
    frames = cm.reference_bases(backend.updates(factors), basis="tucker")
    W = dense(factors)
    for frame, stack in ((frames.U, np.concatenate(list(W), 1)), (frames.V, np.concatenate([X.T for X in W], 1))):
        U, S, _ = np.linalg.svd(stack, full_matrices=False)
        gap = np.min(-np.diff(S[:4])) / S[0]
        overlap = np.abs(backend.host(frame).T @ U[:, :4])
        assert ratio(overlap, np.eye(4), 1.0, EPS["float64"], 1 / gap) <= THRESHOLD


def test_tucker_basis_does_not_see_how_a_task_is_factored() -> None:
    (B, A, _), other = Recipe(9, 8, (2, 3), seed=6).build()
    G = np.array([[1.0, 3.0], [0.5, -2.0]])
    again = [(B @ G, np.linalg.solve(G, A)), other[:2]]
    moved, still = [], []
    for basis, gap in (("tucker", still), ("paper", moved)):
        first = cm.reference_bases([(B, A), other[:2]], basis=basis)
        second = cm.reference_bases(again, basis=basis)
        gap.append(np.linalg.norm(np.abs(first.U.T @ second.U) - np.eye(5)))
    assert still[0] < 1e-11
    assert moved[0] > 1e-2


def test_a_task_scaled_down_keeps_its_directions(backend: Backend) -> None:
    """(c B, A / c) is the same model, so 1e-20 in one factor loses nothing; neither does a small s_t."""
    (B, A, _), (C, D, _) = Recipe(6, 5, (2, 2), seed=7).build()
    for factors in (
        [(1e-20 * B, 1e20 * A, 1.0), (C, D, 1.0)],
        [(B, A, 1e-20), (C, D, 1.0)],
        [(B, A, 1.0), (C, D, 1e30)],
    ):
        for basis in ("paper", "tucker"):
            frames = cm.reference_bases(backend.updates(factors), basis=basis)
            assert (float(frames.rows), float(frames.cols)) == (4, 4)


@pytest.mark.parametrize("basis", ["paper", "tucker"])
@pytest.mark.parametrize("seed", range(6))
def test_masked_directions_stay_out_however_graded_the_stack(basis: str, seed: int) -> None:
    """A duplicate beside tasks 1e20 apart: no singular vector of a rounding-sized value may be a masked direction."""
    factors = Recipe(7, 3, (1, 1, 1, 1), scales=(1.0, 1.0, 1e20, 1.0), kind="duplicated", seed=seed).build()
    frames = cm.reference_bases([cm.LowRankUpdate(*f) for f in factors], basis=basis)
    live = int(frames.rows)
    assert live == 3
    assert ratio(frames.U[:, :live].T @ frames.U[:, :live], np.eye(live), 1.0, EPS["float64"]) <= THRESHOLD


def test_a_live_direction_that_rounds_to_zero_is_live() -> None:
    """Its singular value in the raw stack rounds to an exact 0, like a masked direction's: it goes first."""
    factors = Recipe(1, 6, (1, 1, 1), scales=(1.0, 1e20, 1.0), kind="zero", seed=0).build()
    for basis, live in (("tucker", 2), ("paper", 3)):
        V = cm.reference_bases([cm.LowRankUpdate(*f) for f in factors], basis=basis).V
        assert ratio(V.T @ V, np.diag([1.0] * live + [0.0] * (3 - live)), 1.0, EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize(("precision", "small"), [("float32", 1e-20), ("float64", 1e-160), ("float64", 1e-153)])
def test_squares_that_underflow_lose_nothing(ways: str, precision: str, small: float) -> None:
    factors = Recipe(6, 5, (2, 2), scales=(small, small), seed=4).build()
    updates = BACKENDS["numpy"].updates(factors, precision)
    U = cm.reference_bases(updates, compute_dtype=precision).U.astype(float)
    assert ratio(U.T @ U, np.eye(4), 1.0, EPS[precision]) <= THRESHOLD


@pytest.mark.parametrize(("size", "live"), [(30, 1), (100, 2)])
def test_rank_is_judged_relative_to_64_eps_whatever_the_size(ways: str, size: int, live: int) -> None:
    """2 × 50 of columns of norm 1 with σ_2 = size · eps · σ_1."""
    tiny = size * EPS["float64"]
    tasks = [(np.array([[1.0], [tiny * (-1) ** t]]), np.ones((1, 1))) for t in range(50)]
    frames = cm.reference_bases(tasks)
    assert (float(frames.rows), float(frames.cols)) == (live, 1)
    batch = cm.reference_bases([(np.stack([B] * 3), np.stack([A] * 3)) for B, A in tasks])
    assert batch.rows.tolist() == [live] * 3


@pytest.mark.parametrize("grade", [1e-16, 1e-30, 1e16])
def test_refactoring_by_a_diagonal_changes_no_size(ways: str, grade: float) -> None:
    """B D, D⁻¹ A is the same model; columns graded by 1e-16 were 4 rows to one driver and 2 to another."""
    (B, A, _), (C, E, _) = Recipe(9, 8, (2, 2), seed=3).build()
    D = np.array([1.0, grade])
    frames = cm.reference_bases([(B * D, A / D[:, None]), (C, E)])
    assert (float(frames.rows), float(frames.cols)) == (4, 4)
    dense = cm.merge([(B * D, A / D[:, None]), (C, E)], cm.Ties(), cm.Core("tucker")).to_dense()
    plain = cm.merge([(B, A), (C, E)], cm.Ties(), cm.Core("tucker")).to_dense()
    assert ratio(dense, plain, size([(B, A, 1.0), (C, E, 1.0)]), EPS["float64"], kappa=20) <= THRESHOLD


@pytest.mark.parametrize("method", ["ties", "tsv", "drm"])
def test_a_deficient_layer_in_the_batch_changes_no_other(method: str) -> None:
    layer = [(np.array(B), np.array(A)) for B, A, _ in Recipe(9, 8, (2, 2), seed=4).build()]
    graded = [(B * [1.0, 1e-16], A / np.array([[1.0], [1e-16]])) for B, A in layer]
    for given in (layer, graded):
        alone = cm.merge(given, method).to_dense()
        beside = cm.merge_adapters({"a": given, "b": [layer[0], layer[0]]}, method)["a"].to_dense()
        assert ratio(beside, alone, size([(*pair, 1.0) for pair in given]), EPS["float64"], kappa=20) <= THRESHOLD


def test_what_cancels_within_a_product_has_no_directions(backend: Backend) -> None:
    """3 b · (a / 3)ᵀ − b · aᵀ is rounding of its factors, not a task."""
    (B, A, _), (b, a, _) = Recipe(6, 5, (2, 1), seed=6).build()
    rounding = (np.concatenate([3 * b, -b], axis=1), np.concatenate([a / 3, a], axis=0))
    updates = backend.updates([(B, A, 1.0), (*rounding, 1.0)])
    for space, expected in ((cm.Core("tucker"), (2, 2)), (cm.Knots(), (2, 5)), (cm.Knots(transposed=True), (6, 2))):
        frames = cm.reference_bases(updates, space)
        assert (float(frames.rows), float(frames.cols)) == expected
    paper = cm.reference_bases(updates)
    assert (float(paper.rows), float(paper.cols)) == (3, 3)


def test_one_task_of_few_columns_has_no_more_directions(backend: Backend) -> None:
    """6 × 2 of four factors: its Tucker frames are 6 × 2 and 2 × 2, and what is merged in them has rank 2."""
    rng = np.random.default_rng(6)
    updates = backend.updates([(rng.standard_normal((6, 4)), rng.standard_normal((4, 2)), 1.0)])
    frames = cm.reference_bases(updates, basis="tucker")
    assert (frames.U.shape, frames.V.shape) == ((6, 2), (2, 2))
    assert cm.merge(updates, "tsv", cm.Core("tucker")).rank == 2


def test_ranks_of_a_batch_differ_by_layer(backend: Backend) -> None:
    """Null directions are masked, not cut: one batch may hold layers of different rank."""
    layers = [Recipe(6, 5, (2, 2), kind=kind, seed=9).build() for kind in ("generic", "zero")]
    factors = [(*tuple(np.stack([layer[t][i] for layer in layers]) for i in range(2)), 1.0) for t in range(2)]
    frames = cm.reference_bases(backend.updates(factors))
    assert [float(size) for size in frames.rows] == [4, 2]
    assert frames.cols == 4  # nothing is masked on this side


@pytest.mark.parametrize("factors", [
    [(np.zeros((4, 0)), np.zeros((0, 3)))] * 2,
    [(np.zeros((4, 0)), np.zeros((0, 3)))],
    [(np.zeros((4, 2)), np.zeros((2, 3)))],
])  # fmt: skip
def test_nothing_at_all_has_frames_of_live_size_zero(factors: Any) -> None:
    frames = cm.reference_bases(factors)
    assert (float(frames.rows), float(frames.cols)) == (0, 0)
    assert not np.any(frames.U)
    assert cm.reconstruct(cm.project(factors, frames)[0], frames).to_dense().shape == (4, 3)
    batch = cm.reference_bases([(np.stack([B] * 5), np.stack([A] * 5)) for B, A in factors])
    assert batch.U.shape == (5, *frames.U.shape)
    assert not np.any(batch.rows)


@pytest.mark.parametrize("kind", KINDS)
def test_both_ways_find_the_same_span(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    factors = [f[:2] for f in Recipe(9, 8, (3, 2, 2), kind=kind, seed=12).build()]
    quick = cm.reference_bases(factors)
    monkeypatch.setattr(orthonormal, "cholesky_qr2", lambda given: [None] * len(given))
    plain = cm.reference_bases(factors)
    assert (float(quick.rows), float(quick.cols)) == (float(plain.rows), float(plain.cols))
    for P, Q in ((quick.U, plain.U), (quick.V, plain.V)):
        assert ratio(P @ P.T, Q @ Q.T, 1.0, EPS["float64"], kappa=50) <= THRESHOLD
