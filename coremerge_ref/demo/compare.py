"""One cell of the demo's table: a method in a space, its α and its accuracies."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from coremerge_ref import Pipeline, merge_adapters
from coremerge_ref.demo.alpha import best_alpha
from coremerge_ref.demo.data import TEST, Data
from coremerge_ref.demo.evaluate import accuracies, adapted, mean, normalised

METHODS = ("ta", "ties", "dare+ties", "ties+iso", "cart", "tsv", "iso", "tsv+iso")
SPACES = ("full", "knots", "core")
SAME = 1e-9  # relative; rounding is six orders below it, and two spaces that differ do so in the first digits

Deltas = Mapping[str, np.ndarray]  # {layer: merged ΔW before α, float64}


@dataclass(frozen=True)
class Line:
    """What came of one merge. seconds: the merge.

    from_full: ‖ΔW − ΔW_full‖ / ‖ΔW_full‖ before α, over all layers. same_as: the space, earlier in the table, that gave
    this very ΔW to rounding, so that α and accuracies are those found there.
    """

    method: str
    space: str
    alpha: float
    validation: float
    accuracy: dict[str, float]
    average: float
    normalised: float
    from_full: float
    same_as: str | None
    seconds: float


def merged(data: Data, method: str, space: str) -> tuple[Deltas, float]:
    """The merged ΔW of every layer, and the seconds it took to merge to factors, or to what the space gives."""
    start = time.perf_counter()
    updates = merge_adapters(data.updates, Pipeline.parse(method), space, out_dtype="float64")
    taken = time.perf_counter() - start
    return {layer: update.to_dense() for layer, update in updates.items()}, taken


def line(
    data: Data, method: str, space: str, single: Mapping[str, float], earlier: Sequence[tuple[Line, Deltas]]
) -> tuple[Line, Deltas]:
    """The line, and ΔW itself; `earlier` are the same of this method in other spaces, full space first."""
    deltas, seconds = merged(data, method, space)
    apart = [distance(deltas, other) for _, other in earlier]
    from_full = apart[0] if apart else 0.0
    for (known, _), d in zip(earlier, apart, strict=True):
        if d <= SAME:
            same_as = known.same_as or known.space
            return replace(known, space=space, from_full=from_full, same_as=same_as, seconds=seconds), deltas
    alpha, validation = best_alpha(data, deltas, norm(plain_sum(data)) / norm(deltas))
    accuracy = accuracies(data, adapted(data.base, deltas, alpha), TEST)
    score = normalised(accuracy, single)
    return Line(method, space, alpha, validation, accuracy, mean(accuracy), score, from_full, None, seconds), deltas


def plain_sum(data: Data) -> Deltas:
    """Σ_t ΔW_t."""
    return {layer: sum(update.to_dense() for update in updates) for layer, updates in data.updates.items()}


def norm(deltas: Deltas) -> float:
    """‖ΔW‖, the Frobenius norm over all layers together."""
    return float(np.sqrt(sum(float(np.sum(matrix.astype(np.float64) ** 2)) for matrix in deltas.values())))


def distance(deltas: Deltas, reference: Deltas) -> float:
    """‖ΔW − ΔW_reference‖ / ‖ΔW_reference‖."""
    return norm({layer: deltas[layer] - matrix for layer, matrix in reference.items()}) / norm(reference)
