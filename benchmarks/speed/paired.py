"""Paired timing: several functions in one process, in turn, so that a change of the machine's mood meets them all."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Paired:
    """Seconds of each function, one a round; the rounds go together."""

    seconds: Mapping[str, list[float]]

    def median(self, name: str) -> float:
        """Median seconds of one function."""
        return statistics.median(self.seconds[name])

    def ratio(self, slow: str, fast: str) -> float:
        """How many times as long `slow` takes as `fast`: the ratio of their medians."""
        return self.median(slow) / self.median(fast)

    def spread(self, slow: str, fast: str, confidence: float = 0.95) -> tuple[float, float]:
        """An interval that holds the median of the paired ratios with this confidence, by order statistics."""
        pairs = zip(self.seconds[slow], self.seconds[fast], strict=True)
        ratios = sorted(a / b for a, b in pairs)
        n, tail, k = len(ratios), 0.0, 0
        while k < n // 2 and (tail := tail + math.comb(n, k) / 2**n) <= (1 - confidence) / 2:
            k += 1
        return ratios[max(0, k - 1)], ratios[n - max(1, k)]


def paired(
    functions: Mapping[str, Callable[[], Any]],
    rounds: int = 15,
    done: Callable[[], Any] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Paired:
    """Times the functions `rounds` times after one round to warm up; each round starts with another one.

    done: waits until what was started is finished (a GPU's queue). clock: time.process_time where other work on the
    machine would be timed too.
    """
    names = list(functions)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for i in range(-1, rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            started = clock()
            functions[name]()
            done()
            if i >= 0:
                seconds[name].append(clock() - started)
    return Paired(seconds)
