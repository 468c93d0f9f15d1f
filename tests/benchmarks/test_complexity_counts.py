"""Counts as functions of sizes are exactly what a counting namespace sees."""

from collections import Counter

import numpy as np
import pytest

import coremerge_ref as cm
from benchmarks.complexity import counts
from benchmarks.complexity.calls import Call, total
from benchmarks.complexity.counting import counting, namespace, watched
from coremerge_ref.namespaces import namespace_of

METHODS = ["ta", "mean", "ties", "dare", "trim", "tsv", "cart", "iso", "iso_cts", "drm", "dare+tsv+iso", "trim+ties"]
SIZES = {
    "generic": (30, 40, (2, 3, 2)),
    "equal ranks": (25, 21, (4, 4, 4, 4)),
    "one task": (12, 9, (3,)),
    "stacks wider than tall": (6, 8, (3, 3, 3)),
    "wide": (5, 40, (2, 2, 3)),
}


def updates(m, n, ranks, seed=0):
    rng = np.random.default_rng(seed)
    return [(counting(rng.standard_normal((m, r))), counting(rng.standard_normal((r, n)))) for r in ranks]


@pytest.mark.parametrize("sizes", SIZES.values(), ids=list(SIZES))
@pytest.mark.parametrize("space", ["core", "knots", "full"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("driver", ["auto", "cholesky", "qr", "svd"])
def test_ours_exactly(sizes, space, method, driver):
    m, n, ranks = sizes
    given = updates(m, n, ranks)
    with watched() as seen:
        merged = cm.merge(given, method, space, driver=driver)
    steps = counts.ours(m, n, ranks, method, space, driver)
    assert sum(steps.values(), Counter()) == seen.calls
    if isinstance(merged, cm.LowRankUpdate):
        with watched() as seen:
            merged.to_dense()
        assert counts.dense(m, n, ranks, space) == seen.calls


def test_batches_cost_the_same_calls_in_wider_batches():
    rng = np.random.default_rng(0)
    given = [(counting(rng.standard_normal((5, 30, 2))), counting(rng.standard_normal((5, 2, 40)))) for _ in range(3)]
    with watched() as seen:
        cm.merge(given, "tsv")
    one = total(sum(counts.ours(30, 40, (2, 2, 2), "tsv").values(), Counter()))
    assert total(seen.calls) == 5 * one


def test_counting_arrays_compute_what_the_real_ones_do():
    given = updates(30, 40, (2, 3, 2))
    real = [(B.real, A.real) for B, A in given]
    for method in METHODS:
        ours, theirs = cm.merge(given, method), cm.merge(real, method)
        np.testing.assert_array_equal(ours.to_dense().real, theirs.to_dense())


def test_every_kind_of_call_is_seen_with_its_shape():
    X, S = counting(np.ones((2, 5, 3))), counting(np.stack([np.eye(3)] * 2))
    assert namespace_of(X, S) is namespace
    with watched() as seen:
        for op in ("svd", "qr", "svdvals"):
            getattr(namespace.linalg, op)(X)
        for op in ("eigh", "cholesky", "inv"):
            getattr(namespace.linalg, op)(S)
        namespace.linalg.solve(S, namespace.matrix_transpose(X))
        namespace.matmul(X, S)
        namespace.linalg.matmul(X, S[0, ...])
        namespace.sort(X)
    assert seen.calls == Counter(
        {
            Call("svd", (5, 3), 2): 2,
            Call("qr", (5, 3), 2): 1,
            Call("eigh", (3,), 2): 1,
            Call("cholesky", (3,), 2): 1,
            Call("inv", (3,), 2): 1,
            Call("solve", (3, 5), 2): 1,
            Call("matmul", (5, 3, 3), 2): 2,
            Call("sort", (3,), 10): 1,
        }
    )


def test_nothing_is_seen_outside_the_block():
    X = counting(np.ones((5, 3)))
    with watched() as seen:
        pass
    namespace.linalg.qr(X)
    assert not seen.calls
