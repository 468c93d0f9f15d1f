"""MkDocs hook: the search finds tutorials first, and the two long tables of mistakes and mutants not at all."""

from typing import Any

from coremerge_ref.methods import STAGES

LEFT_OUT = {"mistakes.md", "mutation.md"}
TUTORIALS, API = 8, 0.5  # in the API is every word
# What is looked for by words that the page's own title has not; they weigh more than any title.
WORDS = {
    "tutorials/alpha.md": ["alpha", "scale", "sweep"],
    "tutorials/adapters.md": ["merge", "lora", "peft"],
    "which.md": ["method", *STAGES],
}


def on_page_markdown(markdown: str, page: Any, **kwargs: object) -> None:
    """Called by MkDocs for each page; Material's search reads these fields of its metadata."""
    name = page.file.src_uri
    if name in LEFT_OUT:
        page.meta["search"] = {"exclude": True}
    elif name.startswith("tutorials/"):
        page.meta["search"] = {"boost": TUTORIALS}
    elif name == "api.md":
        page.meta["search"] = {"boost": API}
    if name in WORDS:
        page.meta["tags"] = WORDS[name]
