"""The paper's table 1 comes out of the counts, and what it leaves out."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

import coremerge_ref as cm
from benchmarks.complexity import counts, leading, memory
from benchmarks.complexity.calls import Call, calls, flops, total
from benchmarks.complexity.counting import counting, watched
from benchmarks.complexity.naive import naive
from coremerge_ref.core.inputs import as_updates
from coremerge_ref.core.merging import Prepared
from coremerge_ref.core.pipeline import as_pipeline
from coremerge_ref.core.spaces import as_space


def leading_ours(method, **how):
    return leading.written(leading.leading(leading.ours(method, **how)))


@pytest.mark.parametrize(("space", "method"), list(leading.TABLE1))
def test_table_1_is_recovered(space, method):
    """Each term it lists leads some step of the algorithm, and together they bound every step."""
    steps = leading.steps(method, space, paper_svd=True)
    entry = leading.TABLE1[space, method]
    of_steps = set().union(*steps.values())
    assert entry <= of_steps
    assert all(any(leading.dominates(big, term) for big in entry) for term in of_steps)


def test_what_the_table_leaves_out():
    def whole(method, space):
        return leading.written(leading.leading(set().union(*leading.steps(method, space).values())))

    assert whole("ties", "full") == whole("dare", "full") == "n²Tr"
    assert whole("cart", "full") == "n³T"
    assert whole("ties", "knots") == whole("dare", "knots") == whole("cart", "knots") == "n³T"  # thin SVD: not n³T²
    assert whole("ties", "core") == whole("dare", "core") == "n²Tr"
    assert whole("cart", "core") == "n²Tr + T⁴r³"


def test_ours_as_factors_has_no_n_squared():
    """Iso, TA, DARE, TIES and CART as factors; T⁴r³ is CART's alone, since its deviations have rank R."""
    for outcome in (*counts.PASSED, counts.FAR):
        for method in ("iso", "ties", "dare", "tsv"):
            assert leading_ours(method, outcomes=(outcome, outcome)) == "nT²r²", method
    assert leading_ours("ta") == leading_ours("mean") == "0"  # factors side by side, no product at all
    assert leading_ours("cart") == "nT²r² + T⁴r³"
    assert leading_ours("tsv", dense=True) == "n²Tr"
    assert leading_ours("tsv", space="full") == "nT²r²"  # runs in the core's frames
    assert leading_ours("ties", space="full") == "n²Tr"


def test_ours_costs_this_many_flops():
    """The leading coefficient: on either side one Gram product, or two and one multiplication by L⁻ᵀ; decode."""
    one, two = counts.ONE, counts.TWO
    assert leading.ours("iso")[1, 2, 2] == 2 * (2 * 2 + 2) + 2
    assert leading.ours("iso", outcomes=(two, one))[1, 2, 2] == leading.ours("iso", outcomes=(one, two))[1, 2, 2] == 10
    assert leading.ours("iso", outcomes=(one, one))[1, 2, 2] == 2 * 2 + 2


def test_memory():
    def of(space, algorithm, dense=True):
        return leading.written(leading.leading(leading.memory_of(space, algorithm, dense=dense)))

    assert of("full", "naive") == "n²T"
    assert of("knots", "naive") == "n²T"
    assert of("core", "naive") == "n² + T³r²"
    assert of("core", "ours", dense=False) == "nTr + T³r²"


@pytest.mark.parametrize(
    "sizes", [(30, 40, (2, 3, 2)), (8, 6, (3, 3, 3)), (30, 2, (4, 4))], ids=["generic", "wide stacks", "ranks beyond n"]
)
@pytest.mark.parametrize("space", ["core", "knots", "full"])
def test_arrays_have_the_size_that_memory_says(space, sizes):
    m, n, ranks = sizes
    rng = np.random.default_rng(0)
    updates = as_updates([(rng.standard_normal((m, r)), rng.standard_normal((r, n))) for r in ranks])
    pipeline = as_pipeline("ties")
    frames, core = Prepared(updates, as_space(space)).encoded(pipeline)
    sides = [side for side in (frames.left, frames.right) if side.Q is not None]
    found = sum(side.Q.size + side.Z.size for side in sides)
    assert found == memory.frames(m, n, ranks, space)
    assert core.M.size == memory.stack(m, n, ranks, space)
    merged = cm.merge(updates, pipeline, space)
    size = merged.matrix.size if space == "full" else merged.B.size + merged.A.size
    assert size == memory.result(m, n, ranks, space)
    assert sum(u.B.size + u.A.size for u in updates) == memory.inputs(m, n, ranks)


@pytest.mark.parametrize("space", ["core", "knots", "full"])
@pytest.mark.parametrize("method", ["ta", "tsv", "ties"])
def test_peak_is_about_what_must_be_held(space, method):
    m, n, ranks = 300, 400, (4, 4, 4)
    rng = np.random.default_rng(0)
    given = [(counting(rng.standard_normal((m, r))), counting(rng.standard_normal((r, n)))) for r in ranks]
    with watched() as seen:
        cm.merge(given, method, space)
    where = "core" if method != "ties" and space == "full" else space
    temporary = memory.trimming(m, n, ranks, where) if method == "ties" else 0
    # a plain sum has no frames: its factors side by side are all
    must = memory.inputs(m, n, ranks) if method == "ta" else memory.held(m, n, ranks, where) + temporary
    assert 0.5 * must <= seen.peak <= 1.5 * must


def test_polynomials_are_exact():
    def value(n, r, T):
        return total(sum(naive(n, n, (r,) * T, "tsv", "core").values(), Counter()))

    found = leading.polynomial(value)
    for n, r, T in ((4500, 75, 5), (9000, 200, 12), (6000, 25, 7)):
        assert sum(c * n**a * r**b * T**d for (a, b, d), c in found.items()) == value(n, r, T)


def test_counts_by_hand():
    assert counts.dense(30, 40, (2, 3)) == calls(("matmul", (30, 5, 40)))
    assert not sum(counts.ours(30, 40, (2, 3), "ta").values(), Counter())
    assert counts.ours(4, 40, (2, 3), "ta")["merge"] == calls(("matmul", (4, 2, 40)), ("matmul", (4, 3, 40)))
    steps = counts.ours(30, 40, (2, 3), "iso", outcomes=(counts.UNDERFLOW, counts.UNDERFLOW))
    assert steps["decode"] == calls(("matmul", (30, 5, 5)), ("matmul", (5, 5, 5)), ("matmul", (5, 5, 40)))
    assert steps["frames"] == calls(
        ("qr", (30, 5)), ("qr", (40, 5)), *2 * [("svd", (5, 5))], *4 * [("matmul", (5, 5, 5))],
        ("matmul", (5, 30, 5)), ("matmul", (5, 40, 5)), *2 * [("cholesky", (5,))], *2 * [("inv", (5,))],
    )  # fmt: skip
    steps = counts.ours(30, 40, (2, 3), "iso", outcomes=(counts.TWO, counts.ONE))
    assert steps["decode"] == calls(*2 * [("matmul", (5, 5, 5))], ("matmul", (5, 5, 40)))
    assert steps["frames"] == calls(
        *2 * [("matmul", (5, 30, 5))], ("matmul", (30, 5, 5)), *2 * [("matmul", (30, 5, 4))], ("matmul", (5, 5, 4)),
        *5 * [("matmul", (5, 5, 5))], ("matmul", (5, 40, 5)), *3 * [("cholesky", (5,))], *3 * [("inv", (5,))],
    )  # fmt: skip
    assert flops(Call("matmul", (2, 3, 4), 5)) == 2 * 2 * 3 * 4 * 5
    assert flops(Call("qr", (7, 4))) == Fraction(4 * 7 * 16) - Fraction(4 * 64, 3)
    assert flops(Call("svd", (7, 4))) == flops(Call("svd", (4, 7))) == 6 * 7 * 16 + 20 * 64
    assert flops(Call("svd_columns", (4, 7))) == 6 * 4 * 49
    assert total(calls(("partition", (10,), 3))) == 30
    with pytest.raises(KeyError):
        flops(Call("fft", (3,)))
