"""What our algorithms call, as plain functions of (m, n, ranks, method, space, driver, how Cholesky-QR2 goes).

For updates B_t (m, r_t), A_t (r_t, n) and default parameters of the stages. How Cholesky-QR2 goes is the one thing that
depends on the entries and not on sizes alone, so it is told for either side. Tests compare these Counters, call for
call, with what a counting array namespace sees.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.complexity.calls import Call, calls
from coremerge_ref import Cart, IsoCts
from coremerge_ref.core.pipeline import as_pipeline
from coremerge_ref.core.stack import smaller, whole
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
    """The T matrices (p, q) that stages work on, and the tasks' ranks.

    `live` is (rows, cols) where those are Python ints. Where they are found out while computing, what depends on them
    has its largest shape.
    """

    p: int
    q: int
    ranks: tuple[int, ...]
    live: tuple[int, int] | None = None

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
        return most if self.live is None else max(1, min(k(smaller(*self.live)), most))


def ours(
    m: int,
    n: int,
    ranks: Sequence[int],
    method: str = "tsv",
    space: str = "core",
    driver: str = "auto",
    outcomes: Outcomes = (ONE, ONE),
) -> dict[str, Count]:
    """The calls of merge, result in factors where the space stays in them, by step: frames, encode, merge, decode.

    outcomes: how Cholesky-QR2 goes on either side, where it is tried; of a batch, how it goes for the worst layer.
    """
    pipeline, ranks = as_pipeline(method), tuple(ranks)
    free = pipeline.equivariance == ORTHOGONAL
    R = sum(ranks)
    passed = [fast(rows, R, driver, outcome) for rows, outcome in zip((m, n), outcomes, strict=True)]
    if space == "core" or (space == "full" and free):  # full space runs in the core's small frames where it may
        p, q = min(m, R), min(n, R)
        frames = stack_frame(m, ranks, driver, free, outcomes[0]) + stack_frame(n, ranks, driver, free, outcomes[1])
        sides = ((m, p, passed[0]), (n, q, passed[1]))
        decode = decoded(*sides) if p <= q else decoded(*reversed(sides))
        live = (m, n) if space == "full" else (R, R) if all(passed) else None
    elif space == "knots":
        outer, p, q, live = min(m, R), knots_rows(m, n, ranks), n, None
        frames = tucker(m, n, ranks, driver, outcomes)
        decode = calls(
            *[("matmul", (m, outer, p))] if p <= q else [("matmul", (outer, p, q)), ("matmul", (m, outer, q))]
        )
    else:
        p, q, live = m, n, (m, n)
        frames, decode = Counter(), Counter()
    encode = calls(*[("matmul", (p, r, q)) for r in ranks])
    sizes = Sizes(p, q, ranks, live)
    merge = sum((STAGES[stage.name](sizes, changed) for stage, changed in in_order(pipeline)), Counter())
    return {"frames": frames, "encode": encode, "merge": merge, "decode": decode}


def decoded(outer: tuple[int, int, bool], inner: tuple[int, int, bool]) -> Count:
    """U M Vᵀ in factors, from (rows, columns, fast) of either frame, the one of fewer columns first.

    Its Q is a factor as it is where it comes from Cholesky-QR2, since Z may go to the other one then.
    """
    (rows, a, whole_rank), (others, b, _) = outer, inner
    count = calls(("matmul", (a, a, b) if whole_rank else (rows, a, a)))
    return count + calls(("matmul", (b, b, a)), ("matmul", (others, b, a)))


def knots_rows(m: int, n: int, ranks: Sequence[int]) -> int:
    """How many directions KnOTS' frame has, found inside the core; min(m, R) unless ranks exceed n."""
    R = sum(ranks)
    return min(m, R, len(ranks) * min(n, R))


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


def tried(rows: int, R: int, driver: str) -> bool:
    """Whether Cholesky-QR2 of a stack (rows, R) is tried at all."""
    return driver in ("auto", "cholesky") and rows >= R


def fast(rows: int, R: int, driver: str, outcome: str) -> bool:
    """Whether Cholesky-QR2 gives the frame of a stack (rows, R), and with it its live size, R."""
    return tried(rows, R, driver) and outcome in PASSED


def cholesky_qr2(rows: int, R: int, outcome: str) -> Count:
    """One or two passes over a stack (rows, R), or as much of them as comes before a refusal."""
    if outcome not in PASSED + REFUSED:
        raise KeyError(outcome)
    count = calls(("matmul", (R, rows, R)))
    if outcome == UNDERFLOW:
        return count
    count += calls(("cholesky", (R,)))
    if outcome == INDEFINITE:
        return count
    count += calls(("inv", (R,)))
    if outcome == ONE:  # the stack itself is Q
        return count
    count += calls(("matmul", (rows, R, R)), ("matmul", (R, rows, R)))
    if outcome == FAR:
        return count
    return count + calls(
        ("cholesky", (R,)), ("inv", (R,)), ("matmul", (R, R, R)),
        ("matmul", (R, R, R)), *2 * [("matmul", (rows, R, 4))], ("matmul", (R, R, 4)),  # the proof
    )  # fmt: skip


def stack_frame(rows: int, columns: Sequence[int], driver: str, any_frame: bool, outcome: str = ONE) -> Count:
    """An orthonormal frame Q Z, left as a product, and coordinates C of [X_1 … X_T], X_t (rows, columns[t])."""
    R = sum(columns)
    p = min(rows, R)
    count: Count = Counter()
    if tried(rows, R, driver):
        count += cholesky_qr2(rows, R, outcome)
    proven = fast(rows, R, driver, outcome)
    if not proven:
        if driver == "svd":
            count += calls(("svd", tall(rows, R)))
        elif rows > R:  # else the identity is a frame of all there is
            count += calls(("qr", (rows, R)))
        count += calls(("svd", tall(p, R)), ("matmul", (p, p, R)))  # which directions are live
    if not any_frame:
        if not proven:
            count += calls(("qr", (R, p)), ("argsort", (p,)))  # live directions go first
        count += calls(("svd", (p, p)), ("matmul", (p, p, p)), ("matmul", (p, p, R)))
    return count


def tucker(m: int, n: int, ranks: Sequence[int], driver: str, outcomes: Outcomes = (ONE, ONE)) -> Count:
    """Both Tucker frames, found inside the core."""
    T, R = len(ranks), sum(ranks)
    p, q = min(m, R), min(n, R)
    count = stack_frame(m, ranks, driver, True, outcomes[0]) + stack_frame(n, ranks, driver, True, outcomes[1])
    count += calls(*[("matmul", (p, r, q)) for r in ranks])
    for a, b in ((p, q), (q, p)):
        k = min(a, T * b)
        count += stack_frame(a, [b] * T, "qr", False)
        count += calls(("matmul", (a, k, k)), ("matmul", (a, a, k)), *[("matmul", (k, a, r)) for r in ranks])
    return count


def _nothing(sizes: Sizes, changed: bool) -> Count:
    return Counter()


def _iso(sizes: Sizes, changed: bool) -> Count:
    p, q = sizes.p, sizes.q
    return calls(("svd", tall(p, q)), ("matmul", (p, sizes.least, q)))


def _ties(sizes: Sizes, changed: bool) -> Count:
    return calls(("sort" if sizes.live is None else "partition", (sizes.p * sizes.q,), sizes.T))


def triplets(sizes: Sizes, changed: bool) -> tuple[Count, int]:
    """SVDs of all tasks, from their factors while nothing has changed them; and how many triplets each has."""
    p, q, T, s = sizes.p, sizes.q, sizes.T, max(sizes.ranks)
    if changed or s >= sizes.least:
        return calls(("svd", tall(p, q), T)), sizes.least
    if len(set(sizes.ranks)) == 1:
        return _product_svd(p, q, s, T), s
    return sum((_product_svd(p, q, r, 1) for r in sizes.ranks), Counter()), s


def _product_svd(p: int, q: int, r: int, T: int) -> Count:
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
    s = sizes.kept(lambda least: whole(least * Cart().fraction, "ceil"), sizes.least)
    return calls(("svd", tall(p, q), T), ("matmul", (p, s, q), T))


def _iso_cts(sizes: Sizes, changed: bool) -> Count:
    p, q, T = sizes.p, sizes.q, sizes.T
    common, each = (sizes.kept(lambda least, i=i: IsoCts().counts(least, T)[i], sizes.least) for i in range(2))
    count = calls(("svd", tall(p, q)), ("svd", tall(p, q), T))
    count += calls(("matmul", (common, p, q), T), ("matmul", (p, common, q), T))
    return count + orthogonalized(p, q, common + T * each)


def _drm(sizes: Sizes, changed: bool) -> Count:
    p, q, T = sizes.p, sizes.q, sizes.T
    k = min(p, T * q)
    svd = calls(("svd", tall(p, T * q)), ("matmul", (k, p, q), T))
    return svd + calls(("sort", (T * k * q,)), ("matmul", (p, k, q)))


STAGES: dict[str, Callable[[Sizes, bool], Count]] = {
    "ta": _nothing, "mean": _nothing, "dare": _nothing, "trim": _ties, "ties": _ties, "iso": _iso,
    "tsv": _tsv, "cart": _cart, "iso_cts": _iso_cts, "drm": _drm,
}  # fmt: skip
