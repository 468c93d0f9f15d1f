"""Spaces that lose something, whose frames no theory here bounds: changes at random."""

from dataclasses import replace
from typing import Any

import numpy as np

from coremerge_ref.analysis.explain.layers import Group, wide
from coremerge_ref.core.carried import Level
from coremerge_ref.core.merging import Options, Prepared, merge_groups
from coremerge_ref.core.pipeline import Pipeline


def probed(groups: list[Group], pipeline: Pipeline, levels: list[Level], probes: int = 4) -> list[float]:
    """For each layer ten times the largest change seen as all inputs change at random: an estimate, see `estimate`."""
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

    base, largest = merged(0.0), np.zeros(len(levels))
    for step in steps:
        for _ in range(probes):
            sizes = [np.linalg.norm(X - Y, axis=(-2, -1)).ravel() for X, Y in zip(merged(step), base, strict=True)]
            largest = np.maximum(largest, np.concatenate(sizes) * (size / step))
    return list(10 * largest)
