"""coremerge conformance: ask an implementation the cases, or hold it to the properties."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from coremerge_ref.adapters.files import read_text
from coremerge_ref.cli.reporting import emit, progress, refusal, say_lines
from coremerge_ref.errors import ParameterError, reason, shown

FAILED = 1


def conformance(
    function: Annotated[
        str | None,
        typer.Argument(metavar="MODULE:FUNCTION", help="Such as my_pkg.my_module:merge, or path/to/file.py:merge."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Ask the cases whose name contains this, or matches this glob; repeatable.")
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Leave out such cases; repeatable.")] = None,
    explaining: Annotated[
        str | None, typer.Option("--explain", metavar="ID", help="What a mistake is, why it is common, how to mend it.")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the cases chosen and ask none.")] = False,
    precision: Annotated[
        str, typer.Option(help="Arithmetic to judge by: float64, float32, or auto, what the answers show.")
    ] = "float64",
    generated: Annotated[int, typer.Option(min=0, help="Ask so many cases more, drawn at random.")] = 0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of what is drawn; a new one each time if left out.")
    ] = None,
    properties: Annotated[
        bool, typer.Option("--properties", help="Hold the function to the theorems on random updates instead.")
    ] = False,
    expected_failure: Annotated[
        list[str] | None,
        typer.Option(metavar="CASE=REASON", help="Cases (part of a name, or a glob) that may fail; repeatable."),
    ] = None,
    expected_failures: Annotated[
        Path | None, typer.Option(help="File of such lines, CASE=REASON; empty lines and # comments are skipped.")
    ] = None,
    isolate: Annotated[bool, typer.Option(help="Ask in a process of its own; --no-isolate is for debuggers.")] = True,
    timeout: Annotated[
        float | None, typer.Option(min=0.01, help="Seconds that a case may take, where isolated: 60.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the JSON report to this file.")] = None,
    badge: Annotated[Path | None, typer.Option(help="Write the JSON of a badge to this file.")] = None,
    every: Annotated[bool, typer.Option("--all", help="List every case, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Check your own merging code: which answers are right, how far off the others are, and which mistake it makes.

    FUNCTION(case) returns the merged (m, n) array; it raises NotImplementedError for what it does not do. Exit code 0
    if nothing failed unexpectedly, 1 if something did, 2 if the function cannot be imported or no case is chosen.

    \b
    A case has
      case.name     such as ties/core/generic
      case.updates  a list of (B, A, scale), one a task: the update is scale · B A
      case.method   a pipeline, such as dare+ties+iso
      case.space    full, knots, knots-unscaled or core
      case.params   {stage: {parameter: value}}, every parameter of every stage
      case.masks    DARE's masks (T, p, q), True keeps; None for other methods

    \b
    coremerge conformance my_pkg.my_module:merge
    coremerge conformance merge.py:merge --only "ties/*" --skip bfloat16 --junit report.xml
    coremerge conformance my_pkg:merge --expected-failure "iso_cts=not implemented yet"
    coremerge conformance my_pkg:merge --generated 200
    coremerge conformance my_pkg:merge --properties
    coremerge conformance --explain scaling-ignored
    """
    if explaining is not None:
        _say_page(explaining, json)
        return None
    from coremerge_ref.conformance.asking import AUTO, run
    from coremerge_ref.conformance.invalid import invalid_cases
    from coremerge_ref.conformance.loading import parsed
    from coremerge_ref.conformance.questions import cases

    only, skip = only or [], skip or []
    try:
        if properties and not listing:
            return hold(function, isolate, timeout, seed, json, report)
        chosen = cases(only, skip, "float64" if precision == AUTO else precision)
        if not chosen:
            raise ParameterError(f"expected cases that --only {only} chooses and --skip {skip} leaves, but none are")
        if listing:
            names = [case.name for case in (*chosen, *invalid_cases(only, skip))]
            emit({"cases": names}) if json else say_lines("\n".join(names))
            return None
        parsed(_given(function))
        known = _reasons(expected_failure or [], "--expected-failure")
        if expected_failures is not None:
            known |= _reasons(_lines(expected_failures), str(expected_failures))
        with progress("asking", not json) as step, redirect_stdout(sys.stderr):  # what the function prints
            result = run(
                _given(function), only=only, skip=skip, expected_failures=known, precision=precision,
                generated=generated, seed=seed, isolate=isolate, timeout=timeout, progress=step,
            )  # fmt: skip
    except (ImportError, OSError, ValueError) as error:
        raise refusal(error) from error
    if junit is not None:
        from coremerge_ref.conformance.junit import to_junit

        write(junit, to_junit(result))
    if badge is not None:
        write(badge, result.badge())
    return show(result, every, json, report)


def hold(
    function: str | None, isolate: bool, timeout: float | None, seed: int | None, json: bool, file: Path | None
) -> None:
    """The properties in place of the cases."""
    from coremerge_ref.conformance.properties import check_properties

    with progress("drawing", not json) as step:
        result = check_properties(_given(function), isolate=isolate, timeout=timeout, seed=seed, progress=step)
    show(result, False, json, file)


def show(report: Any, every: bool, json: bool, file: Path | None = None) -> None:
    """The report as JSON or as text; ends with exit code 1 where something failed."""
    if file is not None:
        write(file, report.to_json())
    if json:
        typer.echo(report.to_json())
    else:
        if every:
            say_lines(report.table(every))
        say_lines(report.summary())
    if not report.ok:
        raise typer.Exit(FAILED)


def _given(function: str | None) -> str:
    if function is None:
        raise ParameterError("expected MODULE:FUNCTION such as my_pkg.my_module:merge or merge.py:merge, got nothing")
    return function


def _reasons(lines: list[str], source: str) -> dict[str, str]:
    split = [line.partition("=") for line in lines]
    for case, _, why in split:
        if not (case.strip() and why.strip()):
            raise ParameterError(f"{source}: expected CASE=REASON, got {case!r}; a failure is expected for a reason")
    return {case.strip(): why.strip() for case, _, why in split}


def _lines(path: Path) -> list[str]:
    try:
        lines = read_text(path, 2**20).splitlines()
    except (OSError, ValueError) as error:
        raise ParameterError(f"{shown(path)}: cannot be read: {reason(error)}") from error
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def write(path: Path, text: str) -> None:
    """A report's file; ParameterError where it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ParameterError(f"{path}: cannot be written: {error.strerror}; give another file") from error


def _say_page(mistake: str, json: bool) -> None:
    """The page of a mistake."""
    from coremerge_ref.conformance.pages import explain, pages

    try:
        text = explain(mistake)
        emit({"id": mistake, **pages()[mistake]}) if json else say_lines(text)
    except ValueError as error:
        raise ParameterError(f"{error}; docs/mistakes.md lists all") from error
