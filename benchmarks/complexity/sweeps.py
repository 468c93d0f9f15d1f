"""Measured sweeps over width, rank and task count, like the paper's figure 3.

    python -m benchmarks.complexity.sweeps [--quick] [--results FILE]

Each measured point is appended to a CSV at once; what is there is not measured again, so an interrupted run resumes.
A point is left out where the counts, at the rate of the last point of its line, put it beyond a time limit.
"""

import argparse
import csv
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import coremerge_ref as cm
from benchmarks import dense
from benchmarks.complexity import counts
from benchmarks.complexity.calls import total
from benchmarks.complexity.naive import naive
from benchmarks.speed.shapes import factors

RESULTS = Path("build/bench/sweeps.csv")
METHODS = ("ta", "iso", "tsv", "ties", "cart")
OURS, OURS_DENSE = "ours, factors", "ours, dense"
ALGORITHMS = (OURS, OURS_DENSE, "core", "core, optimized", "knots", "full")
LIMIT = {True: 0.5, False: 20.0}  # seconds a call may be expected to take, by quick


@dataclass(frozen=True, order=True)
class Point:
    """One measurement: a square layer of width n, T tasks of rank r."""

    axis: str
    method: str
    algorithm: str
    n: int
    r: int
    T: int

    @property
    def at(self) -> int:
        """The value on the axis that is swept."""
        return getattr(self, self.axis)

    def cost(self) -> float:
        """Operations that the counts predict; one Cholesky pass is enough for these random stacks."""
        sizes = (self.n, self.n, (self.r,) * self.T, self.method)
        if self.algorithm not in (OURS, OURS_DENSE):
            return float(total(sum(naive(*sizes, self.algorithm).values(), Counter())))
        count = sum(counts.ours(*sizes).values(), Counter())
        return float(total(count + (counts.dense(*sizes[:3]) if self.algorithm == OURS_DENSE else Counter())))


def lines(quick: bool) -> Iterator[list[Point]]:
    """The points of each line of the figure, cheapest first."""
    axes: dict[str, tuple[dict[str, int], list[int]]] = {
        "n": ({"r": 16, "T": 4}, [256, 512, 1024, 2048, 4096]),
        "r": ({"n": 2048, "T": 4}, [4, 8, 16, 32, 64, 128]),
        "T": ({"n": 2048, "r": 16}, [2, 4, 8, 16, 32]),
    }
    if quick:
        axes = {
            "n": ({"r": 4, "T": 4}, [64, 128, 256, 512]),
            "r": ({"n": 256, "T": 4}, [2, 4, 8, 16]),
            "T": ({"n": 256, "r": 4}, [2, 4, 8]),
        }
    for method in ("tsv", "ties") if quick else METHODS:
        for axis, (fixed, values) in axes.items():
            for algorithm in ALGORITHMS:
                yield [Point(axis, method, algorithm, **fixed, **{axis: value}) for value in values]


def function(point: Point) -> Callable[[], Any]:
    """The merge to time, from float32 inputs to a float64 result, in torch."""
    given = [(torch.from_numpy(B), torch.from_numpy(A)) for B, A in factors(point.n, point.n, (point.r,) * point.T)]
    if point.algorithm == OURS:
        return lambda: cm.merge(given, point.method, out_dtype="float64")
    if point.algorithm == OURS_DENSE:
        return lambda: cm.merge(given, point.method, out_dtype="float64").to_dense()
    return lambda: dense.merged([(B.double(), A.double()) for B, A in given], point.method, point.algorithm)


def timed(run: Callable[[], Any], quick: bool) -> float:
    """Median seconds: of up to 7 calls, fewer where one takes long; the first call is a warm-up unless it is slow."""
    seconds: list[float] = []
    spent, most = 0.0, 0.2 if quick else 3.0
    while len(seconds) < 8 and (not seconds or spent < most):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
        spent += seconds[-1]
    return statistics.median(seconds[1:] or seconds)


def read(path: Path) -> dict[Point, float]:
    """Seconds by point, of an earlier run."""
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        return {
            Point(row["axis"], row["method"], row["algorithm"], *(int(row[x]) for x in "nrT")): float(row["seconds"])
            for row in csv.DictReader(file)
            if row["seconds"]
        }


def append(path: Path, point: Point, seconds: float) -> None:
    """Adds one line to the CSV, and the header where it is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow([*(f.name for f in fields(Point)), "seconds"])
        writer.writerow([*astuple(point), f"{seconds:.6g}"])


def measure(path: Path, quick: bool, limit: float | None = None) -> dict[Point, float]:
    """Measures what is missing, with a progress bar; all points by then. limit: seconds, LIMIT by default."""
    limit = LIMIT[quick] if limit is None else limit
    done = read(path)
    todo = list(lines(quick))
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns) as progress:
        bar = progress.add_task("sweeps", total=sum(map(len, todo)))
        for line in todo:
            rate = None  # seconds an operation took at the last point
            for point in line:
                progress.update(bar, description=f"{point.method}, {point.algorithm}, {point.axis}={point.at}")
                cost = point.cost()
                if point not in done and (rate is None or rate * cost <= limit):
                    done[point] = timed(function(point), quick)
                    append(path, point, done[point])
                if point in done:
                    rate = done[point] / max(cost, 1.0)  # a plain sum costs none
                progress.advance(bar)
    return done


def main() -> None:
    """Measures and says where the results are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, a minute or two")
    parser.add_argument("--results", type=Path, help=f"the CSV; {RESULTS} by default, -quick in its name with --quick")
    parser.add_argument("--limit", type=float, help="leave out what is expected to take longer, in seconds a call")
    args = parser.parse_args()
    path = args.results or (RESULTS.with_stem("sweeps-quick") if args.quick else RESULTS)
    points = measure(path, args.quick, args.limit)
    print(f"{len(points)} points in {path}")


if __name__ == "__main__":
    main()
