"""The raw results: one CSV a recipe in docs/data, committed as it grows; a run measures what is not in it yet.

One row a measured model: percent right by task on the test texts, in the columns named after the tasks, and how it came
about. part: what the row belongs to (spaces, singles, tasks, rank, alpha, checks). setting: the values searched.
alpha: what multiplies the merge; size: ‖α ΔW‖ / ‖Σ ΔW_t‖ over all layers. val: validation accuracy there, normalized.
same_as: the space whose merge this is, being the same matrix.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy import tasks

FOLDER = Path(__file__).parents[2] / "docs" / "data"
KEYS = ("part", "recipe", "seed", "method", "mode", "space", "which")
COLUMNS = (*KEYS, "same_as", "setting", "alpha", "size", "val", *tasks.TASKS)
Row = dict[str, str]


@dataclass(frozen=True)
class Results:
    """The rows of one file, which `add` appends to at once."""

    path: Path

    def rows(self) -> list[Row]:
        """All of them."""
        if not self.path.exists():
            return []
        with self.path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Appends rows; columns that a row lacks are empty."""
        new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerows({name: text(value) for name, value in row.items()} for row in rows)

    def of(self, **wanted: Any) -> list[Row]:
        """Rows with these values in these columns."""
        return [row for row in self.rows() if all(row[name] == text(value) for name, value in wanted.items())]


def text(value: Any) -> str:
    """Numbers to as many digits as they are known to."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def of(folder: Path, recipe: str) -> Results:
    """A recipe's file."""
    return Results(folder / f"accuracy_{recipe}.csv")
