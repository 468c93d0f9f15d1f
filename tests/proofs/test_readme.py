"""The page of the proofs: every theorem in its tables exists, every source and every headline is named."""

import re
from pathlib import Path

PROOFS = Path(__file__).parents[2] / "proofs"
README = (PROOFS / "README.md").read_text(encoding="utf-8")
ROWS = [line for line in README.splitlines() if line.startswith("| ")]
SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in PROOFS.glob("*.v")}
STATED = r"^(?:Theorem|Corollary|Lemma|Example|Definition) (\w+)"


def test_every_theorem_named_is_proved():
    proved = {name for source in SOURCES.values() for name in re.findall(STATED, source, re.MULTILINE)}
    named = {name for row in ROWS for name in re.findall(r"`(\w+_\w+)`", row)}
    assert named <= proved
    assert len(named) > 100


def test_every_source_is_named():
    assert set(SOURCES) <= set(re.findall(r"`(\w+)(?:\.v)?`", README))


def test_every_headline_is_proved_under_its_name():
    headlines = re.findall(r"^Definition (\w+) : Prop :=", SOURCES["Statements"], re.MULTILINE)
    proved = re.findall(r"^Theorem (\w+) : Statements\.(\w+)\.$", SOURCES["Headlines"], re.MULTILINE)
    assert sorted(proved) == sorted((name, name) for name in headlines)
