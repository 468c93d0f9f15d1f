"""Method, parameters, weights and α by the user's own score, whose evaluation is all that takes time."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Space
from coremerge_ref.errors import ParameterError, ScoreError
from coremerge_ref.tuning.arguments import alphas_of, domains_of, shares_of
from coremerge_ref.tuning.arms import Parameters, arms_for
from coremerge_ref.tuning.baselines import Baseline
from coremerge_ref.tuning.found import Found, Tried
from coremerge_ref.tuning.merges import FolderMerges, UpdateMerges, merges_of
from coremerge_ref.tuning.plan import Plan
from coremerge_ref.tuning.running import SETTING, Run, tried_of
from coremerge_ref.tuning.score import Command, Evaluate, as_evaluate
from coremerge_ref.tuning.study import opened
from coremerge_ref.tuning.sweep import COARSE

TRIALS = 50


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
    baselines: bool = True,
    tell: Callable[[Tried | Baseline], None] | None = None,
    **reading: Any,
) -> Found:
    """Merge some adapters in many ways, score each by `evaluate`, and keep the best. Needs the extra `search`.

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
    baselines : whether to score the base model and each adapter alone too, after the first trial, on everything.
    tell : called with every trial that ends, and every Baseline.

    The default merge, tsv at α = 1, is tried first where tsv is searched, so that the best is at least as good; and the
    result says whether it beats the base model and each adapter alone. A trial whose evaluation fails is left out,
    unless it is the first or the third in a row. Raises ScoreError then, and ParameterError and AdapterError for the
    arguments, before anything is evaluated. What a function raises comes through; the trials until then are in the
    study. A baseline that cannot be scored has an error in place of a score.

    >>> updates = [cm.LowRankUpdate(np.eye(6)[:, t : t + 2], np.ones((2, 5))) for t in range(3)]
    >>> goal = sum(update.to_dense() for update in updates) / 2
    >>> def distance(update):
    ...     return float(np.linalg.norm(update.to_dense() - goal))
    >>> found = cm.search(updates, distance, methods=["ta", "tsv"], trials=8, minimize=True)
    >>> found.best.score <= found.trials[0].score, len(found.baselines)
    (True, 4)
    """
    score = as_evaluate(evaluate, timeout)
    options = {"rank": rank, "dtype": dtype}
    merges = merges_of(adapters, reading, options)
    shares = shares_of(fractions, score)
    if isinstance(merges, UpdateMerges) and (output is not None or isinstance(score, Command) or reading or rank):
        raise ParameterError("output, evaluate, rank: expected adapters on disk for a command, and to be written")
    arms = arms_for(methods, spaces, merges.largest, fixed or {}, domains_of(tries or {}))
    plan = Plan(merges, score, {arm.label: arm for arm in arms}, alphas_of(alphas), weights, shares)
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
        say = tell or (lambda tried: None)
        run = Run(plan, trials_kept, minutes, say)
        run.run(1)  # what fails here is the command, and is an error; a baseline that fails is none
        to_beat = run.baselines() if baselines else ()
        run.run(trials)
        tried = tuple(
            tried_of(trial, shares) for trial in trials_kept.get_trials(deepcopy=False) if SETTING in trial.user_attrs
        )
    where = None if study is None else os.fspath(study)
    ends = (plan.alphas.low, plan.alphas.high)
    found = Found(tried, minimize, seed, where, notes=tuple(merges.notes), alphas=ends, baselines=to_beat)
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
        about |= {"baselines": found.as_json()["baselines"]}
        report = merges.write(output, *chosen, force=force, about={"search": about})
        found = replace(found, output=os.fspath(output), notes=tuple(report.notes))
    return found
