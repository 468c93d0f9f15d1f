"""python -m benchmarks.accuracy: train the adapters, search and measure every merge, write tables and figures.

Goes on where it was stopped. --quick is a small form of the same, of a few steps and examples, for tests.
"""

import argparse
import os
import warnings
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from benchmarks.accuracy import basis, report, store, study, tasks, train

QUICK_TASKS = ["scipy", "symbol"]
QUICK_SIZES = {"train": 64, "val": 32, "test": 32}
QUICK_SETTINGS = ["ta", "ties", "dare+ties", "tsv:absolute"]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two tasks, one seed, a few steps: seconds, for tests")
    parser.add_argument("--cache", type=Path, help="where data, adapters and measurements are kept")
    parser.add_argument("--out", type=Path, help="where figures and a CSV file go (nowhere by default)")
    parser.add_argument("--page", type=Path, help="a Markdown page whose marked part the tables replace")
    parser.add_argument("--report", action="store_true", help="only report what is measured already")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="+", choices=list(train.RECIPES), default=list(train.RECIPES))
    parser.add_argument("--rotations", type=int, default=100, help="random bases in the study of the basis")
    parser.add_argument("--threads", type=int, default=min(4, os.cpu_count() or 1))
    return parser.parse_args()


def main() -> None:
    """Everything, in the order in which it is needed."""
    given = arguments()
    warnings.filterwarnings("ignore", category=FutureWarning)
    torch.set_num_threads(given.threads)
    threadpool_limits(given.threads)
    if given.quick:
        quick(given.cache or store.DEFAULT.with_name("accuracy-quick"), given.out)
        return
    cache = given.cache or store.DEFAULT
    if not given.report:
        measure(given, cache)
    report.write(cache, given.out, given.page, given.recipes)


def measure(given: argparse.Namespace, cache: Path) -> None:
    """All recipes and seeds."""
    names = list(tasks.TASKS)
    for recipe in given.recipes:
        for seed in given.seeds:
            train.train_all(cache, train.RECIPES[recipe], names, seed)
            study.run(cache, recipe, seed, names)
    if "r16" in given.recipes:
        basis.run(cache, "r16", given.seeds[0], names, given.rotations)


def quick(cache: Path, out: Path | None) -> None:
    """The small form: the same steps on little data, so that a change that breaks one shows."""
    recipe = train.RECIPES["r16"].shortened(steps=4)
    train.train_all(cache, recipe, QUICK_TASKS, 0, QUICK_SIZES)
    study.run(cache, "r16", 0, QUICK_TASKS, QUICK_SETTINGS)
    basis.run(cache, "r16", 0, QUICK_TASKS, 2)
    report.write(cache, out)


if __name__ == "__main__":
    main()
