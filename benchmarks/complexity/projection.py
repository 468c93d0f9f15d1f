"""On paper past this machine: a 405B model with 100 adapters, from the counts and from rates measured here.

    python -m benchmarks.complexity.projection [--quick] [--docs docs] [--tasks 100] [--rank 16]

Prints, for each method, operations, time at the measured rates, which kind of call takes it, and the memory: of the
inputs, of one layer at work, of the result. With --docs the table goes into docs/complexity.md.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import markers
from benchmarks.complexity import counts, memory
from benchmarks.complexity.calls import entries_ordered, flops
from benchmarks.speed.shapes import LLAMA_405B, LLAMA_405B_BLOCKS

METHODS = ("ta", "iso", "tsv", "ties", "cart")


def rates(size: int, rows: int, rounds: int = 3) -> dict[str, float]:
    """Operations a second of each kind of call on float64 NumPy arrays: products (rows, size), the others of `size`."""
    rng = np.random.default_rng(0)
    X, S = rng.standard_normal((rows, size)), rng.standard_normal((size, size))
    G = X.T @ X
    run: Mapping[str, tuple[Callable[[], object], float]] = {
        "matmul": (lambda: X @ S, 2.0 * rows * size**2),
        "cholesky": (lambda: np.linalg.cholesky(G), size**3 / 3),
        "inv": (lambda: np.linalg.inv(G), 2.0 * size**3),
        "svd": (lambda: np.linalg.svd(S), 26.0 * size**3),
        "qr": (lambda: np.linalg.qr(X), 4.0 * rows * size**2 - 4 * size**3 / 3),
        "sort": (lambda: np.sort(X, axis=None), float(X.size)),
    }
    found = {op: work / _median(function, rounds) for op, (function, work) in run.items()}
    return found | {"partition": found["sort"], "argsort": found["sort"]}


def _median(function: Callable[[], object], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


@dataclass(frozen=True)
class Projection:
    """seconds by kind of call; bytes of the inputs and the result in bfloat16, and of the widest layer at work."""

    method: str
    operations: float
    seconds: Mapping[str, float]
    inputs: float
    result: float
    at_work: float
    widest: float

    @property
    def total(self) -> float:
        """Seconds of all calls."""
        return sum(self.seconds.values())


def projected(
    method: str, shapes: Mapping[str, tuple[int, int]], blocks: int, T: int, r: int, rate: Mapping[str, float]
) -> Projection:
    """The whole model by `method` in core space, results as factors; Cholesky-QR2 takes its two passes everywhere."""
    ranks, outcomes = (r,) * T, (counts.TWO, counts.TWO)
    seconds: Counter[str] = Counter()
    operations = inputs = result = at_work = widest = 0.0
    for m, n in shapes.values():
        layer = 0.0
        for call, times in sum(counts.ours(m, n, ranks, method, outcomes=outcomes).values(), Counter()).items():
            work = float(flops(call) + entries_ordered(call)) * times
            layer += work / rate[call.op]
            seconds[call.op] += blocks * work / rate[call.op]
            operations += blocks * float(flops(call)) * times
        inputs += 2 * blocks * memory.inputs(m, n, ranks)
        result += 2 * blocks * memory.result(m, n, ranks, "core")
        at_work = max(at_work, 8 * memory.held(m, n, ranks, "core"))
        widest = max(widest, layer)
    return Projection(method, operations, seconds, inputs, result, at_work, widest)


def table(rows: list[Projection]) -> str:
    """The projections as Markdown."""
    lines = [
        "| method | operations | time | spent on | longest layer | inputs | one layer at work | result |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        most = sorted(row.seconds.items(), key=lambda item: -item[1])[:3]
        shares = ", ".join(f"{op} {100 * s / row.total:.0f} %" for op, s in most)
        lines.append(
            f"| `{row.method}` | {row.operations:.1e} | {span(row.total)} | {shares} | {span(row.widest)} | "
            f"{row.inputs / 2**30:.0f} GiB | {row.at_work / 2**30:.1f} GiB | {row.result / 2**30:.0f} GiB |"
        )
    return "\n".join(lines)


def span(seconds: float) -> str:
    """Seconds as a person would say them."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def main() -> None:
    """Measures the rates and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="rates of smaller matrices")
    parser.add_argument("--docs", type=Path, help="put the table into complexity.md of this folder")
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--rank", type=int, default=16)
    args = parser.parse_args()
    rate = rates(*(128, 1024) if args.quick else (1600, 16384))
    made = [projected(m, LLAMA_405B, LLAMA_405B_BLOCKS, args.tasks, args.rank, rate) for m in METHODS]
    text = ", ".join(f"{op} {value / 1e9:.2g}" for op, value in rate.items() if op not in ("partition", "argsort"))
    text = f"Rates measured, in 10⁹ operations a second (entries for sort): {text}.\n\n{table(made)}"
    print(text)
    if args.docs:
        markers.put(args.docs / "complexity.md", "projection", text)


if __name__ == "__main__":
    main()
