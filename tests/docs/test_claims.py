"""The page of claims: its figures are those of the files, its words follow from them, and its commands are there."""

import importlib.util
import re
from pathlib import Path
from statistics import mean

import pytest

from benchmarks.claims import figures, report

ROOT = Path(__file__).parents[2]
PAGE = report.PAGE.read_text(encoding="utf-8")


def test_every_figure_is_recomputed():
    assert report.page() == PAGE, "run: python -m benchmarks.claims.report"


def test_no_figure_is_computed_in_vain():
    used = set(re.findall(r"{(\w+)}", report.TEXT.read_text(encoding="utf-8")))
    assert used <= figures.figures().keys()


def test_every_command_is_there():
    modules = set(re.findall(r"python -m (benchmarks[\w.]*)", PAGE))
    assert len(modules) > 4
    assert all(importlib.util.find_spec(module) for module in modules)


def test_every_claim_in_the_table_has_its_section():
    links = re.findall(r"\]\(#([\w-]+)\)", PAGE)
    heads = [
        re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    ]
    assert links == [head for head in heads if head != "not-examined"]


@pytest.mark.parametrize("name", sorted(path.stem for path in figures.PAPER.glob("*.csv")))
def test_the_papers_means_are_those_of_its_tasks(name: str):
    """Means of cells rounded to two decimals, rounded to two decimals: at most half a hundredth twice apart."""
    rows = figures.paper(name)
    for row in rows.values():
        assert abs(mean(row[task] for task in figures.tasks(rows)) - row["avg"]) < 0.0101


def test_the_accuracy_studys_copy_of_the_papers_tables_is_the_same():
    for copy, name in (("r16", "vitb32_r16"), ("mixed", "vitb32_hetero_r16_r64"), ("vera", "vitb32_vera_r16")):
        known = figures.paper(name)
        for row in figures.read(ROOT / "benchmarks" / "accuracy" / "paper" / f"{copy}.csv"):
            assert known[row["method"], row["space"]]["avg"] == float(row["avg"])


def known(name: str) -> float:
    return float(figures.figures()[name])


def test_words_about_speed():
    assert known("q_iso_knots_core") > known("paper_iso_knots") / 10
    assert known("q_tsv_full_core") > known("paper_tsv_full") / 10
    assert known("k_iso_knots_core") < known("q_iso_knots_core")
    assert known("k_tsv_full_core") < known("q_tsv_full_core")


def test_words_about_null_vectors():
    assert (
        figures.figures()["null_tsv_out_relative_distance"]
        == figures.figures()["null_iso_out_relative_distance"]
        == "0"
    )
    assert known("null_tsv_in_relative_distance") > 0.1
    assert known("null_iso_in_relative_distance") > 0.1


def test_words_about_alignment():
    assert known("aligned_absolute_full") == known("aligned_absolute_core") == known("aligned_relative_core")
    assert known("aligned_relative_full") < known("aligned_relative_core")
    assert known("aligned_ties_core") != known("aligned_ties_full")


def test_words_about_the_study():
    assert known("r16_absolute") > known("r16_relative_full")
    assert known("r16_absolute") > known("r16_ta")
    assert known("r16_apart") < 1e-9
    assert abs(known("nli_iso_core") - known("nli_ta")) < 0.2
    assert known("gtsrb_without") < known("gtsrb_with") / 2


def test_the_demos_figures_are_of_its_methods():
    from coremerge_ref.demo.compare import METHODS

    assert known("demo_methods") == len(METHODS)
