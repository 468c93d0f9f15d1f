"""coremerge demo: see it work, on adapters that ship with the package."""

from pathlib import Path
from typing import Annotated

import typer

from coremerge_ref.cli.reporting import emit


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write the merged adapter to.")] = Path(
        "coremerge-demo"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing adapter folder.")] = False,
    method: Annotated[
        list[str] | None, typer.Option("-m", "--method", help="Run this method; repeatable. [eight of them]")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw bars below the table.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Merge small adapters that were really trained, by several methods in three spaces, and measure the result.

    Shows how much of the single adapters' accuracy the merged model keeps, that projection loses nothing, and how small
    core space is; writes a merged adapter folder. Needs nothing but this package.

    \b
    coremerge demo --plot
    coremerge demo -o somewhere --force --json
    """
    from coremerge_ref.cli.methods import find_methods
    from coremerge_ref.cli.tables import console
    from coremerge_ref.demo.run import METHODS, run

    find_methods()
    result = run(output, None if json else console(), force, method or METHODS, plot)
    if json:
        emit(result)
