"""`coremerge explain` of a whole adapter set beside `coremerge merge` of it.

    python -m benchmarks.speed.explaining [--quick] [--output FILE]

The adapters of benchmarks.speed.llama: the two commands in turn, each in a process of its own with one thread for
arithmetic, files in the page cache; processor time. Goal: explain takes less than twice the merge's.
"""

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.speed.llama import adapters, timed
from benchmarks.speed.paired import Paired
from benchmarks.speed.shapes import LLAMA_8B, LLAMA_8B_BLOCKS
from coremerge_ref.methods import STAGES

GOAL = 2.0
TASKS, RANK = 6, 16


def measured(folders: list[Path], output: Path, method: str, rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each command, one a round."""
    merge = ["coremerge_ref", "merge", *map(str, folders), "--method", method, "-o", str(output), "--force", "--json"]
    explain = ["coremerge_ref", "explain", *map(str, folders), "--method", method]
    runs = [(timed(merge)["seconds"], timed(explain)["seconds"]) for _ in range(rounds)]
    return dict(zip(("merge", "explain"), map(list, zip(*runs, strict=True)), strict=True))


def main() -> None:
    """Times every method and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two blocks of a quarter of the width, once, two methods")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    blocks, shrink, rounds = (2, 4, 1) if args.quick else (LLAMA_8B_BLOCKS, 1, 3)
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="coremerge-explain-") as root:
        folders = list(adapters(Path(root), TASKS, blocks, RANK, "float32", shrink))
        for folder in folders:
            (folder / "adapter_model.safetensors").read_bytes()
        for method in ["ta", "tsv"] if args.quick else STAGES:
            found[method] = measured(folders, Path(root) / "merged", method, rounds)
            times = Paired(found[method])
            low, high = times.spread("explain", "merge")
            print(
                f"{method}: merge {times.median('merge'):.2f} s, explain {times.median('explain'):.2f} s of processor "
                f"time, ratio {times.ratio('explain', 'merge'):.2f} ({low:.2f} to {high:.2f}, goal {GOAL:g})",
                flush=True,
            )
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        layers = blocks * len(LLAMA_8B)
        args.output.write_text(json.dumps({"layers": layers, "tasks": TASKS, "rank": RANK, "seconds": found}) + "\n")


if __name__ == "__main__":
    main()
