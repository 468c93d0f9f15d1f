"""One measurement of the sweeps, what the counts say of it, and the grid of all of them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.complexity import counts
from benchmarks.complexity.calls import total
from benchmarks.complexity.naive import naive

OURS, OURS_DENSE, OURS_KNOTS, OURS_FULL = OURS_SPACES = ("ours, factors", "ours, dense", "ours, KnOTS", "ours, full")
PUBLISHED = ("core", "core, optimized", "knots", "full")
ALGORITHMS = (*OURS_SPACES, *PUBLISHED)
AXES = ("n", "r", "T")

Sizes = tuple[int, int, tuple[int, ...]]  # m, n, ranks
SQUARE, QUARTER, UNEQUAL, BEYOND = "n × n", "n/4 × n", "ranks r/2, r, 3r/2", "rT > n"
SHAPES: Mapping[str, Callable[[int, int, int], Sizes]] = {
    SQUARE: lambda n, r, T: (n, n, (r,) * T),
    QUARTER: lambda n, r, T: (n // 4, n, (r,) * T),
    UNEQUAL: lambda n, r, T: (n, n, tuple((r // 2, r, 3 * r // 2)[t % 3] for t in range(T))),
    BEYOND: lambda n, r, T: (n, n, (r,) * T),
}


@dataclass(frozen=True, order=True)
class Point:
    """One measurement: T tasks of rank r on a layer of width n, by shape as SHAPES makes of them."""

    axis: str
    method: str
    algorithm: str
    shape: str
    n: int
    r: int
    T: int

    @property
    def at(self) -> int:
        """The value on the axis that is swept."""
        return getattr(self, self.axis)

    @property
    def line(self) -> tuple[str, ...]:
        """What all points of its line have in common."""
        return self.axis, self.method, self.algorithm, self.shape

    @property
    def sizes(self) -> Sizes:
        """m, n, ranks."""
        return SHAPES[self.shape](self.n, self.r, self.T)

    def calls(self) -> counts.Count:
        """What is called; one Cholesky pass is enough for these random stacks."""
        m, n, ranks = self.sizes
        if self.algorithm in PUBLISHED:
            return sum(naive(m, n, ranks, self.method, self.algorithm).values(), Counter())
        space = {OURS_KNOTS: "knots", OURS_FULL: "full"}.get(self.algorithm, "core")
        count = sum(counts.ours(m, n, ranks, self.method, space).values(), Counter())
        return count + (counts.dense(m, n, ranks) if self.algorithm == OURS_DENSE else Counter())

    def cost(self) -> float:
        """Operations of the calls; entries of the factors where there is no call, as for plain sums."""
        m, n, ranks = self.sizes
        return float(total(self.calls())) or float((m + n) * sum(ranks))


Line = list[Point]
Grid = Mapping[str, tuple[Mapping[str, int], Sequence[int]]]  # axis → what stays fixed, values

# Where nothing is quadratic in n, widths at which products outweigh what calls cost as such. r T ≤ n everywhere.
FACTORS: Grid = {
    "n": ({"r": 16, "T": 4}, [8192, 12288, 16384, 20480, 24576, 32768, 40960, 49152]),
    "r": ({"n": 4096, "T": 4}, [16, 20, 24, 32, 40, 48, 64, 96]),
    "T": ({"n": 4096, "r": 16}, [4, 5, 6, 8, 10, 12, 16, 24]),
}
FORMED: Grid = {
    "n": ({"r": 16, "T": 4}, [384, 512, 768, 1024, 1536, 2048, 2560, 3072]),
    "r": ({"n": 1536, "T": 4}, [8, 12, 16, 20, 24, 32, 48, 64]),
    "T": ({"n": 1536, "r": 16}, [3, 4, 5, 6, 8, 10, 12, 16]),
}
DECOMPOSED: Grid = {  # n × n matrices, or wider ones
    "n": ({"r": 4, "T": 4}, [128, 160, 192, 224, 256, 320, 384, 512]),
    "r": ({"n": 192, "T": 4}, [4, 6, 8, 12, 16, 24, 32, 48]),
    "T": ({"n": 192, "r": 4}, [2, 3, 4, 6, 8, 10, 12, 16]),
}
ENTRYWISE: Grid = {  # all m × n entries of every task
    "n": ({"r": 16, "T": 4}, [128, 192, 256, 320, 384, 512, 640, 768]),
    "r": ({"n": 384, "T": 4}, [8, 12, 16, 24, 32, 48, 64, 96]),
    "T": ({"n": 384, "r": 16}, [3, 4, 5, 6, 8, 10, 12, 16]),
}
BEYOND_N: Grid = {
    "r": ({"n": 128, "T": 8}, [24, 32, 48, 64, 80, 96, 112, 128]),
    "T": ({"n": 128, "r": 32}, [5, 6, 8, 10, 12, 16, 20, 24]),
}
QUICK: Grid = {
    "n": ({"r": 4, "T": 4}, [64, 96, 128, 192]),
    "r": ({"n": 128, "T": 4}, [2, 4, 8, 16]),
    "T": ({"n": 128, "r": 4}, [2, 4, 6, 8]),
}

METHODS = ("ta", "iso", "tsv", "ties", "cart")  # the published algorithms that benchmarks/dense.py has
MORE = ("dare", "iso_cts", "drm", "tsv+iso", "dare+ties+iso")


def lines(quick: bool = False) -> Iterator[Line]:
    """The points of each line, cheapest first."""
    for one, grid in _lines():
        grid = {axis: QUICK[axis] for axis in grid} if quick else grid
        if quick and one["method"] not in ("tsv", "ties"):
            continue
        for axis, (fixed, values) in grid.items():
            yield [Point(axis=axis, **one, **fixed, **{axis: value}) for value in values]


def _lines() -> Iterator[tuple[dict[str, Any], Grid]]:
    def line(method: str, algorithm: str, grid: Grid, shape: str = SQUARE) -> tuple[dict[str, Any], Grid]:
        return {"method": method, "algorithm": algorithm, "shape": shape}, grid

    for method in (*METHODS, *MORE):
        yield line(method, OURS, FACTORS)
    for method in METHODS:
        yield line(method, OURS_DENSE, FORMED)
        yield line(method, "core", FORMED)
        yield line(method, "knots", DECOMPOSED)
        yield line(method, "full", ENTRYWISE if method in ("ta", "ties") else DECOMPOSED)
    yield line("tsv", "core, optimized", FORMED)
    for method in ("tsv", "ties", "dare"):
        yield line(method, OURS_KNOTS, FORMED)
    for method in ("ties", "dare"):
        yield line(method, OURS_FULL, ENTRYWISE)
    for method in ("iso", "tsv", "ties"):
        yield line(method, OURS, FACTORS, QUARTER)
        yield line(method, "core", FORMED, QUARTER)
        yield line(method, OURS, FACTORS, UNEQUAL)
        yield line(method, OURS, BEYOND_N, BEYOND)
        yield line(method, "core", BEYOND_N, BEYOND)
