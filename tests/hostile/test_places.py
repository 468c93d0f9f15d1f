"""Folders that say no, and umasks that leave nothing: as an ordinary user, whom root's rights do not help."""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import adapter_folders
import pytest
from bounded import Outcome
from test_kills import state

NOBODY = 65534
Ask = Callable[..., Outcome]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become an ordinary user")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of an ordinary user, with a whole adapter, where everybody may go."""
    place = Path(tempfile.mkdtemp())
    adapter_folders.write(place / "a")
    adapter_folders.write(place / "b", adapter_folders.lora_tensors(1))
    for path in (place, *place.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    yield place
    os.chmod(place, 0o755)
    shutil.rmtree(place)


def test_a_parent_that_cannot_be_listed(place: Path, coremerge: Ask) -> None:
    """What was done is not denied: the output is replaced, and that its name may not be on disk is a note."""
    assert coremerge("merge", "a", "-o", "out", place=place, user=NOBODY).code == 0
    before = state(place / "out")
    os.chmod(place, 0o300)
    outcome = coremerge("merge", "b", "-o", "out", "--force", place=place, user=NOBODY)
    assert outcome.code == 0
    assert "cannot be synced to disk (Permission denied)" in outcome.stderr
    assert state(place / "out") != before
    assert sorted(os.listdir(place)) == ["a", "b", "out"]


def test_a_parent_that_cannot_be_written(place: Path, coremerge: Ask) -> None:
    assert coremerge("merge", "a", "-o", "out", place=place, user=NOBODY).code == 0
    before = state(place / "out")
    os.chmod(place, 0o555)
    for words in (["-o", "out", "--force"], ["-o", "new"]):
        assert "Permission denied" in coremerge("merge", "b", *words, place=place, user=NOBODY).message
    assert state(place / "out") == before
    assert sorted(os.listdir(place)) == ["a", "b", "out"]


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_umasks(umask: int, place: Path, coremerge: Ask) -> None:
    assert coremerge("merge", "a", "-o", "out", place=place, user=NOBODY, umask=umask).code == 0
    assert stat.S_IMODE((place / "out").stat().st_mode) == 0o777 & ~umask
    assert {stat.S_IMODE(path.stat().st_mode) for path in (place / "out").iterdir()} == {0o666 & ~umask}
    assert sorted(os.listdir(place)) == ["a", "b", "out"]


def test_a_umask_that_leaves_nothing(place: Path, coremerge: Ask) -> None:
    """What was written cannot be read back, and nothing is left of it."""
    assert "Permission denied" in coremerge("merge", "a", "-o", "out", place=place, user=NOBODY, umask=0o777).message
    assert sorted(os.listdir(place)) == ["a", "b"]


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", ""])
def test_what_may_not_be_read(name: str, place: Path, coremerge: Ask) -> None:
    os.chmod(place / "a" / name, 0)
    for words in (["inspect", "a"], ["merge", "a", "b", "-o", "out"]):
        assert "Permission denied" in coremerge(*words, place=place, user=NOBODY).message
    assert sorted(os.listdir(place)) == ["a", "b"]


def test_an_output_of_somebody_else(place: Path, coremerge: Ask) -> None:
    """In a folder that all may write to, as /tmp: what another user's files would lose is refused, and stays."""
    assert coremerge("merge", "a", "-o", "out", place=place, user=NOBODY).code == 0
    before = state(place / "out")
    os.chmod(place, 0o1777)
    assert "cannot be written" in coremerge("merge", "b", "-o", "out", "--force", place=place, user=NOBODY - 1).message
    assert state(place / "out") == before
    assert sorted(os.listdir(place)) == ["a", "b", "out"]
