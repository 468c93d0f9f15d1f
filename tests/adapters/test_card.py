"""README.md beside a merge: YAML that the hub reads, text that hostile names cannot leave, and whose file it is."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from coremerge_ref.adapters.card import MARK, is_ours, model_card

RECORD: dict[str, Any] = {
    "coremerge_ref": "9.8.7", "recipe": {"not": "shown"}, "rank": None, "weights": [1.0, 2.0], "scale": 0.5,
    "space": {"name": "core", "basis": "svd"}, "parameters": {"ties": {"density": 0.2}}, "method": "ties",
    "inputs": [{"path": "a", "peft_type": "LORA", "sha256": {"x": "0" * 64}}], "outputs": {"y": "1"}, "notes": [],
}  # fmt: skip


def blocks(card: str) -> list[Any]:
    """What the card's YAML says: front matter, then each code block."""
    _, front, rest = card.split("---\n", 2)
    return [yaml.safe_load(front), *(yaml.safe_load(block.split("\n```")[0]) for block in rest.split("```yaml\n")[1:])]


@pytest.mark.parametrize(
    ("bases", "shown"),
    [
        (["org/a"], "org/a"),
        (["org/a", "org/a", None], "org/a"),
        (["org/b", "org/a", "org/b"], ["org/a", "org/b"]),
        (["/home/me/a", "./a", "../a", "~/a", r"\\server\a", "", None], None),
        (["/home/me/a", "org/a"], "org/a"),
    ],
)
def test_base_models_that_the_hub_may_know_are_linked(bases: list[str | None], shown: Any) -> None:
    front = blocks(model_card(bases, RECORD))[0]
    assert front.get("base_model") == shown
    assert ("base_model" in front) == ("base_model_relation" in front) == (shown is not None)


def test_a_card_of_an_adapter_and_one_of_a_model() -> None:
    adapter, model = (blocks(model_card(["org/a"], RECORD, *more))[0] for more in ((), ("transformers", True)))
    assert list(adapter.items()) == [
        ("base_model", "org/a"), ("base_model_relation", "adapter"), ("library_name", "peft"),
        ("tags", ["lora", "merge", "coremerge"]),
    ]  # fmt: skip
    assert list(model.items()) == [
        ("base_model", "org/a"), ("base_model_relation", "merge"), ("library_name", "transformers"),
        ("tags", ["merge", "coremerge"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("count", "fused", "words"),
    [(1, False, "1 adapter merged into one LoRA by"),
     (2, True, "2 adapters merged into the base model by")],
)  # fmt: skip
def test_a_card_says_how_many_became_what(count: int, fused: bool, words: str) -> None:
    card = model_card([], {**RECORD, "inputs": RECORD["inputs"] * count}, fused=fused)
    assert f"\n\n{words} coremerge_ref 9.8.7:\n\n" in card
    assert f"\n# Merged {'model' if fused else 'adapter'}\n" in card


def test_the_settings_are_there_in_one_order_and_nothing_else_is() -> None:
    [_, told] = blocks(model_card([], {key: RECORD[key] for key in reversed(RECORD)}))
    names = ["method", "parameters", "space", "scale", "weights", "rank"]
    assert list(told.items()) == [
        *((name, RECORD[name]) for name in names), ("inputs", [{"path": "a", "sha256": {"x": "0" * 64}}]),
    ]  # fmt: skip


def test_settings_that_a_record_lacks_are_left_out() -> None:
    made = {key: value for key, value in RECORD.items() if key not in ("weights", "rank")}
    assert not {"weights", "rank"} & blocks(model_card([], made))[1].keys()


def test_notes_are_a_block_of_their_own_where_there_are_some() -> None:
    notes = ["one: two", "three\nfour"]
    card = model_card([], {**RECORD, "notes": notes})
    assert blocks(card)[2] == notes
    assert "What was said" not in model_card([], RECORD)


def test_a_card_names_the_files_and_commands_that_check_and_repeat_it() -> None:
    card = model_card([], RECORD)
    for word in ("`coremerge.json`", "`coremerge verify`", "`coremerge merge --config coremerge.json`"):
        assert word in card
    assert card.endswith("merge.\n")


HOSTILE = [
    "x\n---\nevil: yes",
    "a```\n```",
    "\x1b[2J",
    "﷽‮é",
    "a: b",
    "- a",
    "# a",
    "'",
    "null",
    "7",
    "a" * 3000 + " b" * 900,
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_names_are_text_and_stay_in_their_lines(name: str) -> None:
    """Right-to-left marks too: in a browser they would turn what comes after them."""
    inputs = [{"path": name, "sha256": {"x": "0"}}]
    card = model_card([name], {**RECORD, "inputs": inputs, "notes": [name]})
    plain = model_card(["x"], {**RECORD, "inputs": [{"path": "x", "sha256": {"x": "0"}}], "notes": ["x"]})
    assert card.isascii()
    assert card.replace("\n", "").isprintable()
    assert len(card.splitlines()) == len(plain.splitlines())
    front, told, notes = (yaml.safe_load(block) for block in fenced(card))
    assert (front["base_model"], told["inputs"], notes) == (name, inputs, [name])


def fenced(card: str) -> list[str]:
    """Front matter and code blocks as CommonMark has them: a block ends at a line of its own fence."""
    lines = card.splitlines()
    found = ["\n".join(lines[1 : lines.index("---", 1)])]
    while any(line.startswith("```") for line in lines):
        at = next(i for i, line in enumerate(lines) if line.startswith("```"))
        fence = lines[at].removesuffix("yaml")
        end = lines.index(fence, at + 1)
        found.append("\n".join(lines[at + 1 : end]))
        lines = lines[end + 1 :]
    return found


def test_a_fence_is_longer_than_any_in_its_block() -> None:
    card = model_card([], {**RECORD, "notes": ["`````", "plain"]})
    assert yaml.safe_load(fenced(card)[2]) == ["`````", "plain"]
    assert fenced(card)[2].count("`" * 6) == 0
    assert "\n``````yaml\n" in card


def test_whose_card_it_is(tmp_path: Path) -> None:
    card, own = tmp_path / "README.md", tmp_path / "own.md"
    assert not is_ours(card)
    card.write_text(model_card([], RECORD), encoding="utf-8")
    assert is_ours(card)
    own.write_text("# Mine\n")
    assert not is_ours(own)
    (tmp_path / "link.md").symlink_to(card)
    assert not is_ours(tmp_path / "link.md")
    assert not is_ours(tmp_path)


@pytest.mark.parametrize(("at", "ours"), [(2**20 - len(MARK), True), (2**20 - len(MARK) + 1, False)])
def test_the_mark_is_looked_for_in_a_megabyte(at: int, ours: bool, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(b"x" * at + MARK.encode())
    assert is_ours(path) is ours


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_nobodys_card(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "README.md")
    assert not is_ours(tmp_path / "README.md")
