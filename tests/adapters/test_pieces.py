"""A merge cut into pieces: what must stay together, in which order it comes out, and files that appear whole."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from said import parts

from coremerge_ref.adapters.layer import Layer
from coremerge_ref.adapters.modules import LINEAR, Module
from coremerge_ref.adapters.pieces import (
    Piece,
    cut,
    emitted,
    group_of,
    numbered,
    piece_name,
    together,
    written_at_once,
)
from coremerge_ref.adapters.writing import Outcome
from coremerge_ref.errors import AdapterError


def layer(name: str) -> Layer:
    """Called PATH, or PATH@STEM where it is an expert of the stack STEM, which is written at one rank."""
    path, _, stem = name.partition("@")
    module = Module(path, LINEAR, (4, 3), 2, 1.0, "float32", stack=(stem, 0, 2) if stem else None)
    return Layer(path, (module,), (path,))


def batches(*names: str) -> list[list[Layer]]:
    return [[layer(name) for name in batch.split()] for batch in names]


def paths(pieces: Any) -> list[list[list[str]]]:
    return [[[layer.path for layer in batch] for batch in piece] for piece in pieces]


def test_a_layer_is_a_group_and_experts_share_one() -> None:
    assert [group_of(layer(name), False) for name in ("a", "b@s", "c@s")] == ["a", "s", "s"]
    assert [group_of(layer(name), True) for name in ("a", "b@s", "c@s")] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("given", "dense", "wanted"),
    [
        (["a b", "c", "d"], False, [["a b"], ["c"], ["d"]]),
        (["a e@s", "c", "f@s"], False, [["a e@s", "f@s"], ["c"]]),
        (["a e@s", "c", "f@s"], True, [["a e@s"], ["c"], ["f@s"]]),
        (["e@s", "c", "f@s h@t", "d", "i@t"], False, [["e@s", "f@s h@t", "i@t"], ["c"], ["d"]]),  # one holds two
        (["e@s", "h@t", "c", "f@s i@t"], False, [["e@s", "h@t", "f@s i@t"], ["c"]]),  # two become one later
        ([], False, []),
    ],
)
def test_batches_that_share_a_group_are_one_piece(given: list[str], dense: bool, wanted: list[list[str]]) -> None:
    expected = [[[name.partition("@")[0] for name in batch.split()] for batch in piece] for piece in wanted]
    assert paths(cut(batches(*given), dense)) == expected


def test_groups_come_out_when_their_last_layer_is_done() -> None:
    given = batches("e@s a", "b", "f@s", "c")
    assert emitted(given, False) == ["a", "b", "s", "c"]
    assert emitted(given, True) == ["e", "a", "b", "f", "c"]
    assert numbered(given, False) == {"a": 0, "b": 1, "s": 2, "c": 3}


def test_names_of_pieces_sort_as_their_numbers() -> None:
    assert [piece_name(number) for number in (0, 12, 12345)] == [
        "piece-00000.safetensors", "piece-00012.safetensors", "piece-12345.safetensors",
    ]  # fmt: skip


def test_outcomes_are_joined_in_the_order_of_one_process() -> None:
    order = {"z": 0, "y": 1, "x": 2}
    layers = [(layer(name), name) for name in "xyz"]
    one = Piece("1", {}, Outcome({"x": 1, "y": 2}, {"x": {"rank": 1}, "y": {"rank": 2}}, ["x", "y"]))
    two = Piece("2", {}, Outcome({"z": 3}, {"z": {"rank": 3}}, ["z"]))
    found = together([one, two], order, layers)
    assert list(found.ranks.items()) == [("z", 3), ("y", 2), ("x", 1)]
    assert list(found.facts.items()) == [("z", {"rank": 3}), ("y", {"rank": 2}), ("x", {"rank": 1})]
    assert found.zeros == ["z", "y", "x"]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """What was there stays until then; work may be done twice."""
    path = tmp_path / "x"
    path.write_text("before")
    with written_at_once(path) as unfinished:
        unfinished.write_text("after")
        assert unfinished.parent == tmp_path
        assert unfinished.name.startswith(".x.")
        assert path.read_text() == "before"
    assert (path.read_text(), os.listdir(tmp_path)) == ("after", ["x"])

    def fail(unfinished: Path) -> None:
        unfinished.write_text("half")
        raise KeyError("between")

    with pytest.raises(KeyError, match="between"), written_at_once(path) as unfinished:
        fail(unfinished)
    assert (path.read_text(), os.listdir(tmp_path)) == ("after", ["x"])


def test_two_workers_may_write_one_file(tmp_path: Path) -> None:
    with written_at_once(tmp_path / "x") as one, written_at_once(tmp_path / "x") as two:
        assert one != two
        one.write_text("1")
        two.write_text("2")
    assert os.listdir(tmp_path) == ["x"]


def test_a_disk_that_refuses_is_named_with_its_machine(tmp_path: Path) -> None:
    def fail(unfinished: Path) -> None:
        unfinished.write_text("half")
        raise OSError(28, "No space left on device", "elsewhere")

    wanted = f"'{tmp_path}': … {socket.gethostname()}: No space left on device; nothing was changed"
    with pytest.raises(AdapterError, match=parts(wanted)), written_at_once(tmp_path / "x") as unfinished:
        fail(unfinished)
    assert os.listdir(tmp_path) == []
