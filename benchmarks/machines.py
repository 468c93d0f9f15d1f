"""What a merge of very many adapters takes of a worker, measured layer by layer, and what many machines make of it.

    python -m benchmarks.machines [--quick] [--tasks 100] [--rank 16] [--methods ta,tsv] [--squares iso,ties]
                                  [--folder DIR] [--docs docs]

Makes adapters with one layer of each shape of Llama 3.1 405B and some of 4096 × 4096. Each layer is merged as a worker
merges it, in a process of its own: seconds of processor time, peak memory, bytes written; by --squares one of 4096 ×
4096 alone. Then all layers of 4096 × 4096 are merged by one process and by two workers, by every method, and the
outputs compared. Last, what the whole 405B takes. With --docs the tables go into docs/complexity.md.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from benchmarks import markers
from benchmarks.complexity.projection import span
from benchmarks.speed.shapes import LLAMA_405B, LLAMA_405B_BLOCKS, factors
from coremerge_ref.adapters.order import Order
from coremerge_ref.adapters.prepared import PreparedFolders
from coremerge_ref.adapters.ready import Options
from coremerge_ref.adapters.spreading import do_piece

SQUARE, SQUARES = (4096, 4096), 4
DISKS = (1e9, 10e9)  # bytes a second of a shared file system: one server, a parallel one


@dataclass(frozen=True)
class Measured:
    """One layer merged by a worker: processor seconds, those to open the adapters, peak bytes and bytes written."""

    method: str
    shape: tuple[int, int]
    seconds: float
    opening: float
    peak: int
    written: int


def make(folder: Path, task: int, shapes: Mapping[str, tuple[int, int]], rank: int) -> None:
    """One adapter in bfloat16, as PEFT saves it."""
    folder.mkdir(parents=True)
    tensors = {}
    for i, (name, (m, n)) in enumerate(shapes.items()):
        ((B, A),) = factors(m, n, (rank,), seed=1000 * task + i)
        tensors[f"base_model.model.{name}.lora_A.weight"] = A.astype(ml_dtypes.bfloat16)
        tensors[f"base_model.model.{name}.lora_B.weight"] = B.astype(ml_dtypes.bfloat16)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": sorted(shapes)}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def one_layer(paths: Sequence[str], method: str, layer: str, shape: tuple[int, int], target: str) -> Measured:
    """What a worker does of one layer. Called in a fresh process, whose peak is this layer's."""
    options = Options(method)
    started = time.process_time()
    order = Order.of(PreparedFolders(paths, options, "refuse", None, keep=False), options, False, 1)
    opening = time.process_time() - started
    started = time.process_time()
    piece = do_piece(order, [[layer]], target)  # opens the adapters again, as a worker does
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    size = Path(target).stat().st_size
    assert len(piece.groups) == 1
    return Measured(method, shape, seconds, opening, peak, size)


def in_fresh_process(*args: object) -> Measured:
    """one_layer(*args) in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(one_layer, *args).result()  # type: ignore[arg-type]


@dataclass(frozen=True)
class Whole:
    """A merge by the command line: {file: SHA-256}, processor seconds of all, and the peak of the largest process."""

    digests: dict[str, str]
    seconds: float
    peak: int

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s, {self.peak / 2**30:.1f} GiB"


def whole(paths: Sequence[str], output: Path, method: str, more: Sequence[str]) -> Whole:
    """The squares merged by the command line."""
    words = ["merge", *paths, "-o", str(output), "--method", method, "--include", "square.*", "--json", *more]
    process = subprocess.Popen([sys.executable, "-m", "coremerge_ref", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)  # with the workers that it waited for
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{words} failed")
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(output.iterdir())}
    shutil.rmtree(output)
    return Whole(digests, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def beside(wholes: Mapping[str, Sequence[Whole]], square: tuple[int, int]) -> str:
    """One process beside two workers as Markdown."""
    lines = [
        f"| {SQUARES} layers of {square[0]} × {square[1]} | one process | two workers, the larger |",
        "|---|---|---|",
    ]
    return "\n".join([*lines, *(f"| `{method}` | {one} | {two} |" for method, (one, two) in wholes.items())])


def table(rows: Sequence[Measured]) -> str:
    """The layers as Markdown."""
    lines = ["| layer | method | processor time | peak memory | written |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.shape[0]} × {row.shape[1]} | `{row.method}` | {row.seconds:.1f} s | {row.peak / 2**30:.1f} GiB | "
        f"{row.written / 2**20:.0f} MiB |"
        for row in rows
    ]
    return "\n".join(lines)


def totals(rows: Sequence[Measured], shapes: Mapping[str, tuple[int, int]], blocks: int, tasks: int, rank: int) -> str:
    """The whole model by each method: core-hours, bytes through the file system, and how many cores pay there."""
    given = 2 * blocks * tasks * rank * sum(m + n for m, n in shapes.values())
    lines = [
        "| method | core-hours | read and written | "
        + " | ".join(f"at {disk / 1e9:.0f} GB/s: files alone, cores that pay" for disk in DISKS)
        + " |",
        "|---|---|---|" + "---|" * len(DISKS),
    ]
    for method in dict.fromkeys(row.method for row in rows):
        found = {row.shape: row for row in rows if row.method == method}
        if not found.keys() >= set(shapes.values()):
            continue
        seconds = blocks * sum(found[shape].seconds for shape in shapes.values())
        written = blocks * sum(found[shape].written for shape in shapes.values())
        moved = 2 * given + 4 * written  # merged and hashed; pieces written and read, files written and hashed
        pays = [f"{span(moved / disk)}, {max(1, round(seconds * disk / moved))}" for disk in DISKS]
        lines.append(f"| `{method}` | {seconds / 3600:.1f} | {moved / 2**30:.0f} GiB | {' | '.join(pays)} |")
    return "\n".join(lines)


def main() -> None:
    """Makes, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="six adapters, and widths of a sixty-fourth")
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--methods", default="ta,tsv", help="of which every shape is merged")
    parser.add_argument("--squares", default="iso,ties", help="of which 4096 × 4096 alone is")
    parser.add_argument("--folder", type=Path, help="where adapters are made and kept; a temporary folder by default")
    parser.add_argument("--docs", type=Path, help="put the tables into complexity.md of this folder")
    args = parser.parse_args()
    shrink, tasks = (64, 6) if args.quick else (1, args.tasks)
    model = {name: (m // shrink, n // shrink) for name, (m, n) in LLAMA_405B.items()}
    square = (SQUARE[0] // shrink, SQUARE[1] // shrink)
    once = {f"layer.{m}x{n}": (m, n) for m, n in dict.fromkeys(model.values())}
    squares = {f"square.{i}": square for i in range(SQUARES)}
    with tempfile.TemporaryDirectory(prefix="coremerge-machines-") as temporary:
        root = args.folder or Path(temporary)
        paths = [str(root / f"task{task}") for task in range(tasks)]
        for task, path in enumerate(paths):
            if not Path(path).exists():
                make(Path(path), task, once | squares, args.rank)
        rows, wholes = [], {}
        methods, squares_alone = (given.split(",") if given else [] for given in (args.methods, args.squares))
        for method in (*methods, *squares_alone):
            for name, shape in [("square.0", square), *(once.items() if method in methods else ())]:
                row = in_fresh_process(paths, method, name, shape, str(root / "piece.safetensors"))
                print(row, flush=True)
                rows.append(row)
            ways: tuple[list[str], ...] = ([], ["--workers", "2"])
            wholes[method] = [whole(paths, root / "merged", method, more) for more in ways]
            print(method, *wholes[method], flush=True)
            if wholes[method][0].digests != wholes[method][1].digests:
                raise SystemExit(f"{method}: two workers wrote other bytes than one process")
    opening = np.median([row.opening for row in rows])
    text = (
        f"{tasks} adapters of rank {args.rank} in bfloat16, NumPy, one core a layer; opening the adapters takes a "
        f"worker {opening:.1f} s, once.\n\n{table(rows)}\n\n{beside(wholes, square)}\n\n"
        f"All of Llama 3.1 405B, by these measurements:\n\n"
        f"{totals(rows, model, LLAMA_405B_BLOCKS, tasks, args.rank)}"
    )
    print(text)
    if args.docs:
        markers.put(args.docs / "complexity.md", "machines", text)


if __name__ == "__main__":
    main()
