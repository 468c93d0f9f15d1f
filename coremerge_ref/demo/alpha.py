"""The scale α of the merged update, chosen on validation images: the paper's protocol, in steps of √2."""

from collections.abc import Mapping

import numpy as np

from coremerge_ref.demo.data import VALIDATION, Data
from coremerge_ref.demo.evaluate import accuracies, adapted, mean

SIZES = tuple(2 ** (i / 2) for i in range(-5, 1))  # ‖α ΔW‖ in units of the plain sum's norm: a sixth to all of it


def best_alpha(data: Data, deltas: Mapping[str, np.ndarray], unit: float) -> tuple[float, float]:
    """The α = unit · size of the highest mean validation accuracy, the smallest among equals; and that accuracy.

    unit: the α at which `deltas` are as large as the plain sum of the tasks' updates.
    """
    scores = {
        unit * size: mean(accuracies(data, adapted(data.base, deltas, unit * size), VALIDATION)) for size in SIZES
    }
    alpha = max(scores, key=lambda alpha: scores[alpha])
    return alpha, scores[alpha]
