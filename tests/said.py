"""What messages are held to: their parts, and not the words between them."""

import re


def parts(text: str) -> str:
    """A pattern of one line that has the parts of `text` in their order; where it has " … ", any words may stand."""
    return ".*".join(map(re.escape, re.split(r" … | …$|^… ", text)))
