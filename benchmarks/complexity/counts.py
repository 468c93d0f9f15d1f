"""What our algorithms call, as plain functions of (m, n, ranks, method, space, how Cholesky-QR2 goes).

For updates B_t (m, r_t), A_t (r_t, n) and default parameters of the stages. How Cholesky-QR2 goes is the one thing that
depends on the entries and not on sizes alone, so it is told for either side. Tests compare these Counters, call for
call, with what a counting array namespace sees.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.complexity.calls import Call, calls
from coremerge_ref import Cart, IsoCts
from coremerge_ref.core.pipeline import as_pipeline
from coremerge_ref.methods.base import ORTHOGONAL

Count = Counter[Call]

# How Cholesky-QR2 of a tall stack goes: one pass where it is well conditioned, two where it is less so. It refuses, and
# Householder's QR follows, where squares underflow, where the Gram matrix has no Cholesky factor, and where the first
# pass leaves the columns far from orthonormal. (A second pass that fails its proof, as rounding forbids, is left out.)
ONE, TWO = PASSED = ("one", "two")
UNDERFLOW, INDEFINITE, FAR = REFUSED = ("underflow", "indefinite", "far")
Outcomes = tuple[str, str]  # of the stack of the B_t, and of the stack of the A_tᵀ


@dataclass(frozen=True)
class Sizes:
    """The T matrices (p, q) that stages work on, the tasks' ranks, and how many rows and columns are live."""

    p: int
    q: int
    ranks: tuple[int, ...]
    live: tuple[int, int]

    @property
    def T(self) -> int:
        """How many tasks."""
        return len(self.ranks)

    @property
    def least(self) -> int:
        """min(p, q)."""
        return min(self.p, self.q)

    def kept(self, k: Callable[[int], int], most: int) -> int:
        """How many triplets a cut at k(live size) leaves in the arrays, of `most`."""
        return max(1, min(k(min(self.live)), most))


def ours(
    m: int,
    n: int,
    ranks: Sequence[int],
    method: str = "tsv",
    space: str = "core",
    outcomes: Outcomes = (ONE, ONE),
) -> dict[str, Count]:
    """The calls of merge, result in factors where the space stays in them, by step: frames, encode, merge, decode.

    outcomes: how Cholesky-QR2 goes on either side, where it is tried; of a batch, how it goes for the worst layer.
    """
    pipeline, ranks = as_pipeline(method), tuple(ranks)
    free = pipeline.equivariance == ORTHOGONAL
    R = sum(ranks)
    if pipeline.linear:  # no frames at all
        summed = Counter() if R <= min(m, n) else calls(*[("matmul", (m, r, n)) for r in ranks])
        return {"frames": Counter(), "encode": Counter(), "merge": summed, "decode": Counter()}
    passed = [fast(rows, R, outcome) for rows, outcome in zip((m, n), outcomes, strict=True)]
    lost = [int(tried(rows, R) and outcome == INDEFINITE) for rows, outcome in zip((m, n), outcomes, strict=True)]
    if space == "core" or (space == "full" and free):  # full space runs in the core's small frames where it may
        p, q = min(m, R), min(n, R)
        frames = stack_frame(m, ranks, free, outcomes[0]) + stack_frame(n, ranks, free, outcomes[1])
        sides = ((m, p, passed[0]), (n, q, passed[1]))
        decode = decoded(*sides, rows=True) if p <= q else decoded(*reversed(sides), rows=False)
        live = (m, n) if space == "full" else (p - lost[0], q - lost[1])
    elif space == "knots":
        outer, p, q = min(m, R), knots_rows(m, n, ranks), n
        live = (p - max(lost), q)
        frames = knots(m, n, ranks, outcomes)
        decode = calls(
            *[("matmul", (m, outer, p))] if p <= q else [("matmul", (outer, p, q)), ("matmul", (m, outer, q))]
        )
    else:
        p, q, live = m, n, (m, n)
        frames, decode = Counter(), Counter()
    equal = len(set(ranks)) == 1  # then one product of all tasks
    encode = calls(*([("matmul", (p, ranks[0], q), len(ranks))] if equal else [("matmul", (p, r, q)) for r in ranks]))
    sizes = Sizes(p, q, ranks, live)
    merge = sum((STAGES[stage.name](sizes, changed) for stage, changed in in_order(pipeline)), Counter())
    return {"frames": frames, "encode": encode, "merge": merge, "decode": decode}


def decoded(outer: tuple[int, int, bool], inner: tuple[int, int, bool], rows: bool) -> Count:
    """U M Vᵀ in factors, from (size, columns, fast) of either frame, the one of fewer columns first.

    Its Q is a factor as it is where it comes from Cholesky-QR2, since Z may go to the other one then. rows: the inner
    frame is V, whose factor is made row by row.
    """
    (size, a, whole_rank), (other, b, _) = outer, inner
    count = calls(("matmul", (a, a, b) if whole_rank else (size, a, a)))
    return count + calls(*(("matmul", shape if not rows else shape[::-1]) for shape in ((b, b, a), (other, b, a))))


def knots_rows(m: int, n: int, ranks: Sequence[int]) -> int:
    """How many directions KnOTS' frame has, found inside the core; min(m, R) unless ranks exceed n."""
    R = sum(ranks)
    return min(m, R, sum(min(r, m, n) for r in ranks))


def in_order(pipeline: Any) -> list[tuple[Any, bool]]:
    """The stages, and whether a stage before each has changed the tasks' matrices."""
    return [(s, any(b.kind == "transform" for b in pipeline.stages[:i])) for i, s in enumerate(pipeline.stages)]


def dense(m: int, n: int, ranks: Sequence[int], space: str = "core") -> Count:
    """The calls of to_dense on a merged update of `space`, itself in factors."""
    p = knots_rows(m, n, ranks) if space == "knots" else min(m, sum(ranks))
    return calls(("matmul", (m, min(p, n, sum(ranks)), n)))


def tall(a: int, b: int) -> tuple[int, int]:
    """The shape an SVD is taken of: a wide matrix goes through its transpose."""
    return max(a, b), min(a, b)


def tried(rows: int, R: int) -> bool:
    """Whether Cholesky-QR2 of a stack (rows, R) is tried at all."""
    return rows >= R


def fast(rows: int, R: int, outcome: str) -> bool:
    """Whether Cholesky-QR2 gives the frame of a stack (rows, R), and with it its live size, R."""
    return tried(rows, R) and outcome in PASSED


def cholesky_qr2(rows: int, R: int, outcome: str) -> Count:
    """One or two passes over a stack (rows, R), or as much of them as comes before a refusal."""
    if outcome not in PASSED + REFUSED:
        raise KeyError(outcome)
    count = calls(("matmul", (R, rows, R)), ("cholesky", (R,)))
    if outcome == INDEFINITE:  # where the library says so
        return count
    count += calls(("inv", (R,)), ("matmul", (R, R, R)))  # that it is a factor
    if outcome in (ONE, UNDERFLOW):  # the stack itself is Q, or the look at all this refuses it
        return count
    return count + calls(
        ("matmul", (rows, R, R)), ("matmul", (R, rows, R)), ("cholesky", (R,)),
        ("matmul", (R, R, R)), ("inv", (R,)), ("matmul", (R, R, R)),
        ("matmul", (R, R, R)), *2 * [("matmul", (rows, R, 4))], ("matmul", (R, R, 4)),  # the proof
    )  # fmt: skip


def stack_frame(rows: int, columns: Sequence[int], any_frame: bool, outcome: str = ONE) -> Count:
    """An orthonormal frame Q Z, left as a product, and coordinates C of [X_1 … X_T], X_t (rows, columns[t])."""
    R = sum(columns)
    p = min(rows, R)
    count: Count = Counter()
    if tried(rows, R):
        count += cholesky_qr2(rows, R, outcome)
    proven = fast(rows, R, outcome)
    if not proven:
        if rows > R:  # else the identity is a frame of all there is
            count += calls(("qr", (rows, R)))
        count += calls(("svd", tall(p, R)), ("matmul", (p, p, R)))  # which directions are live
    if not any_frame:
        if not proven:
            count += calls(("qr", (R, p)), ("argsort", (p,)))  # live directions go first
        count += calls(("svd", (p, p)), ("matmul", (p, p, p)), ("matmul", (p, p, R)))
    return count


def knots(m: int, n: int, ranks: Sequence[int], outcomes: Outcomes = (ONE, ONE)) -> Count:
    """The left Tucker frame, found inside the core from the singular triplets of every task."""
    R = sum(ranks)
    p, q = min(m, R), min(n, R)
    count = stack_frame(m, ranks, True, outcomes[0]) + stack_frame(n, ranks, True, outcomes[1])
    count += sum((_product_svd(p, q, r, 1) for r in ranks), Counter())
    columns = [min(r, p, q) for r in ranks]
    met = [outcome for rows, outcome in zip((m, n), outcomes, strict=True) if tried(rows, R)]
    # the triplets of a task are orthonormal however its factors are; they keep its size, and are zero where it has none
    inner = next((outcome for outcome in (INDEFINITE, UNDERFLOW) if outcome in met), ONE)
    count += stack_frame(p, columns, False, inner)
    S = sum(columns)
    k, width = min(p, S), S if fast(p, S, inner) or p > S else p
    count += calls(("matmul", (p, width, k)), ("matmul", (p, p, k)), *[("matmul", (k, p, r)) for r in ranks])
    return count


def _nothing(sizes: Sizes, changed: bool) -> Count:
    return Counter()


def _iso(sizes: Sizes, changed: bool) -> Count:
    p, q = sizes.p, sizes.q
    return calls(("svd", tall(p, q)), ("matmul", (p, sizes.least, q)))


def _ties(sizes: Sizes, changed: bool) -> Count:
    return calls(("partition", (sizes.p * sizes.q,), sizes.T))


def triplets(sizes: Sizes, changed: bool) -> tuple[Count, int]:
    """SVDs of all tasks, from their factors while nothing has changed them; and how many triplets each has."""
    p, q, T, s = sizes.p, sizes.q, sizes.T, max(sizes.ranks)
    if changed:
        return calls(("svd", tall(p, q), T)), sizes.least
    if len(set(sizes.ranks)) == 1:
        return _product_svd(p, q, s, T), min(s, sizes.least)
    return sum((_product_svd(p, q, r, 1) for r in sizes.ranks), Counter()), min(s, sizes.least)


def _product_svd(p: int, q: int, r: int, T: int) -> Count:
    if r > min(p, q) or p == q == r:
        return calls(("matmul", (p, r, q), T), ("svd", tall(p, q), T))
    return calls(
        ("qr", (p, r), T), ("qr", (q, r), T), ("matmul", (r, r, r), T), ("svd", (r, r), T),
        ("matmul", (p, r, r), T), ("matmul", (r, r, q), T),
    )  # fmt: skip


def orthogonalized(p: int, q: int, columns: int) -> Count:
    """polar(U) diag(S) polar(V)ᵀ for U (p, columns), V (q, columns)."""
    polars = [("svd", tall(rows, columns)) for rows in (p, q)]
    products = [("matmul", (rows, min(rows, columns), columns)) for rows in (p, q)]
    return calls(*polars, *products, ("matmul", (p, columns, q)))


def _tsv(sizes: Sizes, changed: bool) -> Count:
    count, s = triplets(sizes, changed)
    return count + orthogonalized(sizes.p, sizes.q, sizes.T * sizes.kept(lambda least: least // sizes.T, s))


def _cart(sizes: Sizes, changed: bool) -> Count:
    p, q, T = sizes.p, sizes.q, sizes.T
    if T == 2:  # the mean
        return Counter()
    s = sizes.kept(lambda least: math.ceil(least * Cart().fraction), sizes.least)
    return calls(("svd", tall(p, q), T), ("matmul", (p, s, q), T))


def _iso_cts(sizes: Sizes, changed: bool) -> Count:
    p, q, T = sizes.p, sizes.q, sizes.T
    common, each = (
        sizes.kept(lambda least, i=i: int(IsoCts().counts(np.asarray(float(least)), T)[i]), sizes.least)
        for i in range(2)
    )
    count = calls(("svd", tall(p, q)), ("svd", tall(p, q), T))
    count += calls(("matmul", (common, p, q), T), ("matmul", (p, common, q), T))
    return count + orthogonalized(p, q, common + T * each)


def _drm(sizes: Sizes, changed: bool) -> Count:
    p, q, T = sizes.p, sizes.q, sizes.T
    k = min(p, T * q)
    svd = calls(("svd", tall(p, T * q)), ("matmul", (k, p, q), T))
    return svd + calls(("partition", (T * k * q,)), ("matmul", (p, k, q)))


STAGES: dict[str, Callable[[Sizes, bool], Count]] = {
    "ta": _nothing, "mean": _nothing, "dare": _nothing, "trim": _ties, "ties": _ties, "iso": _iso,
    "tsv": _tsv, "cart": _cart, "iso_cts": _iso_cts, "drm": _drm,
}  # fmt: skip
