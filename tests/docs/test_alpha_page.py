"""What "Choose α" quotes of the study is in the study's tables."""

import re
from pathlib import Path

import pytest

import coremerge_ref as cm
from coremerge_ref.adapters import load, merge_folders
from coremerge_ref.demo.data import VALIDATION, Data
from coremerge_ref.demo.evaluate import accuracies, adapted, mean

DOCS = Path(__file__).parents[2] / "docs"
PAGE = " ".join((DOCS / "tutorials" / "alpha.md").read_text(encoding="utf-8").split())
STUDY = (DOCS / "accuracy.md").read_text(encoding="utf-8")


def cells(section: str, method: str) -> list[str]:
    row = next(line for line in section.splitlines() if line.startswith(f"| `{method}` |"))
    return [cell.strip() for cell in row.split("|")[2:-1]]


def test_what_is_quoted_is_the_column_of_core_space() -> None:
    section = STUDY.partition("### LoRA of rank 16")[2]
    quoted = {"tsv+iso": "kept {} % of", "tsv": "`tsv`, the default, {} %", "ta": "the plain sum, {} %"}
    for method, words in quoted.items():
        assert words.format(cells(section, method)[3].split()[0]) in PAGE


def test_of_vera_no_method_in_core_space_was_above_the_sum() -> None:
    table = STUDY.partition("### VeRA")[2].partition("| method |")[2].partition("| method |")[0]
    methods = re.findall(r"^\| `([a-z+_]+)`", table, re.MULTILINE)
    best = {method: max(float(cell) for cell in cells(table, method)[:4] if cell != "–") for method in methods}
    assert max(best.values()) == best["ta"] == 69.6
    tucker = {method: cells(table, method)[4] for method in methods if cells(table, method)[4] != "–"}
    assert {method for method, figure in tucker.items() if float(figure) > best["ta"]} == {"ties"}
    assert f"{tucker['ties']} % against {best['ta']} %" in PAGE


def test_the_table_is_what_a_sweep_of_the_demo_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS.parent / "coremerge_ref" / "demo" / "data")
    tasks = ["digits", "capitals", "arrows"]
    merge_folders([f"adapters/{task}" for task in tasks], tmp_path / "merged")
    data = Data()

    def accuracy(path: Path) -> float:
        changes = {layer: update.to_dense() for layer, update in load(path).items()}
        return mean(accuracies(data, adapted(data.base, changes), VALIDATION, tasks))

    found = cm.sweep(tmp_path / "merged", accuracy)
    shown = (
        (DOCS / "tutorials" / "alpha.md")
        .read_text(encoding="utf-8")
        .partition("helped:\n\n```text\n")[2]
        .partition("best: ")[0]
    )
    assert [line.split() for line in str(found).splitlines()] == [line.split() for line in shown.splitlines()]
    assert found.verdict.partition("adapters/capitals")[0] in PAGE
