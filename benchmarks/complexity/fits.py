"""Power laws through measured points, with confidence intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student


@dataclass(frozen=True)
class Fit:
    """seconds ∝ x^exponent on a log-log scale; half: half the width of the confidence interval, inf for two points."""

    exponent: float
    half: float
    scale: float

    def at(self, x: float) -> float:
        """Seconds at x."""
        return self.scale * x**self.exponent


def fit(x: Sequence[float], y: Sequence[float], confidence: float = 0.95) -> Fit:
    """Least squares of log y on log x; at least two different x."""
    u, v = np.log(np.asarray(x, float)), np.log(np.asarray(y, float))
    du = u - u.mean()
    slope = float(du @ v / (du @ du))
    rest = v - v.mean() - slope * du
    freedom = len(u) - 2
    half = math.inf
    if freedom > 0:
        error = math.sqrt(float(rest @ rest) / freedom / float(du @ du))
        half = float(student.ppf((1 + confidence) / 2, freedom)) * error
    return Fit(slope, half, math.exp(v.mean() - slope * u.mean()))
