"""The compute bound against results in 60 digits, from an implementation that shares no code with the one judged."""

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.testing import Recipe

pytest.importorskip("mpmath")
from coremerge_ref.conformance.definition import merge_exactly, merged

METHODS = ["ta", "tsv", "cart", "iso", "iso_cts", "trim", "ties", "drm", "ties+iso"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("space", ["core", "knots", "full"])
@pytest.mark.parametrize("method", METHODS)
def test_the_computed_result_lies_within_the_bound_of_the_exact_one(method: str, space: str, dtype: str) -> None:
    for kind in ("generic", "duplicated"):
        pairs = [(s * B, A) for B, A, s in Recipe(m=6, n=5, ranks=(2, 2), kind=kind, seed=3).build()]
        e = cm.explain(pairs, method, space, compute_dtype=dtype)
        computed = cm.merge(pairs, method, space, compute_dtype=dtype, out_dtype="float64").to_dense()
        exact = merged(pairs, method, space=space, eps=e.bound.eps)
        if e.verdict != "ill-posed":
            assert np.linalg.norm(computed - exact) <= e.bound.relative * np.linalg.norm(computed), (kind, e.bound)


@pytest.mark.parametrize("method", ["tsv", "cart", "iso", "iso_cts", "tsv+iso", "drm"])
def test_the_rounding_of_a_decomposition_is_in_the_bound_where_entries_are_exact(method: str) -> None:
    for seed in range(6):  # in full space, after a transform that is none, nothing but the SVD itself rounds
        rng = np.random.default_rng(seed)
        factors = [(rng.standard_normal((6, 2)) + [3.0, 0.0], rng.standard_normal((2, 5)), 1000.0**-t) for t in range(3)]
        asked = {"dare": {"drop": 0.0}, **{s: {"k": 1} for s in ("tsv", "cart") if s in method}}
        name = "dare+" + ("ta+iso" if method == "iso" else method)
        pipeline, updates = cm.Pipeline.parse(name, asked), [cm.LowRankUpdate(*f) for f in factors]
        e = cm.explain(updates, pipeline, "full", weights=[0.0, 1.0, 1.0])
        computed = cm.merge(updates, pipeline, "full", weights=[0.0, 1.0, 1.0]).to_dense()
        exact = merge_exactly(factors, name, pipeline.parameters, weights=[0.0, 1.0, 1.0], space="full", eps=2.0**-52)
        if e.verdict != "ill-posed":
            assert np.linalg.norm(computed - exact.array) <= e.bound.relative * np.linalg.norm(computed), seed
