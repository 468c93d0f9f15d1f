"""coremerge vectors: the conformance cases as files, for other languages."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from coremerge_ref.cli.reporting import emit, refusal, say_lines
from coremerge_ref.errors import ParameterError


class Action(StrEnum):
    """What to do with the files."""

    export = "export"
    check = "check"


def vectors(
    action: Annotated[Action, typer.Argument(help="export: write the cases. check: judge outputs.")],
    directory: Annotated[Path, typer.Argument(help="Folder of the cases.")],
    outputs: Annotated[Path | None, typer.Argument(help="check: safetensors file with a tensor for each case.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="The cases whose name contains this, or matches this glob; repeatable.")
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Leave out such cases; repeatable.")] = None,
    precision: Annotated[
        str, typer.Option(help="export: arithmetic that the tolerances are for, float64 or float32.")
    ] = "float64",
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="check: cases without an output are no failure.")
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="check: write JUnit XML to this file.")] = None,
    every: Annotated[bool, typer.Option("--all", help="check: list every case, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Check merging code in any language: write the test cases to files, or judge the answers in a file.

    Cases are safetensors with a JSON manifest.

    Outputs are tensors named output/CASE. check ends with exit code 1 where an output is wrong, or where a case of
    this kit that --only and --skip leave has none; --allow-partial lets those pass.

    \b
    coremerge vectors export cases
    coremerge vectors check cases outputs.safetensors
    coremerge vectors check cases outputs.safetensors --only "ties/*"
    """
    from coremerge_ref.cli.conformance import show, write
    from coremerge_ref.conformance import vectors as files

    try:
        if action is Action.export:
            if outputs is not None:
                raise ParameterError("export: expected one folder, got an outputs file, too; that is for check")
            written = files.export(directory, only=only, skip=skip, precision=precision)
            names = sorted(path.name for path in written.iterdir())
            if json:
                emit({"directory": str(written), "files": names})
            else:
                say_lines(f"wrote {', '.join(names)} to {written}")
            return
        if outputs is None:
            raise ParameterError("check: expected the safetensors file of outputs, got none")
        report = files.check(directory, outputs, only=only, skip=skip, allow_partial=allow_partial)
    except (OSError, ValueError) as error:  # unreadable, damaged or foreign files, all said in one line
        raise refusal(error) from error
    if junit is not None:
        from coremerge_ref.conformance.junit import to_junit

        write(junit, to_junit(report))
    show(report, every, json)
