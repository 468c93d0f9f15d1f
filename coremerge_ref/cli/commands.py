"""The commands, each imported when it is asked for: one command a file, a new one is one line in COMMANDS."""

from importlib import import_module
from typing import Any

import typer

from coremerge_ref.cli.reporting import reported

# each a module of this package with a function of the same name
COMMANDS = (
    "merge",
    "join",
    "sweep",
    "search",
    "inspect",
    "resize",
    "extract",
    "convert",
    "verify",
    "explain",
    "compare",
    "vectors",
    "conformance",
    "demo",
    "doctor",
)


def load_command(name: str) -> Any:
    """The command of that name as typer's parser knows it."""
    module = import_module(f"coremerge_ref.cli.{name}")
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name)(reported(getattr(module, name)))
    return typer.main.get_command(app)
