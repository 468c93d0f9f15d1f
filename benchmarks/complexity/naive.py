"""What the algorithms that the paper analyses call, as plain functions of (m, n, ranks, method, space).

`benchmarks.dense` are those algorithms; tests compare these Counters with what is seen of them. The steps are
form (dense updates), frames (bases), encode, merge, decode. All end in the m × n matrix, as in the paper; DARE needs
what `ta` needs besides its random numbers.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from benchmarks.complexity.calls import Call, calls

Count = Counter[Call]
STEPS = ("form", "frames", "encode", "merge", "decode")


def naive(m: int, n: int, ranks: Sequence[int], method: str, space: str) -> dict[str, Count]:
    """The calls by step; space "full", "knots", "core" (section 4.1) or "core, optimized"."""
    T, R = len(ranks), sum(ranks)
    form = calls(*[("matmul", (m, r, n)) for r in ranks])
    merge = MERGES[method]
    if space == "full":
        return {"form": form, "merge": merge(T, m, n)}
    if space == "knots":
        p = min(m, R)
        frames = calls(("svd", (m, T * n)))
        decode = calls(("matmul", (m, p, n)))
        merged = merge(1, m, n) if method == "iso" else merge(T, p, n)
        return {"form": form, "frames": frames, "merge": merged, "decode": decode}
    p, q = min(m, R), min(n, R)
    frames = calls(("svd", (m, R)), ("svd", (R, n)))
    encode: Count = Counter()
    for r in ranks:
        if space == "core":
            frames += calls(("svd", (m, r)), ("svd", (r, n)))
            encode += calls(
                ("matmul", (r, r, r)), ("matmul", (p, m, r)), ("matmul", (r, n, q)),
                ("matmul", (p, r, r)), ("matmul", (p, r, q)),
            )  # fmt: skip
        else:
            encode += calls(("matmul", (p, m, r)), ("matmul", (r, n, q)), ("matmul", (p, r, q)))
    decode = calls(("matmul", (m, p, q)), ("matmul", (m, q, n)))
    return {"frames": frames, "encode": encode, "merge": merge(T, p, q), "decode": decode}


def _ta(T: int, p: int, q: int) -> Count:
    return Counter()


def _iso(T: int, p: int, q: int) -> Count:
    return calls(("svd", (p, q)), ("matmul", (p, min(p, q), q)))


def _tsv(T: int, p: int, q: int) -> Count:
    K = T * (min(p, q) // T)
    count = calls(*T * [("svd", (p, q))], ("svd", (p, K)), ("svd", (K, q)))
    return count + calls(("matmul", (p, K, K)), ("matmul", (K, K, q)), ("matmul", (p, K, q)))


def _ties(T: int, p: int, q: int) -> Count:
    return calls(("partition", (p * q,), T))


def _cart(T: int, p: int, q: int) -> Count:
    return calls(*T * [("svd", (p, q)), ("matmul", (p, -int(-min(p, q) * 0.04 // 1), q))])


MERGES: dict[str, Callable[[int, int, int], Count]] = {
    "ta": _ta, "dare": _ta, "iso": _iso, "tsv": _tsv, "ties": _ties, "cart": _cart,
}  # fmt: skip
