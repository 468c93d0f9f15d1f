"""Measured peak memory of the sweeps' points: what NumPy allocates beyond the inputs, at its most.

    python -m benchmarks.complexity.peaks [--quick] [--results FILE]

tracemalloc sees every array; the workspaces inside LAPACK, at most a few times the matrix decomposed, it does not.
One run a point, since nothing about it is random. Each is appended to a CSV, and what is there is not measured again.
"""

import argparse
import csv
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from benchmarks.complexity import memory, points
from benchmarks.complexity.points import OURS, OURS_DENSE, PUBLISHED, SQUARE, Line, Point

RESULTS = Path("build/bench/sweeps_memory.csv")
METHODS, ALGORITHMS = ("tsv", "ties"), (OURS, OURS_DENSE, "core", "knots", "full")


def lines(quick: bool = False) -> Iterator[Line]:
    """Those of the sweeps that are measured here."""
    return (
        line
        for line in points.lines(quick)
        if line[0].method in METHODS and line[0].algorithm in ALGORITHMS and line[0].shape == SQUARE
    )


def held(point: Point) -> float:
    """Bytes that must be held beside the inputs, by benchmarks/complexity/memory.py; of ours with TIES' temporaries."""
    m, n, ranks = point.sizes
    if point.algorithm in PUBLISHED:
        entries = memory.held(m, n, ranks, point.algorithm, "naive", dense=True)
    else:
        entries = memory.held(m, n, ranks, "core", dense=point.algorithm == OURS_DENSE)
        entries += memory.trimming(m, n, ranks, "core") if point.method == "ties" else 0
    return 8.0 * (entries - memory.inputs(m, n, ranks))


def function(point: Point) -> Callable[[], Any]:
    """The merge, on float64 NumPy arrays, so that no cast is counted."""
    import coremerge_ref as cm
    from benchmarks import dense
    from benchmarks.speed.shapes import factors

    given = [(B.astype("float64"), A.astype("float64")) for B, A in factors(*point.sizes)]
    if point.algorithm in PUBLISHED:
        return lambda: dense.merged(given, point.method, point.algorithm)
    if point.algorithm == OURS_DENSE:
        return lambda: cm.merge(given, point.method).to_dense()
    return lambda: cm.merge(given, point.method)


def peak(run: Callable[[], Any]) -> int:
    """Bytes allocated at the most while it runs."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = run()
        most = tracemalloc.get_traced_memory()[1]
        del result
        return most - before
    finally:
        tracemalloc.stop()


def read(path: Path) -> dict[Point, float]:
    """Bytes by point."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = [(row, float(row.pop("bytes"))) for row in csv.DictReader(file)]
    return {Point(**{k: int(v) if k in points.AXES else v for k, v in row.items()}): size for row, size in rows}


def measure(path: Path, wanted: Sequence[Line]) -> dict[Point, float]:
    """Measures what is missing, with a progress bar; all of it by then."""
    from rich.progress import track

    known = read(path)
    for point in track([p for line in wanted for p in line if p not in known], description="memory"):
        known[point] = peak(function(point))
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow([*(f.name for f in fields(Point)), "bytes"])
            writer.writerow([*astuple(point), int(known[point])])
    return known


def main() -> None:
    """Measures and says where the results are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the CSV; by default %(default)s")
    args = parser.parse_args()
    known = measure(args.results, list(lines(args.quick)))
    print(f"{len(known)} points in {args.results}")


if __name__ == "__main__":
    main()
