"""What "Choose α" quotes of the study is in the study's tables."""

from pathlib import Path

import pytest

import coremerge_ref as cm
from coremerge_ref.adapters import load, merge_folders
from coremerge_ref.demo.data import VALIDATION, Data
from coremerge_ref.demo.evaluate import accuracies, adapted, mean

DOCS = Path(__file__).parents[2] / "docs"
PAGE = " ".join((DOCS / "tutorials" / "alpha.md").read_text(encoding="utf-8").split())
STUDY = (DOCS / "accuracy.md").read_text(encoding="utf-8")


def core(heading: str, method: str) -> str:
    """The figure in core space of a method whose settings are absolute."""
    rows = [line for line in STUDY.partition(heading)[2].splitlines() if line.startswith(f"| `{method}`")]
    return next(line for line in rows if "relative" not in line).split("|")[5].split("±")[0].strip()


def test_what_is_quoted_is_the_column_of_core_space() -> None:
    quoted = {"tsv": "default, kept {} % of", "tsv+iso": "`tsv+iso` {} %", "ta": "the plain sum, {} %"}
    for method, words in quoted.items():
        assert words.format(core("### LoRA of rank 16", method)) in PAGE
    vera = [core("### VeRA", method) for method in quoted]
    assert "for VeRA adapters {} %, {} % and {} %".format(*vera) in PAGE


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
