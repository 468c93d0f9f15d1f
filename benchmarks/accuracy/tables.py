"""The measurements as Markdown tables."""

from pathlib import Path
from statistics import mean, stdev

from benchmarks.accuracy import summary
from benchmarks.accuracy.methods import ABSOLUTE, RELATIVE
from benchmarks.accuracy.summary import Row

SPACES = ("full", "knots", "knots-scaled", "core", "core-tucker")
TITLES = ("full", "KnOTS", "KnOTS, scaled", "core", "core, Tucker")


def number(row: Row | None) -> str:
    """Mean ± spread, or a dash."""
    if row is None:
        return "–"
    return f"{row.mean:.1f} ± {row.spread:.1f}" if len(row.avg) > 1 else f"{row.mean:.1f}"


def markdown(header: list[str], lines: list[list[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *lines])


def grid(found: list[Row]) -> dict[tuple[str, str], dict[str, Row]]:
    """(method, mode) → space → row, in measured order."""
    cells: dict[tuple[str, str], dict[str, Row]] = {}
    for row in found:
        cells.setdefault((row.method, row.mode), {})[row.space] = row
    return cells


def beside_paper(found: list[Row]) -> str:
    """Settings relative to the size, as the paper's, with its figures on the right."""
    lines = []
    for (method, mode), by_space in grid(found).items():
        if mode == ABSOLUTE:
            continue
        theirs = [by_space[s].paper if s in by_space else None for s in ("full", "knots", "core")]
        cells = [number(by_space.get(space)) for space in SPACES]
        lines.append([f"`{method}`", *cells, *("–" if p is None else f"{p:.1f}" for p in theirs)])
    return markdown(["method", *TITLES, "paper: full", "KnOTS", "core"], lines)


def both_modes(found: list[Row]) -> str:
    """Where a setting has a size: the spaces under relative and under absolute settings."""
    cells = grid(found)
    lines = []
    for method, mode in cells:
        if mode != RELATIVE or (method, ABSOLUTE) not in cells:
            continue
        relative = [number(cells[method, RELATIVE].get(space)) for space in ("full", "knots", "core")]
        isometric = [cells[method, ABSOLUTE].get(space) for space in ("full", "knots-scaled", "core")]
        same = len({row.same_as for row in isometric if row}) == 1
        lines.append([f"`{method}`", *relative, *map(number, isometric), "yes" if same else "no"])
    if not lines:
        return ""
    header = ["method", "relative: full", "KnOTS", "core", "absolute: full", "KnOTS, scaled", "core", "one ΔW"]
    return markdown(header, lines)


def singles(cache: Path, recipe: str) -> str:
    """Each task: the base model, its own adapter (mean over the seeds), and how the best merge does."""
    results = summary.results(cache, recipe)
    lines = []
    for name in results[0]["zero"]:
        alone = [result["single"]["test"][name] for result in results]
        spread = f" ± {stdev(alone):.1f}" if len(alone) > 1 else ""
        lines.append([name, f"{results[0]['zero'][name]:.1f}", f"{mean(alone):.1f}{spread}"])
    return markdown(["task", "base model, %", "own adapter, %"], lines)


def basis(found: dict) -> str:
    """Paper's basis, Tucker's, and the spread over random rotations."""
    lines = []
    for method in [method for method in ("ties", "dare+ties") if len(found.get(method, {}).get("rotations", [])) > 1]:
        values = sorted(entry["avg"] for entry in found[method]["rotations"])
        kept = [f"{found[method][name]['avg']:.1f}" for name in ("paper", "tucker")]
        numbers = [f"{number:.1f}" for number in (mean(values), stdev(values), values[0], values[-1])]
        lines.append([f"`{method}`", *kept, *numbers, str(len(values))])
    header = ["method", "paper's basis", "Tucker", "random: mean", "standard deviation", "lowest", "highest", "bases"]
    return markdown(header, lines)
