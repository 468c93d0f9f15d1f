"""Which known mistake, or which two at once, give exactly this output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .mistakes import MISTAKES
from .pages import named
from .precision import FLOAT32, Precision
from .questions import Case
from .reproducing import likely_pairs, matching, shows
from .structure import by_structure
from .verdict import asked

OVERFLOW = "the inputs overflow in single precision"
UNKNOWN = "not a known mistake"
PAIR_SEARCHES = 12  # failing cases on which every likely pair is tried
REFUTING = 200  # passing cases that are asked whether a mistake would have shown


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
    return Diagnosis(f"{named(mistakes[0])}{others}", tuple(mistakes))


def diagnose(case: Case, answer: Any, precision: str | Precision | None = None) -> Diagnosis:
    """What is known of one wrong answer, at the case's precision or the one given."""
    return diagnose_all([(case, answer)], precision)[0]


def diagnose_all(
    failures: Sequence[tuple[Case, Any]], precision: str | Precision | None = None
) -> list[Diagnosis]:  # fmt: skip
    """One diagnosis per failing case, the same whatever else failed, but for pairs: on some of each method and space
    every likely pair is tried, on the others those that were found there."""
    if precision is not None:
        failures = [(asked(case, precision), answer) for case, answer in failures]
    out = [plain(case, x) for case, x in failures]
    for i, (case, x) in enumerate(failures):
        if out[i] is None:
            out[i] = naming(matching(case, x)) or naming(by_structure(case, x))
    unnamed = [i for i, (_, x) in enumerate(failures) if not out[i] and plain(failures[i][0], x) is None]
    searched: Counter[tuple[str, str]] = Counter()
    order = sorted(unnamed, key=lambda i: searched.update([kind(failures[i][0])]) or searched[kind(failures[i][0])])
    pairs: dict[str, None] = {}
    for place, i in enumerate(order):
        names = matching(*failures[i], names=likely_pairs(failures[i][0]) if place < PAIR_SEARCHES else list(pairs))
        pairs |= dict.fromkeys(names)
        out[i] = naming(names)
    return [diagnosis or Diagnosis() for diagnosis in out]


def causes(diagnoses: Sequence[Diagnosis], passed: Sequence[Case] = ()) -> list[str]:
    """Per failing case the mistake that explains it, in words: as few as explain all, those that explain most first,
    and of several that explain as much the one that would show in none of the cases ``passed``; the text of the
    diagnosis where no mistake does."""
    rest = [set(d.mistakes) for d in diagnoses]
    out = [d.text if not d.mistakes else "" for d in diagnoses]
    order = {name: i for i, name in enumerate(MISTAKES)}
    while votes := Counter(name for names in rest for name in names):
        most = max(votes.values())
        equals = sorted(
            (name for name in votes if votes[name] == most),
            key=lambda name: [order.get(part, len(order)) for part in name.split("+")],
        )
        first = equals[0] if len(equals) == 1 else min(equals, key=lambda name: refuted(name, passed))
        for i, names in enumerate(rest):
            if first in names:
                out[i], rest[i] = naming([first]).text, set()
    return out


def refuted(name: str, passed: Sequence[Case]) -> bool:
    """Whether the mistake would have shown in a case that was answered rightly."""
    return any(shows(case, name) for case in passed[:REFUTING])


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


__all__ = ["Diagnosis", "causes", "diagnose", "diagnose_all", "overflows", "plain"]
