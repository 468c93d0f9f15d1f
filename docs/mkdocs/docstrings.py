"""Griffe extension: what docstrings have that is no Markdown becomes it.

Parameters, "name : text" under an underlined heading, become lists, and examples blocks of code.
"""

import re
from typing import Any

import griffe

HEADING = re.compile(r"^(\w+)\n-{3,}$", re.MULTILINE)  # Markdown would make it a heading of the page
ENTRY = re.compile(r"^(\w+(?:, \w+)*) : ", re.MULTILINE)
EXAMPLE = re.compile(r"^>>> (?:.+\n?)+", re.MULTILINE)  # up to a blank line


def to_markdown(docstring: str) -> str:
    """The same text with bold headings, and entries as items, to which their indented further lines belong."""
    docstring = EXAMPLE.sub(lambda lines: f"```pycon\n{lines[0].rstrip()}\n```\n", docstring)
    if not HEADING.search(docstring):
        return docstring
    items = ENTRY.sub(r"- **\1**: ", docstring)
    return HEADING.sub(r"**\1**\n", items)


class Lists(griffe.Extension):
    """Changes every docstring before mkdocstrings renders it."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called by griffe for each object it has read."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)
