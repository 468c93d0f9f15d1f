"""Every program of the gallery runs in an empty folder and prints what its comments say; the page shows all of them."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import coremerge_ref

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"
PROGRAMS = sorted(GALLERY.glob("*.py"))
TOLD = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)


def needed(program: Path) -> set[str]:
    """The packages that it imports."""
    nodes = list(ast.walk(ast.parse(program.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_it_runs_and_prints_what_it_says(program: Path, tmp_path: Path) -> None:
    for package in needed(program):
        pytest.importorskip(package)
    own = {"PYTHONPATH": str(Path(coremerge_ref.__file__).parents[1])}
    own["JAX_COMPILATION_CACHE_DIR"] = ""  # what another process is writing there would be a warning
    command = [sys.executable, "-W", "error", str(program)]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | own, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    told = TOLD.findall(program.read_text(encoding="utf-8"))
    assert told
    assert done.stdout.splitlines()[-len(told) :] == told
    assert not [path for path in tmp_path.iterdir() if path.name != ".hypothesis"]


def test_the_page_shows_every_program() -> None:
    page = (GALLERY / "index.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r'--8<-- "gallery/(\w+\.py)"', page)) == [program.name for program in PROGRAMS]
    assert len(PROGRAMS) >= 5
