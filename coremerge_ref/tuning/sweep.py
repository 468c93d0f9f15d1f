"""The scale α of one merged adapter by the user's own score: one merge serves every α."""

import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from coremerge_ref.adapters.rescale import ScalableAdapter
from coremerge_ref.core.updates import Update
from coremerge_ref.errors import ParameterError, ScoreError
from coremerge_ref.tuning.baselines import Baseline, scored
from coremerge_ref.tuning.candidates import baselines_of, times
from coremerge_ref.tuning.score import Command, Evaluate, as_evaluate, as_score
from coremerge_ref.tuning.swept import Sweep, Trial

# By default these, and then the best one's neighbours at a factor of √2: as the accuracy study searched.
COARSE, FINE = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0), math.sqrt(2)

Merged: TypeAlias = "Update | Mapping[str, Update] | str | Path"


def sweep(
    merged: Merged,
    evaluate: Evaluate | str,
    alphas: Sequence[float] | None = None,
    *,
    minimize: bool = False,
    output: str | Path | None = None,
    force: bool = False,
    timeout: float | None = None,
    base: str | Path | None = None,
    baselines: bool | Sequence[Any] | Mapping[str, Sequence[Any]] = True,
    tell: Callable[[Trial | Baseline], None] | None = None,
) -> Sweep:
    """Score a merged adapter times each α, and keep the best. Nothing is merged again: α multiplies one number.

    The base model and each adapter alone are scored too, after all α, so that the result says whether merging helped.

    Parameters
    ----------
    merged : an adapter on disk of any kind that is read; or what merge or merge_adapters returned.
    evaluate : of an adapter on disk: a function of the path of a temporary adapter, in the format of `merged`, or a
        command for the shell with {adapter} for that path, which prints the score last. Of updates: a function of the
        same updates, scaled. Higher is better, unless `minimize`.
    alphas : the α to try, above 0. By default 1/8, 1/4 … 4, then the neighbours of the best at a factor of √2.
    output : where to write the best, with a coremerge.json that repeats the merge at that scale; for adapters on disk.
    baselines : True for the base model and, of an adapter on disk, those that its coremerge.json says it is of; or
        those adapters, as they were merged: paths, or updates as merge or merge_adapters took them. False for none.
    force, base : as in merge_folders. timeout : seconds that a command may take. tell : called with each Trial, and
        each Baseline.

    Returns a Sweep. Raises ScoreError, naming α, for a command that fails, hangs or prints no number; ParameterError
    and AdapterError for the arguments, before anything is evaluated. What a function raises comes through. A baseline
    that cannot be scored has an error in place of a score.

    >>> update = cm.LowRankUpdate(np.ones((6, 2)), np.ones((2, 5)))
    >>> found = cm.sweep(update, lambda u: np.sum((u.to_dense() - 0.7) ** 2), minimize=True)
    >>> print(f"{found.alpha:.3f}")
    0.354
    >>> print(found.verdict)
    the best merge scores lower than base model (14.7)
    """
    score, chosen = as_evaluate(evaluate, timeout), None if alphas is None else _checked(alphas)
    if isinstance(merged, str | os.PathLike):
        held: AbstractContextManager[ScalableAdapter | None] = ScalableAdapter(merged, base)
    else:
        if output is not None or isinstance(score, Command):
            raise ParameterError("output, evaluate: expected an adapter on disk for a command, and to be written")
        held = nullcontext()
    with held as adapter:
        if adapter is not None and output is not None:
            adapter.check_output(output, force)
        candidates = baselines_of(merged, adapter, baselines, base)
        say = tell or (lambda tried: None)
        trials = _tried(_evaluation(merged, adapter, score), chosen, minimize, say)
        in_order = tuple(sorted(trials, key=lambda trial: trial.alpha))
        found = Sweep(in_order, minimize, baselines=scored(candidates, score, say))
        if adapter is None:
            return replace(found, merged=times(merged, found.alpha))
        if output is not None:
            told = {key: value for key, value in found.as_json().items() if key in ("trials", "baselines", "minimize")}
            told |= {"command": score.text} if isinstance(score, Command) else {}
            adapter.write(output, found.alpha, force, {"sweep": told})
        where = None if output is None else os.fspath(output)
        return replace(found, scale=adapter.scale, output=where, notes=tuple(adapter.notes))


def _checked(alphas: Sequence[float]) -> list[float]:
    try:
        numbers = [float(alpha) for alpha in alphas]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if not numbers or not all(math.isfinite(alpha) and alpha > 0 for alpha in numbers):
        raise ParameterError(f"alphas: expected finite numbers above 0, at least one, got {alphas!r}")
    return sorted(set(numbers))


def _evaluation(merged: Any, adapter: ScalableAdapter | None, score: Evaluate) -> Callable[[float], Any]:
    """α → what the user's evaluation returns."""
    if adapter is None:
        return lambda alpha: score(times(merged, alpha))
    scalable = adapter

    def on_disk(alpha: float) -> Any:
        folder = Path(tempfile.mkdtemp(prefix="coremerge-alpha-"))
        try:
            return score(scalable.write_trial(folder, alpha))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return on_disk


def _tried(
    evaluated: Callable[[float], Any],
    alphas: list[float] | None,
    minimize: bool,
    tell: Callable[[Trial | Baseline], None],
) -> list[Trial]:
    trials: list[Trial] = []

    def try_each(some: Sequence[float]) -> None:
        for alpha in some:
            start = time.monotonic()
            try:
                score = as_score(evaluated(alpha))
            except ScoreError as error:
                raise ScoreError(f"α = {alpha:g}: {error}") from error
            trials.append(Trial(alpha, score, round(time.monotonic() - start, 3)))
            tell(trials[-1])

    try_each(COARSE if alphas is None else alphas)
    if alphas is None:
        best = Sweep(tuple(trials), minimize).alpha
        try_each((best / FINE, best * FINE))
    return trials
