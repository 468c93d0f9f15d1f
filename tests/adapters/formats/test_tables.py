"""The page on formats says what the tables of readers, forms and refused types say."""

import re
from pathlib import Path

from coremerge_ref.adapters.formats import READERS
from coremerge_ref.adapters.formats.refused import REFUSED_TYPES
from coremerge_ref.adapters.forms import FORMS

ROOT = Path(__file__).parents[3]


def test_what_is_read_and_written() -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    block = re.search(r"^\| read \| written back as \|\n\|---\|---\|\n((?:\|.*\|\n)+)", text, re.MULTILINE)
    assert block is not None
    assert block[1].splitlines() == [f"| {reader.title} | {FORMS[reader.family].title} |" for reader in READERS]


def test_what_is_refused() -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", text, re.MULTILINE)
    assert [(name, (what, todo)) for name, what, todo in rows] == list(REFUSED_TYPES.items())


def test_every_family_is_written_and_every_title_is_its_own() -> None:
    assert {reader.family for reader in READERS} == FORMS.keys()
    assert len({reader.title for reader in READERS}) == len(READERS)
