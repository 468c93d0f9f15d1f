"""What no theory here bounds, spaces that lose something and stages without a rule: changes at random."""

from dataclasses import replace
from typing import Any

import numpy as np

from coremerge_ref.analysis.explain.layers import Group, wide
from coremerge_ref.core.merging import Options, Prepared, merge_groups
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.perturbation.carried import Errors, Level
from coremerge_ref.perturbation.theorems import norm


def probed(
    groups: list[Group], pipeline: Pipeline, levels: list[Level], noise: list[float], probes: int = 4
) -> list[float]:
    """For each layer ten times the largest change seen as all inputs change at random: an estimate, see `estimate`.

    Changes of √eps, scaled down, count up to a hundred times those of the errors' own size: what is more comes from a
    discontinuity that lies within the one and not within the other. Up to the noise, what
    arithmetic may make of a merge, what the small changes do is no sign of a discontinuity, and bounds the others.
    """
    rng, size = np.random.default_rng(0), max(level.size for level in levels)
    steps = (size, max(size, max(level.eps for level in levels) ** 0.5))

    def merged(step: float) -> list[np.ndarray]:
        def moved(X: Any) -> Any:
            return wide(X) * (1 + step * rng.uniform(-1, 1, X.shape))

        inputs = [[u and replace(u, B=moved(u.B), A=moved(u.A)) for u in group.updates] for group in groups]
        prepared = [
            Prepared(one, group.space, group.compute, group.names) for one, group in zip(inputs, groups, strict=True)
        ]
        options = Options(weights=groups[0].given, out_dtype="float64")
        return [np.asarray(made.to_dense()) for made in merge_groups(prepared, pipeline, options)]

    base, largest = merged(0.0), np.zeros((2, len(levels)))
    for seen, step in zip(largest, steps, strict=True):
        for _ in range(probes):
            sizes = [np.linalg.norm(X - Y, axis=(-2, -1)).ravel() for X, Y in zip(merged(step), base, strict=True)]
            np.maximum(seen, np.concatenate(sizes) * (size / step), out=seen)
    fine, coarse = largest
    clear = fine > noise
    return list(10 * np.maximum(clear * fine, np.minimum(coarse, np.where(clear, 100, 1) * fine)))


def estimate(stage: Any, errors: Errors, before: Any, after: Any, probes: int = 8) -> Errors:
    """Errors after a stage that says nothing of them: an estimate, no bound, and marked as such.

    The stage is run on random changes of the size of the errors, and √eps of the size where that is more, scaled down;
    ten times the largest change seen is taken (small-sample estimation, Kenney and Laub 1994). Above √eps and growing
    with smaller changes it is a discontinuity.
    """
    rng = np.random.default_rng(0)
    errors.estimated = True
    small, root = errors.delta, errors.level.eps**0.5
    large = np.maximum(small, np.sqrt(np.sum(before.M**2, axis=(-2, -1))) * root)

    def change(step: np.ndarray) -> float:
        E = rng.standard_normal(before.M.shape)
        E *= (step / np.maximum(np.sqrt(np.sum(E**2, axis=(-2, -1))), 1e-300))[..., None, None]
        return norm(stage([replace(before, M=(before.M + E).astype(before.M.dtype))])[0].M - after.M)

    fine, coarse = (max(change(step) for _ in range(probes)) for step in (small, large))
    ratio = float(np.max(np.where(small > 0, small, 0.0) / np.where(large > 0, large, 1.0)))
    largest = 10 * max(fine, coarse * ratio)
    if fine > root * norm(after.M):
        errors.doubt(stage, f"the result changes by {fine / (norm(after.M) or 1.0):.1e} of its size")
    if after.M.ndim == 3:  # a transform
        errors.delta, errors.entry = np.full(len(after.M), largest), np.full(after.M.shape, largest)
        errors.factors = errors.undivided = errors.orthonormal = None
        return errors
    return errors.merged(largest, None, after.M, min(after.M.shape) if before.M.ndim == 3 else int(errors.rank))
