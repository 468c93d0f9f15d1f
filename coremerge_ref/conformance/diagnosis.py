"""Which known mistake, or which two at once, give exactly this output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from .mistakes import MISTAKES, Make, answer, applies, title
from .model import Model, encode
from .precision import FLOAT32, FLOAT64, Precision
from .questions import SAFETY, Case, norm
from .verdict import asked, judge

SINGLE, HALF = "single-precision", "half-precision"
OVERFLOW = "the inputs overflow in single precision"
UNKNOWN = "not a known mistake"
FULL_SEARCHES, PAIR_SEARCHES = 60, 12  # failing cases on which every mistake, and every likely pair, is tried
# what often comes together with a mistake in a stage
COMMON = (
    "scaling-ignored", "scaling-twice", "alpha-for-alpha-over-r", "rslora-for-lora", "weights-ignored",
    "knots-without-singular-values", "null-frames", "first-task-dropped", "last-task-dropped", "result-negated",
    "result-divided-by-count", "sum-divided-by-count",
)  # fmt: skip
# mistakes whose answer depends on arbitrary vectors, told by where they put them
NULL = {"iso": "null-vectors-in-iso", "tsv": "null-vectors-in-tsv", "iso_cts": "null-vectors-in-tsv"}


@dataclass(frozen=True)
class Diagnosis:
    """``text``: one line on one answer, the same whatever else failed. ``mistakes``: ids of the known ones that give
    exactly this output, "one+other" where it takes two at once."""

    text: str = ""
    mistakes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text)


def naming(mistakes: Sequence[str]) -> Diagnosis:
    """A diagnosis of these mistakes, any of which would do."""
    if not mistakes:
        return Diagnosis()
    others = f" (or {', '.join(mistakes[1:4])})" if len(mistakes) > 1 else ""
    return Diagnosis(f"{mistakes[0]}: {title(mistakes[0])}{others}", tuple(mistakes))


def diagnose(case: Case, answer: Any, precision: str | Precision | None = None) -> Diagnosis:
    """What is known of one wrong answer, at the case's precision or the one given."""
    return diagnose_all([(case, answer)], precision)[0]


def diagnose_all(
    failures: Sequence[tuple[Case, Any]], precision: str | Precision | None = None
) -> list[Diagnosis]:  # fmt: skip
    """One diagnosis per failing case. On some of each method and space every mistake is tried, on the others those that
    were found there."""
    if precision is not None:
        failures = [(asked(case, precision), answer) for case, answer in failures]
    out = [plain(case, x) for case, x in failures]
    rest = [i for i, diagnosis in enumerate(out) if diagnosis is None]
    searched: Counter[tuple[str, str]] = Counter()
    order = sorted(rest, key=lambda i: searched.update([kind(failures[i][0])]) or searched[kind(failures[i][0])])
    found: dict[str, None] = {}
    for i in order[:FULL_SEARCHES]:
        names = matching(*failures[i])
        found |= dict.fromkeys(names)
        out[i] = naming(names)
    known = [name for name in MISTAKES if name in found] + [name for name in found if name not in MISTAKES]
    for i in order[FULL_SEARCHES:]:
        out[i] = naming(matching(*failures[i], names=known))
    unnamed = [i for i in order if not out[i]]
    for i in unnamed:
        out[i] = naming(by_structure(*failures[i]))
    pairs: dict[str, None] = {}
    for i in [i for i in unnamed if not out[i]][:PAIR_SEARCHES]:
        names = matching(*failures[i], names=likely_pairs(failures[i][0]))
        pairs |= dict.fromkeys(names)
        out[i] = naming(names)
    for i in [i for i in unnamed if not out[i]] if pairs else []:
        out[i] = naming(matching(*failures[i], names=list(pairs)))
    return [diagnosis or Diagnosis() for diagnosis in out]


def causes(diagnoses: Sequence[Diagnosis]) -> list[str]:
    """Per failing case the mistake that explains it, in words: as few as explain all, those that explain most first;
    the text of the diagnosis where no mistake does."""
    rest = [set(d.mistakes) for d in diagnoses]
    out = [d.text if not d.mistakes else "" for d in diagnoses]
    order = {name: i for i, name in enumerate(MISTAKES)}
    while votes := Counter(name for names in rest for name in names):
        first = min(votes, key=lambda name: (-votes[name], order.get(name, len(order)), name))
        for i, names in enumerate(rest):
            if first in names:
                out[i], rest[i] = naming([first]).text, set()
    return out


def kind(case: Case) -> tuple[str, str]:
    """What cases are alike in."""
    return case.config, case.space


def plain(case: Case, answer: Any) -> Diagnosis | None:
    """What is plain without trying mistakes: another shape, values that are not finite; None otherwise."""
    actual = np.asarray(answer)
    if actual.shape != case.shape:
        if actual.shape == (*case.shape[:-2], case.shape[-1], case.shape[-2]):
            return naming(["result-transposed"])
        return Diagnosis()
    if actual.dtype.kind not in "fiub" and actual.dtype.name != "bfloat16":
        return Diagnosis()
    return None if np.all(np.isfinite(actual.astype(np.float64))) else not_finite(case)


def not_finite(case: Case) -> Diagnosis:
    """Where NaN and infinity come from, when that is plain."""
    if "drm" in case.method and not all(b.any() for b, _, _ in case.updates):
        return naming(["drm-divides-zero-rows"])
    return Diagnosis(f"NaN or infinity in the result: {OVERFLOW}" if overflows(case) else "")


def overflows(case: Case) -> bool:
    """Whether a factor is beyond single precision, the likely cause of infinities and of errors that they raise."""
    return any(float(np.max(np.abs(x), initial=0.0)) > FLOAT32.largest for b, a, _ in case.updates for x in (b, a))


def matching(case: Case, answer: Any, names: Iterable[str] = MISTAKES, make: Make = Model) -> list[str]:
    """Ids of the known mistakes that reproduce the answer, in order: vague ones only where no other does, those that
    reproduce it in single precision, where float64 is asked, only where none does so in float64."""
    actual, exactly, roughly = np.asarray(answer).astype(np.float64), [], []
    single = case.at(FLOAT32) if case.precision == FLOAT64 else None
    with np.errstate(all="ignore"):
        for name in names:
            ids = [part for part in name.split("+") if part in MISTAKES]
            other = mistaken(case, tuple(ids), make)
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


@lru_cache(maxsize=2**13)
def mistaken(case: Case, ids: tuple[str, ...], make: Make = Model) -> np.ndarray[Any, Any] | None:
    """The answer with these mistakes; None where the case does not have them."""
    try:
        return answer(case, ids, make)
    except (np.linalg.LinAlgError, ValueError, IndexError, ZeroDivisionError, FloatingPointError, OverflowError):
        return None


def reproduces(case: Case, actual: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    """Equal to the mistaken answer within twice the tolerance, where that is wrong by more."""
    if other.shape != actual.shape or not np.all(np.isfinite(other)) or case.expected is None:
        return False
    tolerance = 2 * max(case.tolerance, 2.0**12 * case.precision.eps * norm(other))
    if not norm(other - actual) <= tolerance < norm(other - case.expected):
        return False
    return case.well_posed or judge(case, other)[0] == "fail"


def rounds_to_single(actual: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    """Whether the difference is large enough to be single precision's, and not some other small error."""
    return norm(actual - other) > 2.0**-9 * FLOAT32.eps * norm(other)


def by_structure(case: Case, answer: Any) -> list[str]:
    """Mistakes that give no one output: rounding in the arithmetic, directions out of nothing."""
    actual = np.asarray(answer).astype(np.float64)
    assert case.expected is not None
    single = case.at(FLOAT32) if case.precision == FLOAT64 else None
    if single is not None and judge(single, actual)[0] != "fail" and rounds_to_single(actual, case.expected):
        return [SINGLE]
    with np.errstate(over="ignore"):
        in_half = np.all(actual.astype(np.float16).astype(np.float64) == actual)
    if in_half and norm(actual - case.expected) <= SAFETY * 2.0**-10 * case.bound:
        return [HALF]
    stages = [stage for stage in case.method.split("+") if stage in NULL]
    return [NULL[stages[-1]]] if stages and from_nothing(case, actual) else []


def from_nothing(case: Case, actual: np.ndarray[Any, Any]) -> bool:
    """Whether an answer has directions that no task has, or more directions than the right answer has."""
    assert case.expected is not None
    if actual.ndim != 2 or norm(actual - case.expected) <= 2.0**-8 * norm(case.expected):
        return False
    space = encode(Model(), case.updates, "core")
    assert space.u is not None
    assert space.v is not None
    leaves = norm(actual - space.u @ (space.u.T @ actual @ space.v) @ space.v.T)
    values, right = (np.linalg.svd(x, compute_uv=False) for x in (actual, case.expected))
    level = max(2 * case.tolerance, 2.0**-12 * float(values[0]))
    if leaves > level:
        return case.space == "full" and not {"trim", "ties", "dare", "drm"} & set(case.method.split("+"))
    return bool(np.sum(values > level) > np.sum(right > level))


def likely_pairs(case: Case) -> list[str]:
    """Pairs of mistakes that are made together: one that is common, and any other that the case can show."""
    others = [
        name for name, mistake in MISTAKES.items() if applies(case, mistake) and (mistake.stages or mistake.change)
    ]
    return [f"{first}+{second}" for first, second in product(COMMON, others) if first != second]


__all__ = ["Diagnosis", "causes", "diagnose", "diagnose_all", "matching", "overflows", "plain"]
