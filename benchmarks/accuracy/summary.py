"""Measurements of all seeds and the paper's own figures, side by side: one row a recipe, method, mode and space."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from benchmarks.accuracy import methods

FOLDER = Path(__file__).parent
PAPER = FOLDER / "paper"


@dataclass(frozen=True)
class Row:
    """avg: normalized test accuracy of each seed in percent; paper: theirs (ViT-B/32) for the same method and space."""

    recipe: str
    method: str
    mode: str
    space: str
    avg: tuple[float, ...]
    paper: float | None
    same_as: str

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return mean(self.avg)

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds, 0 for one seed."""
        return stdev(self.avg) if len(self.avg) > 1 else 0.0


def results(cache: Path, recipe: str) -> list[dict]:
    """What was measured for a recipe, by seed, complete or not."""
    found = [json.loads(path.read_text()) for path in sorted((cache / "results").glob(f"{recipe}-seed[0-9].json"))]
    return [result for result in found if result.get("records")]


def paper(recipe: str) -> dict[tuple[str, str], float]:
    """(method, space) → the paper's average; linear merges are one figure for "any" space."""
    figures = {}
    with (PAPER / f"{recipe}.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            linear = row["method"] == "ta"
            for space in ("full", "knots", "core") if linear else (row["space"],):
                figures[row["method"], space] = float(row["avg"])
    return figures


def rows(cache: Path, recipe: str) -> list[Row]:
    """One row for each setting and space, over the seeds that have measured it."""
    figures = paper(recipe)
    found: dict[tuple[str, str, str], list[dict]] = {}
    for setting in methods.settings():
        for result in results(cache, recipe):
            for record in result["records"]:
                known = record["space"] in methods.spaces_of(setting)
                if known and (record["method"], record["mode"]) == (setting.method, setting.mode):
                    found.setdefault((record["method"], record["mode"], record["space"]), []).append(record)
    return [
        Row(
            *(recipe, method, mode, space),
            avg=tuple(record["test"]["avg"] for record in records),
            paper=figures.get((method, space)),
            same_as=records[0]["same_as"],
        )
        for (method, mode, space), records in found.items()
    ]


def write_csv(path: Path, found: list[Row]) -> None:
    """The rows as a table for other programs."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["recipe", "method", "mode", "space", "mean", "spread", "seeds", "same_as", "paper"])
        for row in found:
            by_seed = " ".join(f"{value:.2f}" for value in row.avg)
            theirs = "" if row.paper is None else f"{row.paper:.2f}"
            measured = [f"{row.mean:.2f}", f"{row.spread:.2f}", by_seed, row.same_as]
            writer.writerow([row.recipe, row.method, row.mode, row.space, *measured, theirs])
