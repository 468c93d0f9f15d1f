"""The dense algorithms are right: they call what the paper counts, and give what ours give where both are defined."""

from collections import Counter

import numpy as np
import pytest

import coremerge_ref as cm
from benchmarks import dense
from benchmarks.complexity.counting import counting, watched
from benchmarks.complexity.naive import naive

SIZES = {"square": (24, 24, (3, 3, 3)), "wide": (20, 31, (2, 3, 2)), "tall": (30, 20, (4, 4))}
METHODS = list(dense.MERGES)


def factors(m, n, ranks, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal((m, r)), rng.standard_normal((r, n))) for r in ranks]


@pytest.mark.parametrize("sizes", SIZES.values(), ids=list(SIZES))
@pytest.mark.parametrize("space", dense.SPACES)
@pytest.mark.parametrize("method", METHODS)
def test_naive_counts_exactly(sizes, space, method):
    given = [(counting(B), counting(A)) for B, A in factors(*sizes)]
    with watched() as seen:
        dense.merged(given, method, space)
    assert sum(naive(*sizes, method, space).values(), Counter()) == seen.calls


@pytest.mark.parametrize("sizes", SIZES.values(), ids=list(SIZES))
@pytest.mark.parametrize("space", ["core", "core, optimized"])
@pytest.mark.parametrize("method", METHODS)
def test_agree_with_ours_in_core_space(sizes, space, method):
    given = factors(*sizes)
    if method == "tsv" and len(set(sizes[2])) > 1:
        pytest.skip("with unequal ranks the paper's ⌊R / T⌋ takes null vectors")
    # the same number of triplets on both sides, out of a core of this size
    expected = cm.merge(given, "ta+iso" if method == "iso" else method).to_dense()
    ours = dense.merged(given, method, space)
    assert np.linalg.norm(ours - expected) <= 1e-12 * np.linalg.norm(expected)


@pytest.mark.parametrize("method", ["ta", "ties"])
@pytest.mark.parametrize("space", ["full", "knots"])
def test_agree_with_ours_in_other_spaces(space, method):
    given = factors(24, 24, (3, 3, 3))
    expected = cm.merge(given, method, space).to_dense()
    assert np.linalg.norm(dense.merged(given, method, space) - expected) <= 1e-12 * np.linalg.norm(expected)


def test_torch_gives_the_same():
    torch = pytest.importorskip("torch")
    given = factors(20, 31, (2, 2, 2))
    tensors = [(torch.from_numpy(B), torch.from_numpy(A)) for B, A in given]
    for method in METHODS:
        for space in ("core", "core, optimized", "full", "knots"):
            if method == "tsv" and space in ("full", "knots"):
                continue  # takes null vectors
            ours, theirs = dense.merged(given, method, space), dense.merged(tensors, method, space).numpy()
            if method == "iso" and space in ("full", "knots"):
                continue  # null vectors again: σ̄ P Qᵀ over all min(m, n)
            assert np.linalg.norm(ours - theirs) <= 1e-11 * np.linalg.norm(ours), (method, space)
