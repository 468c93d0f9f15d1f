"""The goals as one table: ours beside the paper's algorithm, paired, with the error of each beside its time.

    python -m benchmarks.speed.goals [--quick] [--output FILE]

Medians of the processor time of one thread, in one process, in turn, inputs float32, results float64 factors unless
dense. Errors are relative, in the Frobenius norm, against long double arithmetic.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

import coremerge_ref as cm
from benchmarks import dense
from benchmarks.complexity import counts
from benchmarks.complexity.replay import function
from benchmarks.complexity.sweeps import timed
from benchmarks.speed.exact import exact
from benchmarks.speed.paired import paired
from benchmarks.speed.shapes import factors

METHODS = ("ta", "tsv", "iso", "ties")
ALGORITHMS = {"paper": dense.paper_core, "optimized": dense.optimized_core}


@dataclass(frozen=True)
class Case:
    """A square layer, or a model of so many of them, a method, and the ratio asked for, if any."""

    width: int
    T: int
    r: int
    method: str
    goal: float | None = None
    layers: int = 1


CASES = [Case(4096, 6, 16, method, goal) for method, goal in zip(METHODS, (12, 10, 10, 7), strict=True)]
CASES += [Case(768, 8, 16, method, goal) for method, goal in zip(METHODS, (5, 5, None, None), strict=True)]
CASES += [Case(768, 8, 16, method, 8, layers=48) for method in ("ta", "tsv")]


@dataclass(frozen=True)
class Row:
    """One line of the table. seconds and error by algorithm; ratio is the paper's time over ours, in torch.

    Of a model, seconds are those of a layer, and errors are not looked at again.
    """

    case: Case
    seconds: dict[str, float]
    error: dict[str, float]
    ratio: float
    interval: tuple[float, float]
    calls: float = 0.0  # seconds that the products and decompositions of ours take by themselves

    @property
    def reached(self) -> bool:
        """Whether ours is as fast as asked for and as accurate, up to the scatter of rounding."""
        accurate = not self.error or self.error["ours, torch"] <= 2 * self.error["paper"]
        return accurate and self.ratio >= (self.case.goal or 0.0)


def functions(case: Case) -> dict[str, Callable[[], Any]]:
    """The merges to compare, each from float32 inputs to float64 factors (B, A)."""
    host = inputs(case)
    given = [(torch.from_numpy(B), torch.from_numpy(A)) for B, A in host]

    def ours(updates: list) -> Callable[[], Any]:
        def run() -> Any:
            merged = cm.merge(updates, case.method, out_dtype="float64")
            return merged.B, merged.A

        return run

    def published(algorithm: Callable[..., Any]) -> Callable[[], Any]:
        return lambda: algorithm([(B.double(), A.double()) for B, A in given], dense.MERGES[case.method])

    made = {"ours, torch": ours(given), "ours, numpy": ours(host)}
    return made | {name: published(algorithm) for name, algorithm in ALGORITHMS.items()}


def of_a_model(case: Case) -> dict[str, Callable[[], Any]]:
    """As `functions`, of all layers: ours by merge_adapters, the published algorithms layer by layer."""
    host = {f"layer {i}": inputs(case, seed=i) for i in range(case.layers)}
    there = {name: [(torch.from_numpy(B), torch.from_numpy(A)) for B, A in layer] for name, layer in host.items()}

    def ours(layers: dict[str, list]) -> Callable[[], Any]:
        return lambda: cm.merge_adapters(layers, case.method, out_dtype="float64")

    def published(algorithm: Callable[..., Any]) -> Callable[[], Any]:
        def run() -> Any:
            for layer in there.values():
                algorithm([(B.double(), A.double()) for B, A in layer], dense.MERGES[case.method])

        return run

    made = {"ours, torch": ours(there), "ours, numpy": ours(host)}
    return made | {name: published(algorithm) for name, algorithm in ALGORITHMS.items()}


def inputs(case: Case, seed: int = 0) -> list:
    """Pairs (B, A) of float32."""
    return factors(case.width, case.width, (case.r,) * case.T, seed)


def measured(case: Case, rounds: int) -> Row:
    """One row."""
    made = functions(case) if case.layers == 1 else of_a_model(case)
    times = paired(made, rounds if case.layers == 1 else max(3, rounds // 2), clock=time.process_time)
    error = {}
    if case.layers == 1:
        right = exact([(B.astype(np.longdouble), A.astype(np.longdouble)) for B, A in inputs(case)], case.method)
        error = {name: right.error(*map(np.asarray, run())) for name, run in made.items()}
    seconds = {name: times.median(name) / case.layers for name in made}
    between = ("paper", "ours, torch")
    return Row(case, seconds, error, times.ratio(*between), times.spread(*between), calls_alone(case))


def calls_alone(case: Case) -> float:
    """Seconds that the products and decompositions of ours, as counted, take by themselves: no merge is faster."""
    count = sum(counts.ours(case.width, case.width, (case.r,) * case.T, case.method).values(), Counter())
    total = 0.0
    for call, times in count.items():
        run = function(call)
        run()
        total += times * min(timed(run) for _ in range(3))
    return total


def densified(width: int, T: int, r: int, rounds: int) -> dict[str, float]:
    """Seconds of tsv as factors, of forming its matrix in float64 and in float32, and of one n²Tr product."""
    given = [(torch.from_numpy(B), torch.from_numpy(A)) for B, A in factors(width, width, (r,) * T)]
    single, double = (cm.merge(given, "tsv", out_dtype=dtype) for dtype in ("float32", "float64"))
    B, A = double.B.contiguous(), double.A.contiguous()
    made = {
        "factors": lambda: cm.merge(given, "tsv", out_dtype="float64"),
        "float64": double.to_dense,
        "float32": single.to_dense,
        "product": lambda: B @ A,
    }
    times = paired(made, rounds, clock=time.process_time)
    return {name: times.median(name) for name in made}


def main() -> None:
    """Measures, prints the table and writes it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="smaller layers, fewer rounds; the goals are not for these"
    )
    parser.add_argument("--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rounds = 3 if args.quick else 15
    cases = [
        replace(case, width=case.width // 4, r=4, layers=min(case.layers, 4)) if args.quick else case for case in CASES
    ]
    rows = [measured(case, rounds) for case in track(cases, description="goals")]
    matrix = densified(1024 if args.quick else 4096, 6, 16, rounds)
    console = Console()
    console.print(shown(rows), width=max(console.width, 150))
    more = {name: matrix[name] / matrix["product"] for name in ("float64", "float32")}
    print(f"dense matrix: {more['float64']:.2f} products in float64, {more['float32']:.2f} in float32 (goal 1.2)")
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        record = {"threads": torch.get_num_threads(), "quick": args.quick, "dense": matrix}
        args.output.write_text(json.dumps(record | {"rows": [asdict(row) for row in rows]}, indent=1) + "\n")


def shown(rows: list[Row]) -> Table:
    """The rows as a table for a terminal."""
    table = Table(
        "layer",
        "method",
        "paper",
        "optimized",
        "ours torch",
        "ours numpy",
        "calls",
        "ratio",
        "95 %",
        "goal",
        "error (paper)",
    )
    for row in rows:
        table.add_row(*cells(row))
    return table


def cells(row: Row) -> Iterator[str]:
    """The texts of one row."""
    case = row.case
    yield f"{case.width}², T={case.T}, r={case.r}" + (f", a layer of {case.layers}" if case.layers > 1 else "")
    yield case.method
    for name in ("paper", "optimized", "ours, torch", "ours, numpy"):
        yield f"{1e3 * row.seconds[name]:.1f} ms"
    yield f"{1e3 * row.calls:.1f} ms"
    yield f"{row.ratio:.1f}×"
    yield f"{row.interval[0]:.1f}–{row.interval[1]:.1f}"
    yield "–" if case.goal is None else f"{case.goal:g}× {'✓' if row.reached else '✗'}"
    yield f"{row.error['ours, torch']:.1e} ({row.error['paper']:.1e})" if row.error else "–"


if __name__ == "__main__":
    main()
