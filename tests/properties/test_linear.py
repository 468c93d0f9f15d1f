"""Theorem 3: linear merges agree in every space, and what goes with it: weights, order, scale, copies."""

from typing import Any

import numpy as np
from backends import BACKENDS, EPS, Backend
from forall import for_all, made, some_recipes, well_posed
from hypothesis import assume, reject
from hypothesis import strategies as st

import coremerge_ref as cm
from benchmarks import dense as published
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.stages import STAGES
from coremerge_ref.testing import THRESHOLD, Recipe, dense, methods, ratio, size, weights

SPACES = st.sampled_from(
    [cm.Full(), cm.Core(), cm.Core("tucker"), cm.Knots(), cm.Knots(transposed=True), cm.Knots(scaled=False)]
)
EVERY = st.sampled_from([*STAGES, "trim+iso", "dare+tsv"])


@for_all(recipe=some_recipes(), space=SPACES, data=st.data())
def test_linear_merges_agree_in_every_space(
    backend: Backend, precision: str, recipe: Recipe, space: Any, data: st.DataObject
) -> None:
    updates, factors, eps = made(backend, precision, recipe)
    w = data.draw(weights(recipe.T))
    W, unit = dense(factors), size([(wt * B, A, s) for wt, (B, A, s) in zip(w, factors, strict=True)])
    if isinstance(space, cm.Knots) and not space.scaled:
        # dividing singular values out and multiplying them back costs their condition number
        S = np.linalg.svd(np.concatenate(list(W), axis=1), compute_uv=False)
        unit = unit * 2 * S[0] / S[S > 1e-5 * S[0]][-1] if S[0] > 0 else 1.0
        assume(precision == "float64")
    found = backend.dense(cm.merge(updates, "ta", space, weights=w, compute_dtype=precision))
    assert ratio(found, np.tensordot(np.asarray(w), W, 1), unit, eps) <= THRESHOLD
    if sum(w) != 0:
        found = backend.dense(cm.merge(updates, "mean", space, weights=w, compute_dtype=precision))
        assert ratio(found, np.tensordot(np.asarray(w), W, 1) / sum(w), unit / abs(sum(w)), eps) <= THRESHOLD


@for_all(recipe=some_recipes(), method=methods("orthogonal"), data=st.data())
def test_weights_are_scalings(
    backend: Backend, precision: str, recipe: Recipe, method: Pipeline, data: st.DataObject
) -> None:
    """w_t beside s_t is w_t s_t, for every method but the mean, which divides by Σ w_t."""
    updates, factors, eps = made(backend, precision, recipe)
    assume(method.stages[0].name != "mean")
    w = data.draw(weights(recipe.T))
    scaled = [(B, A, wt * s) for wt, (B, A, s) in zip(w, factors, strict=True)]
    kappa = well_posed(lambda f: published.of_pipeline(method, dense(f)), scaled)
    found = backend.dense(cm.merge(updates, method, weights=w, compute_dtype=precision))
    expected = published.of_pipeline(method, dense(scaled))
    assert ratio(found, expected, size(scaled), eps, kappa) <= THRESHOLD


@for_all(recipe=some_recipes(kinds=("generic", "zero", "vera")), method=EVERY, data=st.data(), precisions=("float64",))
def test_task_order_does_not_matter(
    backend: Backend, precision: str, recipe: Recipe, method: str, data: st.DataObject
) -> None:
    """Except to what draws random numbers, which are keyed by the task's number."""
    assume(not any("seed" in stage.parameters for stage in cm.Pipeline.parse(method).stages))
    updates, factors, eps = made(backend, precision, recipe)
    order = data.draw(st.permutations(range(recipe.T)))
    w = data.draw(weights(recipe.T))
    assume(method != "mean" or abs(sum(w)) >= 1)
    try:
        one = backend.dense(cm.merge(updates, method, weights=w))
    except cm.ParameterError:  # weights that the method has no answer for
        reject()
    other = backend.dense(cm.merge([updates[t] for t in order], method, weights=[w[t] for t in order]))
    kappa = moved(method, factors, w)
    assert ratio(other, one, 2 * size(factors), eps, kappa) <= THRESHOLD


def moved(method: str, factors: Any, w: Any = None) -> float:
    """κ of methods without a dense reference at hand, measured on NumPy; drops examples near a discontinuity."""
    numpy = BACKENDS["numpy"]
    return well_posed(lambda f: cm.merge(numpy.updates(f), method, weights=w).to_dense(), factors)


@for_all(recipe=some_recipes(kinds=("generic", "duplicated", "zero")), method=EVERY, power=st.integers(-30, 30))
def test_scaling_the_tasks_scales_the_result(
    backend: Backend, precision: str, recipe: Recipe, method: str, power: int
) -> None:
    """By powers of two, which rounding does not see: the same to the last bits."""
    assume(not any("check_scaling" in stage.expected_failures for stage in cm.Pipeline.parse(method).stages))
    c = 2.0 ** (power if precision == "float64" else power // 3)
    updates, factors, eps = made(backend, precision, recipe)
    again = [cm.LowRankUpdate(u.B, u.A, c * u.scale) for u in updates]
    one, other = (backend.dense(cm.merge(us, method, compute_dtype=precision)) for us in (updates, again))
    assert ratio(other, c * one, c * size(factors), eps) <= THRESHOLD


@for_all(recipe=some_recipes(max_tasks=1), space=SPACES)
def test_one_task_merges_into_itself(backend: Backend, precision: str, recipe: Recipe, space: Any) -> None:
    updates, factors, eps = made(backend, precision, recipe)
    kappa = 1.0 if getattr(space, "scaled", True) else 10**recipe.decades
    every = ("ta", cm.Tsv(8), "mean", cm.Cart(1), cm.Ties(density=1), cm.Drm(drop=0.0), cm.Dare(0.0))
    for method in every[:2] if backend.name == "jax" else every:
        if isinstance(method, cm.Drm) and (recipe.decades >= 2 or not getattr(space, "scaled", True)):
            continue  # its rank cut is at 1 / 100
        found = backend.dense(cm.merge(updates, method, space, compute_dtype=precision))
        assert ratio(found, dense(factors)[0], size(factors), eps, 2 * kappa) <= THRESHOLD


@for_all(recipe=some_recipes(max_tasks=1), copies=st.integers(2, 4))
def test_copies_merge_into_one(backend: Backend, precision: str, recipe: Recipe, copies: int) -> None:
    if backend.name == "jax":
        copies = 2
    updates, factors, eps = made(backend, precision, recipe)
    for method in ("mean", cm.Tsv(8), cm.Cart(1), cm.Ties(density=1)):
        found = backend.dense(cm.merge(updates * copies, method, compute_dtype=precision))
        kappa = 10**recipe.decades if isinstance(method, cm.Tsv) else 1.0
        assert ratio(found, dense(factors)[0], size(factors), eps, 2 * kappa) <= THRESHOLD
    found = backend.dense(cm.merge(updates * copies, "ta", compute_dtype=precision))
    assert ratio(found, copies * dense(factors)[0], copies * size(factors), eps) <= THRESHOLD


@for_all(
    recipe=some_recipes(min_tasks=2, max_tasks=2), space=SPACES, k=st.integers(1, 4), coefficient=st.floats(-4, 4),
    fraction=st.floats(0.1, 1),
)  # fmt: skip
def test_cart_of_two_tasks_is_their_mean(
    backend: Backend, precision: str, recipe: Recipe, space: Any, k: int, coefficient: float, fraction: float
) -> None:
    """What is kept of opposite deviations cancels, also where singular values at the cut are equal."""
    updates, factors, eps = made(backend, precision, recipe)
    for method in (cm.Cart(k=k, coefficient=coefficient), cm.Cart(fraction=fraction, coefficient=coefficient)):
        found = backend.dense(cm.merge(updates, method, space, compute_dtype=precision))
        assert ratio(found, sum(dense(factors)) / 2, size(factors), eps) <= THRESHOLD


@for_all(recipe=some_recipes(min_tasks=2), method=methods("orthogonal"), precisions=("float64",))
def test_a_weight_of_zero_takes_the_task_out(
    backend: Backend, precision: str, recipe: Recipe, method: Pipeline
) -> None:
    """At absolute settings, and but for CART and the mean, which count tasks."""
    assume(method.stages[0].name in ("ta", "tsv"))
    updates, factors, eps = made(backend, precision, recipe)
    kappa = well_posed(lambda f: published.of_pipeline(method, dense(f)), factors[:-1])
    found = backend.dense(cm.merge(updates, method, weights=(1.0,) * (recipe.T - 1) + (0.0,)))
    expected = published.of_pipeline(method, dense(factors[:-1]))
    assert ratio(found, expected, size(factors[:-1]), eps, kappa) <= THRESHOLD


@for_all(recipe=some_recipes(batches=((2,), (2, 2)), kinds=("generic", "duplicated", "zero")), method=EVERY)
def test_a_batch_is_a_loop(backend: Backend, precision: str, recipe: Recipe, method: str) -> None:
    updates, factors, eps = made(backend, precision, recipe)
    layers = int(np.prod(recipe.batch, dtype=int))
    names = [f"layer {i}" for i in range(layers)] if recipe.batch else None
    found = backend.dense(cm.merge(updates, method, compute_dtype=precision, names=names))
    for i, where in enumerate(np.ndindex(*recipe.batch)):
        layer = [(B[where], A[where], s) for B, A, s in factors]
        kappa = moved(method, layer)
        one = [cm.LowRankUpdate(u.B[(*where, ...)], u.A[(*where, ...)], u.scale) for u in updates]
        alone = cm.merge(one, method, compute_dtype=precision, names=[names[i]] if names else None)
        assert ratio(found[where], backend.dense(alone), size(layer), eps, kappa) <= THRESHOLD


@for_all(recipe=some_recipes(kinds=("generic", "duplicated", "zero", "vera")), method=EVERY)
def test_every_library_gives_numpys_answer(backend: Backend, precision: str, recipe: Recipe, method: str) -> None:
    updates, factors, _eps = made(backend, precision, recipe)
    there = cm.merge(BACKENDS["numpy"].updates(factors), method).to_dense()
    found = backend.dense(cm.merge(updates, method, out_dtype="float64"))
    assert ratio(found, there, size(factors), EPS["float64"], moved(method, factors)) <= THRESHOLD


@for_all(recipe=some_recipes(kinds=("generic", "vera")), method=EVERY, precisions=("float16", "bfloat16"))
def test_narrow_inputs_are_the_exact_numbers_they_hold(
    backend: Backend, precision: str, recipe: Recipe, method: str
) -> None:
    if precision not in backend.dtypes:
        return
    updates, factors, _ = made(backend, precision, recipe)
    there = cm.merge(BACKENDS["numpy"].updates(factors), method).to_dense()
    found = backend.dense(cm.merge(updates, method, out_dtype="float64"))
    assert ratio(found, there, size(factors), EPS["float64"], moved(method, factors)) <= THRESHOLD
    assert cm.merge(updates, method).to_dense().dtype == updates[0].B.dtype
