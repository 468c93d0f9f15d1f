"""What "Choose α" quotes of the study is in the study's tables."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "tutorials" / "alpha.md").read_text(encoding="utf-8")
STUDY = (DOCS / "accuracy.md").read_text(encoding="utf-8")


def cells(section: str, method: str) -> list[str]:
    row = next(line for line in section.splitlines() if line.startswith(f"| `{method}` |"))
    return [cell.strip() for cell in row.split("|")[2:-1]]


def test_the_table_is_the_column_of_core_space() -> None:
    quoted = re.findall(r"^\| `([a-z+]+)`.*? \| ([\d. ±]+) \|$", PAGE, re.MULTILINE)
    assert len(quoted) >= 5
    section = STUDY.partition("### LoRA of rank 16")[2]
    assert dict(quoted) == {m: cells(section, m)[3] for m, _ in quoted}
    assert [float(figure.split()[0]) for _, figure in quoted] == sorted(
        (float(f.split()[0]) for _, f in quoted), reverse=True
    )


def test_of_vera_no_method_in_core_space_was_above_the_sum() -> None:
    table = STUDY.partition("### VeRA")[2].partition("| method |")[2].partition("| method |")[0]
    methods = re.findall(r"^\| `([a-z+_]+)`", table, re.MULTILINE)
    core = {method: float(cells(table, method)[3]) for method in methods}
    assert max(core.values()) == core["ta"] == 69.6
    assert cells(table, "ties")[4] == "70.5"
    assert "70.5 against 69.6" in PAGE
