"""Diagnostics against dense NumPy, on every library, and the same in full and core space."""

from typing import Any

import numpy as np
import pytest
from backends import EPS, Backend

import coremerge_ref as cm
from coremerge_ref.analysis import diagnostics
from coremerge_ref.testing import THRESHOLD, Recipe, ratio
from coremerge_ref.testing.builders import orthonormal

RECIPES = {
    "generic": Recipe(m=11, n=9, ranks=(3, 2, 4), seed=1),
    "duplicated": Recipe(m=10, n=8, ranks=(2, 2, 2), kind="duplicated", seed=2),
    "deficient": Recipe(m=10, n=8, ranks=(3, 3, 2), kind="deficient", seed=3),
    "vera": Recipe(m=9, n=9, ranks=(2, 2, 2), kind="vera", seed=4),
}
COMPILED = (
    "duplicated"  # what JAX is asked: it compiles anew for each recipe's shapes, and dead directions are its danger
)
CUT = 1e-9  # singular values of these recipes are far above this share of the first, or rounding


@pytest.fixture(autouse=True)
def _compiles_once(request: pytest.FixtureRequest) -> None:
    asked = getattr(request.node, "callspec", None)
    if asked and str(asked.params.get("backend")) == "jax" and asked.params.get("recipe", COMPILED) != COMPILED:
        pytest.skip("compiled for nothing new")


def dense(factors: Any) -> list[np.ndarray]:
    return [s * B @ A for B, A, s in factors]


def leading(W: np.ndarray, k: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    P, S, Qh = np.linalg.svd(W, full_matrices=False)
    rank = int(np.sum(S > CUT * max(S[0], 1e-300)))
    k = rank if k is None else min(k, rank)
    return P[:, :k], S[:k], Qh[:k].T


def close(backend: Backend, actual: Any, expected: Any) -> bool:
    """Within rounding of shares (at most 1) or of the figure itself."""
    scale = max(1.0, float(np.linalg.norm(expected)))
    return ratio(backend.host(actual), expected, scale, EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("recipe", RECIPES)
def test_alignment_is_the_share_inside_the_leading_left_vectors(backend: Backend, recipe: str) -> None:
    factors = RECIPES[recipe].build()
    W, updates = dense(factors), backend.updates(factors)
    total = sum(W)
    merged = cm.merge(updates, "ta")
    P, S, _ = np.linalg.svd(total)
    lost = [np.sqrt(np.sum(S[k:] ** 2)) for k in range(len(S) + 1)]
    k = next(k for k, left in enumerate(lost) if left <= 0.05 * lost[0])
    for W_t, update in zip(W, updates, strict=True):
        for cut, given in ((k, {}), (2, {"k": 2})):
            expected = np.linalg.norm(P[:, :cut].T @ W_t) / np.linalg.norm(W_t)
            assert close(backend, diagnostics.alignment(update, merged, **given), expected)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("side", ["left", "right"])
def test_overlap_is_that_of_the_subspaces(backend: Backend, recipe: str, side: str) -> None:
    factors = RECIPES[recipe].build()
    W, updates = dense(factors), backend.updates(factors)
    for k in (None, 1):
        one, other = (leading(X, k)[0 if side == "left" else 2] for X in W[:2])
        expected = np.sum((one.T @ other) ** 2) / min(one.shape[1], other.shape[1])
        assert close(backend, diagnostics.overlap(*updates[:2], k=k, side=side), expected)


@pytest.mark.parametrize("recipe", RECIPES)
def test_isometry_alignment_ranks_and_interference_are_the_same_in_full_and_core_space(
    backend: Backend, recipe: str
) -> None:
    updates = backend.updates(RECIPES[recipe].build())
    bases = cm.reference_bases(updates)
    M = cm.project(updates, bases)
    cores = [cm.DenseUpdate(M[t, ...]) for t in range(3)]
    products = [cm.LowRankUpdate(M[t, ...], _eye(backend, M)) for t in range(3)]
    full, core = cm.merge(updates, cm.Tsv(k=2)), cm.merge(products, cm.Tsv(k=2))
    for t in range(3):
        expected = backend.host(diagnostics.alignment(updates[t], full))
        assert close(backend, diagnostics.alignment(cores[t], core), expected)
        for measure in (diagnostics.numerical_rank, diagnostics.stable_rank):
            assert close(backend, measure(cores[t]), backend.host(measure(updates[t])))
    expected = backend.host(diagnostics.interference(updates))
    assert close(backend, diagnostics.interference(cores), expected)


def _eye(backend: Backend, M: Any) -> Any:
    return backend.array(np.eye(M.shape[-1]))


@pytest.mark.parametrize("recipe", RECIPES)
def test_ranks_and_truncation_are_those_of_the_spectrum(backend: Backend, recipe: str) -> None:
    factors = RECIPES[recipe].build()
    for W, update in zip(dense(factors), backend.updates(factors), strict=True):
        _, S, _ = leading(W)
        assert backend.host(diagnostics.numerical_rank(update)) == len(S)
        assert close(backend, diagnostics.stable_rank(update), np.sum(S**2) / S[0] ** 2)
        found = diagnostics.truncation(update)
        lost = np.array([np.sqrt(np.sum(S[k:] ** 2)) for k in found.kept]) / np.linalg.norm(S)
        assert close(backend, found.error, lost)
        assert found.kept[0] == 0
        assert found.fraction == tuple(k / min(W.shape) for k in found.kept)
        assert diagnostics.truncation(update, size=40).fraction[-1] == found.kept[-1] / 40


def test_interference_is_the_published_sum(backend: Backend) -> None:
    factors = RECIPES["generic"].build()
    P, S, Q = (np.concatenate(parts, axis=-1) for parts in zip(*map(leading, dense(factors)), strict=True))
    left, right = P.T @ P - np.eye(P.shape[1]), Q.T @ Q - np.eye(Q.shape[1])
    expected = np.abs(left @ np.diag(S) @ right).sum()
    assert close(backend, diagnostics.interference(backend.updates(factors)), expected)


def test_tasks_in_orthogonal_subspaces_do_not_interfere(backend: Backend) -> None:
    one = (np.eye(6)[:, :2], np.eye(5)[:2], 1.0)
    other = (np.eye(6)[:, 3:4], np.eye(5)[4:], 2.0)
    updates = backend.updates([one, other])
    assert backend.host(diagnostics.interference(updates)) == 0.0
    assert backend.host(diagnostics.overlap(*updates)) == 0.0
    assert backend.host(diagnostics.alignment(*updates)) == 0.0


def test_sign_conflict_counts_entries_of_the_space(backend: Backend) -> None:
    W = [np.array([[1.0, -2.0, 0.0], [3.0, 1.0, 1.0]]), np.array([[2.0, 1.0, 5.0], [-1.0, 1.0, 0.0]])]
    updates = backend.updates([(X, np.eye(3), 1.0) for X in W])
    assert backend.host(diagnostics.sign_conflict(updates, "full")) == 0.5  # two of the four where both are not 0
    copies = backend.updates([(W[0], np.eye(3), 1.0)] * 2)
    assert backend.host(diagnostics.sign_conflict(copies)) == 0.0


@pytest.mark.parametrize("space", ["core", cm.Core(basis="tucker")])
@pytest.mark.parametrize("seed", range(7, 12))
@pytest.mark.parametrize("least", [1.0, 1.99])
def test_entries_that_are_rounding_have_no_sign(backend: Backend, space: Any, seed: int, least: float) -> None:
    """Tasks of directions of their own, however close their singular values are."""
    rng = np.random.default_rng(seed)
    Q, Z = orthonormal(rng, 20, 12), orthonormal(rng, 15, 12)
    values = np.linspace(2.0, least, 12)  # distinct, so that each singular vector of the stacks belongs to one task
    factors = [(Q[:, t::3] * values[t::3], (Z[:, t::3] * values[t::3]).T, 1.0) for t in range(3)]
    assert backend.host(diagnostics.sign_conflict(backend.updates(factors), space)) == 0.0
    assert backend.host(diagnostics.interference(backend.updates(factors))) <= 12 * THRESHOLD * EPS["float64"]


def test_tasks_that_are_rounding_have_no_sign(backend: Backend) -> None:
    """3 b (a / 3)ᵀ − b aᵀ is no task, whatever signs its rounding has."""
    (B, A, _), (b, a, _) = Recipe(6, 5, (2, 1), seed=6).build()
    rounding = (np.concatenate([3 * b, -b], axis=1), np.concatenate([a / 3, a], axis=0), 1.0)
    assert np.any(rounding[0] @ rounding[1])
    updates = backend.updates([(B, A, 1.0), rounding])
    for space in ("full", "core"):
        assert backend.host(diagnostics.sign_conflict(updates, space)) == 0.0


def test_sign_conflict_in_a_deficient_core_space_is_that_of_dense_core_matrices(backend: Backend) -> None:
    factors = Recipe(m=12, n=10, ranks=(2, 2, 2), kind="duplicated", seed=8).build()
    U = leading(np.concatenate([B for B, _, _ in factors], axis=1))[0]
    V = leading(np.concatenate([A for _, A, _ in factors]).T)[0]
    M = np.stack([U.T @ W @ V for W in dense(factors)])
    expected = np.mean((M > 0).any(0) & (M < 0).any(0))
    assert 0 < expected < 1
    assert close(backend, diagnostics.sign_conflict(backend.updates(factors)), expected)


def test_a_task_without_the_module_is_no_task(backend: Backend) -> None:
    one, two, three = backend.updates(RECIPES["generic"].build())
    for measure in (diagnostics.interference, diagnostics.sign_conflict):
        assert backend.host(measure([one, None, two, three])) == backend.host(measure([one, two, three]))


def test_rank_of_a_merge_that_was_rounded_needs_a_tolerance(backend: Backend) -> None:
    updates = backend.updates(RECIPES["generic"].build(), "float32")
    exact, rounded = cm.merge(updates, cm.Tsv(k=1), out_dtype="float64"), cm.merge(updates, cm.Tsv(k=1))
    assert backend.host(diagnostics.numerical_rank(exact)) == 3.0
    assert backend.host(diagnostics.numerical_rank(rounded, rtol=1e-5)) == 3.0


def test_float32_factors_are_exact_numbers(backend: Backend) -> None:
    factors = RECIPES["generic"].build()
    updates = backend.updates(factors, "float32")
    rounded = [(B.astype(np.float32).astype(float), A.astype(np.float32).astype(float), s) for B, A, s in factors]
    W = dense(rounded)
    P = leading(W[0])[0]
    expected = np.linalg.norm(P.T @ W[1]) / np.linalg.norm(W[1])
    assert close(backend, diagnostics.alignment(updates[1], updates[0], k=3), expected)
    assert backend.host(diagnostics.numerical_rank(updates[0])) == 3.0


@pytest.mark.parametrize("scale", [1e150, 1e-150])
def test_extreme_factors(backend: Backend, scale: float) -> None:
    (B, A, s), other = RECIPES["generic"].build()[:2]
    updates = backend.updates([(B * scale, A / scale, s), (B, A, s), other])
    one = backend.updates([(B * scale, A, s)])[0]
    for measure in (diagnostics.alignment, diagnostics.overlap):
        expected = backend.host(measure(updates[1], updates[2]))
        assert close(backend, measure(updates[0], updates[2]), expected)
        assert close(backend, measure(one, updates[2]), expected)
    assert close(backend, diagnostics.stable_rank(one), backend.host(diagnostics.stable_rank(updates[1])))
    with pytest.raises(cm.NonFiniteError, match="product B A, whose range it leaves"):
        diagnostics.stable_rank(backend.updates([(B * 1e200, A * 1e200, s)])[0])


def test_nothing_is_aligned_with_everything(backend: Backend) -> None:
    zero, rank0 = (np.zeros((5, 2)), np.ones((2, 4)), 1.0), (np.zeros((5, 0)), np.zeros((0, 4)), 1.0)
    some = (np.arange(10.0).reshape(5, 2), np.arange(8.0).reshape(2, 4), 1.0)
    for nothing in (zero, rank0):
        empty, full = backend.updates([nothing, some])
        assert backend.host(diagnostics.alignment(empty, full)) == 1.0
        assert backend.host(diagnostics.alignment(full, empty)) == 0.0
        assert backend.host(diagnostics.overlap(empty, full)) == 1.0
        assert backend.host(diagnostics.numerical_rank(empty)) == 0.0
        assert backend.host(diagnostics.stable_rank(empty)) == 0.0
        assert not np.any(backend.host(diagnostics.truncation(empty).error))
        assert close(backend, diagnostics.interference([empty, full]), 0.0)


def test_a_batch_is_a_loop(backend: Backend) -> None:
    layers = [Recipe(m=8, n=7, ranks=(2, 3), seed=seed).build() for seed in (5, 6)]
    batch = [cm.LowRankUpdate(*(backend.array(np.stack([f[t][i] for f in layers])) for i in (0, 1))) for t in (0, 1)]
    loop = [[(backend.array(B), backend.array(A)) for B, A, _ in f] for f in layers]
    for measure in (diagnostics.interference, diagnostics.sign_conflict):
        assert close(backend, measure(batch), [float(backend.host(measure(one))) for one in loop])
    expected = [float(backend.host(diagnostics.alignment(*one))) for one in loop]
    assert close(backend, diagnostics.alignment(*batch), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda u: diagnostics.alignment(u, u, epsilon=2), "epsilon: expected a number between 0 and 1, got 2"),
        (lambda u: diagnostics.alignment(u, u, k=0), "k: expected an integer of at least 1, or None, got 0"),
        (lambda u: diagnostics.overlap(u, u, side="top"), "side: expected left or right, got 'top'"),
        (lambda u: diagnostics.truncation(u, size=0), "size: expected an integer of at least 1, got 0"),
        (lambda u: diagnostics.alignment(u, None), "expected an update, got None; leave out"),
        (lambda u: diagnostics.interference([None]), "expected at least one update"),
        (lambda u: diagnostics.numerical_rank(u, rtol=1.0), "rtol: expected a number of at least 0 and below 1"),
        (lambda u: diagnostics.sign_conflict([u], "flat"), "space: expected one of full, knots, core, compressed"),
        (lambda u: diagnostics.alignment(u, (u[0][:3], u[1])), "expected shape"),
    ],
)
def test_refused(call: Any, message: str) -> None:
    with pytest.raises((cm.ParameterError, cm.ShapeError), match=message):
        call((np.ones((4, 2)), np.ones((2, 3))))
