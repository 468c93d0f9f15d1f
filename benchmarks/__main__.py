"""All benchmarks of complexity and speed, then the pages in docs/ that show them.

    python -m benchmarks [--quick] [--fresh] [--data FOLDER]

What is measured already, in build/bench, is not measured again, down to the single point of a sweep; --fresh starts
over. --data docs/data goes on with the sweeps in the repository, which is right on the machine that made them. --quick
takes small sizes and writes everything, pages included, below build/bench-quick instead.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

THREADED = ("gpu", "complexity.projection")  # whose rates are those of the whole machine; the others time one thread


def steps(results: Path, data: Path, docs: Path, quick: bool) -> Iterator[tuple[Path | None, list[str]]]:
    """What to run, and the file that says that it has been; None for what always runs, since it resumes by itself."""
    more = ["--quick"] * quick
    speed = [(name, f"speed.{name}") for name in ("goals", "llama", "users", "explaining")]
    for name, module in (*speed, ("gpu", "gpu")):
        path = results / f"{name}.json"
        yield path, [module, *more, "--output", str(path)]
    for name, module in (("sweeps", "sweeps"), ("sweeps_calls", "replay"), ("sweeps_memory", "peaks")):
        yield None, [f"complexity.{module}", *more, "--results", str(data / f"{name}.csv")]
    yield None, ["complexity.figures", *more, "--data", str(data), "--docs", str(docs)]
    yield None, ["complexity.projection", *more, "--docs", str(docs)]
    yield None, ["speed.report", "--results", str(results), "--docs", str(docs)]


def main() -> None:
    """Runs the steps one after the other, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, about two minutes")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--data", type=Path, help="where the CSVs of the sweeps are; by default with the results")
    args = parser.parse_args()
    results = Path("build/bench-quick" if args.quick else "build/bench")
    docs = Path("docs")
    if args.fresh or args.quick:
        shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True, exist_ok=True)
    if args.quick:
        docs = results / "docs"
        docs.mkdir()
        for page in ("complexity.md", "speed.md"):
            shutil.copy(Path("docs") / page, docs)
    cores = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    for done, (module, *options) in steps(results, args.data or results, docs, args.quick):
        if done is not None and done.exists():
            print(f"{module}: {done} is there; --fresh measures again")
            continue
        print(f"{module} {' '.join(options)}", flush=True)
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), cores if module in THREADED else "1")
        code = subprocess.call([sys.executable, "-m", f"benchmarks.{module}", *options], env=os.environ | threads)
        if code:
            raise SystemExit(code)


if __name__ == "__main__":
    main()
