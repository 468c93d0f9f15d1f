"""What one trial of a search is: an arm, its parameters, α and weights; merged and scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.errors import ParameterError
from coremerge_ref.tuning.arms import Arm, Range
from coremerge_ref.tuning.merges import FolderMerges, UpdateMerges
from coremerge_ref.tuning.score import Evaluate, as_score

if TYPE_CHECKING:
    from optuna.trial import Trial

LIGHTEST, HEAVIEST = 0.25, 4.0  # weights that are searched, before they are divided by their mean
SEARCHED = "search"
METHOD = "method"


@dataclass(frozen=True)
class Plan:
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
        arm = self.arms[trial.suggest_categorical(METHOD, list(self.arms))]
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

    def score_all(self, evaluated: Any) -> Any:
        """The score of something else than a merge, on everything."""
        return self.score(evaluated, 1.0) if self.fractions else self.score(evaluated)

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
