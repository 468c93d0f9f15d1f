"""Wrong words on the command line, said as all else that is refused: one line, with what to write instead."""

import re
import sys
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any

import typer
from typer.core import TyperGroup

from coremerge_ref.cli.commands import COMMANDS, load_command
from coremerge_ref.cli.reporting import REFUSED, say_error
from coremerge_ref.errors import did_you_mean, shown

# typer's own parser has click's classes; typer names this one of them
_Complaint: Any = typer.BadParameter.__mro__[2]

# options of other tools
_INSTEAD = {
    "--alpha": "α of the merged update is --scale; alpha / r of each adapter is read from its config",
    "--lambda": "write --scale",
    "--weight": "write --weights W,W,…",
    "--svd-rank": "write --rank",
    "--combination-type": "write --method",
    "--merge-method": "write --method",
    "--adapters": "write the adapters without an option",
    "--out": "write --output",
    "--cuda": "write --backend torch --device cuda",
}


class Commands(TyperGroup):
    """The group of commands, which says what is wrong in one line and ends with exit code 2.

    A command is loaded when it is asked for, as click's documentation does it ("Lazily loading subcommands").
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """As TyperGroup's."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """As TyperGroup's."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            self.commands[cmd_name] = load_command(cmd_name)
        return self.commands.get(cmd_name)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **named: Any) -> Any:
        """As TyperGroup's."""
        if named.get("standalone_mode") is False:  # a program that calls it wants its errors, and to go on
            return super().main(args, *rest, **named)
        words = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(words, *rest, **{**named, "standalone_mode": False})
        except _Complaint as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()
            else:
                say_error(said(error, words, COMMANDS))
            sys.exit(REFUSED)
        except typer.Abort:
            say_error("interrupted")
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def said(error: Any, words: Sequence[str], commands: Sequence[str]) -> str:
    """What the parser complains of, as expected and got."""
    where = getattr(error.ctx, "info_name", None) or next((word for word in words if word in commands), "")
    where = where if where in commands else ""
    see = f"see {f'coremerge {where}'.strip()} --help"
    name = getattr(error, "option_name", None)
    if unknown := re.match(r"No such command '(.*?)'", str(error)):
        near = did_you_mean(unknown[1], commands)
        text = f"expected a command among {', '.join(commands)}, got {unknown[1]!r}{near}"
    elif type(error).__name__ == "NoSuchOption":
        text = f"expected an option that it has, got {name}{_remedy(error, words)}"
    elif type(error).__name__ == "MissingParameter":
        text = f"expected {_label(error.param)}, got nothing"
    elif error.__cause__ is not None and hasattr(error.__cause__, "errors"):
        text = f"{_label(error.param)}: {expectation(error.__cause__.errors()[0])}"
    else:
        text = " ".join(error.format_message().split()).rstrip(".")
        text = text[:1].lower() + text[1:].removeprefix("Value error, ")
    return f"{f'{where}: ' if where else ''}{text}; {see}"


def expectation(details: Any) -> str:
    """What pydantic says of a value, as expected and got."""
    text = details["msg"].removeprefix("Value error, ").rstrip(".").partition(", unable to parse")[0]
    if not text.startswith("Input should be "):
        return text[:1].lower() + text[1:]
    wanted = text.removeprefix("Input should be ").replace("a valid integer", "an integer").replace("a valid ", "a ")
    number = "a number " if wanted.startswith(("greater", "less")) else ""
    return f"expected {number}{wanted}, got {shown(details['input'], 80)}"


def _label(param: Any) -> str:
    """An option as it is written, an argument as the help names it."""
    option = getattr(param, "param_type_name", "") == "option"
    return str(max(param.opts, key=len) if option else (param.metavar or param.name.upper()))


def _remedy(error: Any, words: Sequence[str]) -> str:
    """What to write for an option that is none: ours for another tool's, a method's parameter, or what is near."""
    name = error.option_name.partition("=")[0]
    if name in _INSTEAD:
        return f"; {_INSTEAD[name]}"
    options = [option for param in error.ctx.command.params for option in param.opts]
    if "--set" in options and (sets := _sets(name.lstrip("-").replace("-", "_"), words)):
        return f"; parameters of methods are written {' or '.join(sets)}"
    return did_you_mean(name, options)


def _sets(parameter: str, words: Sequence[str]) -> list[str]:
    """How a parameter of that name is set: of the stages of the method that `words` chose, or of all."""
    from coremerge_ref.methods import STAGES

    chosen = [text for option, text in pairwise(words) if option in ("-m", "--method")]
    stages = {name.strip() for text in chosen for name in text.split("+")} & STAGES.keys() or STAGES.keys()
    found = [name for name in STAGES if name in stages and parameter in (f.name for f in fields(STAGES[name]))]  # type: ignore[arg-type]
    other = [f"--set {name}.{STAGES[name].spelled[parameter]}" for name in stages if parameter in STAGES[name].spelled]
    return [f"--set {name}.{parameter}=…" for name in found] + other
