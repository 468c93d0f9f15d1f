"""Which known mistakes reproduce a wrong answer: each is made on the same question, and the results are compared."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from .mistakes import MISTAKES, Mistake, answer, applies
from .model import Model
from .model.arithmetic import Array, Triple
from .model.spaces import Coordinates
from .precision import FLOAT32, FLOAT64
from .questions import Case, norm
from .verdict import judge

SINGLE = "single-precision"
FLOOR = 2.0**12  # in eps: mistaken answers can be worse conditioned than right ones
EXPLAINED = 8  # by what factor a mistake makes an error smaller that it explains
# what often comes together with a mistake in a stage
COMMON = (
    "scaling-ignored", "scaling-twice", "alpha-for-alpha-over-r", "rslora-for-lora", "weights-ignored",
    "knots-without-singular-values", "null-frames", "first-task-dropped", "last-task-dropped", "result-negated",
    "result-divided-by-count", "sum-divided-by-count",
)  # fmt: skip


class Remembering(Model):
    """A model that shares what the mistakes have in common (frames, singular values) with the others made on a case."""

    def __init__(self, *wrong: str, memory: dict[Any, Any], toward: Array | None = None) -> None:
        wrong = tuple(name for name in wrong if MISTAKES[name].inside)
        super().__init__(*wrong, toward=toward)
        self.memory = memory
        self.of_space = {name for name in wrong if name == "scaling-folded-into-a" or not MISTAKES[name].stages}
        self.of_values = self.wrong & {"svd-of-gram-matrix", "ascending-singular-values"}

    def __call__(self, case: Any) -> Array:
        """The answer to a case; the right one is found once."""
        if self.wrong or self.toward is not None or self.memory.setdefault("case", case) is not case:
            return super().__call__(case)
        if "right" not in self.memory:
            self.memory["right"] = super().__call__(case)
        right: Array = self.memory["right"]
        return right

    def encoded(self, updates: list[Any], space: str) -> Coordinates:
        """A layer's updates in a space; factors are told by identity, and held, so that none takes another's place."""
        key = space, frozenset(self.of_space), *((id(b), id(a), s) for b, a, s in updates)
        if key not in self.memory:
            self.memory[key] = super().encoded(updates, space), updates
        found: Coordinates = self.memory[key][0]
        return found.copy()

    def scaled_svd(self, x: Array) -> Triple:
        """P, s, Q of a matrix."""
        key = self.of_values, x.shape, x.tobytes()
        if key not in self.memory:
            self.memory[key] = super().scaled_svd(x)
        triple: Triple = self.memory[key]
        return triple


@lru_cache(maxsize=4)
def memory(case: Case) -> dict[Any, Any]:
    """What was computed for a case."""
    return {}


@lru_cache(maxsize=2**16)
def mistaken(case: Case, ids: tuple[str, ...]) -> Array | None:
    """The answer with these mistakes; None where the case does not have them."""
    return attempted(case, ids)


def attempted(case: Case, ids: tuple[str, ...], toward: Array | None = None) -> Array | None:
    """The answer with these mistakes; what they leave open (signs, null vectors) is chosen nearest to ``toward``."""
    try:
        with np.errstate(all="ignore"):
            return answer(case, ids, lambda *wrong: Remembering(*wrong, memory=memory(case), toward=toward))
    except (np.linalg.LinAlgError, ValueError, IndexError, ZeroDivisionError, FloatingPointError, OverflowError):
        return None


def matching(case: Case, given: Any, names: Iterable[str] = MISTAKES) -> list[str]:
    """Ids of the known mistakes that reproduce the answer, in order: vague ones only where no other does, those that
    reproduce it in single precision, where float64 is asked, only where none does so in float64."""
    actual, exactly, roughly = np.asarray(given).astype(np.float64), [], []
    single = case.at(FLOAT32) if case.precision == FLOAT64 else None
    for name in names:
        ids = tuple(part for part in name.split("+") if part in MISTAKES)
        free = any(MISTAKES[part].free for part in ids)
        other = attempted(case, ids, toward=actual) if free and actual.ndim == 2 else mistaken(case, ids)
        if other is None:
            continue
        if reproduces(case, actual, other):
            exactly.append("+".join(ids))
        elif single is not None and reproduces(single, actual, other) and rounds_to_single(actual, other):
            roughly.append("+".join([*ids, SINGLE]))
    for found in (exactly, roughly):
        telling = [name for name in found if not MISTAKES[name.split("+")[0]].vague]
        if telling or found:
            return telling or found
    return []


def reproduces(case: Case, actual: Array, other: Array) -> bool:
    """Equal to the mistaken answer within twice the tolerance, and much nearer to it than to the right one."""
    if other.shape != actual.shape or not np.all(np.isfinite(other)) or case.expected is None:
        return False
    tolerance = 2 * max(case.tolerance, FLOOR * case.precision.eps * norm(other))
    off = other - actual
    if np.abs(off).max(initial=0.0) > tolerance:
        return False
    if not norm(off) <= min(tolerance, norm(actual - case.expected) / EXPLAINED):
        return False
    return case.well_posed or judge(case, other)[0] == "fail"


def shows(case: Case, name: str) -> bool:
    """Whether a function that makes the mistake would fail the case."""
    ids = tuple(part for part in name.split("+") if part in MISTAKES)
    other = mistaken(case, ids)
    return other is not None and judge(case, other)[0] == "fail"


def rounds_to_single(actual: Array, other: Array) -> bool:
    """Whether the difference is large enough to be single precision's, and not some other small error."""
    return norm(actual - other) > 2.0**-9 * FLOAT32.eps * norm(other)


def likely_pairs(case: Case) -> list[str]:
    """Pairs of mistakes that are made together: one that is common, and any other that the case can show."""
    others = [name for name, mistake in MISTAKES.items() if applies(case, mistake) and paired(mistake)]
    return [f"{first}+{second}" for first, second in product(COMMON, others) if first != second]


def paired(mistake: Mistake) -> bool:
    """Whether a mistake is looked for beside another."""
    return bool(mistake.stages or mistake.change)
