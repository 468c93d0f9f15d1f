"""coremerge extract: a LoRA out of a full fine-tune."""

import sys
from typing import Annotated, Any

import typer

from coremerge_ref.cli.reporting import counted, emit, note, progress, say, size


def extract(
    base: Annotated[str, typer.Argument(metavar="BASE", help="The base model: its folder, or one safetensors file.")],
    finetuned: Annotated[str, typer.Argument(metavar="FINETUNED", help="The model that was trained from it.")],
    output: Annotated[str, typer.Option("-o", "--output", help="Folder to write.")],
    rank: Annotated[int | None, typer.Option(help="At most this rank.")] = None,
    retain: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Keep this share of the squared Frobenius norm of every difference."),
    ] = None,
    svd: Annotated[
        str, typer.Option(metavar="WAY", help="full, randomized, or auto: full for small layers and high ranks.")
    ] = "auto",
    one_rank: Annotated[
        bool, typer.Option("--one-rank", help="Pad all layers to the largest rank, for readers that know one.")
    ] = False,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="These modules only: a glob or regular expression; repeatable."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Leave these modules out; repeatable.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float16, bfloat16, float32 or float64. [the models']")] = None,
    backend: Annotated[str, typer.Option(help="numpy, torch, cupy or jax.")] = "numpy",
    device: Annotated[
        str | None, typer.Option(help="Where the backend computes, such as cuda:0. [its default]")
    ] = None,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE", help="Draw rank and error of each layer (.png, .svg).")
    ] = None,
    each: Annotated[
        bool, typer.Option("--all", help="One line a layer instead of one for layers that are alike.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Write the LoRA that is nearest to what a full fine-tune changed, and say how near that is.

    Every linear layer and convolution that differs; biases, norms and embeddings are not taken, and a note says how
    much they differ. The error of each layer is computed, not estimated, whichever way the SVD goes.

    \b
    coremerge extract base-model fine-tuned -o adapter --rank 32
    coremerge extract base-model fine-tuned -o adapter --retain 0.9 --exclude lm_head
    coremerge extract base-model fine-tuned -o adapter --rank 64 --svd full --backend torch --device cuda:0
    """
    from coremerge_ref.adapters.extract import extract_adapter
    from coremerge_ref.cli.pictures import check_picture, draw_kept
    from coremerge_ref.cli.resize import ranks_text

    if plot is not None:
        check_picture(plot)
    with progress("extracting", shown=not json) as report:
        result = extract_adapter(
            base,
            finetuned,
            output,
            rank=rank,
            retain=retain,
            svd=svd,
            one_rank=one_rank,
            include=include or (),
            exclude=exclude or (),
            dtype=dtype,
            backend=backend,
            device=device,
            force=force,
            progress=report,
        )
    if plot is not None:
        draw_kept(result.layers, plot)
    if json:
        emit(result.as_json())
        return
    from coremerge_ref.cli.tables import width_of

    typer.echo(extracted_table(result.layers, each, width_of(sys.stdout)))
    for text in result.notes:
        note(text)
    worst = max(result.layers, key=lambda path: result.layers[path]["error"])
    say(
        f"extracted {counted(len(result.layers), 'layer')} into {result.output}: {ranks_text(result.ranks)}, "
        f"{size(result.bytes)}, {result.seconds:.1f} s; the largest error is {result.layers[worst]['error']:.2%} of "
        f"the difference, in {worst}"
    )


def extracted_table(layers: dict[str, dict[str, Any]], each: bool, width: int | None) -> str:
    """What each layer's difference is and how near the LoRA is to it; of layers that are alike the worst."""
    from coremerge_ref.cli.inspect import stems
    from coremerge_ref.cli.resize import range_text
    from coremerge_ref.cli.tables import MIDDLE, Column, table

    columns = [
        Column("layers", fits=MIDDLE),
        Column("count", right=True),
        Column("‖W₁−W₀‖/‖W₀‖", right=True, drop=2),
        Column("rank", right=True),
        Column("energy kept", right=True),
        Column("error", right=True, drop=1),
        Column("SVD", drop=3),
    ]
    rows = []
    for name, paths in stems(layers, each).items():
        facts = [layers[path] for path in paths]
        sketched = max(one["sketched"] for one in facts)
        row = (
            name,
            str(len(facts)),
            range_text([one["change"] for one in facts], "{:.2e}"),
            range_text([one["rank"] for one in facts], "{}"),
            f"{min(one['energy'] for one in facts):.2%}",
            f"{max(one['error'] for one in facts):.2e}",
            f"of {sketched} directions" if sketched else "full",
        )
        rows.append(row)
    return table(columns, rows, width)
