"""MkDocs hook: $…$ and $$…$$ become MathML when the site is built, so that a page needs neither scripts nor the net."""

import logging
import re
from xml.etree import ElementTree

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor

# As GitHub reads them: no blank inside the dollars, no digit after them ("from $5 to $10" is text). By then Markdown
# has put a placeholder that starts with \x02 for inline code, and no formula reaches across one.
FORMULA = r"(?<![\\$])(\$\$?)(?!\s|\$)([^$\x02]+?)(?<![\s\\])\1(?![\d$])"
AFTER_CODE, BEFORE_ESCAPES = 190, 180  # Markdown's own priorities; a backslash inside a formula is no escape


def to_mathml(latex: str, display: bool = False) -> str:
    """The <math> element; ValueError where a command is unknown, which latex2mathml would print as it stands."""
    braced = re.sub(r"\\mathcal\s+(\w)", r"\\mathcal{\1}", latex)  # without braces it comes out as a plain letter
    markup = convert(" ".join(braced.split()), display="block" if display else "inline")
    markup = re.sub(r"<mo>(?=\w\w+</mo>)", '<mo lspace="0" rspace="0.17em">', markup)  # names of functions
    markup = re.sub(r"<mo[^>]*>(?=&#x0007C;</mo>)", '<mo lspace="0" rspace="0">', markup)  # bars of an absolute value
    shown = "".join(ElementTree.fromstring(markup).itertext())
    if not shown.strip() or "\\" in shown:
        raise ValueError(f"no MathML for {latex!r}, only {shown!r}")
    return markup


class Formula(InlineProcessor):
    """Replaces one formula by its MathML, which no later pattern looks into."""

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[str, int, int]:
        """Called by Markdown for each formula."""
        display = m[1] == "$$"
        try:
            markup = to_mathml(m[2], display)
        except Exception as error:  # whatever the converter raises, name the formula, and let the build end with it
            logging.getLogger("mkdocs.hooks.mathml").warning("formula %s: %s", m[0], error)
            return m[0], m.start(0), m.end(0)
        if display:  # a frame of its own, which scrolls where the formula is wider than the page
            markup = f'<span class="formula">{markup}</span>'
        return self.md.htmlStash.store(markup), m.start(0), m.end(0)


class MathExtension(Extension):
    """The Markdown extension, which the tests use too."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Registers the pattern."""
        md.inlinePatterns.register(Formula(FORMULA, md), "mathml", (AFTER_CODE + BEFORE_ESCAPES) / 2)


def on_config(config):
    """Called by MkDocs; an instance of a class cannot be named in YAML without a Python tag."""
    config.markdown_extensions.append(MathExtension())
    return config
