"""The output appears whole or not at all: kills, full disks, folders in the way."""

import errno
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import adapter_folders as folders
import numpy as np
import pytest
from safetensors.numpy import load_file
from said import parts

from coremerge_ref.adapters import contents, leftovers, merge_folders, replace, writer
from coremerge_ref.adapters.replace import check_output, replaced
from coremerge_ref.adapters.replace_file import check_output_file, replaced_file
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


def left_behind(output: Path, **files: str) -> Path:
    """A hidden folder as a killed run leaves it, with those files in its new folder."""
    with leftovers.hidden_folder(output) as hidden:
        for name, text in files.items():
            (hidden.new / name).write_text(text)
    return hidden.path


@contextmanager
def written(output: Path) -> Iterator[Path]:
    """A hidden folder, for an output that is a file or a folder."""
    if not output.suffix:
        with replaced(check_output(output, False, [])) as hidden:
            yield hidden
        return
    with replaced_file(check_output_file(output, False, []), "coremerge.json") as hidden:
        yield hidden
        for name in (output.name, "coremerge.json"):
            (hidden / name).touch()


OUTPUTS = {"out": ["out"], "out.safetensors": ["out.coremerge.json", "out.safetensors"]}


@pytest.mark.parametrize("name", OUTPUTS)
def test_only_what_the_dead_left_is_swept(name: str, tmp_path: Path) -> None:
    output = tmp_path / name
    dead = left_behind(output, **{"coremerge.json": "{}", "adapter_config.json": "{"})
    with written(output) as hidden:
        assert not dead.exists()
        leftovers.sweep(output)
        assert hidden.exists()  # its writer lives
    assert names(tmp_path) == OUTPUTS[name]


def test_what_a_killed_run_left_of_a_file_is_swept(tmp_path: Path) -> None:
    """Whatever the file was called and however far it came: nothing of others is ever in the hidden folder."""
    output = tmp_path / "out.safetensors"
    script = (
        "import os, pathlib, signal, sys\n"
        "from test_adapter_replace import written\n"
        "output = pathlib.Path(sys.argv[1])\n"
        "with written(output) as hidden:\n"
        "    (hidden / output.name).write_text('half of it')\n"
        "    (hidden / 'README.md').write_text('a card')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [Path(__file__).parent, *sys.path]))}
    killed = subprocess.run([sys.executable, "-c", script, str(output)], env=paths, check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = names(tmp_path)
    assert left.startswith(".out.safetensors.coremerge-")
    with written(output):
        assert not (tmp_path / left).exists()
    assert names(tmp_path) == OUTPUTS[output.name]


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_is_not_ours_is_not_swept(name: str, tmp_path: Path) -> None:
    output = tmp_path / name
    (tmp_path / f".{name}.coremerge-backup").mkdir()  # a user's
    (tmp_path / f".{name}.coremerge-backup" / "adapter_config.json").write_text("{}")
    (tmp_path / f".{name}.coremerge-file").write_text("")
    os.mkfifo(tmp_path / f".{name}.coremerge-pipe")  # to open it would wait for ever
    elsewhere = left_behind(tmp_path / "other")
    (tmp_path / f".{name}.coremerge-link").symlink_to(elsewhere)
    left_behind(output, **{"thesis.tex": "years of work"})
    marked = tmp_path / f".{name}.coremerge-linked-mark"
    marked.mkdir()
    (marked / leftovers.MARK).symlink_to(elsewhere / leftovers.MARK)
    before = names(tmp_path)
    with written(output):
        pass
    assert names(tmp_path) == sorted([*before, *OUTPUTS[name]])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_what_another_user_left_is_not_swept(tmp_path: Path) -> None:
    for path in (left_behind(tmp_path / "out"), left_behind(tmp_path / "out") / leftovers.MARK):
        os.chown(path, 12345, 12345)
    before = names(tmp_path)
    leftovers.sweep(tmp_path / "out")
    assert names(tmp_path) == before


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
        with pytest.raises(AdapterError, match=words) as caught:
            merge_folders([two[0]], tmp_path / name, "ta", force=True)
        assert str(caught.value).startswith(f"'{tmp_path / name}")
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
    def stop(done: int, total: int, layer: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge_folders([two[0]], tmp_path / "out", "ta", progress=stop)
    assert names(tmp_path) == ["one", "two"]


def test_a_dry_run_writes_nothing(two: tuple[Path, Path], tmp_path: Path) -> None:
    report = merge_folders(two, tmp_path / "out", "tsv", dry_run=True)
    assert (report.written, report.layers, report.adapters) == (False, 3, 2)
    assert names(tmp_path) == ["one", "two"]


OTHERS = {"tokenizer.json": "{}", "README.md": "by hand", "optimizer.pt": "\x80", "notes\x1b[2J": ""}


def with_others(folder: Path) -> dict[str, int]:
    """Puts files of others into a folder; which files they are, by name."""
    for name, text in OTHERS.items():
        (folder / name).write_text(text)
    (folder / "latest").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    return {name: (folder / name).stat().st_ino for name in (*OTHERS, "pipe")}


@pytest.mark.parametrize("exchanging", [True, False])
def test_files_of_others_stay(
    exchanging: bool, two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanging:
        monkeypatch.setattr(replace, "exchange", lambda a, b: False)
    merge_folders([two[0]], tmp_path / "out", "ta", dense=True)
    others = with_others(tmp_path / "out")
    report = merge_folders([two[1]], tmp_path / "out", "ta", force=True)
    state(tmp_path / "out")
    assert {name: (tmp_path / "out" / name).stat().st_ino for name in others} == others
    assert os.readlink(tmp_path / "out" / "latest") == "nowhere"
    assert not (tmp_path / "out" / "delta_weights.safetensors").exists()  # it was of the merge before
    assert "tokenizer.json" in report.notes[-1]
    assert names(tmp_path) == ["one", "out", "two"]


def test_where_a_file_cannot_be_kept_nothing_is_changed(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    merge_folders([two[0]], tmp_path / "out", "ta")
    before = state(tmp_path / "out")
    (tmp_path / "out" / "tokenizer.json").write_text("{}")
    monkeypatch.setattr(os, "link", link)
    with pytest.raises(AdapterError, match=r"tokenizer\.json.*cannot be kept"):
        merge_folders([two[1]], tmp_path / "out", "ta", force=True)
    assert state(tmp_path / "out") == before
    assert names(tmp_path) == ["one", "out", "two"]


# what can happen to an output that a merge was told to replace, or to find absent
def trained_in_place(output: Path) -> None:
    (output / "adapter_model.safetensors").write_bytes(b"a night of training")


def renamed_over(output: Path) -> None:
    (output / "new").write_bytes(b"a night of training")
    os.replace(output / "new", output / "adapter_model.safetensors")


def exchanged(output: Path) -> None:
    output.rename(output.parent / "aside")
    folders.write(output, folders.lora_tensors(2))


def gone(output: Path) -> None:
    output.rename(output.parent / "aside")


def a_file(output: Path) -> None:
    gone(output)
    output.write_text("a file")


def a_link(output: Path) -> None:
    gone(output)
    output.symlink_to(output.parent / "aside")


def a_folder_in_it(output: Path) -> None:
    (output / "checkpoint-1").mkdir()


CHANGES = [trained_in_place, renamed_over, exchanged, gone, a_file, a_link, a_folder_in_it]


def everything(folder: Path) -> dict[str, object]:
    """Every file below `folder`, but for hidden ones, with what it is."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if (path.is_symlink() or path.is_file()) and not path.relative_to(folder).parts[0].startswith(".")
    }


@pytest.mark.parametrize("exchanging", [True, False])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_an_output_that_changed_meanwhile_is_not_replaced(
    change: Callable[[Path], None],
    late: bool,
    exchanging: bool,
    two: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the merge ran, or at the last moment, after it was looked at again."""
    output, after = tmp_path / "out", {}
    merge_folders([two[0]], output, "ta")

    def changed() -> None:
        if not after:
            change(output)
            after.update(everything(tmp_path))

    def at_last(*arguments: Any) -> Any:
        monkeypatch.setattr(*place, real)
        changed()
        return real(*arguments)

    place: tuple[Any, str] = (replace, "exchange") if exchanging else (os, "rename")
    real = getattr(*place)
    if not exchanging:
        monkeypatch.setattr(replace, "exchange", lambda a, b: False)
    if late:
        monkeypatch.setattr(*place, at_last)
    with pytest.raises(AdapterError, match=r"changed while|cannot be written"):
        merge_folders([two[1]], output, "ta", force=True, progress=lambda *_: None if late else changed())
    assert everything(tmp_path) == after
    assert not [name for name in names(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("make", [folders.write, Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_appears_where_nothing_was_is_not_replaced(
    make: Callable[[Path], object],
    late: bool,
    force: bool,
    two: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, after = tmp_path / "out", {}

    def appear() -> None:
        if not after:
            make(output)
            after.update(everything(tmp_path))

    def at_last(*arguments: Any) -> Any:
        appear()
        return real(*arguments)

    real = replace.rename_new
    if late:
        monkeypatch.setattr(replace, "rename_new", at_last)
    with pytest.raises(AdapterError, match=parts(f"'{output}': … changed while")):
        merge_folders([two[0]], output, "ta", force=force, progress=lambda *_: None if late else appear())
    assert everything(tmp_path) == after
    assert names(tmp_path) == ["one", "out", "two"]


def test_a_file_of_others_that_appears_meanwhile_is_kept(two: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "out"
    merge_folders([two[0]], output, "ta")
    merge_folders([two[1]], output, "ta", force=True, progress=lambda *_: (output / "notes").touch())
    assert (output / "notes").exists()


def test_modes_survive(two: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "out"
    merge_folders([two[0]], output, "ta")
    modes = {output: 0o700, output / "adapter_model.safetensors": 0o600, output / "coremerge.json": 0o640}
    for path, mode in modes.items():
        path.chmod(mode)
    merge_folders([two[1]], output, "ta", force=True)
    assert {path: stat.S_IMODE(path.stat().st_mode) for path in modes} == modes


def test_the_mode_of_a_file_survives(tmp_path: Path) -> None:
    output = tmp_path / "out.safetensors"
    with written(output):
        pass
    modes = {output: 0o600, tmp_path / "out.coremerge.json": 0o640}
    for path, mode in modes.items():
        path.chmod(mode)
    with replaced_file(check_output_file(output, True, []), "coremerge.json") as hidden:
        for name in (output.name, "coremerge.json"):
            (hidden / name).write_text("new")
    assert output.read_text() == "new"
    assert {path: stat.S_IMODE(path.stat().st_mode) for path in modes} == modes


def test_a_record_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    """out.safetensors and out.gguf have one place for their records; a folder there would be lost with the old one."""
    beside = tmp_path / "out.coremerge.json"
    (tmp_path / "out.gguf").touch()
    made: dict[str, Callable[[], object]] = {
        "is the record of 'out.gguf'": lambda: beside.write_text('{"outputs": {"out.gguf": "0"}}'),
        "something else": lambda: beside.write_text("years of work"),
        "folder or link": beside.mkdir,
    }
    for words, make in made.items():
        make()
        with pytest.raises(AdapterError, match=words), written(tmp_path / "out.safetensors"):
            raise AssertionError("nothing is written")
        assert names(tmp_path) == ["out.coremerge.json", "out.gguf"]
        if beside.is_file():
            beside.unlink()


def test_what_fails_after_the_exchange_is_a_note(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sync(path: Path | str) -> None:
        if Path(path) == tmp_path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    merge_folders([two[0]], tmp_path / "out", "ta")
    before = state(tmp_path / "out")
    monkeypatch.setattr(replace, "sync", sync)
    report = merge_folders([two[1]], tmp_path / "out", "ta", force=True)
    assert report.written
    assert state(tmp_path / "out") != before
    assert "cannot be synced to disk (Permission denied)" in report.notes[-1]


def test_what_cannot_be_removed_is_said(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    merge_folders([two[0]], tmp_path / "out", "ta")
    before = state(tmp_path / "out")
    monkeypatch.setattr(replace, "remove", fail)
    report = merge_folders([two[1]], tmp_path / "out", "ta", force=True)
    assert state(tmp_path / "out") != before
    assert "left there" in report.notes[-1]
    (left,) = (path for path in tmp_path.iterdir() if path.name.startswith("."))
    assert state(left / "new") == before
    monkeypatch.undo()
    merge_folders([two[1]], tmp_path / "out", "ta", force=True)
    assert names(tmp_path) == ["one", "out", "two"]


def test_everything_that_merges_write_may_be_replaced(two: tuple[Path, Path], tmp_path: Path) -> None:
    for dense in (False, True):
        merge_folders([two[0]], tmp_path / "out", "ta", dense=dense, force=True)
        assert not contents.contents(tmp_path / "out").others


def test_the_output_has_the_permissions_of_any_new_folder(two: tuple[Path, Path], tmp_path: Path) -> None:
    merge_folders([two[0]], tmp_path / "out", "ta")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_changed_meanwhile_is_not_replaced(there: bool, tmp_path: Path) -> None:
    output = tmp_path / "merged.safetensors"
    if there:
        output.write_text("old")

    def write(meanwhile: Callable[[], object]) -> None:
        with replaced_file(check_output_file(output, True, []), "coremerge.json") as hidden:
            (hidden / output.name).write_text("new")
            (hidden / "coremerge.json").write_text("{}")
            meanwhile()

    with pytest.raises(AdapterError, match="changed while"):
        write(lambda: output.write_text("a night of training"))
    assert output.read_text() == "a night of training"
    assert names(tmp_path) == ["merged.safetensors"]
    write(lambda: None)
    assert output.read_text() == "new"
    assert names(tmp_path) == ["merged.coremerge.json", "merged.safetensors"]
