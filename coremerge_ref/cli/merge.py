"""coremerge merge: adapter folders in, one adapter folder out."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coremerge_ref.cli.reporting import counted, emit, note, paste, progress, say, say_lines, size
from coremerge_ref.errors import ParameterError

if TYPE_CHECKING:
    from coremerge_ref.adapters import MergeReport
    from coremerge_ref.cli.settings import MergeSettings
    from coremerge_ref.core.spaces import Space

PASSED_ON = (
    "weights", "scale", "rank", "ragged", "dense", "into", "dtype", "include", "exclude", "rename", "allow_missing",
    "others", "backend", "device", "base", "max_shard_size", "force", "dry_run", "ignore_memory",
)  # fmt: skip
# what says how the work is done, and nothing about the output
_UNRECORDED = ("force", "dry_run", "ignore_memory", "layers", "workers", "scheduler")


def merge(
    adapters: Annotated[
        list[str] | None,
        typer.Argument(metavar="ADAPTERS...", help="Adapter folders or files, or hf://org/name@revision."),
    ] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", help="Folder to write.")] = None,
    method: Annotated[
        str | None,
        typer.Option("-m", "--method", help="Stages joined by +: transforms, one merge, posts. [tsv]"),
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="core, knots, full or compressed (with --set compressed.rank=R). [core]")
    ] = None,
    basis: Annotated[str | None, typer.Option(help="Basis of core space: paper or tucker. [paper]")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="STAGE.PARAM=VALUE", help="A parameter of a stage; repeatable.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="W,W,...",
            help="One an adapter, any sign. 0 is not leaving it out: it still counts in T, votes and means. [all 1]",
        ),
    ] = None,
    scale: Annotated[float | None, typer.Option(help="Multiplies the merged update. [1]")] = None,
    rank: Annotated[int | None, typer.Option(help="Truncate to this rank, optimally. [keep all]")] = None,
    ragged: Annotated[
        bool | None, typer.Option("--ragged", help="Leave ranks as they are; by default all are padded to one.")
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Merge these modules only: a glob or regular expression; repeatable."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Leave these modules out; repeatable.")
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="Rename modules first, OLD a regular expression; repeatable."),
    ] = None,
    allow_missing: Annotated[
        bool | None, typer.Option("--allow-missing", help="Merge adapters that share no module.")
    ] = None,
    others: Annotated[
        str | None,
        typer.Option(
            metavar="refuse|first|mean|drop",
            help="Heads, biases and embeddings trained beside the update: mean for heads for the same labels, drop for "
            "labels of their own, first to keep the first adapter's. [refuse]",
        ),
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float16, bfloat16, float32 or float64. [the inputs']")] = None,
    backend: Annotated[str | None, typer.Option(help="numpy, torch, cupy or jax. [numpy]")] = None,
    device: Annotated[
        str | None, typer.Option(help="Where the backend computes, such as cuda:0. [its default]")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The base model's safetensors; for VeRA adapters of layers of several sizes.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file with these settings, or the coremerge.json of a merge; options win over it."),
    ] = None,
    dense: Annotated[bool | None, typer.Option("--dense", help="Write full-size ΔW instead of factors.")] = None,
    into: Annotated[
        str | None,
        typer.Option(metavar="BASE", help="Add the merge to this model's weights: the output is the whole model."),
    ] = None,
    max_shard_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Write files of at most this size, such as 2GB. [one file]")
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Merge in N processes of this machine.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="tcp://HOST:PORT", help="Merge on the workers of this dask cluster.")
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Merge the I-th of N parts, for coremerge join to put together: job arrays."),
    ] = None,
    force: Annotated[bool | None, typer.Option("--force", help="Replace an existing adapter folder.")] = None,
    ignore_memory: Annotated[
        bool | None,
        typer.Option("--ignore-memory", help="Begin although full-size matrices need more memory than is free."),
    ] = None,
    dry_run: Annotated[bool | None, typer.Option("--dry-run", help="Check everything, write nothing.")] = None,
    methods: Annotated[
        bool,
        typer.Option("--methods", help="List stages and spaces with parameters."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Merge adapter folders into one that loads where they load.

    The output appears whole or not at all, with a record of how it was made (coremerge.json). Arithmetic is float64.

    Which method, which scale? If you cannot evaluate, stay with the defaults: tsv at scale 1. If you can, find
    the scale with coremerge sweep, and try tsv+iso and ta too: methods return updates of unlike size (docs/which.md).

    \b
    TSV in core space, the default:
      coremerge merge task-a task-b task-c -o merged
    TIES at half weight, isotropized, then truncated to rank 16:
      coremerge merge task-a task-b -o merged --method ties+iso --set ties.density=0.1 --scale 0.5 --rank 16
    Subtract one adapter from another, exactly:
      coremerge merge task-a task-b -o merged --method ta --weights 1,-1
    Elementwise methods in full space give full matrices: cut them, or write them:
      coremerge merge task-a task-b -o merged --method dare+ties --space full --rank 32
      coremerge merge task-a task-b -o merged --method dare+ties --space full --dense
    The whole model instead of an adapter, in the base's own files and dtypes:
      coremerge merge task-a task-b --into base-model -o fused-model
    On many machines, with the same result (tutorial "Merge on many machines"):
      coremerge merge adapters/* -o merged --scheduler tcp://head:8786 --max-shard-size 5GB
      coremerge merge adapters/* -o part-$I --layers $I/64      (each job of an array, then coremerge join)
    On a GPU, from a file, looking first:
      coremerge merge --config merge.yaml --backend torch --device cuda:0 --dry-run

    All methods, with every parameter and default, those of installed packages among them: coremerge merge --methods

    Which method, which α? coremerge sweep finds α by your own score, coremerge search all. Without one: in the study of
    docs/accuracy.md (eight tasks, one small model, LoRA of rank 16, five seeds, α searched for each method) merged
    models kept 89.6 % of the single adapters' accuracy with tsv, the default, 89.5 % with tsv+iso in core space, and
    79.4 % with ta, the plain sum; with VeRA adapters 79.0 %, 77.9 % and 79.4 %. No α is good for every method: on the
    adapters of coremerge demo the best are 0.35 for ta, 0.5 for tsv, 0.61 for tsv+iso and 1.9 for ties+iso.

    \b
    merge.yaml has the same names:
      adapters: [task-a, task-b]
      output: merged
      method: ties+iso
      set: {ties: {density: 0.1}}
      exclude: [lm_head]
      weights: [{match: 'layers\\.1[0-9]\\.', values: [1, 0.5]}]

    method, weights and parameters may be lists of {match, value} ({match, values} for weights): the first that
    matches counts. A pattern with one of \\ ^ $ ( ) | + is a regular expression, found anywhere in the module's name;
    any other is a glob for the whole name or all after one of its dots: q_proj, layers.1.*, *.mlp.*
    """
    from coremerge_ref.cli.methods import as_text, catalogue, parse_sets

    if methods:
        emit({"methods": catalogue()}) if json else say_lines(as_text(catalogue()))
        return
    from coremerge_ref.adapters import merge_folders
    from coremerge_ref.cli.executors import executor_of
    from coremerge_ref.cli.settings import merged_settings
    from coremerge_ref.cli.weights import split_weights

    options = {
        "adapters": adapters,
        "output": output,
        "method": method,
        "space": space,
        "basis": basis,
        "set": parse_sets(set_ or []),
        "weights": split_weights(weights, adapters or ()),
        "scale": scale,
        "rank": rank,
        "ragged": ragged,
        "include": include,
        "exclude": exclude,
        "rename": rename,
        "allow_missing": allow_missing,
        "others": others,
        "dtype": dtype,
        "backend": backend,
        "device": device,
        "base": base,
        "dense": dense,
        "into": into,
        "max_shard_size": max_shard_size,
        "workers": workers,
        "scheduler": scheduler,
        "layers": layers,
        "force": force,
        "ignore_memory": ignore_memory,
        "dry_run": dry_run,
    }
    chosen = merged_settings(config, options)
    if not chosen.adapters:
        raise ParameterError("expected at least one adapter folder, got none; see coremerge merge --help")
    if chosen.output is None:
        raise ParameterError("expected a folder to write, got none; give it with -o")
    pipeline, where, given = arguments(chosen)
    with (
        executor_of(chosen.workers, chosen.scheduler, note) as executor,
        progress("merging", shown=not json) as report,
    ):
        result = merge_folders(
            chosen.adapters, chosen.output, pipeline, where, progress=report, tell=note, executor=executor,
            layers=chosen.layers, **given,
        )  # fmt: skip
    report_merge(result, "added to the weights of the base" if chosen.into else "full matrices", json=json)


def report_merge(result: "MergeReport", full: str = "full matrices", *, json: bool) -> None:
    """Says what was merged; full: what the output is where it is no factors."""
    if json:
        emit(result.as_json())
        return
    for text in result.notes:
        note(text)
    counts = f"{counted(result.adapters, 'adapter')}, {counted(result.layers, 'layer')}"
    what = f"{counts}, {result.method} in {result.space} space"
    if not result.written:
        say(f"would merge {what} into {result.output}; nothing was written")
        return
    low, high = result.ranks or (0, 0)
    rank_text = full if result.ranks is None else f"rank {low}" if low == high else f"ranks {low} to {high}"
    say(f"merged {what} into {result.output}: {rank_text}, {size(result.bytes)}, {result.seconds:.1f} s")
    if result.load:
        say(f"load it: {result.load}")
        say(f"α is {result.scale:g}; which is best only your own score can tell, from 1/8 to 4:")
        paste(f'coremerge sweep {shlex.quote(result.output)} --score "COMMAND {{adapter}}" -o BEST')


def arguments(chosen: "MergeSettings") -> "tuple[Any, Space, dict[str, Any]]":
    """(method, space, keyword arguments) of merge_folders for those settings."""
    from coremerge_ref.cli.per_module import build_per_module

    settings = chosen.model_dump()
    parameters = dict(chosen.set)
    if chosen.basis is not None:
        parameters["core"] = {**parameters.get("core", {}), "basis": chosen.basis}
    pipeline, where = build_per_module(settings["method"], chosen.space, parameters)
    recipe = {key: value for key, value in settings.items() if key not in _UNRECORDED}
    return pipeline, where, {**{key: settings[key] for key in PASSED_ON}, "recipe": recipe}
