"""Folders put in place in one step: nothing that is there is overwritten, whether or not the system has such a call."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coremerge_ref.adapters import exchange as module
from coremerge_ref.adapters.exchange import exchange, rename_new, sync


@pytest.fixture(params=["by the system's call", "where there is none"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "where there is none":
        monkeypatch.setattr(module.ctypes, "CDLL", lambda *_, **__: SimpleNamespace())
    return str(request.param)


def test_a_folder_gets_a_name_that_nothing_has(way: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    rename_new(tmp_path / "a", tmp_path / "b")
    assert os.listdir(tmp_path) == ["b"]


@pytest.mark.parametrize("what", ["file", "empty folder", "link", "broken link"])
def test_what_has_the_name_stays(what: str, way: str, tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.mkdir()
    (source / "x").touch()
    {
        "file": target.touch, "empty folder": target.mkdir, "link": lambda: target.symlink_to(tmp_path),
        "broken link": lambda: target.symlink_to(tmp_path / "gone"),
    }[what]()  # fmt: skip
    before = os.lstat(target)
    with pytest.raises(FileExistsError):
        rename_new(source, target)
    assert os.path.samestat(before, os.lstat(target))
    assert os.listdir(source) == ["x"]


def test_two_folders_change_places_or_stay(way: str, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / f"of {name}").touch()
    done = exchange(tmp_path / "a", tmp_path / "b")
    assert [os.listdir(tmp_path / name) for name in "ab"] == ([["of b"], ["of a"]] if done else [["of a"], ["of b"]])
    assert not (done and way == "where there is none")


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV, errno.EACCES, errno.EIO])
def test_what_a_file_system_does_not_know_is_no_error(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    library = SimpleNamespace(**dict.fromkeys(("renameat2", "renamex_np"), lambda *words: asked.append(words) or -1))
    monkeypatch.setattr(module.ctypes, "CDLL", lambda *_, **__: library)
    monkeypatch.setattr(module.ctypes, "get_errno", lambda: code)
    if code in (errno.EACCES, errno.EIO):
        with pytest.raises(OSError, match=os.strerror(code)) as caught:
            exchange(tmp_path / "a", tmp_path / "b")
        assert caught.value.errno == code
    else:
        assert exchange(tmp_path / "a", tmp_path / "b") is False
        (tmp_path / "a").mkdir()
        rename_new(tmp_path / "a", tmp_path / "b")
        assert os.listdir(tmp_path) == ["b"]
    assert os.fsencode(tmp_path / "a") in asked[0]


def test_files_and_folders_are_handed_to_the_disk_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").touch()
    synced: list[Any] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append((handle, os.fstat(handle).st_ino)))
    for path in (tmp_path, tmp_path / "x"):
        sync(path)
        handle, inode = synced.pop()
        assert inode == path.stat().st_ino
        with pytest.raises(OSError, match="descriptor"):
            os.fstat(handle)
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "gone")
