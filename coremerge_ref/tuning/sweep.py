"""The scale α of one merged adapter by the user's own score: one merge serves every α."""

import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from coremerge_ref.adapters.rescale import ScalableAdapter
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate, Update
from coremerge_ref.errors import ParameterError, ScoreError
from coremerge_ref.tuning.score import Command, Evaluate, as_evaluate, as_score

# By default these, and then the best one's neighbours at a factor of √2: as the accuracy study searched.
COARSE, FINE = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0), math.sqrt(2)

Merged: TypeAlias = "Update | Mapping[str, Update] | str | Path"


@dataclass(frozen=True)
class Trial:
    """One α, its score, and the seconds that the evaluation took."""

    alpha: float
    score: float
    seconds: float


@dataclass(frozen=True)
class Sweep:
    """What was tried, in the order of α. merged: the best, scaled, of updates in memory; output: where it was written.

    scale: what the adapter had been merged at: α multiplies it.
    """

    trials: tuple[Trial, ...]
    minimize: bool = False
    scale: float = 1.0
    output: str | None = None
    merged: Any = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Trial:
        """The trial of the best score; of equals the one of the smallest α."""
        return (min if self.minimize else max)(self.trials, key=lambda trial: trial.score)

    @property
    def alpha(self) -> float:
        """The α of the best score."""
        return self.best.alpha

    @property
    def score(self) -> float:
        """The best score."""
        return self.best.score

    @property
    def at_the_end(self) -> bool:
        """Whether the best is the smallest or largest α tried, so that a better one may lie beyond."""
        return len(self.trials) > 1 and self.best in (self.trials[0], self.trials[-1])

    def __str__(self) -> str:
        """A table, best marked."""
        lines = [f"  {'α':>8}  score"]
        lines += [f"{'*' if t is self.best else ' '} {t.alpha:>8.4g}  {t.score:.6g}" for t in self.trials]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "trials": [asdict(trial) for trial in self.trials],
            "best": asdict(self.best),
            "at_the_end": self.at_the_end,
            "minimize": self.minimize,
            "scale": self.scale,
            "output": self.output,
            "notes": list(self.notes),
        }


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
    tell: Callable[[Trial], None] | None = None,
) -> Sweep:
    """Score a merged adapter times each α, and keep the best. Nothing is merged again: α multiplies one number.

    Parameters
    ----------
    merged : an adapter on disk of any kind that is read; or what merge or merge_adapters returned.
    evaluate : of an adapter on disk: a function of the path of a temporary adapter, in the format of `merged`, or a
        command for the shell with {adapter} for that path, which prints the score last. Of updates: a function of the
        same updates, scaled. Higher is better, unless `minimize`.
    alphas : the α to try, above 0. By default 1/8, 1/4 … 4, then the neighbours of the best at a factor of √2.
    output : where to write the best, with a coremerge.json that repeats the merge at that scale; for adapters on disk.
    force, base : as in merge_folders. timeout : seconds that a command may take. tell : called with each Trial.

    Returns a Sweep. Raises ScoreError, naming α, for a command that fails, hangs or prints no number; ParameterError
    and AdapterError for the arguments, before anything is evaluated. What a function raises comes through.
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
        trials = _tried(_evaluation(merged, adapter, score), chosen, minimize, tell or (lambda trial: None))
        found = Sweep(tuple(sorted(trials, key=lambda trial: trial.alpha)), minimize)
        if adapter is None:
            return replace(found, merged=_times(merged, found.alpha))
        if output is not None:
            told = {key: value for key, value in found.as_json().items() if key in ("trials", "minimize")}
            told |= {"command": score.text} if isinstance(score, Command) else {}
            adapter.write(output, found.alpha, force, {"sweep": told})
        where = None if output is None else os.fspath(output)
        return replace(found, scale=adapter.scale, output=where, notes=tuple(adapter.notes))


def _checked(alphas: Sequence[float]) -> list[float]:
    try:
        numbers = [float(alpha) for alpha in alphas]
    except (TypeError, ValueError):
        numbers = []
    if not numbers or not all(math.isfinite(alpha) and alpha > 0 for alpha in numbers):
        raise ParameterError(f"alphas: expected finite numbers above 0, at least one, got {alphas!r}")
    return sorted(set(numbers))


def _evaluation(merged: Any, adapter: ScalableAdapter | None, score: Evaluate) -> Callable[[float], Any]:
    """α → what the user's evaluation returns."""
    if adapter is None:
        return lambda alpha: score(_times(merged, alpha))
    scalable = adapter

    def on_disk(alpha: float) -> Any:
        folder = Path(tempfile.mkdtemp(prefix="coremerge-alpha-"))
        try:
            return score(scalable.write_trial(folder, alpha))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return on_disk


def _tried(
    evaluated: Callable[[float], Any], alphas: list[float] | None, minimize: bool, tell: Callable[[Trial], None]
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


def _times(merged: Any, alpha: float) -> Any:
    """Updates times a number; factors keep their arrays."""
    if isinstance(merged, Mapping):
        return {name: _times(update, alpha) for name, update in merged.items()}
    if isinstance(merged, LowRankUpdate):
        return replace(merged, scale=merged.scale * alpha)
    if isinstance(merged, DenseUpdate):
        return replace(merged, matrix=merged.matrix * alpha)
    raise ParameterError(
        f"merged: expected the path of an adapter, or what merge or merge_adapters returns, got {type(merged).__name__}"
    )
