"""coremerge join: the parts of a merge become one adapter."""

from typing import Annotated

import typer

from coremerge_ref.cli.merge import report_merge


def join(
    parts: Annotated[list[str], typer.Argument(metavar="PARTS...", help="Folders of all parts, in any order.")],
    output: Annotated[str, typer.Option("-o", "--output", help="Folder to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing adapter folder.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Make one adapter of the parts that coremerge merge --layers i/n wrote.

    The output is what one merge writes, byte for byte. Run it where the parts were merged: the adapters are opened
    again, under the names that the parts know. Nothing is written unless all parts are there, are of one merge, and
    neither they nor the adapters have changed.

    \b
    coremerge merge adapters/* -o part-1 --layers 1/2
    coremerge merge adapters/* -o part-2 --layers 2/2
    coremerge join part-1 part-2 -o merged
    """
    from coremerge_ref.adapters import join_parts

    report_merge(join_parts(parts, output, force=force), json=json)
