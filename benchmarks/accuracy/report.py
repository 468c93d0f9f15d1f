"""Writes docs/accuracy.md from its text, page.md, and the raw results: python -m benchmarks.accuracy.report."""

import re
from pathlib import Path

from benchmarks.accuracy import advice, figures, plots, results
from benchmarks.accuracy.summary import Summary

ROOT = Path(__file__).parents[2]
TEXT, PAGE, IMAGES = Path(__file__).parent / "page.md", ROOT / "docs" / "accuracy.md", ROOT / "docs" / "img"
PART = re.compile(r"<!-- part (\w+) -->\n(.*?)<!-- /part -->\n", re.DOTALL)
QUOTING = tuple(ROOT / "docs" / name for name in ("which.md", "faq.md", "tutorials/search.md"))


def page(folder: Path = results.FOLDER) -> str:
    """The page: {name} becomes the figure of that name; sections of parts not measured yet are left out."""
    r16 = Summary.of("r16", folder)
    text = PART.sub(lambda match: match[2] if r16.part(match[1]) else "", TEXT.read_text(encoding="utf-8"))
    return text.format_map(figures.figures(folder))


def marked(folder: Path = results.FOLDER) -> dict[Path, str]:
    """The pages that quote the study between marks, as they should be."""
    found = dict(advice.advice(*(Summary.of(recipe, folder) for recipe in figures.RECIPES)))
    return {path: advice.put_into(path.read_text(encoding="utf-8"), found) for path in QUOTING}


def main() -> None:
    """The page and its figures."""
    PAGE.write_text(page(), encoding="utf-8")
    for path, text in marked().items():
        path.write_text(text, encoding="utf-8")
    r16 = Summary.of("r16")
    plots.beside_paper(r16, IMAGES / "accuracy_r16.svg", "here: MiniLM-L6, eight text tasks")
    if r16.part("tasks") and r16.part("rank"):
        plots.lines(r16, IMAGES / "accuracy_lines.svg")
    if r16.part("basis"):
        plots.basis(r16, IMAGES / "accuracy_basis.svg")


if __name__ == "__main__":
    main()
