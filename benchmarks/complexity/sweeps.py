"""Measured sweeps over width, rank and task count, like the paper's figure 3.

    python -m benchmarks.complexity.sweeps [--quick] [--results FILE] [--minutes M]

Processor time of one thread, which other work on the machine disturbs less than wall time. Rounds go over all lines,
and within a line over its points, so that the repetitions of a point lie minutes apart; a point's time is the least
of them. A line is repeated until the 95 % interval of its exponent is below ± 0.15, at least 3 and at most 9 times.
Each measurement is appended to a CSV at once, and what is there counts, so that an interrupted run goes on where it
was.
"""

import argparse
import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from benchmarks.complexity import points
from benchmarks.complexity.fits import fit
from benchmarks.complexity.points import OURS, OURS_DENSE, OURS_FULL, OURS_KNOTS, OURS_SPACES, Line, Point

RESULTS = Path("build/bench/sweeps.csv")
LEAST, MOST, NARROW = 3, 9, 0.15
Taken = dict[Point, list[float]]


def function(point: Point) -> Callable[[], Any]:
    """The merge to time, from float32 inputs to a float64 result, in torch."""
    import torch

    import coremerge_ref as cm
    from benchmarks import dense
    from benchmarks.speed.shapes import factors

    torch.set_num_threads(1)
    given = [(torch.from_numpy(B), torch.from_numpy(A)) for B, A in factors(*point.sizes)]
    if point.algorithm not in OURS_SPACES:
        return lambda: dense.merged([(B.double(), A.double()) for B, A in given], point.method, point.algorithm)
    space = {OURS: "core", OURS_DENSE: "core", OURS_KNOTS: "knots", OURS_FULL: "full"}[point.algorithm]
    if point.algorithm == OURS_DENSE:
        return lambda: cm.merge(given, point.method, space, out_dtype="float64").to_dense()
    return lambda: cm.merge(given, point.method, space, out_dtype="float64")


def timed(run: Callable[[], Any], enough: float = 0.05) -> float:
    """Least processor seconds of up to 3 calls, fewer where `enough` seconds have gone by."""
    least, spent, calls = float("inf"), 0.0, 0
    while calls < 3 and spent < enough:
        started = time.process_time()
        run()
        seconds = time.process_time() - started
        least, spent, calls = min(least, seconds), spent + seconds, calls + 1
    return least


def read(path: Path) -> Taken:
    """Seconds of each measurement by point, of earlier runs."""
    taken: Taken = {}
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                seconds = float(row.pop("seconds"))
                point = Point(**{key: int(value) if key in points.AXES else value for key, value in row.items()})
                taken.setdefault(point, []).append(seconds)
    return taken


def append(path: Path, point: Point, seconds: float) -> None:
    """Adds one line to the CSV, and the header where it is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow([*(f.name for f in fields(Point)), "seconds"])
        writer.writerow([*astuple(point), f"{seconds:.4g}"])


def least(taken: Mapping[Point, Sequence[float]]) -> dict[Point, float]:
    """The least time of each point."""
    return {point: min(seconds) for point, seconds in taken.items()}


def settled(line: Line, taken: Taken) -> bool:
    """Whether the line needs no further round."""
    rounds = min(len(taken.get(point, ())) for point in line)
    if rounds < LEAST:
        return False
    return rounds >= MOST or fit([p.at for p in line], [min(taken[p]) for p in line]).half < NARROW


def measure(path: Path, lines: Sequence[Line], minutes: float = float("inf")) -> Taken:
    """Measures what is missing, with a progress bar, for so many minutes at most; all measurements by then."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    taken, until = read(path), time.monotonic() + 60 * minutes
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns) as progress:
        for rounds in range(1, MOST + 1):
            bar = progress.add_task(f"round {rounds}", total=sum(map(len, lines)))
            for line in lines:
                for point in () if settled(line, taken) else line:
                    if len(taken.get(point, ())) >= rounds:
                        continue
                    if time.monotonic() > until:
                        return taken
                    where = f"round {rounds}: {point.method}, {point.algorithm}, {point.shape}, {point.axis}={point.at}"
                    progress.update(bar, description=where)
                    seconds = timed(function(point))
                    taken.setdefault(point, []).append(seconds)
                    append(path, point, seconds)
                progress.advance(bar, len(line))
            progress.update(bar, description=f"round {rounds}")
    return taken


def main() -> None:
    """Measures and says where the results are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, two methods, under a minute")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the CSV; by default %(default)s")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many; by default when done")
    args = parser.parse_args()
    lines = list(points.lines(args.quick))
    taken = measure(args.results, lines, args.minutes)
    done = sum(all(point in taken for point in line) and settled(line, taken) for line in lines)
    print(f"{sum(map(len, taken.values()))} measurements in {args.results}; {done} of {len(lines)} lines are settled")


if __name__ == "__main__":
    main()
