"""The pages of the known mistakes: what each is, why it is common, how to mend it.

``python -m coremerge_ref.conformance.pages`` writes them as one document."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path


@cache
def pages() -> dict[str, dict[str, str]]:
    """What each mistake is, why it is common and how to mend it, by id."""
    return tomllib.loads((Path(__file__).parent / "data" / "mistakes.toml").read_text(encoding="utf-8"))


def title(name: str) -> str:
    """What a mistake is, in a few words; two at once are joined by +."""
    return " and ".join(pages()[part]["title"] for part in name.split("+"))


def named(name: str) -> str:
    """The id and what it is: how a mistake is told wherever one is."""
    return f"{name}: {title(name)}"


def explain(name: str) -> str:
    """The page of a mistake: what it is, why it is common, how to mend it. Raises ValueError for an unknown id."""
    from difflib import get_close_matches

    known = pages()
    if name not in known:
        near = get_close_matches(name, known, 3, 0.4)
        raise ValueError(f"no mistake has the id {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    page = known[name]
    return f"{name}: {page['title']}\n\n{page['why']}\n\nTo mend it: {page['mend']}"


def catalogue() -> str:
    """All pages as one Markdown document: ``python -m coremerge_ref.conformance.pages``."""
    head = (
        "# Mistakes that the conformance kit knows\n\n"
        "Errors that people make when they write a merge of adapters, each with why it happens and how to mend it.\n"
        "Written by `python -m coremerge_ref.conformance.pages`. Each has a stable id, which reports, JSON and "
        "`coremerge conformance --explain ID` use.\nThe kit holds a model that makes each of them; where an answer is "
        "the model's to rounding, the mistake is named, and where it takes two at once,\nboth (`one+other`). "
        "`tests/conformance/test_mistakes.py` makes every one of them in another arithmetic and looks for its name.\n"
    )
    parts = [
        f"\n## {name}\n\n{page['title'][0].upper()}{page['title'][1:]}. {page['why']} *To mend it:* {page['mend']}\n"
        for name, page in pages().items()
    ]
    return head + "".join(parts)


if __name__ == "__main__":
    print(catalogue(), end="")
