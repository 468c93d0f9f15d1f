"""Merges at sizes that 60 digits cannot reach, adapters as people have them: float32 arithmetic beside float64, and
inputs moved by their rounding, both held against `explain`.

    python -m benchmarks.fuzz.medium [--trials N] [--seed S]    exit 1 where a promise is broken
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

import coremerge_ref as cm
from benchmarks.fuzz.judging import EPS, SENSITIVE, distance, moved_by, norm, rounding_at_random
from benchmarks.fuzz.running import run
from benchmarks.fuzz.trials import DTYPES, SPACES, Trial, dependent, pipeline, settings
from coremerge_ref.core.linalg import zero
from coremerge_ref.testing import KINDS, Recipe

SIZES, MOST_RANK, TASKS = (48, 64, 96, 160, 256, 384), 16, (2, 3, 4, 6, 8)
KNOWN = 1e-4  # of float32's bound: what float64's is at most where it stands for the exact answer
MOVES = 3


def draw(seed: int) -> Trial:
    """The trial of a seed: tasks of several ranks, some with columns that depend on others, one A for all, or columns
    of zeros as padding."""
    rng = np.random.default_rng(seed)

    def one(values: Any) -> Any:
        return values[rng.integers(len(values))]

    tasks = int(one(TASKS))
    recipe = Recipe(
        m=int(one(SIZES)), n=int(one(SIZES)), ranks=tuple(int(r) for r in rng.integers(1, MOST_RANK + 1, tasks)),
        kind=str(one(list(KINDS))), decades=float(one((0.0, 0.3, 1.0, 3.0))), seed=int(rng.integers(2**31)),
        scales=tuple(float(s) for s in rng.choice([1.0, 0.5, 2.0, -3.0, 0.1], tasks)),
    )  # fmt: skip
    dtype = DTYPES[one(list(DTYPES))]
    factors = [(B.astype(dtype), A.astype(dtype), float(s)) for B, A, s in recipe.build()]
    if rng.random() < 0.3:
        factors = [dependent(own, np.random.default_rng([seed, 2, t])) for t, own in enumerate(factors)]
    if rng.random() < 0.2:  # one A for all, as far as each rank goes
        shared = factors[0][1]
        factors = [(B[:, : len(shared)], shared[: B.shape[1]], s) for B, _, s in factors]
    if rng.random() < 0.2:  # padded to a rank that others have
        factors = [(np.pad(B, ((0, 0), (0, 2))), np.concatenate([A, A[:1], A[:1]]), s) for B, A, s in factors if len(A)]
    stages = pipeline(one)
    method = "+".join(stage.name for stage in stages)
    parameters = {stage.name: settings(stage, one) for stage in stages}
    weights = [float(w) for w in rng.choice([1.0, 1.0, 1.0, 0.5, -0.7, 1.6, 0.0], len(factors))]
    if "mean" in method and abs(sum(weights)) < 1e-9:
        weights = [1.0] * len(factors)
    space = str(one([name for name, (space, _) in SPACES.items() if space.lossless]))
    return Trial(seed, factors, method, parameters, space, weights, "float32")


def findings(trial: Trial) -> list[tuple[str, str]]:
    """Everything broken by this trial; a merge that refuses its inputs by an error of ours breaks nothing."""
    wide = replace(trial, precision="float64")
    try:
        narrow, own = merged(trial, trial.updates), merged(wide, wide.updates)
        with zeros_of(trial.precision):
            exact = merged(wide, wide.updates)
    except cm.CoreMergeError:
        return []
    e, known = explained(trial), explained(wide)
    size, error, found = max(norm(narrow), norm(exact)), distance(narrow, exact), []
    if known.bound.relative < KNOWN * min(1.0, e.bound.relative):
        if error > (e.bound.relative + known.bound.relative) * size * (1 + KNOWN):
            found.append(("bound exceeded", f"{error / size / e.bound.relative:.3g} times, verdict {e.verdict}"))
        # what is zero in float32 alone may not matter much either, but where explain counts it; it does not count
        # entries, but tells where the rounding of the inputs decides
        told = e.narrower_zeros or known.input_bound.verdict == "ill-posed"
        error = max(error, 0.0 if told else distance(narrow, own))
        if e.verdict == "well-posed" and error > SENSITIVE * size:
            found.append(("false well-posed", f"error {error / size:.3g}, bound {e.bound.relative:.3g}"))
    rounding, size = known.input_bound, norm(own)
    for change in rounding_at_random(wide, rounding.eps, MOVES) if rounding.relative < np.inf else []:
        moved = distance(merged(wide, [cm.LowRankUpdate(*one) for one in moved_by(wide, change)]), own)
        if moved > rounding.relative * size * (1 + 1e-9) + 2 * known.bound.relative * size:
            what = f"{moved / size / rounding.relative:.3g} times, verdict {rounding.verdict}"
            found.append(("input bound exceeded", what))
    return found


@contextmanager
def zeros_of(precision: str) -> Iterator[None]:
    """Merges in which zero is what it is in this precision, whatever they are computed in."""
    true = zero.arrays
    zero.arrays = SimpleNamespace(**{**vars(true), "eps": lambda dtype: EPS[precision]})  # type: ignore[assignment]
    try:
        yield
    finally:
        zero.arrays = true


def merged(trial: Trial, updates: list[Any]) -> np.ndarray:
    """ΔW of the trial's merge in its precision."""
    space, _ = SPACES[trial.space]
    options = {"weights": trial.weights, "compute_dtype": trial.precision, "out_dtype": "float64"}
    return np.asarray(cm.merge(updates, trial.pipeline, space, **options).to_dense())


def explained(trial: Trial) -> Any:
    """What explain says of it."""
    space, _ = SPACES[trial.space]
    return cm.explain(trial.updates, trial.pipeline, space, weights=trial.weights, compute_dtype=trial.precision)


if __name__ == "__main__":
    sys.exit(run(draw, findings, __doc__))
