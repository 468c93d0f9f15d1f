"""Array entries that must be held at once, as plain functions of (m, n, ranks, space)."""

from collections.abc import Sequence

from benchmarks.complexity.counts import knots_rows


def inputs(m: int, n: int, ranks: Sequence[int]) -> int:
    """The factors of all tasks."""
    return (m + n) * sum(ranks)


def frames(m: int, n: int, ranks: Sequence[int], space: str) -> int:
    """U and V, each a product Q Z of a tall matrix and a small one; an identity takes nothing."""
    R = sum(ranks)
    p, q = min(m, R), min(n, R)
    return {"full": 0, "knots": (m + knots_rows(m, n, ranks)) * p, "core": (m + p) * p + (n + q) * q}[space]


def stack(m: int, n: int, ranks: Sequence[int], space: str) -> int:
    """The tasks' matrices in the space."""
    R = sum(ranks)
    p, q = {"full": (m, n), "knots": (knots_rows(m, n, ranks), n), "core": (min(m, R), min(n, R))}[space]
    return len(ranks) * p * q


def result(m: int, n: int, ranks: Sequence[int], space: str, dense: bool = False) -> int:
    """The merged update: factors where the space stays in them, else m × n."""
    R = sum(ranks)
    if dense or space == "full":
        return m * n
    p = knots_rows(m, n, ranks) if space == "knots" else min(m, R)
    return (m + n) * min(p, n, R)


def held(m: int, n: int, ranks: Sequence[int], space: str, algorithm: str = "ours", dense: bool = False) -> int:
    """The largest set of arrays that are needed at one time, temporaries of the size of one of them left out.

    Naive full space holds T dense updates, naive KnOTS their concatenation and its thin SVD as well. Orthogonally
    equivariant methods run in the core's frames even when asked for full space; those that do not are meant here.
    """
    R, T = sum(ranks), len(ranks)
    kept = inputs(m, n, ranks) + result(m, n, ranks, space, dense)
    if algorithm == "naive" and space == "knots":
        p = min(m, T * n)
        return kept + m * T * n + p * (m + T * n) + stack(m, n, ranks, space)
    if algorithm == "naive" and space == "core":  # per-task SVDs beside the bases
        bases = m * min(m, R) + n * min(n, R)
        return kept + (m + n) * R + bases + stack(m, n, ranks, space)
    return kept + frames(m, n, ranks, space) + stack(m, n, ranks, space)


def trimming(m: int, n: int, ranks: Sequence[int], space: str) -> int:
    """What TIES has beside `held` at its peak: six more arrays of the stack's size.

    Magnitudes, both ends of the interval that rounding leaves of each, the copy that is ordered, and the like.
    """
    return 6 * stack(m, n, ranks, space)
