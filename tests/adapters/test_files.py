"""Files nobody vouches for: what is no regular file, JSON that parsers disagree on, and what is said of each."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from said import parts

from coremerge_ref.adapters import files
from coremerge_ref.adapters.files import (
    folder_at,
    identity,
    is_regular_file,
    open_regular,
    parse_json,
    read_json,
    read_text,
)
from coremerge_ref.errors import AdapterError


def test_a_folder_is_what_is_asked_for(tmp_path: Path) -> None:
    assert folder_at(tmp_path) == tmp_path
    (tmp_path / "x").write_text("")
    with pytest.raises(AdapterError, match=parts(f"'{tmp_path / 'x'}': … folder … got a file")):
        folder_at(tmp_path / "x")
    with pytest.raises(AdapterError, match=parts(f"'{tmp_path / 'y'}': … nothing is there")):
        folder_at(tmp_path / "y")
    with pytest.raises(AdapterError, match=parts(f"'{tmp_path / 'x' / 'y'}': cannot be read … Not a directory")):
        folder_at(tmp_path / "x" / "y")
    with pytest.raises(AdapterError, match=parts("'a\\x00b': cannot be read … null byte")):
        folder_at(Path("a\0b"))


def test_what_is_there_is_told_apart_by_file_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert identity(path) is None
    assert identity(Path("a\0b")) is None
    path.write_text("one")
    before = identity(path)
    os.utime(path, ns=(0, 5))
    assert identity(path) not in (None, before)
    touched = identity(path)
    path.write_text("more")
    os.utime(path, ns=(0, 5))
    assert identity(path) not in (None, touched)
    (tmp_path / "y").write_text("more")
    os.utime(tmp_path / "y", ns=(0, 5))
    assert identity(tmp_path / "y") != identity(path)
    folder = identity(tmp_path)
    (tmp_path / "z").write_text("")
    assert identity(tmp_path) == folder  # what is in it has changed, and it is the same


def test_links_lead_to_regular_files_and_pipes_do_not(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("content")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    (tmp_path / "broken").symlink_to(tmp_path / "gone")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    assert [is_regular_file(tmp_path / name) for name in ("x", "link", "broken", "pipe", ".")] == [True] * 2 + [
        False
    ] * 3
    with pytest.raises(AdapterError, match=parts(f"'{tmp_path / 'loop'}': cannot be read … symbolic links")):
        is_regular_file(tmp_path / "loop")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"content"
    for name in ("pipe", "."):
        with pytest.raises(OSError, match="regular file"):
            open_regular(tmp_path / name)


def test_text_is_read_up_to_a_limit_in_memory(tmp_path: Path) -> None:
    """What is not ASCII takes four bytes a character."""
    path = tmp_path / "x"
    for text, limit in (("a" * 40, 40), ("é" * 5, 40)):
        path.write_text(text, encoding="utf-8")
        assert read_text(path, limit) == text
    for text, limit, said in (("a" * 41, 40, 40), ("é" * 6, 40, 10)):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=f"at most {said} bytes"):
            read_text(path, limit)
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="utf-8"):
        read_text(path, 40)


ACCEPTED = ["{}", '{"a": [1, 2.5, "x", null, true]}', "3", "1e308", '"\\ud83d\\ude00"', '"\\\\ud83d"', "1e-999"]


@pytest.mark.parametrize("text", ACCEPTED)
def test_json_is_read_as_json(text: str) -> None:
    assert parse_json(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": {"c": 1, "d": 2, "c": 1}}', "'c' … twice"),
        ('{"a": 1, "a": 1}', "'a' … twice"),
        ("NaN", "NaN is not"),
        ('{"a": Infinity}', "Infinity is not"),
        ("[-Infinity]", "-Infinity is not"),
        ("1e999", "'1e999' … float64"),
        ("-1e999", "'-1e999' … float64"),
        ("1" * 400 + ".5", "'111 … float64"),
        ('"\\ud83d"', "surrogates"),
        ('"\\uD83D"', "surrogates"),
        ('{"\\ud83d": 1}', "surrogates"),
        ("{", "Expecting"),
    ],
)
def test_what_parsers_disagree_on_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=parts(message)):
        parse_json(text)


@pytest.mark.parametrize("text", ["[0,0,0,0]", '{"a":{"b":[0,0]}}', "[[[[0]]]]"])
def test_values_are_counted_before_they_are_made(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comma, a brace and a bracket each begin one at most: four or five here."""
    count = sum(text.count(mark) for mark in ",[{")
    monkeypatch.setattr(files, "JSON_VALUES", count)
    assert parse_json(text) == json.loads(text)
    monkeypatch.setattr(files, "JSON_VALUES", count - 1)
    with pytest.raises(ValueError, match=f"at most {count - 1} values"):
        parse_json(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1]", "JSON object, got list; save"),
        (b"3", "JSON object, got int; save"),
        (b"null", "JSON object, got NoneType; save"),
        (b"{", "expected JSON: Expecting … save"),
        (b"\xff", "expected JSON: … utf-8 … save"),
        (b'{"a": NaN}', "expected JSON: NaN … save"),
        (b"[" * 100_000, "expected JSON: … recursion … save"),
        (b" " * 30, "expected JSON: … at most 20 bytes; save"),
    ],
    ids=range(8),
)
def test_a_file_that_holds_no_json_object_is_named(
    content: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if message.endswith("20 bytes; save"):
        monkeypatch.setattr(files, "JSON_LIMIT", 20)
    path: Any = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(AdapterError, match=parts(f"'{path}': … {message}")) as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


def test_a_json_file_that_is_none_is_named(tmp_path: Path) -> None:
    for name in (".", "gone"):
        with pytest.raises(AdapterError, match=parts(f"'{tmp_path / name}': … JSON file")):
            read_json(tmp_path / name)
    (tmp_path / "x").write_text('{"a": {"b": 1}}')
    assert read_json(tmp_path / "x") == {"a": {"b": 1}}
