"""All benchmarks of complexity and speed, then the pages in docs/ that show them.

    python -m benchmarks [--quick] [--fresh]

A step whose results are in build/bench already is not run again; --fresh starts over. --quick takes small sizes and
writes everything, pages included, below build/bench-quick instead.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def steps(results: Path, docs: Path, quick: bool) -> Iterator[tuple[Path | None, list[str]]]:
    """What to run, and the file that says that it has been; None for what always runs, since it resumes by itself."""
    more = ["--quick"] * quick
    for name, module in (("goals", "speed.goals"), ("llama", "speed.llama"), ("gpu", "gpu")):
        path = results / f"{name}.json"
        yield path, [module, *more, "--output", str(path)]
    sweeps = ["--results", str(results / "sweeps.csv")]
    yield None, ["complexity.sweeps", *more, *sweeps]
    yield None, ["complexity.figures", *sweeps, "--docs", str(docs)]
    yield None, ["complexity.projection", *more, "--docs", str(docs)]
    yield None, ["speed.report", "--results", str(results), "--docs", str(docs)]


def main() -> None:
    """Runs the steps one after the other, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, under two minutes")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
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
    threads = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    for done, (module, *options) in steps(results, docs, args.quick):
        if done is not None and done.exists():
            print(f"{module}: {done} is there; --fresh measures again")
            continue
        print(f"{module} {' '.join(options)}", flush=True)
        code = subprocess.call([sys.executable, "-m", f"benchmarks.{module}", *options], env=environment)
        if code:
            raise SystemExit(code)


if __name__ == "__main__":
    main()
