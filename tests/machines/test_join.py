"""Parts that do not fit together: which and why is said in a line, and nothing is written."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lora_sets import LAYERS, SHAPES, check_same, taken
from safetensors.numpy import load_file, save_file

from coremerge_ref.adapters import join_parts, merge_folders
from coremerge_ref.errors import AdapterError

RECORD = "coremerge-part.json"


@pytest.fixture
def parts(adapters: list[str]) -> list[str]:
    """Two parts, p1 and p2, of a merge of a, b and c."""
    for i in (1, 2):
        merge_folders(adapters, f"p{i}", "ta", layers=(i, 2))
    return ["p1", "p2"]


def edit(folder: str, **fields: Any) -> None:
    path = Path(folder) / RECORD
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def again(folder: str, *words: Any, adapters: tuple[str, ...] = ("a", "b", "c"), **more: Any) -> None:
    merge_folders(adapters, folder, *(words or ("ta",)), layers="2/2", force=True, **more)


BOTH = ["p1", "p2"]
PIECE = Path("p2", "piece-00000.safetensors")
WRONG: dict[str, tuple[list[str], Callable[[], object], str]] = {
    "one is missing": (["p1"], lambda: None, r"parts: expected all 2, got 1: part 2 is missing.*--layers 2/2"),
    "one is there twice": (["p1", "p2", "p1"], lambda: None, r"'p1': part 1 of 2 is 'p1', too"),
    "no part": (["p1", "a"], lambda: None, r"'a': expected a part of a merge, with coremerge-part\.json"),
    "nothing": (["p1", "x"], lambda: None, r"'x'.*nothing is there"),
    "of another number of parts": (
        ["p1", "p3"],
        lambda: merge_folders(["a", "b", "c"], "p3", "ta", layers="3/3"),
        r"'p3': expected one of 2 parts, as 'p1' is, got part 3 of 3",
    ),
    "another method": (
        BOTH,
        lambda: again("p2", "tsv"),
        r"'p2': method: expected .*ta.* as in 'p1', got .*tsv",
    ),
    "another scale": (
        BOTH,
        lambda: again("p2", scale=0.5),
        r"'p2': scale: expected '1\.0' as in 'p1', got '0\.5'",
    ),
    "other adapters": (BOTH, lambda: again("p2", adapters=("a", "b")), r"'p2': (recipe|adapters): expected"),
    "another order": (
        BOTH,
        lambda: again("p2", adapters=("b", "a", "c")),
        r"'p2': (recipe|adapters): expected",
    ),
    "another version": (
        BOTH,
        lambda: edit("p2", versions="coremerge_ref 0"),
        r"'p2': versions: expected .*got .*0",
    ),
    "adapters that changed": (
        BOTH,
        lambda: os.utime("b/adapter_model.safetensors", (0, 0)),
        r"b/adapter_model\.safetensors.*: changed since the parts were merged",
    ),
    "adapters that are gone": (
        BOTH,
        lambda: shutil.rmtree("b"),
        r"'b': expected an adapter folder, but nothing",
    ),
    "a piece that is gone": (
        BOTH,
        lambda: PIECE.unlink(),
        r"p2/piece-00000.*is not",
    ),
    "a piece that changed": (
        BOTH,
        lambda: save_file({"x": np.ones(1)}, PIECE),
        r"p2/piece-00000\.safetensors.*: is not the file that coremerge-part\.json beside it describes",
    ),
    "a record without its end": (
        BOTH,
        lambda: Path("p2", RECORD).write_text(Path("p2", RECORD).read_text()[:200]),
        r"p2/coremerge-part\.json.*: expected JSON",
    ),
    "a record of something else": (BOTH, lambda: edit("p2", groups="many"), r"coremerge-part\.json.*'groups'"),
    "a record of more": (BOTH, lambda: edit("p2", more=1), r"coremerge-part\.json.*'more'"),
    "no pieces": (BOTH, lambda: edit("p2", pieces=[]), r"the parts do not hold every module once"),
    "the output is an input": (BOTH, lambda: shutil.copytree("a", "out"), r"already exists"),
}


@pytest.mark.parametrize("what", WRONG)
def test_parts_that_do_not_fit(what: str, parts: list[str], refused: Callable[..., str]) -> None:
    names, spoil, said = WRONG[what]
    spoil()
    message = refused("join", *names, "-o", "out")
    assert re.search(said, message), message


def test_pieces_outside_are_refused(parts: list[str], refused: Callable[..., str]) -> None:
    pieces = json.loads(Path("p2", RECORD).read_text())["pieces"]
    edit("p2", pieces=[{**pieces[0], "file": "../a/adapter_model.safetensors"}])
    assert "expected files beside it" in refused("join", *parts, "-o", "out")


LIES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "smaller ranks": lambda piece: {"ranks": dict.fromkeys(piece["ranks"], 1)},
    "no ranks": lambda piece: {"ranks": {}},
    "other tensors": lambda piece: {
        "groups": {group: [i, {f"{name}x": 1 for name in sizes}] for group, (i, sizes) in piece["groups"].items()}
    },
    "facts of others": lambda piece: {"facts": {"nowhere": {"rank": 2}}},
    "zeros of others": lambda piece: {"zeros": ["x"]},
}


@pytest.mark.parametrize("lie", LIES)
def test_records_that_lie(lie: str, parts: list[str], refused: Callable[..., str]) -> None:
    """A stranger's parts, whose records are whole and untrue."""
    for part in parts:
        pieces = json.loads(Path(part, RECORD).read_text())["pieces"]
        edit(part, pieces=[{**piece, **LIES[lie](piece)} for piece in pieces])
    assert "the parts do not fit together" in refused("join", *parts, "-o", "out")


def test_a_part_is_not_an_output(parts: list[str]) -> None:
    with pytest.raises(AdapterError, match="is an input"):
        join_parts(parts, "p1", force=True)
    with pytest.raises(AdapterError, match="already exists"):
        merge_folders(["a"], "p1", "ta", layers="1/2")


def test_more_parts_than_batches(adapters: list[str]) -> None:
    """Jobs that have nothing to do write parts all the same."""
    merge_folders(adapters, "out", "ta")
    plain = taken(Path("out"))
    for i in range(1, 31):
        merge_folders(adapters, f"p{i}", "ta", layers=(i, 30))
    assert len(os.listdir("p30")) == 1
    join_parts([f"p{i}" for i in range(1, 31)], "out")
    check_same(plain, taken(Path("out")))


def test_a_part_is_replaced_with_force_and_says_what_it_is(
    parts: list[str], run: Callable[..., Any], refused: Callable[..., str]
) -> None:
    merge_folders(["a", "b", "c"], "p1", "ta", layers="1/2", force=True)
    assert run("join", *parts, "-o", "out").exit_code == 0
    assert "coremerge join" in refused("inspect", "p1")
    assert run("merge", "a", "-o", "p1", "--force").exit_code == 0
    assert "piece-00000.safetensors" not in os.listdir("p1")


def test_a_method_that_is_a_function(adapters: list[str]) -> None:
    for i in (1, 2):
        merge_folders(adapters, f"p{i}", lambda M: M.sum(0), layers=(i, 2))
    join_parts(["p2", "p1"], "out")
    joined = taken(Path("out"))
    merge_folders(adapters, "out", lambda M: M.sum(0))
    check_same(taken(Path("out")), joined)


def test_parts_become_a_fused_model_by_way_of_their_adapter(adapters: list[str]) -> None:
    """What the message of --layers with --into says to do."""
    shapes = {name: SHAPES[name.rpartition(".")[2]] for name in LAYERS}
    rng = np.random.default_rng(3)
    weights = {f"{name}.weight": rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(weights, "base.safetensors")
    merge_folders(adapters, "fused.safetensors", "tsv", into="base.safetensors")
    for i in (1, 2):
        merge_folders(adapters, f"p{i}", "tsv", layers=(i, 2), dtype="float64")
    join_parts(["p1", "p2"], "out")
    merge_folders(["out"], "again.safetensors", "ta", into="base.safetensors")
    directly, again = load_file("fused.safetensors"), load_file("again.safetensors")
    for name, weight in weights.items():
        assert (directly[name] != weight).any()
        np.testing.assert_array_max_ulp(again[name], directly[name], 1)
