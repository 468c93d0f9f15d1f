"""Checks of how a method runs: batches, libraries, dtypes, just-in-time compilation."""

from unittest import SkipTest

import numpy as np

from coremerge_ref.core import arrays
from coremerge_ref.core.merging import merge
from coremerge_ref.core.models import merge_adapters
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.stages import Stage
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.testing.builders import Recipe, dense
from coremerge_ref.testing.checks.samples import (
    RECIPE,
    assert_close,
    kappa_merged,
    libraries,
    matrices,
    merged,
    size,
    spaces_of,
    updates,
)  # fmt: skip
from coremerge_ref.testing.checks.table import check


@check
def check_deterministic(stage: Stage) -> None:
    """The same call gives the same bits."""
    np.testing.assert_array_equal(merged(stage), merged(stage), "two calls with the same arguments differ")


@check
def check_batch_is_loop(stage: Stage) -> None:
    """A batch of layers gives what its layers give one by one, in any order, as a batch and as a model."""
    recipe = Recipe(8, 7, (2, 3), batch=(3,), seed=6)
    factors = recipe.build()
    names = ["a", "b", "c"]
    layers = {name: [LowRankUpdate(B[i], A[i], s) for B, A, s in factors] for i, name in enumerate(names)}
    pipeline = Pipeline([stage])
    if pipeline.whole_model:
        forward, backward = merge_adapters(layers, pipeline), merge_adapters(dict(reversed(layers.items())), pipeline)
        expected = {name: update.to_dense() for name, update in forward.items()}
        found = {name: update.to_dense() for name, update in backward.items()}
    else:
        expected = {name: merge_adapters({name: layers[name]}, pipeline)[name].to_dense() for name in names}
        batch = merge(updates(factors), pipeline, names=names).to_dense()
        found = dict(zip(names, batch, strict=True))
        for name, update in merge_adapters(dict(reversed(layers.items())), pipeline).items():
            _same(update.to_dense(), expected[name], stage, layers[name], "a layer of a model")
    for name in names:
        _same(found[name], expected[name], stage, layers[name], "a layer of a batch")


def _same(actual: np.ndarray, expected: np.ndarray, stage: Stage, layer: list[LowRankUpdate], what: str) -> None:
    M = dense([(u.B, u.A, u.scale) for u in layer])
    assert_close(actual, expected, size(M), kappa_merged(stage, M), f"{what} differs from the layer by itself")


@check
def check_libraries_agree(stage: Stage) -> None:
    """Every installed array library gives what NumPy gives, as arrays of its own."""
    if not libraries():
        raise SkipTest("no array library but NumPy is installed")
    M, pipeline = matrices(), Pipeline([stage])
    amplified = kappa_merged(stage, M)
    for label, array in libraries().items():
        given = [LowRankUpdate(array(u.B), array(u.A), u.scale) for u in updates()]
        for space in spaces_of(stage):
            update = merge(given, pipeline, space)
            dense_update = update.to_dense()
            assert type(dense_update) is type(given[0].B), f"{label}: the result is a {type(dense_update).__name__}"
            expected = merged(stage, space=space)
            assert_close(
                arrays.to_host(dense_update), expected, size(M), amplified, f"{label} and NumPy differ in {space} space"
            )


@check
def check_dtypes(stage: Stage) -> None:
    """The result has the dtype of the inputs, or the one asked for."""
    for name in ("float64", "float32", "float16"):
        given = [LowRankUpdate(u.B.astype(name), u.A.astype(name), u.scale) for u in updates()]
        found = merge(given, Pipeline([stage])).to_dense()
        assert found.dtype == name, f"inputs in {name} give {found.dtype}"
    found = merge(updates(), Pipeline([stage]), out_dtype="float32").to_dense()
    assert found.dtype == "float32", f"out_dtype float32 gives {found.dtype}"


@check
def check_single_precision(stage: Stage) -> None:
    """Arithmetic in float32 agrees with that in float64 to the precision of float32."""
    given = [LowRankUpdate(u.B.astype(np.float32), u.A.astype(np.float32), u.scale) for u in updates()]
    for space in spaces_of(stage):
        single, double = (
            merged(stage, given, space=space, compute_dtype=name, out_dtype="float64")
            for name in ("float32", "float64")
        )
        eps = arrays.eps("float32")
        amplified = kappa_merged(stage, matrices(), step=1e-5)
        assert_close(single, double, size(matrices()), amplified, f"float32 and float64 differ in {space} space", eps)


@check
def check_jit(stage: Stage) -> None:
    """Under jax.jit the result is the same: shapes are static and no value is looked at."""
    if "jax" not in libraries():
        raise SkipTest("JAX is not installed, or float64 is not switched on (JAX_ENABLE_X64=1)")
    import jax

    M, pipeline, factors = matrices(), Pipeline([stage]), RECIPE.build()

    def run(pairs):  # type: ignore[no-untyped-def]
        given = [LowRankUpdate(B, A, s) for (B, A), (_, _, s) in zip(pairs, factors, strict=True)]
        return [merge(given, pipeline, space).to_dense() for space in spaces_of(stage)]

    found = jax.jit(run)([(jax.numpy.asarray(B), jax.numpy.asarray(A)) for B, A, _ in factors])  # compiled once for all
    expected = run([(B, A) for B, A, _ in factors])
    for space, one, other in zip(spaces_of(stage), found, expected, strict=True):
        said = f"jax.jit changes the result in {space} space"
        assert_close(np.asarray(one), np.asarray(other), size(M), kappa_merged(stage, M), said)
