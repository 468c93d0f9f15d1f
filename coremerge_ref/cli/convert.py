"""coremerge convert: one adapter in another format."""

from pathlib import Path
from typing import Annotated

import typer

from coremerge_ref.cli.reporting import counted, emit, note, say


def convert(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="An adapter folder or file.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="What to write: a folder, or a .safetensors file.")],
    to: Annotated[str, typer.Option(metavar="FORMAT", help="peft, kohya, diffusers or mlx.")],
    base: Annotated[
        str | None, typer.Option(help="The base model's safetensors, where the adapter does not hold its sizes.")
    ] = None,
    others: Annotated[
        str, typer.Option(metavar="refuse|drop", help="Heads, biases and embeddings trained beside the update.")
    ] = "refuse",
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Write an adapter in another format, where that is exact and needs to know no architecture.

    PEFT types become PEFT LoRA; PEFT and MLX become each other; single files change between the spellings of diffusers
    and kohya. Anything else is refused with the reason.

    \b
    coremerge convert loha-adapter lora-adapter --to peft
    coremerge convert adapter mlx-adapter --to mlx
    coremerge convert pytorch_lora_weights.safetensors webui.safetensors --to kohya
    """
    from coremerge_ref.adapters.convert import convert_adapter

    report = convert_adapter(adapter, output, to, base=base, others=others, force=force)
    if json:
        emit(report.as_json())
        return
    for text in report.notes:
        note(text)
    rounded = f", {report.computed} of them computed and rounded" if report.computed else ""
    say(f"converted {counted(report.modules, 'module')}{rounded} to {report.to} in {report.output}")
