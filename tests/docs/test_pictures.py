"""The drawn pictures are those that their script draws, and can be read on a dark page."""

import importlib.util
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SPEC = importlib.util.spec_from_file_location("pictures", DOCS / "mkdocs" / "pictures.py")
pictures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pictures)
DRAWN = [DOCS / "img" / f"{name}.svg" for name in pictures.PICTURES]


@pytest.mark.parametrize("file", DRAWN, ids=lambda file: file.stem)
def test_a_picture_is_what_its_script_draws(file, tmp_path):
    pictures.main(tmp_path)
    assert file.read_text(encoding="utf-8") == (tmp_path / file.name).read_text(encoding="utf-8")


@pytest.mark.parametrize("file", DRAWN, ids=lambda file: file.stem)
def test_it_has_a_title_and_a_light_ground_of_its_own(file):
    root = ElementTree.parse(file).getroot()
    title, ground = list(root)[:2]
    assert title.text
    assert (ground.get("width"), ground.get("height")) == (root.get("width"), root.get("height"))
    assert min(bytes.fromhex(ground.get("fill")[1:])) > 200


@pytest.mark.parametrize("file", DRAWN, ids=lambda file: file.stem)
def test_a_page_shows_it_and_says_what_it_is(file):
    pages = [page.read_text(encoding="utf-8") for page in DOCS.glob("*.md")]
    assert any(re.search(rf"!\[[^\]]{{20,}}\]\(img/{file.name}\)", page) for page in pages)
