"""Compressed core space: a LoRA of the rank asked, what it keeps, and lossless where nothing is cut."""

from fractions import Fraction

import numpy as np
import pytest
from backends import EPS, Backend

import coremerge_ref as cm
from coremerge_ref.conformance import definition
from coremerge_ref.conformance.definition import merge_exactly
from coremerge_ref.testing import KINDS, THRESHOLD, Recipe, dense, ratio, size

FACTORS = Recipe(12, 10, (3, 3, 2), scales=(1.0, -2.0, 0.5), seed=5).build()


@pytest.mark.parametrize("rank", [1, 2, 4])
@pytest.mark.parametrize("method", ["ta", "tsv", "ties", "iso", "cart", "dare+ties", "drm"])
def test_the_result_has_the_rank_asked(backend: Backend, rank: int, method: str) -> None:
    if backend.name == "jax" and (rank, method) not in ((2, "ta"), (4, "ties")):
        pytest.skip("compiled for nothing new")
    merged = cm.merge(backend.updates(FACTORS), method, cm.Compressed(rank))
    assert isinstance(merged, cm.LowRankUpdate)
    assert merged.rank == rank
    assert np.linalg.matrix_rank(backend.dense(merged)) <= rank


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["ta", "tsv", "iso", "iso_cts"])
def test_nothing_cut_is_nothing_lost(kind: str, method: str) -> None:
    """At a rank of both live sizes the frames are lossless, which orthogonal methods at absolute ranks do not see."""
    factors = Recipe(12, 10, (3, 3, 2), kind=kind, seed=5).build()
    updates = [cm.LowRankUpdate(*f) for f in factors]
    stage = cm.Tsv(3) if method == "tsv" else method
    found = cm.merge(updates, stage, cm.Compressed(9))
    assert ratio(found.info["kept"], np.ones(3), 1.0, EPS["float64"]) <= THRESHOLD
    if method != "iso_cts":  # whose sizes are those of the space: the Tucker core's, smaller for B = 0
        expected = cm.merge(updates, stage).to_dense()
        assert ratio(found.to_dense(), expected, size(factors), EPS["float64"], kappa=50) <= THRESHOLD


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("beta", [0.0, 0.25, 1.0])
def test_every_kind_agrees_with_the_definition(kind: str, rank: int, beta: float) -> None:
    factors = Recipe(7, 6, (2, 2, 1), scales=(1.0, -2.0, 0.5), kind=kind, seed=3).build()
    for method in ("ta", "tsv"):
        found = cm.merge([cm.LowRankUpdate(*f) for f in factors], method, cm.Compressed(rank, beta))
        expected = merge_exactly(factors, method, space=definition.Compressed(rank, beta)).array
        assert ratio(found.to_dense(), expected, size(factors), EPS["float64"], kappa=20) <= THRESHOLD


def kept_by(U: np.ndarray, V: np.ndarray, W: np.ndarray) -> float:
    return float(np.linalg.norm(U.T @ W @ V) / np.linalg.norm(W))


@pytest.mark.parametrize("beta", [0.0, 0.25, 1.0])
def test_kept_is_what_the_frames_hold_of_each_task(backend: Backend, beta: float) -> None:
    updates = backend.updates(FACTORS)
    frames = cm.reference_bases(updates, cm.Compressed(3, beta))
    U, V = backend.host(frames.U), backend.host(frames.V)
    for X in (U, V):
        assert ratio(X.T @ X, np.eye(3), 1.0, EPS["float64"]) <= THRESHOLD
    expected = [kept_by(U, V, W) for W in dense(FACTORS)]
    assert ratio(backend.host(frames.kept), expected, 1.0, EPS["float64"]) <= THRESHOLD
    assert max(expected) < 1
    merged = cm.merge(updates, "ta", cm.Compressed(3, beta))
    sums = U @ U.T @ dense(FACTORS).sum(axis=0) @ V @ V.T
    assert ratio(backend.dense(merged), sums, size(FACTORS), EPS["float64"]) <= THRESHOLD


def test_hooi_improves_on_its_start_and_stops_at_a_stationary_point() -> None:
    """No frame beats the other's best answer: each is the leading span of the stack in the other one."""
    frames = cm.reference_bases([cm.LowRankUpdate(*f) for f in FACTORS], cm.Compressed(2, beta=1.0))
    Ws = dense(FACTORS)
    start_U = np.linalg.svd(np.concatenate(list(Ws), axis=1))[0][:, :2]
    start_V = np.linalg.svd(np.concatenate(list(Ws), axis=0))[2][:2].T

    def total(U: np.ndarray, V: np.ndarray) -> float:
        return float(np.sum((U.T @ Ws @ V) ** 2))

    assert total(frames.U, frames.V) >= total(start_U, start_V)
    better = np.linalg.svd(np.concatenate(list(Ws @ frames.V), axis=1))[0][:, :2]
    assert total(better, frames.V) <= total(frames.U, frames.V) * (1 + 1e-5)  # its tolerance is 1e-6 of the root


def test_tasks_of_equal_weight_or_of_their_own() -> None:
    """One task 100 times the others: with beta 1 it takes the frame, with beta 0 all have a say."""
    factors = [(100 * B if t == 0 else B, A, 1.0) for t, (B, A, _) in enumerate(FACTORS)]
    own, equal = (
        np.asarray(cm.merge([cm.LowRankUpdate(*f) for f in factors], "ta", cm.Compressed(3, beta)).info["kept"])
        for beta in (1.0, 0.0)
    )
    assert own[0] > equal[0]
    assert np.all(equal[1:] > own[1:])


def test_compressed_before_merging_beside_truncated_afterwards() -> None:
    """For the plain sum truncation is optimal (Eckart-Young), so that compressing first is no better."""
    updates = [cm.LowRankUpdate(*f) for f in FACTORS]
    full = cm.merge(updates, "ta").to_dense()
    first = cm.merge(updates, "ta", cm.Compressed(3)).to_dense()
    after = cm.merge(updates, "ta").truncate(3).to_dense()
    assert np.linalg.norm(after - full) < np.linalg.norm(first - full)


def test_each_layer_of_a_batch_is_that_layer() -> None:
    factors = Recipe(12, 10, (3, 3), batch=(2,), seed=7).build()
    found = cm.merge([cm.LowRankUpdate(*f) for f in factors], "ta", cm.Compressed(2))
    assert found.info["kept"].shape == (2, 2)
    for i in range(2):
        one = cm.merge([cm.LowRankUpdate(B[i], A[i], s) for B, A, s in factors], "ta", cm.Compressed(2))
        layer = [(B[i], A[i], s) for B, A, s in factors]
        assert ratio(found.to_dense()[i], one.to_dense(), size(layer), EPS["float64"], kappa=50) <= THRESHOLD


def test_gradients_of_factors_are_refused() -> None:
    torch = pytest.importorskip("torch")
    pairs = [(torch.tensor(B, requires_grad=True), torch.tensor(A)) for B, A, _ in FACTORS]
    with pytest.raises(cm.ParameterError, match="gradients of the factors"):
        cm.merge(pairs, "tsv", cm.Compressed(2))


def test_ranks_and_shares_that_are_none() -> None:
    """Numbers of any type are, but for bool."""
    for rank in (1, np.int64(3)):
        assert cm.Compressed(rank).rank == rank  # type: ignore[arg-type]
    for rank in (0, -1, True, 1.0, "2", None):
        with pytest.raises(cm.ParameterError) as caught:
            cm.Compressed(rank)  # type: ignore[arg-type]
        assert str(caught.value) == (
            f"compressed.rank: expected an integer of at least 1, the rank of the result, got {rank!r}; write "
            "cm.Compressed(16), --set compressed.rank=16"
        )
    for beta in (0, 1, 0.0, 1.0, Fraction(1, 2), np.float32(0.25)):
        assert cm.Compressed(1, beta).beta == beta  # type: ignore[arg-type]
    for beta in (-1e-9, 1 + 1e-9, np.nan, False, True, "0.5", None):
        with pytest.raises(cm.ParameterError) as caught:
            cm.Compressed(1, beta)  # type: ignore[arg-type]
        assert str(caught.value) == f"compressed.beta: expected a number from 0 to 1, got {beta!r}"


@pytest.mark.parametrize("beta", [0.0, 0.25, 1.0])
def test_tasks_are_rescaled_towards_their_mean_norm(beta: float) -> None:
    """4 e_1 e_1ᵀ and 2 e_2 e_2ᵀ beside three times 1 e_3 e_3ᵀ, whose direction holds √3 of the size of one of them.

    The mean norm is (4 + 2 + 3) / 5 = 9/5: what is kept is the direction that is longest after rescaling.
    """
    e = np.eye(6)
    sizes, places = (4.0, 2.0, 1.0, 1.0, 1.0), (0, 1, 2, 2, 2)
    updates = [(size * e[:, i : i + 1], e[i : i + 1, :5]) for size, i in zip(sizes, places, strict=True)]
    scaled = [beta * size + (1 - beta) * 9 / 5 for size in sizes]
    lengths = [scaled[0], scaled[1], 3**0.5 * scaled[2]]
    longest = int(np.argmax(lengths))
    assert longest == {0.0: 2, 0.25: 2, 1.0: 0}[beta]
    kept = cm.reference_bases(updates, cm.Compressed(1, beta)).kept
    expected = [float(place == longest) for place in places]
    assert ratio(np.asarray(kept), np.array(expected), 1.0, EPS["float64"]) <= THRESHOLD


def test_tasks_of_nothing_are_kept_whole_and_change_no_direction() -> None:
    """They count among the tasks of which the mean is."""
    e = np.eye(6)
    updates = [(3 * e[:, :1], e[:1, :5]), (0 * e[:, :1], e[1:2, :5]), (e[:, 2:3], e[2:3, :5])]
    for rank, kept in ((1, [1.0, 1.0, 0.0]), (2, [1.0, 1.0, 1.0]), (9, [1.0, 1.0, 1.0])):
        frames = cm.reference_bases(updates, cm.Compressed(rank, 1.0))
        assert ratio(np.asarray(frames.kept), np.array(kept), 1.0, EPS["float64"]) <= THRESHOLD
        assert (float(frames.rows), float(frames.cols)) == (min(rank, 2), min(rank, 2))
        assert (frames.U.shape[-1], frames.V.shape[-1]) == (min(rank, 3), min(rank, 3))
        assert (frames.left.of_updates, frames.right.of_updates) == (False, False)
