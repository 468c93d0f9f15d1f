"""One line of the demo's table: a method in a space, its α and its accuracies."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coremerge_ref import merge_adapters
from coremerge_ref.demo.alpha import best_alpha
from coremerge_ref.demo.data import TEST, Data
from coremerge_ref.demo.evaluate import accuracies, adapted, mean, normalised

METHODS = ("ta", "ties", "dare+ties", "tsv", "cart", "iso", "ties+iso", "tsv+iso", "iso_cts", "drm")
SPACES = ("full", "knots", "core")
SAME = 1e-9  # relative; rounding is six orders below it, and two spaces that differ do so in the first digits

Deltas = Mapping[str, np.ndarray]  # {layer: merged ΔW before α, float64}


@dataclass(frozen=True)
class Line:
    """What came of one merge. from_full: ‖ΔW − ΔW_full‖ / ‖ΔW_full‖ before α, over all layers. seconds: the merge."""

    method: str
    space: str
    alpha: float
    validation: float
    accuracy: dict[str, float]
    average: float
    normalised: float
    from_full: float
    seconds: float


def merged(data: Data, method: str, space: str) -> tuple[Deltas, float]:
    """The merged ΔW of every layer, and the seconds it took."""
    start = time.perf_counter()
    updates = merge_adapters(data.updates, method, space, out_dtype="float64")
    taken = time.perf_counter() - start
    return {layer: update.to_dense() for layer, update in updates.items()}, taken


def line(
    data: Data, method: str, space: str, single: Mapping[str, float], earlier: Sequence[tuple[Line, Deltas]]
) -> tuple[Line, Deltas]:
    """The line, and ΔW itself; `earlier` are the same of this method in other spaces, full space first.

    α is not searched again where an earlier space gave this very ΔW, to rounding.
    """
    deltas, seconds = merged(data, method, space)
    apart = [distance(deltas, other) for _, other in earlier]
    same = next((found for (found, _), d in zip(earlier, apart, strict=True) if d <= SAME), None)
    alpha, validation = (same.alpha, same.validation) if same else best_alpha(data, deltas)
    found = accuracies(data, adapted(data.base, deltas, alpha), TEST)
    score = normalised(found, single)
    from_full = apart[0] if apart else 0.0
    return Line(method, space, alpha, validation, found, mean(found), score, from_full, seconds), deltas


def distance(deltas: Deltas, reference: Deltas) -> float:
    """‖ΔW − ΔW_reference‖ / ‖ΔW_reference‖, Frobenius norms over all layers together."""
    apart = sum(float(np.sum((deltas[layer] - matrix) ** 2)) for layer, matrix in reference.items())
    whole = sum(float(np.sum(matrix**2)) for matrix in reference.values())
    return float(np.sqrt(apart / whole))
