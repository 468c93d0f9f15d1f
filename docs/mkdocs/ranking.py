"""MkDocs hook: the search finds tutorials first, and the two long tables of mistakes and mutants not at all."""

from typing import Any

LEFT_OUT = {"mistakes.md", "mutation.md"}


def on_page_markdown(markdown: str, page: Any, **kwargs: object) -> None:
    """Called by MkDocs for each page; Material's search reads these fields of its metadata."""
    if page.file.src_uri in LEFT_OUT:
        page.meta["search"] = {"exclude": True}
    elif page.file.src_uri.startswith("tutorials/"):
        page.meta["search"] = {"boost": 2}
