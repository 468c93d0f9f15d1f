"""The paper's "up to 600 times" (KnOTS over core, Iso-C) and "280 times" (full over core, TSV) on Llama 3 8B's layers.

    python -m benchmarks.claims.llama [--rounds 3] [--output docs/data/claims_llama.csv]

One layer of each shape that the paper merges, T = 6 tasks of rank 16, float32 throughout, from factors to the dense
ΔW. The algorithms are the published ones in benchmarks/dense.py, and ours. All run in turn in one process of one
thread; what is written is that process's processor time, which a machine that others load moves little. One line a call
is appended as it comes, and a later run goes on after the last one.
"""

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

import coremerge_ref as cm
from benchmarks import dense
from benchmarks.speed.shapes import LLAMA_8B, factors

TASKS, RANK = 6, 16
SHAPES = {name: LLAMA_8B[name] for name in ("k_proj", "q_proj")}  # v_proj and o_proj have the same two
METHODS, SPACES = ("iso", "tsv", "ties"), ("full", "knots", "core", "ours")
COLUMNS = ("layer", "m", "n", "method", "space", "round", "seconds")
Run = Callable[[], Any]


def runs(m: int, n: int) -> dict[tuple[str, str], Run]:
    """(method, space) → a merge of the same six updates (m, n) to a dense ΔW."""
    updates = [(torch.from_numpy(B), torch.from_numpy(A)) for B, A in factors(m, n, (RANK,) * TASKS)]
    return {(method, space): run for method in METHODS for space, run in spaces(updates, method)}


def spaces(updates: list, method: str) -> Iterator[tuple[str, Run]]:
    """The published algorithm in each space, and ours in core space."""
    for space in ("full", "knots", "core"):
        yield space, partial(dense.merged, updates, method, space)
    yield "ours", lambda: cm.merge(updates, method, compute_dtype="float32").to_dense()


def measured(path: Path) -> set[tuple[str, str, str, int]]:
    """What the file holds already: (layer, method, space, round)."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    with path.open(encoding="utf-8", newline="") as file:
        return {(row["layer"], row["method"], row["space"], int(row["round"])) for row in csv.DictReader(file)}


def main() -> None:
    """Measures what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("docs/data/claims_llama.csv"))
    parser.add_argument(
        "--spaces", nargs="+", default=SPACES, choices=SPACES, help="the dense ones take minutes a call"
    )
    parser.add_argument("--shrink", type=int, default=1, help="divide widths by this, to try it out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    done = measured(args.output)
    with threadpool_limits(1), args.output.open("a", encoding="utf-8", newline="") as file:
        for layer, shape in SHAPES.items():
            m, n = (size // args.shrink for size in shape)
            made = runs(m, n)
            for key, run in made.items():
                if key[1] in ("core", "ours"):  # to warm up; the rest takes minutes
                    run()
            for i in range(args.rounds):
                keys = list(made)
                for method, space in keys[i % len(keys) :] + keys[: i % len(keys)]:
                    if space not in args.spaces or (layer, method, space, i) in done:
                        continue
                    start = time.process_time()
                    made[method, space]()
                    seconds = time.process_time() - start
                    csv.writer(file, lineterminator="\n").writerow((layer, m, n, method, space, i, f"{seconds:.6g}"))
                    file.flush()


if __name__ == "__main__":
    main()
