"""The command line `coremerge`: one command a file; a new command is one line in commands.py.

Heavy imports belong inside the commands, so that `coremerge --help` is quick and no array library but the one in use
is ever imported.
"""

import gc
from typing import Annotated

import typer

from coremerge_ref.cli.commands import COMMANDS
from coremerge_ref.cli.reporting import say
from coremerge_ref.cli.streams import guard_streams
from coremerge_ref.cli.usage import Commands


def _version(wanted: bool) -> None:
    if wanted:
        from coremerge_ref.version import package_version

        say(f"coremerge {package_version()}")
        raise typer.Exit


def build() -> typer.Typer:
    """The application, which knows every command and loads the one that is asked for."""
    app = typer.Typer(
        name="coremerge",
        cls=Commands,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def coremerge(
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
        ] = False,
    ) -> None:
        """Make one adapter of several (LoRA, VeRA and others), exactly, by any method. Core Space: arXiv 2509.17786.

        \b
        coremerge demo                                        see it work on adapters that ship with it
        coremerge inspect ADAPTER                             what is in an adapter
        coremerge merge ADAPTER ADAPTER -o OUT --method tsv   merge adapter folders or files
        coremerge sweep OUT --score "COMMAND {adapter}"       which scale α of it is best, by your own score
        coremerge search ADAPTER ADAPTER --score "COMMAND {adapter}"   which method, parameters and α are

        Each command explains itself: coremerge merge --help
        """

    return app


def main() -> None:
    """Entry point.

    Exit codes: 0 done, 1 done but stdout takes no report, 2 refused with one line on stderr and nothing written, 130
    interrupted.
    """
    guard_streams()
    gc.set_threshold(50_000, 20, 50)  # what a command makes it keeps: looking for cycles took a tenth of long ones
    build()(prog_name="coremerge")


__all__ = ["COMMANDS", "build", "main"]
