"""The paper's protocol: settings and α searched on the validation split, the best tested.

α runs over steps of √2 of the update's size relative to that of the plain sum, upwards and downwards for as long as
validation accuracy grows. Two spaces whose merged updates are one matrix up to a factor share one search.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from benchmarks.accuracy import merged
from benchmarks.accuracy.evaluate import Judge
from benchmarks.accuracy.methods import Setting

START, STRIDE = -1.5, 0.5  # 2^(−3/2) of the sum's size: near a third
SAME = 1e-6  # relative distance within which two updates (float32) are one


@dataclass
class Found:
    """One direction of ΔW, as large as Σ ΔW_t, and validation accuracy by step: its size is 2^step."""

    update: merged.Update
    space: str
    scores: dict[float, float] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """The best step."""
        return max(self.scores, key=lambda step: self.scores[step])

    @property
    def val(self) -> float:
        """Validation accuracy there."""
        return self.scores[self.best]

    def climb(self, judge: Judge, start: float) -> None:
        """Searches α from `start`."""

        def score(step: float) -> float:
            return judge.normalized(judge.accuracies(self.update, 2.0**step, "val"), "val")

        climb(score, self.scores, start, STRIDE)

    def finish(self, judge: Judge) -> None:
        """Tests, once."""
        self.test = self.test or judge.accuracies(self.update, 2.0**self.best, "test")


def climb(score: Callable[[float], float], scores: dict[float, float], start: float, stride: float) -> None:
    """Fills `scores`: from `start` in either direction for as long as it gets better."""

    def at(step: float) -> float:
        if step not in scores:
            scores[step] = score(step)
        return scores[step]

    best = start
    for direction in (stride, -stride):
        moved = False
        while at(best + direction) > at(best):
            best, moved = best + direction, True
        if moved:
            return


def run(
    setting: Setting, layers: merged.Layers, judge: Judge, seed: int, unit: float, inherited: dict[str, Any]
) -> list[dict[str, Any]]:
    """One record a space: values chosen, α, validation and test accuracy, and the space whose search it shares.

    unit: ‖Σ ΔW_t‖; inherited: space → values found before for another setting.
    """
    shared: dict[str, list[Found]] = {}
    records = []
    for space in setting.spaces:
        tried: list[tuple[Found, dict[str, Any], float]] = []
        for values in product(*setting.searched.values()):
            chosen = inherited.get(space, {}) | dict(zip(setting.searched, values, strict=True))
            update = setting.merge(layers, space, chosen, seed)
            factor = unit / merged.norm(update)
            update = {name: W * factor for name, W in update.items()}
            known = shared.setdefault(repr(chosen), [])
            found = next((f for f in known if merged.distance(update, f.update) < SAME), None)
            if found is None:
                found = Found(update, space)
                known.append(found)
                found.climb(judge, max(tried, key=lambda t: t[0].val)[0].best if tried else START)
            tried.append((found, chosen, factor))
        best, chosen, factor = max(tried, key=lambda t: t[0].val)
        best.finish(judge)
        size = 2.0**best.best
        records.append(
            {"method": setting.method, "mode": setting.mode, "space": space, "same_as": best.space}
            | {"setting": chosen, "alpha": size * factor, "size": size, "val": best.val, "test": best.test}
        )
    return records
