"""python -m benchmarks.accuracy: train the adapters, search and measure every merge, write tables and figures.

Goes on where it was stopped. --quick is a small form of the same, of a few steps and examples, for tests.
"""

import argparse
import warnings
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from benchmarks.accuracy import basis, results, store, tasks
from benchmarks.accuracy.study import Study

QUICK_TASKS = ["scipy", "symbol"]
QUICK_SIZES = {"train": 64, "val": 32, "test": 32}
QUICK_SETTINGS = ["ta", "ties", "tsv:absolute", "tsv:relative", "tsv+iso:absolute", "tsv+iso:relative"]
MAIN = ("singles", "spaces")
EXTRA = ("checks", "alpha", "tasks", "rank")
OWN = ("r16", "mixed", "vera")  # family wants the packages of family.txt
ORDER = (
    *(("r16", seed, MAIN) for seed in (0, 1, 2)),
    ("mixed", 0, MAIN), ("vera", 0, MAIN),
    *(("r16", seed, ("alpha",)) for seed in (0, 1, 2)),
    ("r16", 3, MAIN), ("r16", 4, MAIN),
    *((recipe, seed, MAIN) for seed in (1, 2) for recipe in ("mixed", "vera")),
    ("r16", 0, ("checks", "basis")),
    *(("r16", seed, ("tasks", "rank")) for seed in (0, 1, 2)),
    *((recipe, seed, ("alpha",)) for recipe in ("mixed", "vera") for seed in (0, 1, 2)),
    *(("family", seed, MAIN) for seed in range(5)),
)  # fmt: skip


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two tasks, one seed, a few steps: seconds, for tests")
    parser.add_argument("--cache", type=Path, help="where texts and adapters are kept")
    parser.add_argument("--results", type=Path, default=results.FOLDER, help="where the raw results are, and go")
    parser.add_argument("--only", nargs="+", metavar="RECIPE", default=OWN, help="of r16, mixed, vera and family")
    parser.add_argument("--rotations", type=int, default=20, help="random bases in the study of the basis")
    return parser.parse_args()


def main() -> None:
    """Everything, what decides most first."""
    given = arguments()
    warnings.filterwarnings("ignore", category=FutureWarning)
    torch.set_num_threads(1)
    threadpool_limits(1)
    if given.quick:
        quick(given.cache or store.DEFAULT.with_name("accuracy-quick"), given.results)
        return
    for recipe, seed, parts in ORDER:
        if recipe in given.only:
            measured = results.of(given.results, recipe)
            run(Study(given.cache or store.DEFAULT, measured, recipe, seed, list(tasks.TASKS)), parts, given.rotations)


def run(study: Study, parts: tuple[str, ...], rotations: int) -> None:
    """The parts of the study on the adapters of one recipe and seed."""
    for part in parts:
        if part == "basis":
            basis.run(study, rotations)
        else:
            getattr(study, part)()


def quick(cache: Path, folder: Path) -> None:
    """The small form: the same steps on little data, so that a change that breaks one shows."""
    study = Study(cache, results.of(folder, "r16"), "r16", 0, QUICK_TASKS, QUICK_SIZES, steps=4)
    study.spaces(QUICK_SETTINGS)
    run(study, (*EXTRA, "basis"), 2)


if __name__ == "__main__":
    main()
