"""Theorems 1, 2 and 4: lossless projection, zero alignment error exactly then, minimality, isometry."""

from typing import Any

import numpy as np
from backends import Backend
from forall import for_all, made, some_recipes
from hypothesis import strategies as st

import coremerge_ref as cm
from coremerge_ref.testing import THRESHOLD, Recipe, dense, orthonormal, ratio, size

SPACES = st.sampled_from([cm.Core(), cm.Core("tucker"), cm.Knots(), cm.Knots(transposed=True), cm.Full()])
BASES = st.sampled_from(["paper", "tucker"])


def side(backend: Backend, frame: Any, size: int) -> np.ndarray:
    return np.eye(size) if frame is None else backend.host(frame)


@for_all(recipe=some_recipes(extreme=True), space=SPACES)
def test_projection_is_lossless(backend: Backend, precision: str, recipe: Recipe, space: Any) -> None:
    """U UᵀΔW_t V Vᵀ = ΔW_t, for each task relative to itself: one scaled by 1e-20 beside one by 1e20 as well."""
    updates, factors, eps = made(backend, precision, recipe)
    bases = cm.reference_bases(updates, space=space, compute_dtype=precision)
    M = cm.project(updates, bases, compute_dtype=precision)
    for t, W in enumerate(dense(factors)):
        back = backend.dense(cm.reconstruct(M[t, ...], bases))
        assert ratio(back, W, size(factors[t : t + 1]), eps) <= THRESHOLD


@for_all(recipe=some_recipes(extreme=True), basis=BASES)
def test_frames_are_orthonormal_on_the_live_columns(
    backend: Backend, precision: str, recipe: Recipe, basis: str
) -> None:
    updates, _, eps = made(backend, precision, recipe)
    bases = cm.reference_bases(updates, compute_dtype=precision, basis=basis)
    for frame, live in ((bases.U, bases.rows), (bases.V, bases.cols)):
        U = backend.host(frame)
        expected = np.diag(np.arange(U.shape[1]) < float(live)).astype(float)
        assert ratio(U.T @ U, expected, max(1.0, float(live)), eps) <= THRESHOLD


@for_all(recipe=some_recipes(), basis=BASES)
def test_alignment_error_is_zero(backend: Backend, precision: str, recipe: Recipe, basis: str) -> None:
    """‖U Uᵀ U_t − U_t‖² = r − ‖U_tᵀ U‖², and both are zero for the reference bases (paper, Lemmas 1 and 2)."""
    updates, factors, eps = made(backend, precision, recipe)
    bases = cm.reference_bases(updates, compute_dtype=precision, basis=basis)
    for t, (B, A, _) in enumerate(factors):
        if np.any(B) or basis == "paper":
            for frame, X in ((bases.U, B), (bases.V, A.T)):
                if basis == "tucker" and not np.any(factors[t][0]):
                    continue
                U, own = backend.host(frame), own_basis(X)
                misfit = U @ (U.T @ own) - own
                kappa = 10 ** (recipe.decades / 2) * 30  # directions are known up to eps · condition of the factor
                assert ratio(misfit, 0 * misfit, 1.0, eps, kappa) <= THRESHOLD
                assert ratio(np.linalg.norm(own.T @ U) ** 2, own.shape[1], 1.0, eps, kappa) <= THRESHOLD


def own_basis(X: np.ndarray) -> np.ndarray:
    P, S, _ = np.linalg.svd(X, full_matrices=False)
    return P[:, S > 1e-6 * S[:1].sum()]


@for_all(recipe=some_recipes(), seed=st.integers(0, 99))
def test_alignment_error_formula_for_any_frame(backend: Backend, precision: str, recipe: Recipe, seed: int) -> None:
    """project with a frame that does not hold the tasks: the error is what the formula says."""
    updates, factors, eps = made(backend, precision, recipe)
    rng = np.random.default_rng(seed)
    U = orthonormal(rng, recipe.m, max(1, recipe.m - 1))
    frames = cm.Frames(backend.array(U, precision), None, U.shape[1], recipe.n)
    M = cm.project(updates, frames, compute_dtype=precision)
    for t, W in enumerate(dense(factors)):
        lost = W - backend.dense(cm.reconstruct(M[t, ...], frames))
        expected = np.linalg.norm(W) ** 2 - np.linalg.norm(U.T @ W) ** 2
        assert ratio(np.linalg.norm(lost) ** 2, expected, size(factors[t : t + 1]) ** 2, eps) <= THRESHOLD


@for_all(recipe=some_recipes(), basis=BASES, precisions=("float64",))
def test_no_smaller_frame_is_lossless(backend: Backend, precision: str, recipe: Recipe, basis: str) -> None:
    """Minimality: the live size is the rank of the stack, and any one live column left out loses something."""
    updates, factors, _ = made(backend, precision, recipe)
    bases = cm.reference_bases(updates, basis=basis)
    if basis == "paper":
        blocks = [B / np.linalg.norm(B) for B, _, _ in factors if np.any(B)]
    else:
        blocks = [W / np.linalg.norm(W) for W in dense(factors) if np.any(W)]
    S = np.linalg.svd(np.concatenate(blocks, axis=1), compute_uv=False) if blocks else np.zeros(0)
    rank = int(np.sum(S > 1e-9 * S[:1].sum()))
    assert float(bases.rows) == rank
    U = backend.host(bases.U)
    for j in range(rank):
        fewer = np.delete(U, j, axis=1)
        assert max(np.linalg.norm(X - fewer @ (fewer.T @ X)) for X in blocks) > 1e-8


@for_all(recipe=some_recipes(min_tasks=2), basis=BASES)
def test_decoding_is_an_isometry(backend: Backend, precision: str, recipe: Recipe, basis: str) -> None:
    """M ↦ U M Vᵀ keeps inner products, singular values and ranks."""
    updates, factors, eps = made(backend, precision, recipe)
    bases = cm.reference_bases(updates, compute_dtype=precision, basis=basis)
    M = backend.host(cm.project(updates, bases, compute_dtype=precision))
    W, sizes = dense(factors), [size([f]) for f in factors]
    for s in range(len(W)):
        values, expected = (np.linalg.svd(X[s], compute_uv=False) for X in (M, W))
        k = max(len(values), len(expected))
        values, expected = (np.pad(v, (0, k - len(v))) for v in (values, expected))
        assert ratio(values, expected, sizes[s], eps) <= THRESHOLD
        for t in range(s):
            assert ratio(np.sum(M[s] * M[t]), np.sum(W[s] * W[t]), sizes[s] * sizes[t], eps) <= THRESHOLD


@for_all(recipe=some_recipes(), rank=st.integers(0, 6))
def test_truncation_is_optimal(backend: Backend, precision: str, recipe: Recipe, rank: int) -> None:
    """Eckart–Young: the error is the tail of the singular values, and no update of that rank is nearer."""
    updates, factors, eps = made(backend, precision, recipe)
    merged = cm.merge(updates, "ta", compute_dtype=precision)
    small = merged.truncate(rank)
    assert small.rank <= rank
    W = dense(factors).sum(0)
    tail = np.linalg.svd(W, compute_uv=False)[rank:]
    found = np.linalg.norm(W - backend.dense(small))
    assert ratio(found, np.linalg.norm(tail), size(factors), eps) <= THRESHOLD
