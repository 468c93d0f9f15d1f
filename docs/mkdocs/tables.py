"""MkDocs hook: long names in tables may break after an underscore, and (see site.css) nowhere else."""

import re

CELL = re.compile(r"<td.*?</td>", re.DOTALL)
CODE = re.compile(r"<code>.*?</code>", re.DOTALL)


def _breakable(code: re.Match[str]) -> str:
    return code[0].replace("_", "_<wbr>")


def on_page_content(html: str, **kwargs: object) -> str:
    """Called by MkDocs with the HTML of each page."""
    return CELL.sub(lambda cell: CODE.sub(_breakable, cell[0]), html)
