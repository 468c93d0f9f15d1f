"""Writes docs/claims.md from its text, page.md, and the figures in CSV files: python -m benchmarks.claims.report."""

from pathlib import Path

from benchmarks.claims.figures import ROOT, figures

TEXT, PAGE = Path(__file__).parent / "page.md", ROOT / "docs" / "claims.md"


def page() -> str:
    """The page: {name} is replaced by the figure of that name; KeyError where there is none."""
    return TEXT.read_text(encoding="utf-8").format_map(figures())


def main() -> None:
    """Writes it."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
