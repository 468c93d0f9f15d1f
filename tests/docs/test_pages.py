"""Every code block of the documentation runs: Python page by page, commands line by line."""

import importlib
import linecache
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from types import CodeType, ModuleType

import pytest
from typer.testing import CliRunner

from coremerge_ref.cli import build
from coremerge_ref.core.stages import STAGES

ROOT = Path(__file__).parents[2]
PAGES = sorted(page for page in (ROOT / "docs").rglob("*.md") if "```" in page.read_text(encoding="utf-8"))
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"#\s*(.+)$")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the demo's adapters in adapters/, where `python` is the one that runs the tests."""
    shutil.copytree(ROOT / "coremerge_ref" / "demo" / "data" / "adapters", tmp_path / "adapters")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    return tmp_path


@pytest.fixture(autouse=True)
def _table():
    """Methods that a page registers do not outlive it."""
    before = dict(STAGES)
    yield
    STAGES.clear()
    STAGES.update(before)


@pytest.fixture(autouse=True)
def _short_demo(monkeypatch):
    """Two of the methods that the demo compares: tests/demo has it compare all of them."""
    monkeypatch.setattr(importlib.import_module("coremerge_ref.demo.run"), "METHODS", ("ta", "tsv"))


def compiled(block: str, name: str) -> CodeType:
    """The block, with a source of its own for tracebacks and for what looks at functions, as Hypothesis does."""
    linecache.cache[name] = (len(block), None, block.splitlines(keepends=True), name)
    return compile(block, name, "exec")


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")  # PEFT calling transformers
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_blocks_run(page, folder, capsys, monkeypatch):
    module = ModuleType("page")  # of which what is defined there can be pickled
    names = vars(module)
    monkeypatch.setitem(sys.modules, "page", module)
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            exec(compiled(block, f"<{page.name}: {block.partition(chr(10))[0]}>"), names)
            told = [
                c.group(1).strip() for line in block.splitlines() if "print(" in line and (c := COMMENT.search(line))
            ]
            printed = capsys.readouterr().out.splitlines()
            assert printed[: len(told)] == told or not told
        else:
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("coremerge "):
                    result = CliRunner().invoke(build(), shlex.split(line.split("  #")[0])[1:])
                    assert result.exit_code == 0, f"{line}\n{result.output}"
