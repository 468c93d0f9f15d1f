"""From an answer to a verdict: within tolerance of the right one, or, where the case is ill-posed, of one of those."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .determined import outside
from .precision import FLOAT32, FLOAT64, Precision, as_precision
from .questions import EPS, SAFETY, Case, norm

VERDICTS = ("pass", "fail", "ambiguous", "error", "unsupported")
_SMALL = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def output_rounding(case: Case, actual: NDArray[Any]) -> float:
    """Relative rounding allowed for a result in the promoted dtype of the inputs; 0 for float64 results."""
    name = actual.dtype.name
    of_inputs = {x.dtype.name for b, a, _ in case.updates for x in (b, a)}
    return _SMALL.get(name, 0.0) if name in of_inputs and "float64" not in of_inputs else 0.0


def judge(case: Case, answer: Any, precision: str | Precision | None = None) -> tuple[str, float, str]:
    """(verdict, error in units of the tolerance, reason), at the case's precision or the one given."""
    case = case if precision is None else asked(case, precision)
    actual = np.asarray(answer)
    if actual.shape != case.shape:
        return "fail", float("inf"), f"shape {actual.shape} where {case.shape} is expected"
    if actual.dtype.kind == "c":
        return "fail", float("inf"), "a complex array"
    rounding = output_rounding(case, actual)
    actual = actual.astype(np.float64)
    if not np.all(np.isfinite(actual)):
        return "fail", float("inf"), "NaN or infinity in the result"
    assert case.expected is not None
    tolerance = case.tolerance + rounding * norm(case.expected)
    ratio = norm(actual - case.expected) / tolerance
    if case.well_posed:
        return ("pass" if ratio <= 1 else "fail"), ratio, ""
    if ratio <= 1:
        return "ambiguous", ratio, "; ".join(case.reasons)
    worst, what = outside(case, actual, tolerance)
    if worst <= 1:
        return "ambiguous", worst, "; ".join(case.reasons)
    return "fail", worst, f"ill-posed ({'; '.join(case.reasons)}), but {what}"


def asked(case: Case, precision: str | Precision) -> Case:
    """The case at a precision it is asked in."""
    at = case.at(precision)
    if at is None:
        raise ValueError(f"{case.name} is not asked in {as_precision(precision).name}: its numbers are out of range")
    return at


def detect(answered: Iterable[tuple[Case, Any]]) -> Precision:
    """The precision that an implementation computes in: float32 where most answers are single-precision numbers, or
    where more than twice as many are right in float32 as in float64 (and not a few by chance)."""
    single = count = 0
    right = {FLOAT64: 0, FLOAT32: 0}
    for case, answer in answered:
        actual = np.asarray(answer)
        if not case.well_posed or actual.shape != case.shape or actual.dtype.kind not in "fiub" or not actual.any():
            continue
        count += 1
        with np.errstate(over="ignore", under="ignore"):
            single += bool(np.all(actual.astype(np.float32).astype(np.float64) == actual.astype(np.float64)))
        for precision in right:
            at = case.at(precision)
            right[precision] += at is not None and judge(at, actual)[0] == "pass"
    return FLOAT32 if right[FLOAT32] > max(2 * right[FLOAT64], count / 8) or single > count / 2 else FLOAT64


__all__ = ["EPS", "SAFETY", "VERDICTS", "asked", "detect", "judge", "output_rounding"]
