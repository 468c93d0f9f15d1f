"""What the documentation shows of a terminal is what is there: commands in `console` blocks print just that."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coremerge_ref.cli import build

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
OWN = {"method.md"}  # written into files and typed by tests/docs/test_method_tutorial.py
PAGES = sorted(
    page for page in DOCS.rglob("*.md") if "\n$ coremerge" in page.read_text(encoding="utf-8") and page.name not in OWN
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_commands_say_what_the_page_shows(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(DOCS.parent / "coremerge_ref" / "demo" / "data" / "adapters", tmp_path / "adapters")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(block, str(page), "exec"), names)
            continue
        for command, told in re.findall(r"^\$ (.+)\n((?:[^$].*\n)*)", block, re.MULTILINE):
            program, *words = shlex.split(command)
            assert program == "coremerge"
            done = CliRunner().invoke(build(), words)
            assert done.stderr == told
            assert (done.exit_code == 2) == ("coremerge: error" in told)


def test_there_are_such_pages() -> None:
    assert [page.name for page in PAGES] == ["troubleshooting.md", "adapters.md"]
