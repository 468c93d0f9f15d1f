"""The compute bound against results in 60 digits, from an implementation that shares no code with the one judged."""

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.testing import Recipe

pytest.importorskip("mpmath")
from coremerge_ref.conformance.definition import merged

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
