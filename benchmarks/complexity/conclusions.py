"""What a measured line says about the counts: agrees, not asymptotic yet, or disagrees and why.

Time over counted operations, at the same points, is the fairest judge: where it does not change along the axis, the
counts hold, however bent the line is by terms that do not lead. Where it does change, the same is asked of the time
that the calls take by themselves: products and decompositions that run at a higher rate when they are larger explain
one kind of difference, and what remains is work beside the calls, such as the fixed cost of a merge.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.complexity.fits import Fit, fit
from benchmarks.complexity.points import BEYOND, Point

AGREES, NOT_YET, FIXED, RATES, BESIDE, UNDECIDED = VERDICTS = ("✓", "◌", "◔", "≈", "✗", "?")
MEANINGS = {
    AGREES: "agrees",
    NOT_YET: "agrees with the counts, which are not asymptotic yet",
    FIXED: "not asymptotic yet: work beside the calls, which grows slower than they do",
    RATES: "disagrees: larger calls run at another rate",
    BESIDE: "disagrees: work beside the calls, which grows faster than they do",
    UNDECIDED: "undecided",
}
CLOSE = 0.15  # exponents up to this far apart are the same
_FAR = 2**20  # times n, where one term of the counts is all


@dataclass(frozen=True)
class Law:
    """The fits of one line over its axis, and the verdict.

    measured: seconds (or bytes). counted: the slope of the counts there; limit: of the counts for n → ∞. over_counts,
    over_calls: time over the counts, and over what the calls take by themselves. shares: the calls' part of the time at
    either end, NaN where the calls were not timed.
    """

    points: tuple[Point, ...]
    seconds: tuple[float, ...]
    measured: Fit
    counted: float
    limit: float
    over_counts: Fit
    over_calls: Fit | None
    shares: tuple[float, float]

    @property
    def verdict(self) -> str:
        """One of VERDICTS."""
        if _same(self.over_counts):
            return AGREES if abs(self.counted - self.limit) <= CLOSE else NOT_YET
        if self.over_calls is not None and _same(self.over_calls):
            return RATES
        if any(abs(one.exponent) <= one.half for one in (self.over_counts, self.over_calls) if one is not None):
            return UNDECIDED
        return BESIDE if (self.over_calls or self.over_counts).exponent > 0 else FIXED


def _same(ratio: Fit) -> bool:
    """Whether the ratio is known not to change by more than CLOSE, or only within an interval as narrow."""
    return abs(ratio.exponent) <= CLOSE and ratio.half <= 2 * CLOSE


def law(
    line: Sequence[Point],
    measured: Mapping[Point, float],
    cost: Callable[[Point], float] = Point.cost,
    calls: Callable[[Point], float] | None = None,
) -> Law:
    """The law of a line whose points are all measured."""
    x, y = [point.at for point in line], [measured[point] for point in line]
    costs = [cost(point) for point in line]
    far = costs if line[0].shape == BEYOND else [cost(replace(point, n=point.n * _FAR)) for point in line]
    alone = [math.nan] * len(line) if calls is None else [calls(point) for point in line]
    timed = all(seconds > 0 for seconds in alone)  # not NaN, nor a sum, which calls nothing
    over = fit(x, [a / b for a, b in zip(y, alone, strict=True)]) if timed else None
    return Law(
        tuple(line), tuple(y), fit(x, y), fit(x, costs).exponent, fit(x, far).exponent,
        fit(x, [a / b for a, b in zip(y, costs, strict=True)]), over, (alone[0] / y[0], alone[-1] / y[-1]),
    )  # fmt: skip
