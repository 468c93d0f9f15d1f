"""Core space by hand, as the paper's section 4 has it: bases, projection, reconstruction."""

import numpy as np
import pytest
from backends import EPS, Backend

import coremerge_ref as cm
from coremerge_ref.testing import THRESHOLD, Recipe, dense, ratio, size


def test_example_by_hand() -> None:
    """ΔW_1 = 2 e1 e2ᵀ, ΔW_2 = 3 e3 e1ᵀ: |U| = (e3, e1), |V| = (e2, e1) by falling singular value; M_t has one entry."""
    e = np.eye(3)
    updates = [(e[:, :1] * 2, e[1:2] * 2, 0.5), (e[:, 2:] * 3, e[:1], 1.0)]
    made = [cm.LowRankUpdate(*u) for u in updates]
    bases = cm.reference_bases(made)
    np.testing.assert_allclose(np.abs(bases.U), e[:, [2, 0]], atol=1e-15)
    np.testing.assert_allclose(np.abs(bases.V), e[:, [1, 0]], atol=1e-15)
    M = np.abs(cm.project(made, bases))
    np.testing.assert_allclose(M, [[[0, 0], [2, 0]], [[0, 3], [0, 0]]], atol=1e-15)
    np.testing.assert_allclose(
        cm.reconstruct(cm.project(made, bases)[1], bases).to_dense(), 3 * np.outer(e[2], e[0]), atol=1e-15
    )


@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("basis", ["paper", "tucker"])
def test_round_trip(backend: Backend, batch: tuple[int, ...], basis: str) -> None:
    factors = Recipe(6, 5, (2, 2), scales=(2.0, -0.5), batch=batch, seed=1).build()
    updates = backend.updates(factors)
    bases = cm.reference_bases(updates, basis=basis)
    M = cm.project(updates, bases)
    for t, W in enumerate(dense(factors)):
        back = cm.reconstruct(M[t, ...], bases)
        assert back.shape == (*batch, 6, 5)
        assert ratio(backend.dense(back), W, size(factors), EPS["float64"]) <= THRESHOLD


def test_round_trip_of_a_batch_of_batches() -> None:
    factors = Recipe(6, 5, (2, 2), batch=(2, 3), seed=1).build()
    bases = cm.reference_bases([f[:2] for f in factors])
    back = cm.reconstruct(cm.project([f[:2] for f in factors], bases)[1], bases)
    assert ratio(back.to_dense(), dense(factors)[1], size(factors), EPS["float64"]) <= THRESHOLD


def test_missing_tasks_have_no_matrix() -> None:
    (B, A, _), (C, D, _) = Recipe(6, 5, (2, 2), seed=1).build()
    bases = cm.reference_bases([None, (B, A), None, (C, D)])
    assert cm.project([None, (B, A), None, (C, D)], bases).shape == (2, 4, 4)


def test_what_was_not_in_the_bases_is_projected() -> None:
    """A new update comes back as its part inside the span: bases made once serve other updates too."""
    (B, A, _), (C, D, _) = Recipe(6, 5, (2, 2), seed=1).build()
    bases = cm.reference_bases([(B, A)])
    back = cm.reconstruct(cm.project([(C, D)], bases)[0], bases).to_dense()
    QB, QA = np.linalg.qr(B)[0], np.linalg.qr(A.T)[0]
    assert ratio(back, QB @ QB.T @ C @ D @ QA @ QA.T, 5.0, EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("compute", ["float32", "float64"])
def test_compute_dtype(backend: Backend, compute: str) -> None:
    updates = backend.updates(Recipe(6, 5, (2, 2), seed=1).build(), "float32")
    bases = cm.reference_bases(updates, compute_dtype=compute)
    M = cm.project(updates, bases, compute_dtype=compute)
    assert {str(X.dtype).rsplit(".", 1)[-1].strip("'>") for X in (bases.U, bases.V, M)} == {compute}


def test_merge_is_project_merge_reconstruct() -> None:
    factors = Recipe(6, 5, (2, 2), scales=(2.0, -0.5), seed=1).build()
    updates = [cm.LowRankUpdate(*f) for f in factors]
    bases = cm.reference_bases(updates)
    by_hand = cm.reconstruct(np.max(cm.project(updates, bases), axis=0), bases)
    merged = cm.merge(updates, lambda M: np.max(M, axis=0))
    assert ratio(merged.to_dense(), by_hand.to_dense(), size(factors), EPS["float64"]) <= THRESHOLD
