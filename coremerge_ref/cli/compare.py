"""coremerge compare: what is this merged adapter?"""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coremerge_ref.cli.reporting import counted, emit, note, paste, progress, say
from coremerge_ref.errors import ParameterError

if TYPE_CHECKING:
    from coremerge_ref.compare import Identification

HELD = 3  # matrices beside a merge in full space: the merged update, the hypothesis, and their difference


def compare(
    adapters: Annotated[
        list[str], typer.Argument(metavar="ADAPTERS... MERGED", help="The inputs, then what they were merged into.")
    ],
    weights: Annotated[str | None, typer.Option(metavar="W,W,...", help="One a task, if known. [all 1]")] = None,
    method: Annotated[
        list[str] | None, typer.Option("-m", "--method", help="Search this method alone; repeatable. [all]")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="STAGE.PARAM=VALUE", help="Try this value of a parameter, too; repeatable."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The base model's safetensors; for VeRA adapters of layers of several sizes.")
    ] = None,
    ignore_memory: Annotated[
        bool,
        typer.Option("--ignore-memory", help="Look in full space, too, although that needs more memory than is free."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Tell what a merged adapter is: the method, space, dialect and parameters that reproduce it from its inputs.

    MERGED is a PEFT adapter folder, or a safetensors file of full-size updates named as the base model's weights. Known
    mistakes are recognized, too: A and B merged apart, alpha ignored, an input left out. If nothing reproduces it to
    the rounding of its dtype, the closest are shown. The scale, weights of linear merges and CART's coefficient are
    solved for; other parameters are tried at common values. DARE's masks come from the seed that coremerge.json beside
    MERGED records, or are read off the entries. Where the numbers cannot tell one merge from another, it says so.
    Layers of millions of entries take minutes in full space: name the method if you can.

    \b
    coremerge compare task-a task-b merged
    coremerge compare task-a task-b merged --method ties --set ties.density=0.15
    coremerge compare task-a task-b delta.safetensors --weights 0.7,0.3 --json | jq .matches[0].text
    """
    from coremerge_ref.adapters.beside import open_updates
    from coremerge_ref.adapters.memory import check_memory, matrices
    from coremerge_ref.cli.again import again
    from coremerge_ref.cli.methods import build, find_methods, parse_sets
    from coremerge_ref.cli.weights import split_weights
    from coremerge_ref.compare import identify
    from coremerge_ref.compare.reading import read, recorded_dare
    from coremerge_ref.compare.tables import SPACES, rows_for
    from coremerge_ref.core.pipeline import Pipeline

    if len(adapters) < 2:
        raise ParameterError("expected at least one input and the merged adapter, got one path; see --help")
    *inputs, merged = adapters
    numbers = split_weights(weights, adapters)
    if numbers is not None and len(numbers) != len(inputs):
        raise ParameterError(f"weights: expected {len(inputs)}, one for each input, got {len(numbers)}")
    values: dict[str, dict[str, Any]] = {}
    for stage, parameters in parse_sets(set_ or []).items():
        values[stage] = build(stage, "core", {stage: parameters})[0].parameters[stage]
        values[stage] = {name: values[stage][name] for name in parameters}
    find_methods()
    if not method or any("dare" in one for one in method):
        values["dare"] = {**recorded_dare(merged), **values.get("dare", {})}
    rows = rows_for(method or (), values)
    layers, targets, notes = read(inputs, merged, base)
    sizes = {name: (target.update.shape[-2], target.update.shape[-1]) for name, target in targets.items()}
    full = {row.method for row in rows if "full" in row.spaces}
    taken = max((matrices(Pipeline.parse(one), SPACES["full"], len(inputs), None) for one in full), default=0.0)
    if taken > 0 and not check_memory(sizes, taken + HELD, True, note) and not ignore_memory:
        rows = [replace(row, spaces=tuple(x for x in row.spaces if x != "full")) for row in rows]
        notes.append("full space is left out for want of memory; --ignore-memory looks there, too")
    with progress("comparing", shown=not json) as report:
        found = identify(layers, targets, numbers, rows, report)
    command = again(found.best, inputs, numbers, targets) if found.reproduced else None
    if command is not None and open_updates(inputs)[1]:
        command += " --others drop"  # heads and biases, which are not compared
    if json:
        emit(
            {"merged": merged, "inputs": inputs, **found.as_json(), "command": command, "notes": [*notes, *found.notes]}
        )
        return
    for text in [*notes, *found.notes]:
        note(text)
    show(found, merged)
    if command is not None:
        say("to make it again:")
        paste(command)


def show(found: "Identification", merged: str) -> None:
    """The verdict in a line, and a table of what reproduces the update or comes closest."""
    from coremerge_ref.cli.tables import MIDDLE, WORDS, Column, table, width_of

    said = f"{merged} {'is' if found.reproduced else 'is none of what was tried; closest is'} {found.best.describe()}"
    say(f"{merged}: cannot tell: {found.doubt}" if found.doubt else said)
    columns = [
        Column(""),
        Column("relative distance", right=True),
        Column(f"in eps of {found.dtype}", right=True, drop=2),
        Column("farthest layer", fits=MIDDLE, drop=1),
        Column("method and parameters", fits=WORDS),
    ]
    rows = [
        (
            mark, f"{match.distance:.3g}", f"{match.distance / found.eps:.3g}",
            f"{match.worst[0]} {match.worst[1]:.2g}", match.describe(),
        )
        for mark, group in (("=", found.matches), ("", found.closest))
        for match in group
    ]  # fmt: skip
    typer.echo(table(columns, rows, width_of(sys.stdout)))
    say(
        f"= gives the merged adapter back in {counted(found.layers, 'layer')}: it is no farther away than "
        f"{found.limit:.2g}, which rounding explains, to {found.dtype} and in the arithmetic"
    )
