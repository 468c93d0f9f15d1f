"""Which known mistake gives exactly this output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .mistakes import MISTAKES, SINGLE_PRECISION
from .model import svd
from .precision import Precision
from .questions import Case, norm
from .verdict import asked


@dataclass(frozen=True)
class Diagnosis:
    """``text``: one line on one answer, the same whatever else failed. ``mistakes``: the known ones that give exactly
    this output, "one+other" where it takes two at once."""

    text: str = ""
    mistakes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text)


NULL = {"iso": "null vectors used in Iso", "tsv": "null vectors used in TSV", "iso_cts": "null vectors used in Iso-CTS"}
OVERFLOW = "the inputs overflow in single precision"
# what many mistakes look like: any other name says more
VAGUE = ("zero matrix", "each update truncated to rank 1", "each update truncated to rank 2")
PROBES = 60  # failing cases on which every mistake is tried


def _matches(case: Case, actual: np.ndarray[Any, Any], other: np.ndarray[Any, Any] | None) -> bool:
    """Equal to the mistaken answer within twice the case's tolerance, which must itself be wrong by more."""
    if other is None or other.shape != actual.shape or not np.all(np.isfinite(other)) or case.expected is None:
        return False
    tolerance = 2 * max(case.tolerance, 1e-12 * norm(other))
    return norm(other - actual) <= tolerance < norm(other - case.expected)


def plain(case: Case, answer: Any) -> str | None:
    """What is plain without trying mistakes: a transposed shape, values that are not finite; None otherwise."""
    actual = np.asarray(answer)
    if actual.shape != case.shape:
        swapped = actual.shape == (*case.shape[:-2], case.shape[-1], case.shape[-2])
        return "result transposed (A and B swapped)" if swapped else ""
    if actual.dtype.kind == "c":
        return ""
    return None if np.all(np.isfinite(actual.astype(np.float64))) else not_finite(case)


def matching(case: Case, answer: Any, names: Iterable[str] = MISTAKES) -> list[str]:
    """Names of the known mistakes that reproduce the answer, in order."""
    actual, found = np.asarray(answer).astype(np.float64), []
    with np.errstate(all="ignore"):
        for name in names:
            try:
                other = MISTAKES[name](case)
            except (np.linalg.LinAlgError, ValueError, IndexError, ZeroDivisionError, FloatingPointError):
                continue
            if _matches(case, actual, other):
                found.append(name)
    return found


def overflows(case: Case) -> bool:
    """Whether a factor is beyond single precision, the likely cause of infinities and of errors that they raise."""
    return any(float(np.max(np.abs(x), initial=0.0)) > 3.4e38 for b, a, _ in case.updates for x in (b, a))


def not_finite(case: Case) -> str:
    """Where NaN and infinity come from, when that is plain."""
    if "drm" in case.method and not all(b.any() for b, _, _ in case.updates):
        return "NaN: DRM divides the rows of a zero task by their norm"
    return f"NaN or infinity in the result: {OVERFLOW}" if overflows(case) else ""


def rank(x: np.ndarray[Any, Any]) -> int:
    """Singular values above 1e-6 of the largest."""
    s = svd(x if x.ndim == 2 else x[0])[1]
    return int(np.sum(s > 1e-6 * s[0])) if s.size and s[0] else 0


def by_structure(case: Case, answer: Any) -> str:
    """Mistakes that give no one output: directions out of nothing (rank above the right one), single precision."""
    actual = np.asarray(answer).astype(np.float64)
    assert case.expected is not None
    error = norm(actual - case.expected)
    if error < 1e-4 * norm(case.expected) and error <= case.tolerance * 2.0**29:
        return SINGLE_PRECISION
    stage = next((s for s in reversed(case.method.split("+")) if s in NULL), None)
    if stage and rank(actual) > rank(case.expected) > 0:
        return NULL[stage]
    return ""


def diagnose(case: Case, answer: Any, precision: str | Precision | None = None) -> Diagnosis:
    """What is known of one wrong answer, at the case's precision or the one given."""
    return diagnose_all([(case, answer)], precision)[0]


def diagnose_all(
    failures: Sequence[tuple[Case, Any]], precision: str | Precision | None = None
) -> list[Diagnosis]:  # fmt: skip
    """One diagnosis per failing case."""
    if precision is not None:
        failures = [(asked(case, precision), answer) for case, answer in failures]
    return [Diagnosis(text, (text,) if text in MISTAKES else ()) for text in _texts(failures)]


def causes(diagnoses: Sequence[Diagnosis]) -> list[str]:
    """Per failing case the mistake that explains it: as few as explain all, those that explain most first; the text
    where no mistake does."""
    rest = [set(d.mistakes) for d in diagnoses]
    out = [d.text if not d.mistakes else "" for d in diagnoses]
    while votes := Counter(name for names in rest for name in names):
        first = max(votes, key=lambda name: votes[name])
        for i, names in enumerate(rest):
            if first in names:
                out[i], rest[i] = first, set()
    return out


def _first(case: Case, answer: Any, names: Iterable[str]) -> str:
    """Name of the first of ``names`` that reproduces the answer, or what its structure tells; empty for neither."""
    found = plain(case, answer)
    if found is not None or case.expected is None:
        return found or ""
    return next(iter(matching(case, answer, names)), "") or by_structure(case, answer)


def _texts(failures: Sequence[tuple[Case, Any]]) -> list[str]:
    """One diagnosis per failing case. A mistake that explains many cases comes before one that explains few."""
    open_cases = [(c, x) for c, x in failures if plain(c, x) is None]
    step = max(1, len(open_cases) // PROBES)
    votes = Counter(name for c, x in open_cases[::step] for name in matching(c, x))
    order = sorted(votes, key=lambda name: (name in VAGUE, -votes[name], list(MISTAKES).index(name)))
    rest = [name for name in MISTAKES if name not in votes]
    out, tried = [], 0
    for case, answer in failures:
        text = _first(case, answer, order)
        if not text and plain(case, answer) is None and tried < PROBES:
            tried += 1
            text = next(iter(matching(case, answer, rest)), "")
        out.append(text)
    return _trusted(failures, out)


def _trusted(failures: Sequence[tuple[Case, Any]], texts: list[str]) -> list[str]:
    """Single precision is told by the size of the error alone: it explains most of a method's failures that have no
    other name, or none."""
    unnamed = Counter(c.method for (c, _), text in zip(failures, texts, strict=True) if text in ("", SINGLE_PRECISION))
    single = Counter(c.method for (c, _), text in zip(failures, texts, strict=True) if text == SINGLE_PRECISION)
    return [
        "" if text == SINGLE_PRECISION and single[c.method] < unnamed[c.method] / 2 else text
        for (c, _), text in zip(failures, texts, strict=True)
    ]
