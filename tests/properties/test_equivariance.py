"""Theorem 5: which methods give one ΔW in every space and basis; Theorem 6: TIES does not."""

from typing import Any

import numpy as np
from backends import Backend
from forall import for_all, made, some_recipes, well_posed
from hypothesis import assume
from hypothesis import strategies as st

import coremerge_ref as cm
from benchmarks import dense as published
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.testing import THRESHOLD, Factors, Recipe, dense, methods, orthonormal, ratio, size

SPACES = st.sampled_from([cm.Full(), cm.Core(), cm.Core("tucker"), cm.Knots(), cm.Knots(transposed=True)])
SEEDS = st.integers(0, 99)


def scaled(factors: list[Factors]) -> list[Factors]:
    return [(s * B, A, 1.0) for B, A, s in factors]


def direct(method: Pipeline, factors: list[Factors]) -> tuple[np.ndarray, float]:
    """The dense answer and its condition number."""
    kappa = well_posed(lambda f: published.of_pipeline(method, dense(f)), factors)
    return published.of_pipeline(method, dense(factors)), kappa


@for_all(recipe=some_recipes(), method=methods("orthogonal"), space=SPACES)
def test_orthogonal_methods_give_one_update_in_every_space(
    backend: Backend, precision: str, recipe: Recipe, method: Pipeline, space: Any
) -> None:
    updates, factors, eps = made(backend, precision, recipe)
    expected, kappa = direct(method, factors)
    found = backend.dense(cm.merge(updates, method, space, compute_dtype=precision))
    assert ratio(found, expected, size(factors), eps, kappa) <= THRESHOLD


@for_all(recipe=some_recipes(), method=methods("orthogonal"), space=SPACES, seed=SEEDS)
def test_orthogonal_changes_carry_over(
    backend: Backend, precision: str, recipe: Recipe, method: Pipeline, space: Any, seed: int
) -> None:
    """merge({E ΔW_t F}) = E merge({ΔW_t}) F for orthogonal E and F."""
    rng = np.random.default_rng(seed)
    E, F = orthonormal(rng, recipe.m, recipe.m), orthonormal(rng, recipe.n, recipe.n)
    _, factors, eps = made(backend, precision, recipe)
    expected, kappa = direct(method, factors)
    turned = backend.updates([(E @ B, A @ F, s) for B, A, s in factors], precision)
    found = backend.dense(cm.merge(turned, method, space, compute_dtype=precision))
    if precision == "float32":
        assume(recipe.kind in ("generic", "zero", "empty"))  # rounding the turned factors ends other degeneracies
    assert ratio(found, E @ expected @ F, size(factors), eps, 4 * kappa) <= THRESHOLD


@for_all(recipe=some_recipes(), method=methods("orthogonal"), space=SPACES, seed=SEEDS, precisions=("float64",))
def test_refactoring_changes_nothing(
    backend: Backend, precision: str, recipe: Recipe, method: Pipeline, space: Any, seed: int
) -> None:
    """(B G, G⁻¹ A) is the same model, so it has the same merge, even G = 1e-20 G'."""
    rng = np.random.default_rng(seed)
    _, factors, eps = made(backend, precision, recipe)
    expected, kappa = direct(method, factors)
    again = []
    for B, A, s in factors:
        r = B.shape[-1]
        G = orthonormal(rng, r, r) * rng.uniform(0.5, 2.0, r) * rng.choice([1.0, 1e-20, 1e6])
        again.append((B @ G, np.linalg.solve(G, A), s))
    found = backend.dense(cm.merge(backend.updates(again), method, space))
    assert ratio(found, expected, size(factors), eps, 8 * kappa) <= THRESHOLD


@for_all(recipe=some_recipes(kinds=("generic", "duplicated", "zero")), seed=SEEDS, precisions=("float64",))
def test_refactoring_changes_nothing_for_ties_in_the_tucker_basis(
    backend: Backend, precision: str, recipe: Recipe, seed: int
) -> None:
    """The Tucker basis is a matter of the updates alone (up to signs, which a zero-free TIES does not see)."""
    rng = np.random.default_rng(seed)
    _, factors, eps = made(backend, precision, recipe)
    gaps = []
    for axis in (1, 0):
        S = np.linalg.svd(np.concatenate(list(dense(factors)), axis=axis), compute_uv=False)
        S = np.append(S[S > 1e-9 * S[0]], 0.0)
        gaps.append(np.min(-np.diff(S)) / S[0])
    assume(min(gaps) > 1e-3)
    # nor has TIES an answer where entries cancel, such as those of two tasks of one size and rank 1
    inner = cm.project(
        numpy_updates := [f[:2] for f in scaled(factors)], cm.reference_bases(numpy_updates, basis="tucker")
    )
    sums = np.abs(inner.sum(0))[np.any(np.abs(inner) > 1e-9, axis=0)]
    assume(np.all(sums > 1e-6 * size(factors)))
    again = [
        (B @ (G := orthonormal(rng, B.shape[-1], B.shape[-1]) * 2.0), np.linalg.solve(G, A), s) for B, A, s in factors
    ]
    method = cm.Ties(density=1)
    one, other = (backend.dense(cm.merge(backend.updates(f), method, cm.Core("tucker"))) for f in (factors, again))
    assert ratio(other, one, size(factors), eps, 10 / min(gaps)) <= THRESHOLD


@for_all(
    recipe=some_recipes(kinds=("generic", "zero", "vera")),
    method=methods("signed-permutation"), seed=SEEDS, precisions=("float64",),
)  # fmt: skip
def test_elementwise_methods_carry_signed_permutations_over(
    backend: Backend, precision: str, recipe: Recipe, method: Pipeline, seed: int
) -> None:
    """In full space: rows and columns permuted, and signs flipped where no sum of signs is zero."""
    _, factors, eps = made(backend, precision, recipe)
    rng = np.random.default_rng(seed)
    flips = [1.0, -1.0] if getattr(method.stages[0], "elect", "mass") == "mass" else [1.0]
    p, q = rng.permutation(recipe.m), rng.permutation(recipe.n)
    d, e = rng.choice(flips, recipe.m), rng.choice(flips, recipe.n)
    turned = [((d[:, None] * B)[p], (A * e)[:, q], s) for B, A, s in factors]
    one, other = (backend.dense(cm.merge(backend.updates(f), method, "full")) for f in (factors, turned))
    kappa = well_posed(lambda f: cm.merge([cm.LowRankUpdate(*x) for x in f], method, "full").to_dense(), factors)
    assert ratio(other, (d[:, None] * one * e)[np.ix_(p, q)], size(factors), eps, kappa) <= THRESHOLD


def test_ties_differs_in_two_bases() -> None:
    """Theorem 6, exact: W_1 = [1, 1], W_2 = [1, −3]. In the model's basis TIES (density 1, mass) gives [1, −3].

    In the basis (1, 1)/√2, (1, −1)/√2 the tasks are √2 [1, 0] and √2 [−1, 2]: the first entries cancel (the majority is
    +, so the first task's stays), and TIES gives √2 [1, 2], that is [3, −1].
    """
    tasks = [cm.LowRankUpdate(np.ones((1, 1)), np.array([v])) for v in ([1.0, 1.0], [1.0, -3.0])]
    method = cm.Ties(density=1.0)
    np.testing.assert_array_equal(cm.merge(tasks, method, space="full").to_dense(), [[1.0, -3.0]])
    H = np.array([[1.0, 1.0], [1.0, -1.0]])
    turned = [cm.LowRankUpdate(u.B, u.A @ H / 2) for u in tasks]  # exact: coordinates divided by √2
    inner = cm.merge(turned, method, space="full").to_dense()
    np.testing.assert_array_equal(inner, [[1.0, 2.0]])
    np.testing.assert_array_equal(inner @ H, [[3.0, -1.0]])


def test_ties_differs_in_the_papers_space_and_ours() -> None:
    """The same model factored differently merges differently in the paper's basis: that is the basis' doing."""
    (B, A, _), (C, D, _) = Recipe(6, 5, (2, 2), seed=4).build()
    G = np.array([[1.0, 3.0], [0.5, -2.0]])
    one = cm.merge([(B, A), (C, D)], "ties").to_dense()
    other = cm.merge([(B @ G, np.linalg.solve(G, A)), (C, D)], "ties").to_dense()
    assert np.linalg.norm(one - other) > 0.05 * np.linalg.norm(one)


@for_all(recipe=some_recipes(min_tasks=2, kinds=("generic",)), precisions=("float64",), examples=0.5)
def test_settings_relative_to_the_size_are_what_differs(backend: Backend, precision: str, recipe: Recipe) -> None:
    """TSV at its relative rank is TSV at the absolute rank that it reports, in every space."""
    updates, factors, eps = made(backend, precision, recipe)
    for space in ("core", "full"):
        relative = cm.merge(updates, "tsv", space)
        k = int(float(relative.info["k"]))
        if k == 0:
            assert not np.any(backend.dense(relative))
            continue
        absolute = cm.merge(updates, cm.Tsv(k), "knots")
        _, kappa = direct(Pipeline([cm.Tsv(k)]), factors)
        assert ratio(backend.dense(relative), backend.dense(absolute), size(factors), eps, kappa) <= THRESHOLD
