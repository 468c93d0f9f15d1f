"""Layers as large as people's, merged in float32: what explain says of the arithmetic is neither false nor idle."""

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.analysis.explain.explanation import Bound, Explanation
from coremerge_ref.core.stages import STAGES
from coremerge_ref.testing import orthonormal

Adapters = list[tuple[np.ndarray, np.ndarray]]
SIZE, RANK, TASKS = 4096, 8, 3


@pytest.fixture(scope="module")
def adapters() -> Adapters:
    """With singular values over three decades, as SVDs leave them (PiSSA, extract, resize)."""
    rng, root = np.random.default_rng(5), 10.0 ** (-1.5 * np.arange(RANK) / (RANK - 1))
    sides = [(orthonormal(rng, SIZE, RANK) * root, orthonormal(rng, SIZE, RANK) * root) for _ in range(TASKS)]
    return [(B.astype(np.float32), np.ascontiguousarray(A.T.astype(np.float32))) for B, A in sides]


def moved(adapters: Adapters, method: str) -> float:
    """How far float32 is from float64, relative: of the factors' inner products, no matrix of 4096² is formed."""
    pipeline = cm.Pipeline.parse(method)
    one, other = (cm.merge(adapters, pipeline, compute_dtype=f"float{n}", out_dtype="float64") for n in (32, 64))
    difference = np.concatenate([one.B, -other.B], axis=1), np.concatenate([one.A, other.A])
    change, size = (
        np.linalg.norm(np.linalg.qr(B)[1] @ np.linalg.qr(A.T)[1].T) for B, A in (difference, (other.B, other.A))
    )
    return float(change / size)


def bound_of(adapters: Adapters, method: str) -> Bound:
    found = cm.explain(adapters, method, compute_dtype="float32")
    assert isinstance(found, Explanation)
    return found.bound


@pytest.mark.parametrize("method", sorted(name for name, stage in STAGES.items() if stage.linear))
def test_scalar_weighted_sums_are_made_without_a_frame_whatever_the_size(adapters: Adapters, method: str) -> None:
    """Bounds refer to the sum over three tasks, not to 4096 terms."""
    bound = bound_of(adapters, method)
    assert bound.verdict == "well-posed"
    assert bound.growth == TASKS / 2 + 8
    error = moved(adapters, method)
    assert error <= bound.relative < 1e-5
    assert error < 1e-7


@pytest.mark.parametrize("method", ["iso", "tsv", "tsv+iso", "karcher", "karcher+iso", "cart"])
def test_small_singular_values_do_not_make_arithmetic_ill_posed(adapters: Adapters, method: str) -> None:
    """Sums of 4096 terms multiply what they are sums for; within the space they have 24. All of it as one absolute
    error would be larger than the smallest singular values, a thousandth of the largest."""
    bound = bound_of(adapters, method)
    assert bound.growth == SIZE / 2 + 8
    assert bound.verdict == "sensitive", bound.reason
    error = moved(adapters, method)
    assert error <= bound.relative < 0.1
    assert error < 2e-5
