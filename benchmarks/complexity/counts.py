"""What our algorithms call, as plain functions of (m, n, ranks, method, space, driver).

For generic updates, whose stacks have full rank and no accidents: B_t (m, r_t), A_t (r_t, n), default parameters of the
stages. Tests compare these Counters, call for call, with what a counting array namespace sees.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.complexity.calls import Call, calls
from coremerge_ref import Cart, IsoCts
from coremerge_ref.pipeline import as_pipeline
from coremerge_ref.stack import smaller, whole
from coremerge_ref.stages.base import ORTHOGONAL

Count = Counter[Call]


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
    m: int, n: int, ranks: Sequence[int], method: str = "tsv", space: str = "core", driver: str = "auto"
) -> dict[str, Count]:
    """The calls of merge, result in factors where the space stays in them, by step: frames, encode, merge, decode."""
    pipeline, ranks = as_pipeline(method), tuple(ranks)
    free = pipeline.equivariance == ORTHOGONAL
    R = sum(ranks)
    live = None
    if space == "core" or (space == "full" and free):  # full space runs in the core's small frames where it may
        p, q = min(m, R), min(n, R)
        frames = stack_frame(m, ranks, driver, free) + stack_frame(n, ranks, driver, free)
        decode = calls(("matmul", (p, q, n) if p <= q else (m, p, q)))
        live = (m, n) if space == "full" else None
    elif space == "knots":
        p, q = min(m, R), n
        frames, decode = tucker(m, n, ranks, driver), Counter()
    else:
        p, q, live = m, n, (m, n)
        frames, decode = Counter(), Counter()
    encode = calls(*[("matmul", (p, r, q)) for r in ranks])
    sizes = Sizes(p, q, ranks, live)
    merge = sum((STAGES[stage.name](sizes, changed) for stage, changed in in_order(pipeline)), Counter())
    return {"frames": frames, "encode": encode, "merge": merge, "decode": decode}


def in_order(pipeline: Any) -> list[tuple[Any, bool]]:
    """The stages, and whether a stage before each has changed the tasks' matrices."""
    return [(s, any(b.kind == "transform" for b in pipeline.stages[:i])) for i, s in enumerate(pipeline.stages)]


def dense(m: int, n: int, ranks: Sequence[int], space: str = "core") -> Count:
    """The calls of to_dense on a merged update of `space`, itself in factors."""
    R = sum(ranks)
    return calls(("matmul", (m, min(m, R) if space == "knots" else min(m, n, R), n)))


def tall(a: int, b: int) -> tuple[int, int]:
    """The shape an SVD is taken of: a wide matrix goes through its transpose."""
    return max(a, b), min(a, b)


def stack_frame(rows: int, columns: Sequence[int], driver: str, any_frame: bool) -> Count:
    """An orthonormal frame of [X_1 … X_T], X_t (rows, columns[t])."""
    R = sum(columns)
    p = min(rows, R)
    proven = driver in ("auto", "cholesky") and rows >= R
    if proven:
        count = calls(
            *2 * [("matmul", (R, rows, R)), ("cholesky", (R,)), ("inv", (R,)), ("matmul", (rows, R, R))],
            ("matmul", (R, R, R)),
            *2 * [("matmul", (rows, R, 4))],
            ("matmul", (R, R, 4)),
        )
    else:
        count = calls(("svd", tall(rows, R)) if driver == "svd" else ("qr", (rows, R)))
        if driver != "svd" and rows <= R:  # the identity is a frame of all there is
            count = Counter()
        count += calls(("svd", tall(p, R)), ("matmul", (p, p, R)))  # which directions are live
    if not any_frame:
        count += calls(("svd", tall(p, R)), ("matmul", (p, p, R)), *[("matmul", (p, p, p))] * (not proven))
    if not (proven and any_frame):
        count += calls(("matmul", (rows, p, p)))
    return count


def tucker(m: int, n: int, ranks: Sequence[int], driver: str) -> Count:
    """Both Tucker frames, found inside the core."""
    T, R = len(ranks), sum(ranks)
    p, q = min(m, R), min(n, R)
    count = stack_frame(m, ranks, driver, True) + stack_frame(n, ranks, driver, True)
    count += calls(*[("matmul", (p, r, q)) for r in ranks])
    for rows, a, b in ((m, p, q), (n, q, p)):
        count += stack_frame(a, [b] * T, "qr", False)
        count += calls(("matmul", (rows, a, min(a, T * b))), *[("matmul", (min(a, T * b), a, r)) for r in ranks])
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
