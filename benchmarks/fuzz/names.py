"""What compare may not do, checked on one trial: name a merge for an update that is none."""

from collections.abc import Callable
from typing import Any

import numpy as np

import coremerge_ref as cm
from benchmarks.fuzz.trials import Trial
from coremerge_ref.compare import Target, dense_target, identify, low_rank_target

Maker = Callable[[Trial, np.random.Generator], tuple[np.ndarray, ...]]


def _updates(trial: Trial) -> list[np.ndarray]:
    return [float(s) * B.astype(np.float64) @ A.astype(np.float64) for B, A, s in trial.factors]


def _stranger(trial: Trial, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Random factors of as many columns as all tasks have."""
    (m, n), r = _updates(trial)[0].shape, sum(B.shape[1] for B, _, _ in trial.factors)
    return rng.standard_normal((m, r)), rng.standard_normal((r, n))


def _shuffled(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(X.ravel()).reshape(X.shape)


def _one_factor(trial: Trial, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """The first task's B with an A of nobody's, which core space holds one side of."""
    B, A, _ = trial.factors[0]
    return B.astype(np.float64), rng.standard_normal(A.shape)


NONE: dict[str, Maker] = {
    "a stranger": _stranger,
    "a dense stranger": lambda trial, rng: (rng.standard_normal(_updates(trial)[0].shape),),
    "B of a task": _one_factor,
    "roots of entries": lambda trial, rng: (sum(np.sign(X) * np.abs(X) ** 0.5 for X in _updates(trial)),),
    "squares of entries": lambda trial, rng: (sum(X * np.abs(X) for X in _updates(trial)),),
    "entries in another order": lambda trial, rng: (_shuffled(sum(_updates(trial)), rng),),
}


def named(trial: Trial) -> list[tuple[str, str]]:
    """What is wrong with what compare calls an update that no merge of this trial's inputs is."""
    rng = np.random.default_rng([trial.seed, 4])
    kind = str(rng.choice(list(NONE)))
    try:
        with np.errstate(all="ignore"):
            target = _stored(NONE[kind](trial, rng), trial.factors[0][0].dtype)
        found = identify({"layer": trial.updates}, {"layer": target}, weights=trial.weights)
    except cm.CoreMergeError:
        return []
    if not found.reproduced:
        return []
    what = f"{found.best.describe()}, off by {found.best.distance:.3g}, limit {found.limit:.3g}, for {kind}"
    return [("false name", what)]


def _stored(made: tuple[np.ndarray, ...], dtype: Any) -> Target:
    if len(made) == 1:
        return dense_target(made[0].astype(dtype))
    return low_rank_target(cm.LowRankUpdate(*(X.astype(dtype) for X in made)))
