"""Every command that the documentation, the README and the help of commands write is one that the parser takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from coremerge_ref.cli import COMMANDS, build

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SPAN = re.compile(r"`(coremerge [a-z][^`]*)`", re.DOTALL)
TEMPLATE = re.compile(r"…|\.\.\.|\[OPTIONS\]|\[COMMAND\]")


def written(text: str) -> Iterator[str]:
    """Commands in lines of their own, with or without a prompt, and in spans of prose."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in joined.splitlines():
        if found := re.match(r"\s*(?:\$ )?(coremerge [a-z].*)", line):
            yield re.sub(r"  +\S.*|\s+#.*", "", found[1])  # what a help screen or a comment says beside it
    yield from (" ".join(found.split()) for found in SPAN.findall(text))


def complaint(command: str) -> str:
    """What the parser has against a command; "" where nothing, or where it is a template."""
    if TEMPLATE.search(command):
        return ""
    words = shlex.split(command.strip(" .,;:"))
    words = words[: next((i for i, word in enumerate(words) if re.match(r"\||>|<|&&|2>|\(", word)), len(words))]
    chosen: Any = typer.main.get_command(build())
    context = chosen.make_context(words.pop(0), [], resilient_parsing=True)
    try:
        while hasattr(chosen, "get_command"):
            chosen = chosen.get_command(context, words[0])
            if chosen is None:
                return f"no command {words[0]}"
            context = type(context)(chosen, parent=context, info_name=words.pop(0))
        _, left, _ = chosen.make_parser(context).parse_args(words)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return str(error.format_message())
    return f"one argument too many: {left[0]}" if left else ""


def in_prose(command: str) -> bool:
    """Whether it is a name of a command in a sentence, with none of its arguments, or one of its options."""
    words = command.split()
    return len(words) == 2 or (len(words) == 3 and words[2].startswith("-"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_of_pages_parse(page: Path) -> None:
    commands = {command for command in written(page.read_text(encoding="utf-8")) if not in_prose(command)}
    assert {command: said for command in sorted(commands) if (said := complaint(command))} == {}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_of_help_parse(name: str) -> None:
    group: Any = typer.main.get_command(build())
    chosen = group.get_command(group.make_context("coremerge", [], resilient_parsing=True), name)
    commands = list(written(chosen.help.replace("\b", "")))
    assert commands
    assert {command: said for command in commands if not in_prose(command) and (said := complaint(command))} == {}


def test_what_does_not_parse_is_seen() -> None:
    assert "-o" in complaint("coremerge convert merged --to peft -o one")
    assert complaint("coremerge convert merged one two three --to peft") != ""
    assert complaint("coremerge mrege a b -o out") != ""
    assert complaint("coremerge merge a b -o out | tee log") == ""
