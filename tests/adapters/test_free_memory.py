"""Free memory is the least of what the system and each control group above this process leave."""

import os
from pathlib import Path

import pytest

from coremerge_ref.adapters import free_memory as module
from coremerge_ref.adapters.free_memory import free_memory


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where /proc and /sys are looked for."""
    monkeypatch.setattr(module, "Path", lambda text: tmp_path / text.removeprefix("/"))
    monkeypatch.setattr(os.path, "exists", lambda path: (tmp_path / str(path).removeprefix("/")).is_file())
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def system(root: Path, available: int) -> None:
    text = f"MemTotal:       99999 kB\nMemFree:        1 kB\nMemAvailable:   {available} kB\nSwapFree: 7 kB\n"
    write(root / "proc/meminfo", text)


def group(root: Path, name: str, most: str, current: int, inactive: int) -> None:
    folder = root / "sys/fs/cgroup" / name
    write(folder / "memory.max", f"{most}\n")
    write(folder / "memory.current", f"{current}\n")
    write(folder / "memory.stat", f"anon 5\ninactive_anon 3\ninactive_file {inactive}\nactive_file 9\n")


def test_what_the_system_has_left(root: Path) -> None:
    system(root, 4000)
    assert free_memory() == 4000 * 1024


@pytest.mark.parametrize(
    ("most", "current", "inactive", "free"),
    [("1000", 600, 0, 400), ("1000", 600, 150, 550), ("1000", 1200, 100, 0), ("max", 600, 0, 4096)],
)
def test_a_control_group_leaves_less(root: Path, most: str, current: int, inactive: int, free: int) -> None:
    """Of what it takes, files that were read and may be forgotten count as free."""
    system(root, 4)
    write(root / "proc/self/cgroup", "12:cpu:/elsewhere\n0::/a/b\n")
    group(root, "a/b", most, current, inactive)
    group(root, "elsewhere", "1", 1, 0)
    assert free_memory() == free


def test_groups_above_count_too(root: Path) -> None:
    system(root, 4)
    write(root / "proc/self/cgroup", "0::/a/b\n")
    group(root, "a/b", "max", 600, 0)
    group(root, "a", "900", 650, 50)
    assert free_memory() == 300
    group(root, "", "500", 350, 50)
    assert free_memory() == 200


@pytest.mark.parametrize("text", ["", "12:cpu:/a\n", "0::/gone\n"])
def test_without_a_group_the_system_counts(text: str, root: Path) -> None:
    system(root, 4)
    write(root / "proc/self/cgroup", text)
    if text.startswith("0::"):
        assert free_memory() == 4096


def test_where_there_is_no_proc_all_of_the_memory_counts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"SC_PHYS_PAGES": 50, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    assert free_memory() == 50 * 4096
    monkeypatch.setattr(os, "sysconf", lambda name: int("unknown"))
    assert free_memory() is None
