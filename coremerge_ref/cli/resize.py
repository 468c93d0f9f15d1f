"""coremerge resize: one adapter at a smaller rank."""

import sys
from typing import Annotated, Any

import typer

from coremerge_ref.cli.reporting import counted, emit, note, progress, say, size


def resize(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="An adapter folder or file.")],
    output: Annotated[str, typer.Option("-o", "--output", help="Folder to write, or a file for a file.")],
    rank: Annotated[int | None, typer.Option(help="At most this rank.")] = None,
    retain: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Keep this share of every layer's squared Frobenius norm.")
    ] = None,
    ratio: Annotated[
        float | None, typer.Option(metavar="X", help="Keep singular values above the largest over X (sv_ratio).")
    ] = None,
    cumulative: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Keep this share of their sum (sv_cumulative).")
    ] = None,
    one_rank: Annotated[
        bool, typer.Option("--one-rank", help="Pad all layers to the largest rank, for readers that know one.")
    ] = False,
    dtype: Annotated[str | None, typer.Option(help="float16, bfloat16, float32 or float64. [the adapter's]")] = None,
    backend: Annotated[str, typer.Option(help="numpy, torch, cupy or jax.")] = "numpy",
    device: Annotated[
        str | None, typer.Option(help="Where the backend computes, such as cuda:0. [its default]")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The base model's safetensors, where the adapter does not hold its sizes.")
    ] = None,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE", help="Draw what each layer kept and lost (.png, .svg).")
    ] = None,
    each: Annotated[
        bool, typer.Option("--all", help="One line a layer instead of one for layers that are alike.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Write an adapter at a smaller rank: the nearest one of each layer, exactly, in the format it came in.

    Factors are decomposed, never the full matrices. --rank alone, or as a bound on what --retain, --ratio or
    --cumulative keep. sd-scripts' sv_fro of t is --retain with t squared.

    \b
    coremerge resize style.safetensors -o small.safetensors --rank 16
    coremerge resize adapter -o small --retain 0.99 --plot kept.svg
    coremerge resize adapter -o small --ratio 20 --rank 64 --json | jq '.layers[].energy'
    """
    from coremerge_ref.adapters.resize import resize_adapter
    from coremerge_ref.cli.pictures import check_picture, draw_kept

    if plot is not None:
        check_picture(plot)
    with progress("resizing", shown=not json) as report:
        result = resize_adapter(
            adapter,
            output,
            rank=rank,
            retain=retain,
            ratio=ratio,
            cumulative=cumulative,
            one_rank=one_rank,
            dtype=dtype,
            backend=backend,
            device=device,
            base=base,
            force=force,
            progress=report,
        )
    if plot is not None:
        draw_kept(result.layers, plot)
    if json:
        emit(result.as_json())
        return
    from coremerge_ref.cli.tables import width_of

    typer.echo(kept_table(result.layers, each, width_of(sys.stdout)))
    for text in result.notes:
        note(text)
    say(
        f"resized {counted(len(result.layers), 'layer')} into {result.output}: {ranks_text(result.ranks)}, "
        f"{size(result.before)} to {size(result.bytes)}, {result.seconds:.1f} s"
    )


def ranks_text(ranks: tuple[int, int]) -> str:
    """rank 8, ranks 3 to 8."""
    low, high = ranks
    return f"rank {low}" if low == high else f"ranks {low} to {high}"


def kept_table(layers: dict[str, dict[str, Any]], each: bool, width: int | None) -> str:
    """What layers kept, those that differ in numbers alone in one line unless `each`: the worst of them."""
    from coremerge_ref.cli.inspect import stems
    from coremerge_ref.cli.tables import MIDDLE, Column, table

    columns = [
        Column("layers", fits=MIDDLE),
        Column("count", right=True),
        Column("norm", right=True, drop=2),
        Column("rank", right=True),
        Column("of", right=True),
        Column("energy kept", right=True),
        Column("σ sum kept", right=True, drop=3),
        Column("σ₁/σₖ", right=True, drop=4),
        Column("error", right=True, drop=1),
    ]
    rows = []
    for name, paths in stems(layers, each).items():
        facts = [layers[path] for path in paths]
        row = (
            name,
            str(len(facts)),
            range_text([one["norm"] for one in facts], "{:.3g}"),
            range_text([one["rank"] for one in facts], "{}"),
            range_text([one["of"] for one in facts], "{}"),
            f"{min(one['energy'] for one in facts):.2%}",
            f"{min(one['cumulative'] for one in facts):.2%}",
            f"{max(one['ratio'] for one in facts):.3g}",
            f"{max(one['error'] for one in facts):.2e}",
        )
        rows.append(row)
    return table(columns, rows, width)


def range_text(values: list[Any], form: str) -> str:
    """The least and the most of them, or the one that they all are."""
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low}–{high}"
