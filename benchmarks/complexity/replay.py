"""What the single calls of the sweeps take by themselves: a law of the calls is not one of what is beside them.

    python -m benchmarks.complexity.replay [--quick] [--results FILE] [--minutes M]

Each distinct call of the counts (benchmarks/complexity/points.py) is made on random float64 tensors of its shape, in
torch on one thread, in two rounds, of which the least processor time counts. Each is appended to a CSV, and what is
there counts.
"""

import argparse
import csv
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.complexity.calls import Call
from benchmarks.complexity.points import Point, lines
from benchmarks.complexity.sweeps import timed

RESULTS = Path("build/bench/sweeps_calls.csv")
ROUNDS = 2


def function(call: Call) -> Callable[[], Any]:
    """The call on random tensors; a symmetric positive definite one where the operation asks for it."""
    import torch

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Any:
        return torch.randn(*([call.batch] if call.batch > 1 else []), *shape, dtype=torch.float64, generator=generator)

    s = call.shape
    if call.op == "matmul":
        X, Y = random(s[0], s[1]), random(s[1], s[2])
        return lambda: X @ Y
    if call.op in ("cholesky", "inv", "eigh"):
        Z = random(s[0], s[0])
        G = Z.mT @ Z + s[0] * torch.eye(s[0], dtype=torch.float64)
        run = {"cholesky": torch.linalg.cholesky, "inv": torch.linalg.inv, "eigh": torch.linalg.eigh}[call.op]
        return lambda: run(G)
    X = random(*s)
    if call.op == "svd":
        return lambda: torch.linalg.svd(X, full_matrices=False)
    if call.op == "qr":
        return lambda: torch.linalg.qr(X)
    if call.op == "partition":
        return lambda: X.kthvalue(s[-1] // 2 + 1, dim=-1)
    return lambda: X.argsort(dim=-1)


def read(path: Path) -> dict[Call, list[float]]:
    """Seconds of each measurement by call."""
    taken: dict[Call, list[float]] = {}
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                call = Call(row["op"], tuple(map(int, row["shape"].split())), int(row["batch"]))
                taken.setdefault(call, []).append(float(row["seconds"]))
    return taken


def least(path: Path) -> dict[Call, float]:
    """The least time of each call."""
    return {call: min(seconds) for call, seconds in read(path).items()}


def append(path: Path, call: Call, seconds: float) -> None:
    """Adds one line to the CSV, and the header where it is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(["op", "shape", "batch", "seconds"])
        writer.writerow([call.op, " ".join(map(str, call.shape)), call.batch, f"{seconds:.4g}"])


def wanted(points: Iterable[Point]) -> list[Call]:
    """All calls of the points, each once."""
    return sorted({call for point in points for call in point.calls()})


def measure(path: Path, calls: Iterable[Call], minutes: float = float("inf")) -> None:
    """Measures what is missing, with a progress bar, for so many minutes at most."""
    from rich.progress import track

    taken, until = read(path), time.monotonic() + 60 * minutes
    todo = [call for i in range(ROUNDS) for call in calls if len(taken.get(call, ())) <= i]
    for call in track(todo, description="calls"):
        if time.monotonic() > until:
            return
        run = function(call)
        run()
        append(path, call, timed(run))


def main() -> None:
    """Measures and says where the results are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, two methods")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the CSV; by default %(default)s")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many; by default when done")
    args = parser.parse_args()
    calls = wanted(point for line in lines(args.quick) for point in line)
    measure(args.results, calls, args.minutes)
    known = read(args.results)
    print(f"{sum(call in known for call in calls)} of {len(calls)} calls in {args.results}")


if __name__ == "__main__":
    main()
