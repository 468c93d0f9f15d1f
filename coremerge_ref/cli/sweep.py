"""coremerge sweep: which scale α of a merged adapter scores best."""

import shlex
import sys
from typing import Annotated

import typer

from coremerge_ref.cli.baselines import HELPS, note_baseline
from coremerge_ref.cli.reporting import emit, note, paste, progress, say, say_lines
from coremerge_ref.cli.tables import MIDDLE, Column, table, width_of


def sweep(
    merged: Annotated[str, typer.Argument(metavar="MERGED", help="A merged adapter: folder or file, any format.")],
    score: Annotated[
        str, typer.Option(metavar="COMMAND", help="Prints the score last; {adapter} is the path of what to score.")
    ],
    alphas: Annotated[
        str | None,
        typer.Option(metavar="A,A,...", help="What to try. [1/8, 1/4 … 4, then the best times and over √2]"),
    ] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", help="Write the best there. [only report]")] = None,
    minimize: Annotated[bool, typer.Option("--minimize", help="Lower scores are better, as of a loss.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0.01, help="Seconds that one evaluation may take.")] = None,
    base: Annotated[
        str | None, typer.Option(help="The base model's safetensors; for VeRA adapters of layers of several sizes.")
    ] = None,
    alone: Annotated[
        list[str] | None,
        typer.Option(metavar="ADAPTER", help="Score this one alone too; repeatable. [those that were merged]"),
    ] = None,
    no_baselines: Annotated[
        bool, typer.Option("--no-baselines", help="Score neither the base model nor the adapters alone.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Try scales α of one merged adapter by your own score, report all, and write the best.

    A merge is never run again: the model is W0 + α ΔW, and α multiplies one number in the adapter's config or file.
    Each trial is a temporary adapter of the same format, whose path takes the place of {adapter} in the command; the
    last number that the command prints is its score. A command that fails, hangs or prints no number ends the sweep
    with its last output. α is relative to MERGED: at --scale 0.5 before and α = 0.5 now it is 0.25 in all.

    The base model and each of the merged adapters alone are scored by the same command, so that you see whether
    merging helped: one evaluation more for each.

    \b
    coremerge sweep merged --score "python evaluate.py {adapter}" -o best
    coremerge sweep merged.safetensors --score "python fid.py {adapter} | tail -n 1" --minimize --timeout 600
    coremerge sweep merged --score "python evaluate.py {adapter}" --alphas 0.3,0.4,0.5 --json | jq .best.alpha
    """
    from coremerge_ref.cli.methods import scalar
    from coremerge_ref.errors import ParameterError
    from coremerge_ref.tuning.baselines import BASE, Baseline
    from coremerge_ref.tuning.sweep import COARSE
    from coremerge_ref.tuning.sweep import sweep as swept
    from coremerge_ref.tuning.swept import Trial

    numbers = None if alphas is None else [scalar(text) for text in alphas.split(",")]
    if numbers is not None and not all(isinstance(number, int | float) for number in numbers):
        raise ParameterError(f"--alphas: expected numbers joined by commas, got {alphas!r}")

    expected, done = len(COARSE) + 2 if numbers is None else len(set(numbers)), 0
    with progress("scoring", shown=not json) as report:
        report(0, expected)

        def tell(tried: Trial | Baseline) -> None:
            nonlocal done, expected
            done += 1
            expected = max(done, expected)
            if isinstance(tried, Baseline):
                report(done, expected, f"after {tried.label}")
                if not json:
                    note_baseline(tried)
                return
            if not json:
                note(f"α = {tried.alpha:.4g}: {tried.score:.6g} ({tried.seconds:.1f} s)")
            report(done, expected, f"after α = {tried.alpha:.4g}")

        found = swept(
            merged, score, numbers, minimize=minimize, output=output, force=force, timeout=timeout, base=base,
            baselines=not no_baselines and (alone or True), tell=tell,
        )  # fmt: skip
    if json:
        emit(found.as_json())
        return
    for text in found.notes:
        note(text)
    columns = (Column("α", right=True), Column("score"), Column("", fits=MIDDLE))
    say_lines(table(columns, found.rows(), width_of(sys.stdout)))
    total = "" if found.scale == 1 else f", which makes {found.alpha * found.scale:.4g} with the scale it was merged at"
    say(f"best: α = {found.alpha:.4g}, score {found.score:.6g}{total}")
    if found.verdict:
        say(found.verdict)
    if found.at_the_end:
        alphas_beyond = _beyond(found.alpha, found.trials[0].alpha)
        say(f"α = {found.alpha:.4g} is an end of what was tried; go on there with --alphas {alphas_beyond}")
    if found.beaten_by:
        say(f"what may help: {HELPS}; another method or parameters:")
        merged_of = [baseline.name for baseline in found.baselines if baseline.name != BASE]
        paste(shlex.join(["coremerge", "search", *(merged_of or ["ADAPTERS"]), "--score", score, "-o", "BEST"]))
    if found.output is not None:
        say(f"wrote {found.output}")


def _beyond(alpha: float, smallest: float) -> str:
    factor = 0.5 if alpha == smallest else 2.0
    return ",".join(f"{alpha * factor**i:.4g}" for i in range(4))
