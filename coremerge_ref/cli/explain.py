"""coremerge explain: is the answer of a merge defined, and how well."""

from typing import TYPE_CHECKING, Annotated

import typer

from coremerge_ref.cli.reporting import emit, note, progress

if TYPE_CHECKING:
    from coremerge_ref.adapters.layer import Layer


def explain(
    adapters: Annotated[list[str], typer.Argument(metavar="ADAPTERS...", help="Adapter folders or files.")],
    method: Annotated[str, typer.Option("-m", "--method", help="Stages joined by +, as in merge.")] = "tsv",
    space: Annotated[str, typer.Option(help="core, knots or full.")] = "core",
    basis: Annotated[str | None, typer.Option(help="Basis of core space: paper or tucker. [paper]")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="STAGE.PARAM=VALUE", help="A parameter of a stage; repeatable.")
    ] = None,
    weights: Annotated[str | None, typer.Option(metavar="W,W,...", help="One a task, any sign. [all 1]")] = None,
    compute_dtype: Annotated[str, typer.Option("--compute-dtype", help="float64 or float32 arithmetic.")] = "float64",
    layer: Annotated[
        str | None, typer.Option(help="Only layers with this text in their name; one alone is shown in full.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The base model's safetensors; for VeRA adapters of layers of several sizes.")
    ] = None,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE", help="Draw the spectra and cuts of the worst layers (.png, .svg).")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Show every layer, not the worst five groups.")] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on",
            metavar="VERDICT",
            help="Exit with 1 where arithmetic is so in a layer, or worse: sensitive or ill-posed.",
        ),
    ] = None,
    ignore_memory: Annotated[
        bool,
        typer.Option("--ignore-memory", help="Begin although full-size matrices need more memory than is free."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Say whether merging these adapters has one answer: well-posed, sensitive or ill-posed, layer by layer, and why.

    Nothing is written but the picture. Two readings: what the arithmetic of the merge may move, and what the rounding
    of your adapters to their own dtype may have moved before. Layers to look at come first, with what to do.

    \b
    coremerge explain task-a task-b --method tsv
    coremerge explain task-a task-b --method ties --space full --layer layers.0.self_attn.q_proj
    coremerge explain task-a task-b --method iso --json | jq .verdict
    coremerge explain task-a task-b --fail-on ill-posed
    """
    from coremerge_ref.adapters.beside import open_updates
    from coremerge_ref.adapters.memory import check_memory, matrices, measured
    from coremerge_ref.adapters.plan import planned
    from coremerge_ref.adapters.streaming import load_layers
    from coremerge_ref.adapters.widths import BaseShapes, resolve_widths
    from coremerge_ref.analysis.explain import Explanation, Explanations
    from coremerge_ref.analysis.explain import explain as explained
    from coremerge_ref.analysis.explain.explanation import VERDICTS
    from coremerge_ref.analysis.explain.picture import check_place
    from coremerge_ref.analysis.explain.text import tabulated
    from coremerge_ref.cli.methods import build, parse_sets
    from coremerge_ref.cli.weights import split_weights
    from coremerge_ref.errors import ParameterError

    if fail_on not in (None, *VERDICTS[1:]):
        raise ParameterError(f"--fail-on: expected {' or '.join(VERDICTS[1:])}, got {fail_on!r}")
    settings = parse_sets(set_ or [])
    if basis is not None:
        settings["core"] = {**settings.get("core", {}), "basis": basis}
    pipeline, where = build(method, space, settings)
    given = split_weights(weights, adapters)
    if plot is not None:
        check_place(plot)
    opened, beside = open_updates(adapters)
    for text in beside + resolve_widths(opened, None if base is None else BaseShapes(base)):
        note(text)
    plan = planned(opened, allow_missing=True)
    for text in plan.notes:
        note(text)
    layers = [one for one in plan.layers if layer is None or layer in one.path]
    if not layers:
        raise ParameterError(f"--layer: expected text in the name of a layer, got {layer!r}; see coremerge inspect")
    tasks = max(sum(module is not None for module in one.holders) for one in layers)
    full = matrices(pipeline, where, tasks, None) > 0
    if full:
        taken = measured(lambda updates: explained(updates, pipeline, where), tasks)
        check_memory({one.path: one.shape for one in layers}, taken, ignore_memory, note)
    groups = [layers] if pipeline.whole_model else [[one] for one in layers] if full else _together(layers)
    found: dict[str, Explanation] = {}
    with progress("explaining", shown=not json) as report:
        for group in groups:
            report(len(found), len(layers), group[0].path)
            loaded = load_layers(opened, group)
            updates = {one.path: one.updates(loaded) for one in group}
            part = explained(updates, pipeline, where, 1.0, given, compute_dtype)
            assert isinstance(part, Explanations), "a mapping gives a mapping"
            found.update(part)
            report(len(found), len(layers), group[-1].path)
    result = Explanations({one.path: found[one.path] for one in layers})
    if plot is not None:
        drawn = result.plot(plot)
        note(f"{plot}: the spectra of {min(len(result), len(drawn.axes))} layers, kept values full, cuts as red lines")
    if json:
        emit(result.to_dict())
    else:
        from coremerge_ref.cli.tables import console

        shown = next(iter(result.values())) if len(result) == 1 else tabulated(result, every)
        console().print(shown)
    if fail_on is not None and VERDICTS.index(result.verdict) >= VERDICTS.index(fail_on):
        raise typer.Exit(1)


def _together(layers: "list[Layer]") -> "list[list[Layer]]":
    """Layers in their order, as many together as are read at once: those of equal shapes are then one batch."""
    from coremerge_ref.core.batches import CHUNK_BYTES

    groups: list[list[Layer]] = []
    size = 0
    for one in layers:
        own = 8 * one.rank * sum(one.shape)
        if not groups or size + own > CHUNK_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(one)
        size += own
    return groups
