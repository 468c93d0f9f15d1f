"""coremerge inspect: what is in an adapter."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coremerge_ref.cli.reporting import emit, size, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coremerge_ref.adapters.folder import Adapter
    from coremerge_ref.adapters.modules import Module

_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


def inspect(
    adapters: Annotated[
        list[str], typer.Argument(metavar="ADAPTERS...", help="Adapter folders or files, or hf://org/name@revision.")
    ],
    each: Annotated[
        bool, typer.Option("--all", help="One line a module instead of one for modules that are alike.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Show what adapters hold: modules, shapes, ranks, scalings, dtypes. Reads configs and headers, no tensors.

    An adapter that coremerge cannot merge, such as DoRA, is refused here as it would be there, with what to do.

    \b
    coremerge inspect task-a
    coremerge inspect task-a task-b --json | jq '.adapters[].modules[].rank'
    """
    from coremerge_ref.adapters import Adapter

    opened = [Adapter(path) for path in adapters]
    if json:
        emit({"adapters": [described(adapter) for adapter in opened]})
        return
    from coremerge_ref.cli.tables import console

    for adapter in opened:
        show(adapter, console(), each)


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


def show(adapter: "Adapter", console: Any, each: bool) -> None:
    """A heading and a table on the console."""
    from rich.markup import escape
    from rich.table import Table

    base = adapter.config.base_model_name_or_path or "unknown"
    kind = adapter.config.peft_type if adapter.reader.family == "peft" else f"{adapter.reader.family} LoRA"
    heading = f"{adapter.called}: {kind}, {len(adapter.modules)} modules, base model {base}"
    table = Table(title=escape(visible(heading)), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in ("modules", "count", "kind", "shape", "rank", "scaling", "dtype", "factors"):
        table.add_column(column, justify="left" if column in ("modules", "kind", "dtype") else "right")
    for name, modules in grouped(list(adapter.modules.values()), each).items():
        first = modules[0]
        m, n = first.shape
        count = len(modules) * first.rank * (m + (n or 0))
        factors = "shared" if adapter.config.peft_type == "VERA" else size(count * _BYTES[first.dtype])
        shape = f"{m} × {'?' if n is None else n}"
        row = (name, str(len(modules)), first.kind, shape, str(first.rank), f"{first.scale:g}", first.dtype, factors)
        table.add_row(*map(escape, row))
    console.print(table)


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
