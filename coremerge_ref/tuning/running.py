"""The trials of a search, one after another, each kept in the study before the next begins."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from coremerge_ref.errors import CoreMergeError, ScoreError
from coremerge_ref.tuning.baselines import Baseline, scored
from coremerge_ref.tuning.found import COMPLETE, FAILED, PRUNED, Tried
from coremerge_ref.tuning.plan import METHOD, SEARCHED, Plan
from coremerge_ref.tuning.study import keep_scored, scored_before

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_DEFAULT = "tsv"  # the merge that is tried first, at α = 1: no search ends with a worse one
_FAILURES = 3  # in a row, after which a search stops
SETTING = "setting"
_ERROR, _SECONDS = "error", "seconds"


class Run:
    """Trials of a plan in a study, until the budget is used up: minutes from now, None for any number."""

    def __init__(
        self, plan: Plan, study: "Study", minutes: float | None, tell: Callable[[Tried | Baseline], None]
    ) -> None:
        from optuna.trial import TrialState

        self._end = None if minutes is None else time.monotonic() + 60 * minutes
        self._plan, self._study, self._tell, self._states = plan, study, tell, TrialState
        if _DEFAULT in plan.arms and not study.trials and plan.alphas.low <= 1 <= plan.alphas.high:
            equal = {f"{_DEFAULT}/weight {t + 1}": 1.0 for t in range(plan.merges.tasks)}
            study.enqueue_trial(
                {METHOD: _DEFAULT, f"{_DEFAULT}/alpha": 1.0, **(equal if plan.weights == SEARCHED else {})}
            )

    def run(self, trials: int | None) -> None:
        """Runs so many in all. ScoreError after failures; any other error after what is known was kept."""
        failures = 0
        while (trials is None or self._ended() < trials) and not self._over:
            error = self._one()
            failures = failures + 1 if error else 0
            if error and (failures == _FAILURES or not self._study.get_trials(deepcopy=False, states=self._scored)):
                raise ScoreError(error)

    def baselines(self) -> tuple[Baseline, ...]:
        """The base model and each task alone; those with a score in the study are not scored again."""
        known = {baseline.name: baseline for baseline in scored_before(self._study)}
        if self._over or not self._ended():
            return tuple(known.values())
        made: list[Baseline] = []
        for name, opened in self._plan.merges.baselines():
            made += [known[name]] if name in known else scored([(name, opened)], self._plan.score_all, self._tell)
            keep_scored(self._study, made)
        return tuple(made)

    @property
    def _over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

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
            trial.set_user_attr(SETTING, setting)
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
        self._tell(tried_of(self._study.get_trials(deepcopy=False)[trial.number], self._plan.fractions))
        return error


def tried_of(trial: "FrozenTrial", fractions: Sequence[float]) -> Tried:
    """What a study keeps of a trial."""
    setting = trial.user_attrs[SETTING]
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
