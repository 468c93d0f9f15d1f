"""The raw results, read: normalized accuracies by seed, means, intervals over seeds, and the paper's own figures."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import t as student

from benchmarks.accuracy import results, tasks

PAPER = Path(__file__).parent / "paper"
SAME = {"family": "r16"}  # the recipe of another model
TEXTS = tasks.SPLITS["test"]
Cell = tuple[str, str, str]  # method, mode, space
BySeed = dict[int, float]


@dataclass(frozen=True)
class Summary:
    """One recipe's results."""

    recipe: str
    rows: list[results.Row]

    @classmethod
    def of(cls, recipe: str, folder: Path = results.FOLDER) -> "Summary":
        """Reads its file; no rows where there is none."""
        return cls(recipe, results.of(folder, recipe).rows())

    @cached_property
    def single(self) -> dict[int, dict[str, float]]:
        """Seed → task → percent right of the task's own adapter."""
        return {int(row["seed"]): accuracies(row) for row in self.part("singles") if singles(row, "single")}

    @cached_property
    def base(self) -> dict[str, float]:
        """Task → percent right of the base model."""
        return next(accuracies(row) for row in self.part("singles") if singles(row, "base"))

    def part(self, name: str) -> list[results.Row]:
        """The rows of a part."""
        return [row for row in self.rows if row["part"] == name]

    def normalized(self, row: results.Row, single: dict[str, float] | None = None) -> float:
        """Percent of the single adapters' accuracies, mean over the row's tasks."""
        single = single or self.single[int(row["seed"])]
        return mean(100.0 * x / single[name] for name, x in accuracies(row).items())

    @cached_property
    def spaces(self) -> dict[Cell, BySeed]:
        """Method, mode and space → normalized accuracy by seed."""
        found: dict[Cell, BySeed] = {}
        for row in self.part("spaces"):
            cell = (row["method"], row["mode"], row["space"])
            found.setdefault(cell, {})[int(row["seed"])] = self.normalized(row)
        return found

    def by_seed(self, part: str, names: Sequence[str]) -> dict[tuple[str, ...], BySeed]:
        """The rows of a part by the values in these columns → normalized accuracy by seed."""
        found: dict[tuple[str, ...], BySeed] = {}
        for row in self.part(part):
            found.setdefault(tuple(row[name] for name in names), {})[int(row["seed"])] = self.normalized(row)
        return found

    def difference(self, one: Cell, other: Cell) -> "Interval":
        """one − other, paired by seed."""
        left, right = self.spaces[one], self.spaces[other]
        return Interval.of([left[seed] - right[seed] for seed in left if seed in right])

    def sampling(self, row: results.Row) -> float:
        """The standard error of a normalized accuracy that comes from TEXTS texts a task standing for all texts."""
        single = self.single[int(row["seed"])]
        found = accuracies(row)
        variance = sum((100.0 / single[name]) ** 2 * x * (100.0 - x) / TEXTS for name, x in found.items())
        return variance**0.5 / len(found)


@dataclass(frozen=True)
class Interval:
    """Mean and half the 95 % interval of Student's t over seeds; half is None of one seed."""

    mean: float
    half: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Interval":
        """Of one value a seed."""
        n = len(values)
        half = float(student.ppf(0.975, n - 1)) * stdev(values) / n**0.5 if n > 1 else None
        return cls(mean(values), half, n)

    @property
    def sign(self) -> int:
        """1 or −1 where the interval lies on one side of zero, else 0."""
        if self.half is None or abs(self.mean) <= self.half:
            return 0
        return 1 if self.mean > 0 else -1

    def __str__(self) -> str:
        return f"{self.mean:+.1f}" + ("" if self.half is None else f" ± {self.half:.1f}")


def singles(row: results.Row, method: str) -> bool:
    """Whether it is the test accuracy of base or single adapters."""
    return row["method"] == method and row["space"] == ""


def accuracies(row: results.Row) -> dict[str, float]:
    """Task → percent right, of the tasks that the row measured."""
    return {name: float(row[name]) for name in tasks.TASKS if row[name]}


def spread(values: Iterable[float]) -> str:
    """Mean ± standard deviation over seeds."""
    given = list(values)
    return f"{mean(given):.1f}" + (f" ± {stdev(given):.1f}" if len(given) > 1 else "")


def paper(recipe: str) -> dict[tuple[str, str], float]:
    """(method, space) → the paper's average; linear merges are one figure for "any" space."""
    figures = {}
    with (PAPER / f"{SAME.get(recipe, recipe)}.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            linear = row["method"] == "ta"
            for space in ("full", "knots", "core") if linear else (row["space"],):
                figures[row["method"], space] = float(row["avg"])
    return figures
