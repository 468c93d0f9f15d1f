"""The theory page names what exists, and all that exists: proofs, property tests, exact checks."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
CELLS = [line for line in PAGE.splitlines() if line.startswith("| `")]


def named(pattern):
    return {name for line in CELLS for name in re.findall(pattern, line)}


def names_in(folder):
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests" / folder).glob("test_*.py")]
    return {name for source in sources for name in re.findall(r"^def (test_\w+)", source, re.MULTILINE)}


def test_every_proof_file_is_named_and_exists():
    assert named(r"`(\w+\.v)`") == {path.name for path in (ROOT / "proofs").glob("*.v")}


def test_every_property_and_exact_check_is_named_and_exists():
    assert named(r"`(test_\w+)`") == names_in("properties") | names_in("exact")
