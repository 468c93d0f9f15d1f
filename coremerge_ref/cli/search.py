"""coremerge search: which method, parameters, weights and α score best."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coremerge_ref.cli.baselines import HELPS, note_baseline
from coremerge_ref.cli.reporting import counted, emit, note, progress, say, say_lines
from coremerge_ref.cli.tables import MIDDLE, WHOLE, WORDS, Column, table, width_of
from coremerge_ref.errors import ParameterError

if TYPE_CHECKING:
    from coremerge_ref.tuning.baselines import Baseline
    from coremerge_ref.tuning.found import Tried


def search(
    adapters: Annotated[list[str], typer.Argument(metavar="ADAPTERS...", help="Adapter folders or files.")],
    score: Annotated[
        str, typer.Option(metavar="COMMAND", help="Prints the score last; {adapter} is the path of what to score.")
    ],
    output: Annotated[str | None, typer.Option("-o", "--output", help="Write the best there. [only report]")] = None,
    method: Annotated[
        list[str] | None, typer.Option("-m", "--method", help="Search this method alone; repeatable. [all]")
    ] = None,
    space: Annotated[list[str] | None, typer.Option(help="Search in this space; repeatable. [core]")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="STAGE.PARAM=VALUE", help="Do not search this; repeatable.")
    ] = None,
    try_: Annotated[
        list[str] | None,
        typer.Option("--try", metavar="STAGE.PARAM=LOW:HIGH|A,B,...", help="Search this range instead; repeatable."),
    ] = None,
    alphas: Annotated[str, typer.Option(metavar="LOW:HIGH", help="From which to which α.")] = "0.125:4",
    weights: Annotated[
        str | None, typer.Option(metavar="W,W,...|search", help="One an adapter, or search them. [all 1]")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many in all, earlier ones of the study among them. [50]")
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Begin no trial after so many minutes.")] = None,
    minimize: Annotated[bool, typer.Option("--minimize", help="Lower scores are better, as of a loss.")] = False,
    fractions: Annotated[
        str | None, typer.Option(metavar="F,F,...,1", help="Shares for {fraction} in the command. [0.25,0.5,1]")
    ] = None,
    study: Annotated[
        str, typer.Option(metavar="FILE", help="SQLite file of all trials; the same command goes on where it was.")
    ] = "coremerge-search.db",
    seed: Annotated[int, typer.Option(min=0, help="Of what is tried.")] = 0,
    rank: Annotated[int | None, typer.Option(help="Truncate merges to this rank, optimally. [keep all]")] = None,
    dtype: Annotated[str | None, typer.Option(help="float16, bfloat16, float32 or float64. [the inputs']")] = None,
    others: Annotated[
        str, typer.Option(metavar="refuse|first|mean|drop", help="As in merge: heads and biases beside the update.")
    ] = "refuse",
    backend: Annotated[str, typer.Option(help="numpy, torch, cupy or jax.")] = "numpy",
    device: Annotated[str | None, typer.Option(help="Where the backend computes. [its default]")] = None,
    base: Annotated[
        str | None, typer.Option(help="The base model's safetensors; for VeRA adapters of layers of several sizes.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0.01, help="Seconds that one evaluation may take.")] = None,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE", help="Draw what was tried, by trial and by α (.png, .svg).")
    ] = None,
    no_baselines: Annotated[
        bool, typer.Option("--no-baselines", help="Score neither the base model nor the adapters alone.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Search the merge of these adapters that scores best by your own command, and write it with its recipe.

    Merging takes milliseconds, so all that counts is your evaluation: method, parameters, α and, if asked, weights are
    chosen by Optuna (extra: search) from the ranges in the methods' own table, coremerge merge --methods. {adapter} in
    the command becomes the path of a merged adapter, the last number that it prints is its score. With {fraction} in
    the command, each merge is first scored on a quarter and a half of the data, and given up where it is worse than
    the median. The default merge comes first, so the best is at least as good; then the base model and each adapter
    alone are scored, so that you see whether merging helps.

    Every trial is kept in the study. Ctrl-C loses nothing: the same command goes on where it was. A merge whose
    evaluation fails is left out, unless it is the first or the third in a row.

    \b
    coremerge search math code chat --score "python evaluate.py {adapter}" -o best
    coremerge search math code -m tsv+iso -m ties --try ties.density=0.05:0.5 --weights search --trials 100
        --score "python evaluate.py {adapter} {fraction}" -o best --plot tried.svg
    """
    from coremerge_ref.analysis.explain.picture import check_place
    from coremerge_ref.cli.methods import find_methods, parse_sets, scalar
    from coremerge_ref.tuning.baselines import Baseline
    from coremerge_ref.tuning.picture import drawn
    from coremerge_ref.tuning.plan import SEARCHED
    from coremerge_ref.tuning.search import TRIALS
    from coremerge_ref.tuning.search import search as searched

    find_methods()
    if plot is not None:
        check_place(plot)
    fixed = {stage: _converted(stage, values) for stage, values in parse_sets(set_ or []).items()}
    tries = {stage: _ranges(stage, values) for stage, values in parse_sets(try_ or []).items()}
    ends = [scalar(end) for end in alphas.split(":")]
    shares = None if fractions is None else [scalar(share) for share in fractions.split(",")]
    known: Any = weights if weights in (None, SEARCHED) else [_number("--weights", w) for w in str(weights).split(",")]

    start, ended = time.monotonic(), 0
    with progress("scoring", shown=not json) as report:
        report(0, 1)

        def tell(tried: "Tried | Baseline") -> None:
            nonlocal ended
            if isinstance(tried, Baseline):
                if not json:
                    note_baseline(tried)
                return
            ended = max(ended + 1, tried.number + 1 if minutes is None else 0)
            if not json:
                note(_line(tried))
            share = ended / (trials or TRIALS) if minutes is None else (time.monotonic() - start) / (60 * minutes)
            report(min(share, 1.0), 1, f"after {tried.method}")

        found = searched(
            adapters, score, methods=method or (), spaces=space or ("core",), fixed=fixed, tries=tries,
            alphas=tuple(ends), weights=known, trials=trials, minutes=minutes, minimize=minimize, fractions=shares,
            study=study, seed=seed, output=output, force=force, timeout=timeout, rank=rank, dtype=dtype, tell=tell,
            others=others, backend=backend, device=device, base=base, baselines=not no_baselines,
        )  # fmt: skip
    if plot is not None:
        drawn(found, plot)
    if json:
        emit(found.as_json())
        return
    for text in found.notes:
        note(text)
    say_lines(table(_columns(), found.rows(), width_of(sys.stdout)))
    best = found.best
    what = f"{best.method} in {best.space} space, α = {best.alpha:.4g} {best.settings}".rstrip()
    say(f"best of {counted(len(found.trials), 'trial')}: {what}")
    if found.verdict:
        say(found.verdict)
    if found.at_the_end:
        say(f"α = {best.alpha:.4g} is at an end of its range; for a wider one, --alphas LOW:HIGH and another --study")
    if found.beaten_by:
        more = "more --trials; more methods, --weights search or another --space, with another --study"
        say(f"what may help: {HELPS}; {more}")
    if output is not None:
        say(f"wrote {output}")
    if plot is not None:
        say(f"drew {plot}")


def _columns() -> list[Column]:
    """What identifies a trial stays whole; its settings go on below."""
    from coremerge_ref.tuning.found import HEADINGS

    fits = {"method": MIDDLE, "settings": WORDS}
    return [Column(heading, fits=fits.get(heading, WHOLE)) for heading in HEADINGS]


def _line(tried: "Tried") -> str:
    """A trial in a line."""
    said = tried.error or ("" if tried.score is None else f"{tried.score:.6g}")
    settings = f"{tried.method}, α = {tried.alpha:.4g} {tried.settings}".rstrip()
    return f"trial {tried.number}: {said}{'' if tried.state == 'complete' else f' ({tried.state})'}: {settings}"


def _converted(stage: str, values: dict[str, Any]) -> dict[str, Any]:
    from coremerge_ref.cli.methods import build

    parameters = build(stage, "core", {stage: values})[0].parameters[stage]
    return {name: parameters[name] for name in values}


def _ranges(stage: str, values: dict[str, str]) -> dict[str, Any]:
    """(low, high) of LOW:HIGH, a list of A,B,…; each end and value converted as the parameter's type says."""
    made: dict[str, Any] = {}
    for name, text in values.items():
        parts = text.split(":") if ":" in text else text.split(",")
        each = [_converted(stage, {name: part})[name] for part in parts]
        if ":" in text and (len(each) != 2 or not all(isinstance(end, int | float) for end in each)):
            raise ParameterError(f"--try {stage}.{name}: expected LOW:HIGH, two numbers, got {text!r}")
        if len(each) < 2:
            raise ParameterError(
                f"--try {stage}.{name}: expected LOW:HIGH or A,B,…, got {text!r}; one value is for --set"
            )
        made[name] = tuple(each) if ":" in text else each
    return made


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ParameterError(f"{option}: expected numbers joined by commas, or search, got {text!r}") from error
