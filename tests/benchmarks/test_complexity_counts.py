"""Counts as functions of sizes are exactly what a counting namespace sees."""

from collections import Counter

import numpy as np
import pytest

import coremerge_ref as cm
from benchmarks.complexity import counts
from benchmarks.complexity.calls import Call, total
from benchmarks.complexity.counting import counting, namespace, watched
from coremerge_ref.core.arrays import namespace_of

METHODS = ["ta", "mean", "ties", "dare", "trim", "tsv", "cart", "iso", "iso_cts", "drm", "dare+tsv+iso", "trim+ties"]
SIZES = {
    "generic": (30, 40, (2, 3, 2)),
    "equal ranks": (25, 21, (4, 4, 4, 4)),
    "one task": (12, 9, (3,)),
    "stacks wider than tall": (6, 8, (3, 3, 3)),
    "stacks wider than tall, fewer columns": (8, 6, (3, 3, 3)),
    "square stacks": (9, 9, (3, 3, 3)),
    "wide": (5, 40, (2, 2, 3)),
    "ranks beyond n": (30, 2, (4, 4)),
}


def stack(rows, ranks, outcome, rng, small):
    """[X_1 … X_T], of which is known how Cholesky-QR2 goes where there are rows enough; ranks[0] ≥ 2."""
    R = sum(ranks)
    if rows < R:
        return rng.standard_normal((rows, R))
    Q, E = np.linalg.qr(rng.standard_normal((rows, R)))[0], rng.standard_normal((R, R))
    X = Q @ (np.eye(R) + 0.2 * E / np.linalg.norm(E, 2))  # singular values in [0.8, 1.2]
    if outcome in (counts.TWO, counts.FAR):  # two columns at this angle; rounding turns them by eps over its square
        X[:, 1] = X[:, 0] + {counts.TWO: 1e-2, counts.FAR: 1e-7}[outcome] * X[:, 1]
    elif outcome == counts.INDEFINITE:
        X[:, 1] = 0.0  # a pivot that is zero exactly
    elif outcome == counts.UNDERFLOW:  # of one task a side, lest its product leave the range
        X[:, small] *= 1e-150  # a square of 1e-300, the smallest normal number being 2e-308
    return X


def updates(m, n, ranks, outcomes=(counts.ONE, counts.ONE), seed=0):
    rng = np.random.default_rng(seed)
    cuts = np.cumsum(ranks)[:-1]
    small = (slice(ranks[0]), slice(sum(ranks) - ranks[-1], None))
    left, right = (
        stack(rows, ranks, *one)
        for rows, one in zip((m, n), zip(outcomes, (rng, rng), small, strict=True), strict=True)
    )
    pairs = zip(np.split(left, cuts, axis=1), np.split(right, cuts, axis=1), strict=True)
    return [(counting(B.copy()), counting(A.T.copy())) for B, A in pairs]


def seen_and_counted(sizes, method, space, outcomes):
    with watched() as seen:
        cm.merge(updates(*sizes, outcomes), method, space)
    return seen.calls, sum(counts.ours(*sizes, method, space, outcomes).values(), Counter())


@pytest.mark.parametrize("sizes", SIZES.values(), ids=list(SIZES))
@pytest.mark.parametrize("space", ["core", "knots", "full"])
@pytest.mark.parametrize("method", METHODS)
def test_ours_exactly(sizes, space, method):
    m, n, ranks = sizes
    given = updates(m, n, ranks)
    with watched() as seen:
        merged = cm.merge(given, method, space)
    steps = counts.ours(m, n, ranks, method, space)
    assert sum(steps.values(), Counter()) == seen.calls
    if isinstance(merged, cm.LowRankUpdate):
        with watched() as seen:
            merged.to_dense()
        assert counts.dense(m, n, ranks, space) == seen.calls


OUTCOMES = [*counts.PASSED, *counts.REFUSED]


@pytest.mark.parametrize("sizes", [SIZES["generic"], (40, 30, (2, 3, 2))], ids=["wide", "tall"])
@pytest.mark.parametrize("space", ["core", "knots", "full"])
@pytest.mark.parametrize("method", ["ta", "tsv", "ties", "cart"])
@pytest.mark.parametrize("right", OUTCOMES)
@pytest.mark.parametrize("left", OUTCOMES)
def test_however_cholesky_goes(left, right, method, space, sizes):
    seen, counted = seen_and_counted(sizes, method, space, (left, right))
    assert seen == counted


def test_every_outcome_of_cholesky_costs_something_else():
    """So that a wrong outcome cannot pass for the right one."""
    made = [counts.stack_frame(30, (2, 3, 2), False, outcome) for outcome in OUTCOMES]
    assert all(made[i] != made[j] for i in range(len(made)) for j in range(i))
    with pytest.raises(KeyError):
        counts.cholesky_qr2(30, 7, "three")


@pytest.mark.parametrize("worst", [counts.ONE, counts.TWO])
def test_batches_cost_the_same_calls_in_wider_batches(worst):
    """But for layers that Cholesky-QR2 refuses: they cost calls of their own."""
    sizes = (30, 40, (2, 2, 2))
    layers = [updates(*sizes, (outcome, counts.ONE), seed) for seed, outcome in enumerate([counts.ONE] * 4 + [worst])]
    given = [[counting(np.stack([layer[t][i].real for layer in layers])) for i in range(2)] for t in range(3)]
    with watched() as seen:
        cm.merge(given, "tsv")
    one = total(sum(counts.ours(*sizes, "tsv", outcomes=(worst, counts.ONE)).values(), Counter()))
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
