"""The report of the kit on other packages: it can be made, and the one in docs/ is of the versions that are pinned."""

import re
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("torch", exc_type=ImportError)
pytest.importorskip("peft", exc_type=ImportError)
pytest.importorskip("mergekit.sparsify", exc_type=ImportError)
pytest.importorskip("fusion_bench.method.knots.knots_utils", exc_type=ImportError)

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_the_report_has_every_peer_and_names_differences_of_definition():
    from benchmarks.peers.__main__ import text

    made = text(only="/full/generic", skip=("on_jax", "on_torch"))
    assert "| coremerge_ref" in made
    for name in ("peft 0.21.2: on updates", "peft 0.21.2: on factors", "mergekit 0.1.5", "fusion-bench 0.2.33"):
        assert f"## {name}" in made
    assert "| `ta` | 2 | 0 | 0 | 0 | 0 |" in made
    # TIES as PEFT and mergekit define it fails the paper's cases, and is their preset to rounding
    rows = re.findall(
        r"\| `ties` \| [^|]+ \| (\d+) \| (\d+) \| `", made.split("## peft 0.21.2: on updates")[1].split("\n## ")[0]
    )
    assert rows
    assert all(cases == same for cases, same in rows)
    assert "null-vectors-in-iso" in made


def test_the_report_in_docs_is_of_the_pinned_versions():
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["peers"]
    written = (ROOT / "docs" / "peers.md").read_text()
    defects = (ROOT / "docs" / "defects.md").read_text()
    for pin in pins:
        assert pin.replace("==", " ") in written
        assert pin.replace("==", " ") in defects


def test_every_defect_in_docs_has_its_test():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "defects.md").read_text()))
    written = set(re.findall(r"def (test_\w+)", (Path(__file__).parent / "test_defects.py").read_text()))
    assert named == written
