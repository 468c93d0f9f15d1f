"""The output appears whole or not at all: kills, full disks, folders in the way."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import adapter_folders as folders
import numpy as np
import pytest
from safetensors.numpy import load_file

from coremerge_ref.adapters import merge_folders, replace, writer
from coremerge_ref.errors import AdapterError

RUN = """
import sys
from coremerge_ref.adapters import merge_folders
print("ready", flush=True)
sys.stdin.readline()
while True:
    merge_folders([sys.argv[1]], sys.argv[3], "ta", force=True)
    merge_folders([sys.argv[2]], sys.argv[3], "ta", force=True)
"""


def state(folder: Path) -> bytes:
    """What tells two outputs apart; fails unless the folder is whole."""
    tensors = load_file(folder / "adapter_model.safetensors")
    json.loads((folder / "adapter_config.json").read_text())
    json.loads((folder / "coremerge.json").read_text())
    return b"".join(tensors[name].tobytes() for name in sorted(tensors))


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return folders.write(tmp_path / "one"), folders.write(tmp_path / "two", folders.lora_tensors(1))


def test_a_kill_at_any_moment_leaves_the_old_or_the_whole_new_output(two: tuple[Path, Path], tmp_path: Path) -> None:
    states = set()
    for folder in two:
        merge_folders([folder], tmp_path / "out", "ta", force=True)
        states.add(state(tmp_path / "out"))
    assert len(states) == 2
    seen = set()
    for moment in np.random.default_rng(0).uniform(0, 0.12, int(os.environ.get("COREMERGE_KILLS", "5"))):
        child = subprocess.Popen(
            [sys.executable, "-c", RUN, *map(str, two), str(tmp_path / "out")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert child.stdin
        assert child.stdout
        child.stdout.readline()
        child.stdin.write(b"\n")
        child.stdin.flush()
        time.sleep(float(moment))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        seen.add(state(tmp_path / "out"))
    assert seen <= states
    merge_folders([two[0]], tmp_path / "out", "ta", force=True)  # sweeps what the killed left
    assert names(tmp_path) == ["one", "out", "two"]


def test_only_what_the_dead_left_is_swept(tmp_path: Path) -> None:
    left = tmp_path / ".out.coremerge-dead"
    left.mkdir()
    with replace.replaced(tmp_path / "out", False) as hidden:
        assert not left.exists()
        replace._sweep(tmp_path / "out")
        assert hidden.exists()
    assert names(tmp_path) == ["out"]


def test_existing_output(two: tuple[Path, Path], tmp_path: Path) -> None:
    merge_folders([two[0]], tmp_path / "out", "ta")
    before = state(tmp_path / "out")
    with pytest.raises(AdapterError, match="--force"):
        merge_folders([two[1]], tmp_path / "out", "ta")
    assert state(tmp_path / "out") == before
    merge_folders([two[1]], tmp_path / "out", "ta", force=True)
    assert state(tmp_path / "out") != before
    assert names(tmp_path) == ["one", "out", "two"]


def test_force_replaces_adapter_folders_alone(two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.tex").write_text("years of work")
    (tmp_path / "checkpoints").mkdir()
    folders.write(tmp_path / "checkpoints")
    folders.write(tmp_path / "checkpoints" / "last")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "papers")
    before = names(tmp_path)
    for name, words in (
        ("papers", "adapter folders alone"),
        ("checkpoints", "last"),
        ("file", "file or link"),
        ("link", "file or link"),
        ("one", "is an input"),
        ("missing/out", "parent"),
        ("file/out", "parent"),
    ):
        with pytest.raises(AdapterError, match=words):
            merge_folders([two[0]], tmp_path / name, "ta", force=True)
    assert names(tmp_path) == before
    assert (tmp_path / "papers" / "thesis.tex").read_text() == "years of work"


def test_an_empty_folder_is_replaced_with_force(two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    merge_folders([two[0]], tmp_path / "out", "ta", force=True)
    state(tmp_path / "out")


@pytest.mark.parametrize("place", ["add", "close"])
def test_a_full_disk(place: str, two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    merge_folders([two[0]], tmp_path / "out", "ta")
    before = state(tmp_path / "out")
    monkeypatch.setattr(writer.TensorWriter, place, full)
    with pytest.raises(AdapterError, match="No space left on device"):
        merge_folders([two[1]], tmp_path / "out", "ta", force=True)
    assert names(tmp_path) == ["one", "out", "two"]
    assert state(tmp_path / "out") == before


def test_a_file_too_large_for_the_system(two: tuple[Path, Path], tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        with pytest.raises(AdapterError, match="too large"):
            merge_folders([two[0]], tmp_path / "out", "ta")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == ["one", "two"]


def test_an_interrupt_leaves_nothing(two: tuple[Path, Path], tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge_folders([two[0]], tmp_path / "out", "ta", progress=stop)
    assert names(tmp_path) == ["one", "two"]


def test_a_dry_run_writes_nothing(two: tuple[Path, Path], tmp_path: Path) -> None:
    report = merge_folders(two, tmp_path / "out", "tsv", dry_run=True)
    assert (report.written, report.layers, report.adapters) == (False, 3, 2)
    assert names(tmp_path) == ["one", "two"]


def test_without_an_exchange_call_two_renames_do(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replace, "_exchange", lambda a, b: False)
    merge_folders([two[0]], tmp_path / "out", "ta")
    before = state(tmp_path / "out")
    merge_folders([two[1]], tmp_path / "out", "ta", force=True)
    assert state(tmp_path / "out") != before
    assert names(tmp_path) == ["one", "out", "two"]


def test_the_output_has_the_permissions_of_any_new_folder(two: tuple[Path, Path], tmp_path: Path) -> None:
    merge_folders([two[0]], tmp_path / "out", "ta")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode
