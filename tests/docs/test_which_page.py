"""What "Which method, which space, which α" and other pages quote of the study is what its raw results give."""

import csv
import re
from pathlib import Path
from statistics import mean

import pytest

pytest.importorskip("matplotlib")
from benchmarks.accuracy import report

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "which.md").read_text(encoding="utf-8")


def test_pages_quote_what_the_results_give() -> None:
    for path, text in report.marked().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run python -m benchmarks.accuracy.report"
        assert "<!-- study " in text


def rows(title: str) -> dict[str, list[str]]:
    """Method → cells of the table whose header begins so."""
    lines = PAGE.partition(f"\n| {title}")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {line[0].strip("`"): line[1:] for line in cells}


def test_the_plain_sums_figure_by_plain_arithmetic() -> None:
    with (DOCS / "data" / "accuracy_r16.csv").open(newline="", encoding="utf-8") as file:
        measured = list(csv.DictReader(file))
    tasks = list(measured[0])[-8:]
    single = {r["seed"]: r for r in measured if r["method"] == "single" and r["part"] == "singles" and not r["space"]}
    sums = [r for r in measured if r["part"] == "spaces" and r["method"] == "ta"]
    kept = mean(mean(100 * float(r[t]) / float(single[r["seed"]][t]) for t in tasks) for r in sums)
    assert rows("method | rank 16")["ta"][0].startswith(f"{kept:.1f} ± ")


def test_methods_are_ordered_by_accuracy() -> None:
    found = [float(cells[0].split()[0]) for cells in rows("method | rank 16").values()]
    assert len(found) >= 12
    assert found == sorted(found, reverse=True)


def test_tables_of_spaces_have_both_elementwise_methods() -> None:
    assert list(rows("method | full")) == ["ties", "dare+ties"]


def test_the_short_form_recommends_what_is_above_the_sum() -> None:
    short = re.search(r"Short form: take `([a-z+_]+)`", PAGE)
    above = re.search(r"<!-- study r16_above -->(.*?)<!-- /study -->", PAGE, re.DOTALL)
    assert short is not None
    assert above is not None
    assert f"`{short[1]}`" in above[1]


def test_without_an_evaluation_the_commands_defaults_are_best_at_scale_1() -> None:
    from coremerge_ref.cli.settings import MergeSettings

    found = report.Summary.of("r16").by_seed("alpha", ("method", "which"))
    at_one = {method: mean(by.values()) for (method, rule), by in found.items() if rule == "one"}
    assert max(at_one, key=lambda method: at_one[method]) == MergeSettings().method
    assert MergeSettings().scale == 1.0
