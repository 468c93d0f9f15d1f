"""The scale α of the merged update, by a line search on validation images: the paper's protocol, on a coarse grid."""

from collections.abc import Mapping

import numpy as np

from coremerge_ref.demo.data import VALIDATION, Data
from coremerge_ref.demo.evaluate import accuracies, adapted, mean

GRID = (0.2, 0.3, 0.45, 0.7, 1.0, 1.5, 2.2, 3.3)


def best_alpha(data: Data, deltas: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """The α of GRID with the highest mean validation accuracy, the smallest among equals; and that accuracy."""
    scores = {alpha: mean(accuracies(data, adapted(data.base, deltas, alpha), VALIDATION)) for alpha in GRID}
    alpha = max(GRID, key=lambda a: scores[a])
    return alpha, scores[alpha]
