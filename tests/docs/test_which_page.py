"""What "Which method, which space, which α" quotes of the study is in the study's tables."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "which.md").read_text(encoding="utf-8")
STUDY = (DOCS / "accuracy.md").read_text(encoding="utf-8")
SECTIONS = ("### LoRA of rank 16", "### LoRA of ranks 4, 8, 16 and 64", "### VeRA")
CORE, ABSOLUTE_CORE = 3, 5  # columns of the study's two tables


def rows(text: str) -> list[tuple[str, list[str]]]:
    """Method and cells of each row of a table."""
    found = re.findall(r"^\| `([a-z_+]+)`[^|]*\|(.*)\|$", text, re.MULTILINE)
    return [(method, [cell.strip() for cell in cells.split("|")]) for method, cells in found]


def studied(section: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The two tables of a section of the study."""
    part = STUDY.partition(section)[2].partition("\n### ")[0]
    _, spaces, sizes = re.split(r"^\| method \|.*$", part, flags=re.MULTILINE)
    return dict(rows(spaces)), dict(rows(sizes))


METHODS = rows(PAGE.partition("\n## The method")[2].partition("\n### ")[0])
SPACES = rows(PAGE.partition("\n| method | full")[2])


@pytest.mark.parametrize(("column", "section"), list(enumerate(SECTIONS)))
def test_methods_have_the_studys_figures(column: int, section: str) -> None:
    spaces, sizes = studied(section)
    assert len(METHODS) >= 8
    for method, cells in METHODS:
        expected = sizes[method][ABSOLUTE_CORE] if method in sizes else spaces[method][CORE]
        assert cells[column] == expected, method


def test_spaces_have_the_studys_figures() -> None:
    spaces = studied(SECTIONS[0])[0]
    assert [method for method, _ in SPACES] == ["ties", "dare+ties"]
    for method, cells in SPACES:
        full, _, scaled, core, tucker = spaces[method][:5]
        assert cells == [full, scaled, core, tucker]


def test_it_says_of_which_code_the_figures_are_for_as_long_as_the_study_does() -> None:
    assert ("before the core was rewritten" in STUDY) == ("before its core was\nrewritten" in PAGE)


def test_of_vera_nothing_shown_is_above_the_sum() -> None:
    figures = {method: float(cells[2]) for method, cells in METHODS}
    assert max(figures.values()) == figures["ta"]


def test_the_faq_has_the_range_of_core_space() -> None:
    figures = [float(cells[CORE].split()[0]) for cells in studied(SECTIONS[0])[0].values()]
    least, most = re.findall(r"kept (\d+) to\s(\d+) %", (DOCS / "faq.md").read_text(encoding="utf-8"))[0]
    assert (int(least), int(most)) == (round(min(figures)), round(max(figures)))
