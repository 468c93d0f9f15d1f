"""The accuracy page: it is what the raw results give, and figures it quotes come out of the CSV by plain arithmetic."""

import csv
import re
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import pytest

pytest.importorskip("matplotlib")
from benchmarks.accuracy import figures, report

DATA = Path(__file__).parents[2] / "docs" / "data"
PAGE = report.PAGE.read_text(encoding="utf-8")
TASKS = ("scipy", "library", "section", "type", "exception", "language", "symbol", "sentiment")
T95 = {5: 2.776445, 3: 4.302653}  # Student's t at 97.5 %, by number of seeds
SEEDS = {"r16": 5, "mixed": 3, "vera": 3}


def read(recipe: str) -> list[dict[str, str]]:
    with (DATA / f"accuracy_{recipe}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def normalized(recipe: str) -> dict[tuple[str, str, str], list[float]]:
    """Method, mode and space → accuracy in percent of the single adapters', by seed."""
    rows = read(recipe)
    single = {r["seed"]: r for r in rows if r["part"] == "singles" and r["method"] == "single" and not r["space"]}
    found = defaultdict(dict)
    for row in rows:
        if row["part"] == "spaces":
            ratios = [100 * float(row[task]) / float(single[row["seed"]][task]) for task in TASKS]
            found[row["method"], row["mode"], row["space"]][row["seed"]] = mean(ratios)
    return {cell: [by[seed] for seed in sorted(by)] for cell, by in found.items()}


def test_the_page_is_what_the_results_give() -> None:
    assert report.page() == PAGE, "run: python -m benchmarks.accuracy.report"


@pytest.mark.parametrize("recipe", SEEDS)
def test_every_setting_has_every_seed_once(recipe: str) -> None:
    assert {len(values) for values in normalized(recipe).values()} == {SEEDS[recipe]}
    keys = [tuple(row[c] for c in ("part", "seed", "method", "mode", "space", "which")) for row in read(recipe)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("recipe", SEEDS)
def test_a_thousand_texts_a_task(recipe: str) -> None:
    for row in read(recipe):
        if row["part"] == "spaces":
            assert all(abs(float(row[task]) * 10 - round(float(row[task]) * 10)) < 1e-3 for task in TASKS)


@pytest.mark.parametrize("recipe", SEEDS)
def test_tables_and_intervals_by_plain_arithmetic(recipe: str) -> None:
    cells, found = normalized(recipe), figures.figures()
    for method, mode in (("ties", ""), ("tsv+iso", "relative")):
        for space in ("full", "core"):
            values = cells[method, mode, space]
            assert f" {mean(values):.1f} ± {stdev(values):.1f} |" in found[f"{recipe}_spaces"], (method, space)
        gains = [a - b for a, b in zip(cells[method, mode, "core"], cells[method, mode, "full"], strict=True)]
        half = T95[len(gains)] * stdev(gains) / len(gains) ** 0.5
        assert f"| {mean(gains):+.1f} ± {half:.1f} |" in found[f"{recipe}_differences"], method
    best = max((cell for cell in cells if cell[1] != "relative"), key=lambda cell: mean(cells[cell]))
    assert f"`{best[0]}`" in found[f"{recipe}_best"]
    assert found[f"{recipe}_best_figure"] == f"{mean(cells[best]):.1f} ± {stdev(cells[best]):.1f}"


def test_every_figure_on_the_page_has_its_name() -> None:
    used = set(re.findall(r"{(\w+)}", report.TEXT.read_text(encoding="utf-8")))
    assert used <= figures.figures().keys()


def test_the_images_are_there() -> None:
    for image in re.findall(r"\((img/[\w.]+)\)", PAGE):
        assert (report.PAGE.parent / image).exists(), image
