"""What a merge has to beat: the base model, and each of its adapters alone, scored as the merge is."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeAlias

from coremerge_ref.errors import CoreMergeError
from coremerge_ref.tuning.score import Evaluate, as_score

BASE = "base model"
Candidates: TypeAlias = Sequence[tuple[str, Callable[[], AbstractContextManager[Any]]]]  # names, and what is evaluated


@dataclass(frozen=True)
class Baseline:
    """The base model, which is any adapter times 0, or an adapter alone. score: None where there is none, see error."""

    name: str
    score: float | None
    seconds: float = 0.0
    error: str = ""

    @property
    def label(self) -> str:
        """As a row of a table is called."""
        return self.name if self.name == BASE else f"{self.name} alone"


def scored(candidates: Candidates, score: Evaluate, tell: Callable[[Baseline], None]) -> tuple[Baseline, ...]:
    """Each of them scored on everything. What fails, in whatever way, is told and has no score."""
    baselines = []
    for name, opened in candidates:
        start, value, error = time.monotonic(), None, ""
        try:
            with opened() as held:
                value = as_score(score(held))
        except CoreMergeError as failure:
            error = str(failure)
        except Exception as failure:  # the user's own: the trials before it are not thrown away for it
            error = f"{type(failure).__name__}: {failure}"
        baselines.append(Baseline(name, value, round(time.monotonic() - start, 3), error))
        tell(baselines[-1])
    return tuple(baselines)


def beaten_by(best: float, baselines: Sequence[Baseline], minimize: bool) -> tuple[Baseline, ...]:
    """Those that the best merge does not beat, the best of them first; of equals the first."""
    sign = -1 if minimize else 1
    known = [(sign * b.score, b) for b in baselines if b.score is not None]
    return tuple(b for value, b in sorted(known, key=lambda pair: -pair[0]) if value >= sign * best)


def verdict(best: float, baselines: Sequence[Baseline], minimize: bool) -> str:
    """Whether merging helped, in one sentence; "" where there is nothing to compare with."""
    known = [b for b in baselines if b.score is not None]
    if not known:
        return ""
    better = "lower" if minimize else "higher"
    if over := beaten_by(best, known, minimize):
        named = " or ".join(f"{b.label} ({b.score:.6g})" for b in over)
        return f"no merge tried scores {better} than {named}: the best merge has {best:.6g}"
    named = ", ".join(f"{b.label} ({b.score:.6g})" for b in known)
    return f"the best merge scores {better} than {named}"
