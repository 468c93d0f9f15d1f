"""coremerge conformance: ask an implementation the cases."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from coremerge_ref.cli.reporting import note
from coremerge_ref.errors import ParameterError

FAILED = 1


def conformance(
    function: Annotated[str, typer.Argument(metavar="MODULE:FUNCTION", help="Such as my_pkg.my_module:merge.")],
    only: Annotated[str | None, typer.Option(help="Ask the cases whose name contains this.")] = None,
    skip: Annotated[str | None, typer.Option(help="Leave out the cases whose name contains this.")] = None,
    expected_failure: Annotated[
        list[str] | None,
        typer.Option(metavar="CASE=REASON", help="Cases (a part of their names) that may fail; repeatable."),
    ] = None,
    expected_failures: Annotated[
        Path | None, typer.Option(help="File of such lines, CASE=REASON; empty lines and # comments are skipped.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    every: Annotated[bool, typer.Option("--all", help="List passing cases, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Run the conformance kit on a function of a case: verdicts, error ratios, and which mistake it makes.

    FUNCTION(case) returns the merged (m, n) array; it raises NotImplementedError for what it does not do. Exit code 0
    if nothing failed unexpectedly, 1 if something did, 2 if the function cannot be imported or no case is chosen.

    \b
    coremerge conformance my_pkg.my_module:merge
    coremerge conformance my_pkg:merge --only ties --skip bfloat16 --junit report.xml
    coremerge conformance my_pkg:merge --expected-failure "iso_cts=not implemented yet"
    """
    from coremerge_ref.conformance.asking import run
    from coremerge_ref.conformance.junit import to_junit
    from coremerge_ref.conformance.questions import cases

    known = _reasons(expected_failure or [], "--expected-failure")
    if expected_failures is not None:
        known |= _reasons(_lines(expected_failures), str(expected_failures))
    chosen = cases(only, skip)
    if not chosen:
        raise ParameterError(f"expected cases whose name contains {only!r} and not {skip!r}, but there are none")
    report = run(imported(function), cases=chosen, expected_failures=known)
    if junit is not None:
        _write(junit, to_junit(report))
    show(report, every, json)


def show(report: Any, every: bool, json: bool) -> None:
    """The report as JSON or as a table with counts; ends with exit code 1 where something failed."""
    if json:
        typer.echo(report.to_json())
    else:
        from rich.console import Console

        # a pipe has no width to fit
        console = Console(soft_wrap=not Console().is_terminal, width=None if Console().is_terminal else 200)
        if every or report.failures:
            console.print(report.table(every))
        typer.echo(report.summary())
        if all(result.verdict == "unsupported" for result in report.results):
            note("no case was answered: an implementation that supports nothing is not conformant")
    if not report.ok:
        raise typer.Exit(FAILED)


def imported(text: str) -> Callable[[Any], Any]:
    """The function that "my_pkg.my_module:fn" names, looked for in the current folder first, as Python does."""
    name, colon, attribute = text.partition(":")
    if not (name and colon and attribute):
        raise ParameterError(f"expected MODULE:FUNCTION such as my_pkg.my_module:merge, got {text!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever the module does when it is imported is its own affair
        raise ParameterError(f"{text}: cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ParameterError(f"{text}: expected a function of a case, got {type(found).__name__}")
    result: Callable[[Any], Any] = found
    return result


def _reasons(lines: list[str], source: str) -> dict[str, str]:
    split = [line.partition("=") for line in lines]
    for case, _, reason in split:
        if not (case.strip() and reason.strip()):
            raise ParameterError(f"{source}: expected CASE=REASON, got {case!r}; a failure is expected for a reason")
    return {case.strip(): reason.strip() for case, _, reason in split}


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ParameterError(f"{path}: cannot be read: {error}") from error
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ParameterError(f"{path}: cannot be written: {error.strerror}; give another file") from error
