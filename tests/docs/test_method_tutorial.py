"""The tutorial "Add a method", followed from nothing: its files in an empty folder, its commands typed there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import coremerge_ref

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorials" / "method.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"`([\w.]+)`[^\n]*:\n\n```(?:py|toml)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
COMMANDS = re.findall(r"^\$ (.+)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder but for the reader's own adapters."""
    path = tmp_path_factory.mktemp("tutorial")
    shutil.copytree(ROOT / "coremerge_ref" / "demo" / "data" / "adapters", path / "adapters")
    for name, text in FILES.items():
        (path / name).write_text(text, encoding="utf-8")
    return path


def typed(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command as the reader types it, with Python for an environment: installed packages go to folder/site."""
    program, *words = command.split()
    if program == "pip":  # offline, and not into the environment of these tests
        words = [words[0], "--no-index", "--no-deps", "--no-build-isolation", "--target", "site", *words[1:]]
    module = {"coremerge": "coremerge_ref"}.get(program, program)
    options = ["-p", "no:cacheprovider"] if program == "pytest" else []
    path = os.pathsep.join([str(folder / "site"), str(Path(coremerge_ref.__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return subprocess.run(
        [sys.executable, "-m", module, *words, *options], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_the_page_has_three_files_and_the_same_class_twice() -> None:
    assert list(FILES) == ["soft_vote.py", "pyproject.toml", "test_soft_vote.py"]
    shown = re.search(r"^class SoftVote.*?^print", PAGE, re.DOTALL | re.MULTILINE)
    assert shown is not None
    plain = re.sub(r"  # divided out.*", "", shown[0])
    assert plain.removesuffix("print").strip() in FILES["soft_vote.py"]


def test_every_command_works_and_shows_the_method(folder: Path) -> None:
    assert [command.split()[0] for command in COMMANDS] == ["pip", "pytest", *["coremerge"] * 4]
    said = []
    for command in COMMANDS:
        done = typed(command, folder)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        said.append(done.stdout)
    assert (folder / "site" / "soft_vote.py").exists()
    assert re.search(r"\d+ passed", said[1])
    assert "soft_vote (merge, this tutorial)" in said[2]
    assert "soft_vote in core space" in said[3]
    assert "no bound is known for this method" in said[4]
    assert "is soft_vote in core space, soft_vote.power=2" in said[5]
