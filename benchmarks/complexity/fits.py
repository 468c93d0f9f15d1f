"""Power laws through measured lines, with confidence intervals, beside what the counts predict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from benchmarks.complexity.sweeps import Point


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


@dataclass(frozen=True)
class Line:
    """One line of the figure: its points in order, the law through them, and the law through the counts there."""

    axis: str
    method: str
    algorithm: str
    x: tuple[int, ...]
    seconds: tuple[float, ...]
    measured: Fit
    predicted: Fit


def laws(points: Mapping[Point, float]) -> list[Line]:
    """A Line for each axis, method and algorithm with at least two points.

    The law is fitted to the larger half of the line (at least three points): at small sizes what calls cost as such
    shows, which no count has. `predicted` is the same fit through the counted operations at the same points.
    """
    groups: dict[tuple[str, str, str], list[Point]] = {}
    for point in sorted(points):
        groups.setdefault((point.axis, point.method, point.algorithm), []).append(point)
    made = []
    for (axis, method, algorithm), line in groups.items():
        if len(line) < 2:
            continue
        line.sort(key=lambda point: point.at)
        tail = line[-max(3, (len(line) + 1) // 2) :]
        x = [point.at for point in tail]
        made.append(
            Line(
                axis, method, algorithm, tuple(p.at for p in line), tuple(points[p] for p in line),
                fit(x, [points[p] for p in tail]), fit(x, [p.cost() for p in tail]),
            )
        )  # fmt: skip
    return made
