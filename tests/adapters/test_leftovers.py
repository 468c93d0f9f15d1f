"""Hidden folders of killed runs: what is surely one's own and nobody's work is swept, and everything else stays."""

import fcntl
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from coremerge_ref.adapters.leftovers import ALL_OURS, MARK, NEW, OLD, discard, hidden_folder, mark_all_ours, sweep

OURS, OTHERS = "adapter_model.safetensors", "my notes.txt"
Left = Callable[..., Path]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder with a file of ours, one of others and two links."""
    folder = tmp_path / "out"
    folder.mkdir()
    for name in (OURS, OTHERS):
        (folder / name).write_text(name)
    (folder / "link").symlink_to("somewhere")
    (folder / "other link").symlink_to("elsewhere")
    return folder


@pytest.fixture
def left(output: Path) -> Left:
    """left() is what a killed run leaves: a marked folder, with `files` in NEW, and `old` in OLD if any are given."""

    def make(files: tuple[str, ...] = (OURS,), old: tuple[str, ...] | None = None, name: str = "out") -> Path:
        hidden = output.parent / f".{name}.coremerge-12345678"
        for folder, held in ((NEW, files), (OLD, old)):
            if held is not None:
                (hidden / folder).mkdir(parents=True)
                for each in held:
                    (hidden / folder / each).write_text("left")
        (hidden / MARK).touch()
        return hidden

    return make


def test_what_a_killed_run_left_is_removed(left: Left, output: Path) -> None:
    hidden = left()
    sweep(output)
    assert os.listdir(output.parent) == ["out"]
    assert not hidden.exists()


@pytest.mark.parametrize("where", [NEW, OLD])
def test_files_of_others_stay_unless_the_output_has_them_too(where: str, left: Left, output: Path) -> None:
    hidden = left(old=())
    (hidden / where / OTHERS).write_text("the only one")
    sweep(output)
    assert (hidden / where / OTHERS).exists()
    (hidden / where / OTHERS).unlink()
    os.link(output / OTHERS, hidden / where / OTHERS)
    sweep(output)
    assert not hidden.exists()
    assert (output / OTHERS).read_text() == OTHERS


@pytest.mark.parametrize(("to", "swept"), [("somewhere", True), ("elsewhere", False)])
def test_a_link_is_the_outputs_where_it_leads_to_the_same_place(to: str, swept: bool, left: Left, output: Path) -> None:
    hidden = left()
    (hidden / NEW / "link").symlink_to(to)
    sweep(output)
    assert hidden.exists() is not swept


def test_folders_of_others_stay(left: Left, output: Path) -> None:
    hidden = left()
    for folder in (hidden / NEW, output):
        (folder / "sub").mkdir()
    sweep(output)
    assert hidden.exists()


def test_where_all_is_ours_names_do_not_matter(left: Left, output: Path) -> None:
    """Of a fused model, which has files of any name; but not where a folder was moved aside."""
    hidden = left(files=("model.bin",))
    sweep(output)
    assert hidden.exists()
    mark_all_ours(hidden / NEW)
    assert (hidden / ALL_OURS).exists()
    sweep(output)
    assert not hidden.exists()
    hidden = left(files=("model.bin",), old=())
    mark_all_ours(hidden / NEW)
    sweep(output)
    assert hidden.exists()


def test_a_folder_without_the_mark_is_not_marked_and_stays(left: Left, output: Path) -> None:
    hidden = left()
    (hidden / MARK).unlink()
    mark_all_ours(hidden / NEW)
    assert sorted(os.listdir(hidden)) == [NEW]
    sweep(output)
    assert hidden.exists()
    (hidden / MARK).symlink_to(output / OURS)
    sweep(output)
    assert hidden.exists()


def test_the_output_that_made_room_stays_where_no_other_took_its_place(left: Left, output: Path) -> None:
    hidden = left(old=(OURS,))
    shutil.move(output, output.parent / "moved")
    sweep(output)
    assert hidden.exists()
    shutil.move(output.parent / "moved", output)
    sweep(output)
    assert not hidden.exists()


def test_a_folder_whose_writer_lives_stays(left: Left, output: Path) -> None:
    hidden = left()
    handle = os.open(hidden, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    sweep(output)
    assert hidden.exists()
    os.close(handle)
    sweep(output)
    assert not hidden.exists()


def test_another_users_folder_stays(left: Left, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = left()
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    sweep(output)
    assert hidden.exists()


@pytest.mark.parametrize("name", ["other", "out2", "ou"])
def test_what_was_left_beside_another_output_stays(name: str, left: Left, output: Path) -> None:
    hidden = left(name=name)
    sweep(output)
    assert hidden.exists()


def test_a_link_that_has_such_a_name_is_not_followed(left: Left, output: Path) -> None:
    hidden = left(name="other")
    (output.parent / ".out.coremerge-link").symlink_to(hidden)
    sweep(output)
    assert hidden.exists()
    sweep(output.parent / "gone" / "out")  # a parent that is not there has nothing to sweep


def test_a_hidden_folder_is_private_marked_and_locked_while_it_is_filled(output: Path) -> None:
    mask = os.umask(0o022)
    try:
        with hidden_folder(output) as hidden:
            assert hidden.path.parent == output.parent
            assert hidden.path.name.startswith(".out.coremerge-")
            assert sorted(os.listdir(hidden.path)) == [MARK, NEW]
            assert [stat.S_IMODE(os.stat(path).st_mode) for path in (hidden.path, hidden.new)] == [0o700, 0o700]
            assert (hidden.mode, hidden.old) == (0o755, hidden.path / OLD)
            sweep(output)
            assert hidden.path.exists()
        assert hidden.path.exists()  # what becomes of it is the caller's
        sweep(output)
        assert not hidden.path.exists()
    finally:
        os.umask(mask)


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "n" * 200])
def test_names_that_are_as_long_as_names_may_be(name: str, tmp_path: Path) -> None:
    with hidden_folder(tmp_path / name) as hidden:
        stem = hidden.path.name[1:].partition(".coremerge-")[0]
        assert name.startswith(stem)
        assert 198 < len(os.fsencode(stem)) <= 200
    sweep(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_leaves_nothing(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise OSError(28, "No space")

    before = sorted(os.listdir(output.parent))
    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(OSError, match="No space"), hidden_folder(output):
        pass
    assert sorted(os.listdir(output.parent)) == before
    discard(output.parent / "gone")
