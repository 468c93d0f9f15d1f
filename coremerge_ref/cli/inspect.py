"""coremerge inspect: what is in an adapter."""

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coremerge_ref.cli.reporting import counted, emit, note, progress, say, size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coremerge_ref.adapters.folder import Adapter
    from coremerge_ref.adapters.modules import Module
    from coremerge_ref.cli.measuring import Overlap

_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


def inspect(
    adapters: Annotated[
        list[str], typer.Argument(metavar="ADAPTERS...", help="Adapter folders or files, or hf://org/name@revision.")
    ],
    each: Annotated[
        bool, typer.Option("--all", help="One line a module instead of one for modules that are alike.")
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Read the tensors, too: norms, ranks, energy, overlap of each two.")
    ] = False,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE", help="Measure, and draw energy and overlap (.png, .svg).")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The base model's safetensors, to measure adapters that do not hold its sizes.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Show what adapters hold: modules, shapes, ranks, scalings, dtypes. Reads configs and headers, no tensors.

    With --measure it reads them: of each layer the norm of ΔW, how many directions it has beside rounding, its stable
    rank ‖ΔW‖_F² / ‖ΔW‖₂², and how many directions hold half, 90 % and 99 % of ‖ΔW‖_F². Of each two adapters how far
    their left and right singular vectors span the same (1 the same, 0 nothing in common), the cosine of their
    updates, and how often their core matrices have opposite signs.

    An adapter that coremerge cannot merge, such as DoRA, is refused here as it would be there, with what to do.

    \b
    coremerge inspect task-a
    coremerge inspect task-a task-b --measure --plot overlap.svg
    coremerge inspect task-a task-b --json | jq '.adapters[].modules[].rank'
    """
    from coremerge_ref.adapters.beside import open_updates

    opened, beside = open_updates(adapters)
    for text in beside:
        note(text)
    measured: list[dict[str, dict[str, Any]]] = []
    pairs: list[Overlap] = []
    if measure or plot is not None:
        measured, pairs = _measured(opened, base, plot, shown=not json)
    if json:
        about = [described(adapter) for adapter in opened]
        for one, found in zip(about, measured, strict=False):
            for module, name in zip(one["modules"], found, strict=True):
                module |= found[name]
        emit({"adapters": about, **({"overlaps": [pair.as_json() for pair in pairs]} if measured else {})})
        return
    from coremerge_ref.cli.measured_tables import measured_table, overlap_table
    from coremerge_ref.cli.tables import width_of

    width = width_of(sys.stdout)
    for t, adapter in enumerate(opened):
        say("") if t else None
        show(adapter, each)
        if measured:
            typer.echo(measured_table(adapter, measured[t], each, width))
    if pairs:
        typer.echo(overlap_table(pairs, width))


def _measured(
    adapters: "list[Adapter]", base: str | None, plot: str | None, shown: bool
) -> "tuple[list[dict[str, dict[str, Any]]], list[Overlap]]":
    """(figures of each adapter's modules by name, overlaps of each two); drawn, if `plot` says where."""
    from coremerge_ref.adapters.widths import BaseShapes, resolve_widths
    from coremerge_ref.cli.measuring import compared, figures, spectra
    from coremerge_ref.cli.pictures import check_picture, draw_measured

    if plot is not None:
        check_picture(plot)
    shapes = None if base is None else BaseShapes(base)
    for adapter in adapters:
        for text in resolve_widths([adapter], shapes):
            note(text)
    measured = []
    with progress("measuring", shown=shown) as report:
        for adapter in adapters:
            found: dict[str, dict[str, Any]] = {}
            for name, values in spectra(adapter):
                found[name] = figures(values)
                report(len(found), len(adapter.modules), name)
            measured.append(found)
        pairs, why = compared(adapters, report)
    if why:
        note(why)
    if plot is not None:
        draw_measured([adapter.called for adapter in adapters], measured, pairs, plot)
    return measured, pairs


def described(adapter: "Adapter") -> dict[str, Any]:
    """The adapter as JSON."""
    return {
        "path": adapter.called,
        "format": adapter.reader.family,
        "peft_type": adapter.config.peft_type,
        "base_model_name_or_path": adapter.config.base_model_name_or_path,
        "task_type": adapter.config.task_type,
        "bytes": sum(path.stat().st_size for path in adapter.files),
        "modules": [
            {
                "path": module.path,
                "kind": module.kind,
                "shape": list(module.shape),
                "kernel": list(module.kernel),
                "rank": module.rank,
                "scaling": module.scale,
                "dtype": module.dtype,
            }
            for module in adapter.modules.values()
        ],
    }


def show(adapter: "Adapter", each: bool) -> None:
    """A heading and a table."""
    from coremerge_ref.cli.tables import MIDDLE, Column, table, width_of

    base = adapter.config.base_model_name_or_path or "unknown"
    kind = adapter.config.peft_type if adapter.reader.family == "peft" else f"{adapter.reader.family} LoRA"
    say(f"{adapter.called}: {kind}, {counted(len(adapter.modules), 'module')}, base model {base}")
    columns = [
        Column("modules", fits=MIDDLE),
        Column("count", right=True),
        Column("kind", drop=2),
        Column("shape", right=True),
        Column("rank", right=True),
        Column("scaling", right=True),
        Column("dtype", drop=1),
        Column("factors", right=True, drop=3),
    ]
    rows = []
    for name, modules in grouped(list(adapter.modules.values()), each).items():
        first = modules[0]
        m, n = first.shape
        count = len(modules) * first.rank * (m + (n or 0))
        factors = "shared" if adapter.config.peft_type == "VERA" else size(count * _BYTES[first.dtype])
        shape = f"{m} × {'?' if n is None else n}"
        rows.append(
            (name, f"{len(modules)}", first.kind, shape, f"{first.rank}", f"{first.scale:g}", first.dtype, factors)
        )
    typer.echo(table(columns, rows, width_of(sys.stdout)))


def numberless(path: str) -> str:
    """The path with * for the numbers of layers."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", f".{path}.")[1:-1]


def stems(paths: "Iterable[str]", each: bool) -> dict[str, list[str]]:
    """Paths that differ in layer numbers alone, under one name; under their own if `each` or where one is alone."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(path if each else numberless(path), []).append(path)
    return {stem if len(members) > 1 else members[0]: members for stem, members in groups.items()}


def grouped(modules: "list[Module]", each: bool) -> "dict[str, list[Module]]":
    """Modules that differ in layer numbers alone, under one name with {first…last} for the numbers."""
    groups: dict[Any, list[Module]] = {}
    for module in modules:
        stem = module.path if each else numberless(module.path)
        key = (stem, module.kind, module.shape, module.kernel, module.rank, module.scale, module.dtype)
        groups.setdefault(key, []).append(module)
    named: dict[str, list[Module]] = {}
    for (stem, *_), members in groups.items():
        name = stem if len(members) > 1 else members[0].path
        named[name if name not in named else f"{name} ({len(named)})"] = members
    return named
