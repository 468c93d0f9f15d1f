"""One candidate against the merged update: its numbers, fitted, and how far it is off over all layers."""

from collections.abc import Mapping, Sequence

import numpy as np

from coremerge_ref.compare.candidates import Candidate, Layers
from coremerge_ref.compare.findings import Match
from coremerge_ref.compare.fitting import LeastSquares, combined, distance
from coremerge_ref.compare.target import Target
from coremerge_ref.errors import CoreMergeError

Targets = Mapping[str, Target]


def fitted(
    one: Candidate, layers: Layers, targets: Targets, weights: Sequence[float] | None
) -> tuple[np.ndarray, float] | None:
    """(fitted numbers, relative residual) on those layers; None where the candidate is undefined on these inputs."""
    squares = LeastSquares()
    try:
        for name, components in one.over(layers, weights):
            squares.add(components, targets[name])
        return squares.solve()
    except (CoreMergeError, np.linalg.LinAlgError, ArithmeticError, ValueError):
        return None


def measured(
    one: Candidate,
    numbers: np.ndarray,
    layers: Layers,
    targets: Targets,
    weights: Sequence[float] | None,
    size: float,
) -> Match:
    """The candidate with its distance, relative to `size`: of the whole or the truncated sum, whichever is nearer."""
    off: dict[bool, dict[str, float]] = {False: {}, True: {}}
    for name, components in one.over(layers, weights):
        target, X = targets[name], combined(numbers, components)
        off[False][name] = off[True][name] = distance(X, target)
        if target.rank < X.rank:
            off[True][name] = distance(X.truncate(target.rank), target)
    total = {cut: float(np.sqrt(sum(d * d for d in each.values()))) / size for cut, each in off.items()}
    cut = total[True] < 0.5 * total[False]
    relative = {n: d / targets[n].norm if targets[n].norm else d / size for n, d in off[cut].items()}
    worst = max(relative, key=lambda name: relative[name])
    return Match(one, tuple(map(float, numbers)), total[cut], (worst, relative[worst]), cut)
