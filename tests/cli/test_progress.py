"""Long work says how far it is and what it is at, whatever the method; machines and pipes see nothing of it."""

import io
import re
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from coremerge_ref.cli.reporting import note, progress, shortened

MERGES = (
    ["--method", "tsv"],
    ["--method", "ties", "--space", "full", "--rank", "2"],
    ["--method", "ties", "--space", "full", "--dense"],
    ["--method", "ties", "--set", "ties.scope=model"],
)


class Terminal(io.StringIO):
    """What a person would look at."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return Terminal()


def test_a_bar_has_percent_time_left_and_the_part(terminal: Terminal) -> None:
    with redirect_stderr(terminal), progress("merging", shown=True) as report:
        report(1, 4, "model.layers.10.self_attn.q_proj[/]")
    drawn = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", terminal.getvalue())
    last = drawn[drawn.rindex("merging") :].splitlines()[0]
    assert " 25%" in last
    assert re.search(r"[0-9-]:[0-9-]{2}", last)
    assert "q_proj[/]" in last  # a name is no markup
    assert len(last.rstrip()) <= 80


def test_nothing_is_drawn_where_nobody_looks(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with redirect_stderr(terminal), progress("merging", shown=False) as report:
        report(1, 4, "q")
    monkeypatch.setattr(terminal, "isatty", lambda: False)
    with redirect_stderr(terminal), progress("merging", shown=True) as report:
        report(1, 4, "q")
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("words", MERGES, ids=" ".join)
def test_every_merge_says_layer_by_layer_how_far_it_is(
    words: list[str], adapters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from coremerge_ref.adapters import Adapter, merge_folders
    from coremerge_ref.cli.merge import arguments
    from coremerge_ref.cli.methods import parse_sets
    from coremerge_ref.cli.settings import merged_settings

    options = dict(zip((word[2:] for word in words if word[:2] == "--"), [*words[1::2], True], strict=False))
    options = {"rank": None, **options, "set": parse_sets([options["set"]] if "set" in options else [])}
    options["rank"] = options["rank"] and int(options["rank"])
    pipeline, where, given = arguments(merged_settings(None, options))
    told: list[tuple[int, int, str]] = []
    merge_folders(adapters, Path("out"), pipeline, where, progress=lambda *each: told.append(each), **given)
    layers = {module.path for module in Adapter("a").modules.values()}
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert {done for done, _, _ in told} == {0, 1, 2, 3}  # layers alike go through together, and count one by one
    assert {total for _, total, _ in told} == {len(layers)}
    assert {layer for _, _, layer in told} == layers


@pytest.mark.parametrize(("text", "length"), [("short", 5), ("layers.10.self_attn.q_proj", 11), ("abcdef", 2)])
def test_what_is_shortened_keeps_its_ends(text: str, length: int) -> None:
    cut = shortened(text, length)
    assert len(cut) == min(length, len(text))
    assert cut[-(length // 2) :] == text[-(length // 2) :]


def test_a_note_stands_above_the_bar_on_a_line_of_its_own(terminal: Terminal) -> None:
    with redirect_stderr(terminal), progress("scoring", shown=True) as report:
        report(1, 2, "ties")
        note("trial 1: [bold]0.5\x1b[2J")
        report(2, 2, "tsv")
    before, _, after = terminal.getvalue().partition("note: trial 1: [bold]0.5\\x1b[2J")
    assert before.endswith("\r\x1b[2K")  # the bar was wiped away first
    assert after.startswith("\n")
    with redirect_stderr(terminal):
        note("later")
    assert terminal.getvalue().endswith("note: later\n")
