"""An output that is one file, and its record: what they may replace, and that both or none are put in place."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from said import parts

from coremerge_ref.adapters.replace_file import check_output_file, record_beside, replaced_file
from coremerge_ref.errors import AdapterError

RECORD = "coremerge.json"


def fill(folder: Path, text: str = "new", name: str = "x.gguf") -> None:
    (folder / name).write_text(text)
    (folder / RECORD).write_text(json.dumps({"outputs": {name: text}}))


def write(output: Path, text: str = "new", force: bool = False) -> None:
    with replaced_file(check_output_file(output, force, []), RECORD) as folder:
        fill(folder, text, output.name)


def held(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def recorded(text: str, name: str = "x.gguf") -> str:
    return json.dumps({"outputs": {name: text}})


def test_the_record_has_the_name_of_its_file() -> None:
    assert record_beside(Path("a/x.y.gguf"), RECORD) == Path("a/x.y.coremerge.json")


def test_a_file_and_its_record_are_put_in_place_and_nothing_else_stays(tmp_path: Path) -> None:
    with replaced_file(check_output_file(tmp_path / "x.gguf", False, []), RECORD) as folder:
        fill(folder)
        (folder / "more").write_text("more")
        assert folder.parent.parent == tmp_path
        assert folder.parent.name.startswith(".")
    assert held(tmp_path) == {"x.gguf": "new", "x.coremerge.json": recorded("new")}


def test_with_force_both_are_replaced_with_the_modes_that_they_had(tmp_path: Path) -> None:
    write(tmp_path / "x.gguf", "old")
    for name in ("x.gguf", "x.coremerge.json"):
        os.chmod(tmp_path / name, 0o604)
    write(tmp_path / "x.gguf", force=True)
    assert held(tmp_path) == {"x.gguf": "new", "x.coremerge.json": recorded("new")}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o604}


def test_where_the_work_fails_all_is_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "x.gguf", "old")
    before = held(tmp_path)

    def fail(folder: Path) -> None:
        fill(folder)
        raise KeyError("between")

    with (
        pytest.raises(KeyError, match="between"),
        replaced_file(check_output_file(tmp_path / "x.gguf", True, []), RECORD) as folder,
    ):
        fail(folder)
    assert held(tmp_path) == before


REFUSED: dict[str, tuple[Callable[[Path], object], bool, str]] = {
    "no parent": (lambda p: os.rmdir(p.parent), False, "parent folder"),
    "there": (lambda p: p.touch(), False, "already exists … --force"),
    "an input": (lambda p: p.touch(), True, "an input"),
    "a folder": (lambda p: p.mkdir(), True, "folder or link"),
    "a link": (lambda p: p.symlink_to(p.parent), True, "folder or link"),
    "a broken link": (lambda p: p.symlink_to("gone"), False, "folder or link"),
    "a pipe": (lambda p: os.mkfifo(p), True, "folder or link"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_places_that_are_refused_before_work_begins(what: str, tmp_path: Path) -> None:
    make, force, message = REFUSED[what]
    output = tmp_path / "sub" / "x.gguf"
    output.parent.mkdir()
    make(output)
    with pytest.raises(AdapterError, match=parts(f"'{output}': … {message}")):
        check_output_file(output, force, [tmp_path / "other", tmp_path / "sub" / ".." / "sub" / "x.gguf"])


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=parts("cannot be written: … too long")):
        check_output_file(tmp_path / ("x" * 300), False, [])


RECORDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (lambda p: p.mkdir(), "'{record}': … folder or link"),
    "a link": (lambda p: p.symlink_to(p.parent / "a record"), "'{record}': … folder or link"),
    "a broken link": (lambda p: p.symlink_to("gone"), "'{record}': … folder or link"),
    "of another output": (lambda p: p.write_text(recorded("", "y.gguf")), "'{record}': … 'y.gguf'; choose"),
    "of both": (
        lambda p: p.write_text(json.dumps({"outputs": {"x.gguf": "", "y.gguf": ""}})), "'{record}': … 'y.gguf'; choose",
    ),
    "no JSON": (lambda p: p.write_text("mine"), "'{record}': … something else … move it"),
}  # fmt: skip


@pytest.mark.parametrize("what", RECORDS)
def test_what_stands_where_the_record_goes_is_not_overwritten(what: str, tmp_path: Path) -> None:
    make, message = RECORDS[what]
    (tmp_path / "y.gguf").touch()
    (tmp_path / "a record").write_text(recorded("", "x.gguf"))
    record = tmp_path / "x.coremerge.json"
    make(record)
    before, names = os.lstat(record), sorted(os.listdir(tmp_path))
    with pytest.raises(AdapterError, match=parts(message.format(record=record))):
        write(tmp_path / "x.gguf")
    assert os.path.samestat(before, os.lstat(record))
    assert sorted(os.listdir(tmp_path)) == names


@pytest.mark.parametrize("text", [recorded("", "x.gguf"), recorded("", "gone.gguf"), "{}", '{"outputs": 3}'])
def test_a_record_of_nothing_that_is_there_is_replaced(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.coremerge.json").write_text(text)
    write(tmp_path / "x.gguf")
    assert held(tmp_path) == {"x.gguf": "new", "x.coremerge.json": recorded("new")}


def test_a_broken_record_beside_its_file_is_replaced_with_it(tmp_path: Path) -> None:
    write(tmp_path / "x.gguf", "old")
    (tmp_path / "x.coremerge.json").write_text("{")
    write(tmp_path / "x.gguf", force=True)
    assert held(tmp_path) == {"x.gguf": "new", "x.coremerge.json": recorded("new")}


@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_came_or_changed_meanwhile_stays_with_its_record(there: bool, tmp_path: Path) -> None:
    output = tmp_path / "x.gguf"
    if there:
        write(output, "old")

    def meanwhile(folder: Path) -> None:
        fill(folder)
        output.write_text("somebody else's, longer")

    place = check_output_file(output, there, [])
    with (
        pytest.raises(AdapterError, match=parts(f"'{output}': … changed")),
        replaced_file(place, RECORD) as folder,
    ):
        meanwhile(folder)
    assert held(tmp_path) == {
        "x.gguf": "somebody else's, longer", **({"x.coremerge.json": recorded("old")} if there else {}),
    }  # fmt: skip


def test_a_disk_that_refuses_at_the_end_leaves_file_and_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "x.gguf"
    write(output, "old")
    real = os.replace

    def refuse(source: Path, target: Path) -> None:
        if target == output:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(AdapterError, match=parts(f"'{output}': … No space left on device; nothing was put there")):
        write(output, force=True)
    assert held(tmp_path) == {"x.gguf": "old", "x.coremerge.json": recorded("old")}
