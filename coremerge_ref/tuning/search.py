"""Method, parameters, weights and α by the user's own score, whose evaluation is all that takes time."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Space
from coremerge_ref.errors import CoreMergeError, ParameterError, ScoreError
from coremerge_ref.tuning.arms import Arm, Parameters, Range, Values, arms_for, range_of
from coremerge_ref.tuning.found import COMPLETE, FAILED, PRUNED, Found, Tried
from coremerge_ref.tuning.merges import FolderMerges, UpdateMerges, merges_of
from coremerge_ref.tuning.score import Command, Evaluate, as_evaluate, as_score
from coremerge_ref.tuning.study import opened
from coremerge_ref.tuning.sweep import COARSE

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

TRIALS = 50
FRACTIONS = (0.25, 0.5, 1.0)  # by default, where the command takes one
LIGHTEST, HEAVIEST = 0.25, 4.0  # weights that are searched, before they are divided by their mean
SEARCHED = "search"
_DEFAULT = "tsv"  # the merge that is tried first, at α = 1: no search ends with a worse one
_FAILURES = 3  # in a row, after which a search stops
_METHOD, _SETTING, _ERROR, _SECONDS = "method", "setting", "error", "seconds"


def search(
    adapters: Any,
    evaluate: Evaluate | str,
    *,
    methods: Sequence[str] = (),
    spaces: Sequence[str | Space] = ("core",),
    fixed: Parameters | None = None,
    tries: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
    alphas: tuple[float, float] = (COARSE[0], COARSE[-1]),
    weights: Sequence[float] | str | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    minimize: bool = False,
    fractions: Sequence[float] | None = None,
    study: str | Path | None = None,
    seed: int = 0,
    output: str | Path | None = None,
    force: bool = False,
    timeout: float | None = None,
    rank: int | None = None,
    dtype: str | None = None,
    tell: Callable[[Tried], None] | None = None,
    **reading: Any,
) -> Found:
    """Merges of some adapters by many methods, each scored by `evaluate`; the best of them. Needs the extra `search`.

    Parameters
    ----------
    adapters : paths, or updates as merge and merge_adapters take them.
    evaluate : as in sweep: a function of the path of a temporary adapter, or of merged updates, or a command with
        {adapter}. With fractions it is called with one more argument, the share of the data to score on, which is
        {fraction} in a command.
    methods : pipelines to search, by default all that the methods' own tables name. spaces : where.
    fixed : {stage: {parameter: value}}, not searched. tries : {stage: {parameter: (low, high)}} for numbers, or a list
        of values, in place of the table's range.
    alphas : from which to which α. weights : numbers, one an adapter; "search" to search them; all 1 by default.
    trials, minutes : the budget: trials in all, those of a study that goes on among them, 50 unless minutes are given;
        minutes of this call, looked at between trials.
    fractions : shares of the data that grow up to 1; a trial that is worse than the median after one of them is pruned.
        By default 1/4, 1/2 and 1 for a command with {fraction}, else none.
    study : an SQLite file in which every trial is kept; the same call goes on where it was. None keeps none.
    seed : of the search; the same seed, budget and scores give the same trials, unless it was interrupted.
    output : where to write the best, for adapters on disk. force, rank, dtype : as in merge_folders; `reading` too:
        include, exclude, rename, allow_missing, others, backend, device, base. timeout : seconds of one evaluation.
    tell : called with every trial that ends.

    The default merge, tsv at α = 1, is tried first where tsv is searched, so that the best is at least as good. A trial
    whose evaluation fails is left out, unless it is the first or the third in a row. Raises ScoreError then, and
    ParameterError and AdapterError for the arguments, before anything is evaluated. What a function raises comes
    through; the trials until then are in the study.
    """
    score = as_evaluate(evaluate, timeout)
    options = {"rank": rank, "dtype": dtype}
    merges = merges_of(adapters, reading, options)
    shares = _shares(fractions, score)
    if isinstance(merges, UpdateMerges) and (output is not None or isinstance(score, Command) or reading or rank):
        raise ParameterError("output, evaluate, rank: expected adapters on disk for a command, and to be written")
    arms = arms_for(methods, spaces, merges.largest, fixed or {}, _domains(tries or {}))
    plan = _Plan(merges, score, {arm.label: arm for arm in arms}, _alphas(alphas), weights, shares)
    plan.check()
    if isinstance(merges, FolderMerges) and output is not None:
        merges.write(
            output, Pipeline.parse(arms[0].method, arms[0].fixed), arms[0].space, 1.0, None, force=force, dry_run=True
        )
    if trials is None and minutes is None:
        trials = TRIALS
    settings: dict[str, Any] = {
        "adapters": merges.identity,
        "score": score.text if isinstance(score, Command) else "a function",
        "minimize": minimize,
        "methods": list(plan.arms),
        "fixed": {stage: dict(values) for stage, values in (fixed or {}).items()},
        "tries": {stage: {name: list(given) for name, given in some.items()} for stage, some in (tries or {}).items()},
        "alphas": list(alphas),
        "weights": weights if weights is None or isinstance(weights, str) else list(map(float, weights)),
        "fractions": list(shares),
        "options": {**options, **{name: str(value) for name, value in reading.items() if value}},
    }
    with opened(study, settings, minimize, seed) as trials_kept:
        _Run(plan, trials_kept, tell or (lambda tried: None)).run(trials, minutes)
        tried = tuple(
            _tried(trial, shares) for trial in trials_kept.get_trials(deepcopy=False) if _SETTING in trial.user_attrs
        )
    found = Found(tried, minimize, seed, None if study is None else os.fspath(study), notes=tuple(merges.notes))
    if not found.ranked:
        raise ScoreError("no merge was scored on everything; give more trials or minutes")
    best = found.best
    chosen = (Pipeline.parse(best.method, best.parameters), plan.arms[best.arm].space, best.alpha, best.weights)
    if isinstance(merges, UpdateMerges):
        return replace(found, merged=merges.merge(*chosen))
    if output is not None:
        about: dict[str, Any] = {
            "trial": best.number,
            "score": best.score,
            "minimize": minimize,
            "trials": len(tried),
            "seed": seed,
        }
        about |= {"study": found.study, "command": settings["score"]}
        report = merges.write(output, *chosen, force=force, about={"search": about})
        found = replace(found, output=os.fspath(output), notes=tuple(report.notes))
    return found


@dataclass(frozen=True)
class _Plan:
    """What a trial is: an arm, its parameters, α and weights; merged and scored."""

    merges: FolderMerges | UpdateMerges
    score: Evaluate
    arms: Mapping[str, Arm]
    alphas: Range
    weights: Sequence[float] | str | None
    fractions: Sequence[float]

    def check(self) -> None:
        """ParameterError where some arm cannot be merged at all, and for weights."""
        fixed = None if isinstance(self.weights, str) else self.weights
        if isinstance(self.weights, str) and self.weights != SEARCHED:
            raise ParameterError(
                f"weights: expected numbers, one for each adapter, or {SEARCHED!r}, got {self.weights!r}"
            )
        for arm in self.arms.values():
            self.merges.check(Pipeline.parse(arm.method, arm.fixed), arm.space, fixed)

    def setting(self, trial: "Trial") -> dict[str, Any]:
        """What the sampler suggests, as JSON has it."""
        arm = self.arms[trial.suggest_categorical(_METHOD, list(self.arms))]
        parameters = arm.parameters(trial)
        alpha = self.alphas.suggest(trial, f"{arm.label}/alpha")
        return {
            "arm": arm.label,
            "method": arm.method,
            "space": arm.space.name,
            "parameters": parameters,
            "alpha": alpha,
            "weights": self._weights(trial, arm),
        }

    def _weights(self, trial: "Trial", arm: Arm) -> list[float] | None:
        if not isinstance(self.weights, str):
            return None if self.weights is None else list(map(float, self.weights))
        drawn = [
            trial.suggest_float(f"{arm.label}/weight {t + 1}", LIGHTEST, HEAVIEST, log=True)
            for t in range(self.merges.tasks)
        ]
        return [weight * len(drawn) / sum(drawn) for weight in drawn]

    def scored(self, trial: "Trial", setting: Mapping[str, Any]) -> float | None:
        """The score of a merge; None where it was pruned."""
        arm = self.arms[setting["arm"]]
        pipeline = Pipeline.parse(arm.method, setting["parameters"])
        with self.merges.merged(pipeline, arm.space, setting["alpha"], setting["weights"]) as merged:
            if not self.fractions:
                return as_score(self.score(merged))
            for step, fraction in enumerate(self.fractions):
                score = as_score(self.score(merged, fraction))
                trial.report(score, step)
                if step + 1 < len(self.fractions) and trial.should_prune():
                    return None
            return score


class _Run:
    """Trials of a plan in a study, until the budget is used up."""

    def __init__(self, plan: _Plan, study: "Study", tell: Callable[[Tried], None]) -> None:
        from optuna.trial import TrialState

        self._plan, self._study, self._tell, self._states = plan, study, tell, TrialState
        if _DEFAULT in plan.arms and not study.trials and plan.alphas.low <= 1 <= plan.alphas.high:
            equal = {f"{_DEFAULT}/weight {t + 1}": 1.0 for t in range(plan.merges.tasks)}
            study.enqueue_trial(
                {_METHOD: _DEFAULT, f"{_DEFAULT}/alpha": 1.0, **(equal if plan.weights == SEARCHED else {})}
            )

    def run(self, trials: int | None, minutes: float | None) -> None:
        """Runs them. ScoreError after failures; any other error after what is known was kept."""
        end = None if minutes is None else time.monotonic() + 60 * minutes
        failures = 0
        while (trials is None or self._ended() < trials) and (end is None or time.monotonic() < end):
            error = self._one()
            failures = failures + 1 if error else 0
            if error and (failures == _FAILURES or not self._study.get_trials(deepcopy=False, states=self._scored)):
                raise ScoreError(error)

    @property
    def _scored(self) -> tuple[Any, ...]:
        return (self._states.COMPLETE, self._states.PRUNED)

    def _ended(self) -> int:
        """Trials that came to an end by themselves."""
        return sum(t.state in self._scored or _ERROR in t.user_attrs for t in self._study.get_trials(deepcopy=False))

    def _one(self) -> str:
        """Runs one trial; returns what went wrong with it, "" where nothing did."""
        trial = self._study.ask()
        start, error = time.monotonic(), ""
        try:
            setting = self._plan.setting(trial)
            trial.set_user_attr(_SETTING, setting)
            score = self._plan.scored(trial, setting)
        except CoreMergeError as failure:
            error = f"α = {setting['alpha']:.4g}, {setting['arm']}: {failure}"
            trial.set_user_attr(_ERROR, str(failure))
            self._study.tell(trial, state=self._states.FAIL)
        except BaseException as failure:  # Ctrl-C, or the user's own error: what was asked is asked first next time
            self._study.tell(trial, state=self._states.FAIL)
            if not isinstance(failure, Exception):
                self._study.enqueue_trial(trial.params)
            raise
        else:
            trial.set_user_attr(_SECONDS, round(time.monotonic() - start, 3))
            if score is None:
                self._study.tell(trial, state=self._states.PRUNED)
            else:
                self._study.tell(trial, score)
        self._tell(_tried(self._study.get_trials(deepcopy=False)[trial.number], self._plan.fractions))
        return error


def _tried(trial: "FrozenTrial", fractions: Sequence[float]) -> Tried:
    setting = trial.user_attrs[_SETTING]
    states = {"COMPLETE": COMPLETE, "PRUNED": PRUNED}
    state = states.get(trial.state.name, FAILED)
    last = max(trial.intermediate_values, default=None)
    value = trial.value if state == COMPLETE else None if last is None else trial.intermediate_values[last]
    return Tried(
        number=trial.number,
        state=state,
        arm=setting["arm"],
        method=setting["method"],
        space=setting["space"],
        parameters=setting["parameters"],
        alpha=setting["alpha"],
        weights=None if setting["weights"] is None else tuple(setting["weights"]),
        score=value,
        fraction=1.0 if state == COMPLETE or last is None else fractions[last],
        seconds=trial.user_attrs.get(_SECONDS, 0.0),
        error=trial.user_attrs.get(_ERROR, "" if state != FAILED else "interrupted"),
    )


def _alphas(given: tuple[float, float]) -> Range:
    try:
        low, high = map(float, given)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not 0 < low <= high < float("inf"):
        raise ParameterError(f"alphas: expected two numbers above 0, the smaller first, got {given!r}")
    return Range(low, high, log=True)


def _shares(given: Sequence[float] | None, score: Evaluate) -> tuple[float, ...]:
    takes = not isinstance(score, Command) or score.takes_fraction
    if given is None:
        return FRACTIONS if isinstance(score, Command) and takes else ()
    shares = tuple(given)
    rising = all(isinstance(s, int | float) for s in shares) and list(shares) == sorted(set(shares))
    if not (shares and rising and shares[0] > 0 and shares[-1] == 1):
        raise ParameterError(f"fractions: expected numbers above 0 that grow to 1, got {given!r}")
    if not takes:
        raise ParameterError("fractions: expected {fraction} in the command, which has none")
    return tuple(map(float, shares))


def _domains(tries: Mapping[str, Mapping[str, Sequence[Any]]]) -> dict[str, dict[str, Range | Values]]:
    made: dict[str, dict[str, Range | Values]] = {}
    for stage, parameters in tries.items():
        for name, given in parameters.items():
            numbers = isinstance(given, tuple) and all(
                isinstance(v, int | float) and not isinstance(v, bool) for v in given
            )
            if numbers and len(given) == 2 and given[0] < given[1]:
                made.setdefault(stage, {})[name] = range_of(*given)
            elif isinstance(given, list) and given:
                made.setdefault(stage, {})[name] = Values(tuple(given))
            else:
                raise ParameterError(f"tries: {stage}.{name}: expected (low, high) or a list of values, got {given!r}")
    return made
