"""From an answer to a verdict: within tolerance, or, where the case is ill-posed, within what is determined."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .model import frame, svd
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
    layers = [(actual, case.updates)]
    if actual.ndim == 3:
        layers = [(x, [(b[i], a[i], s) for b, a, s in case.updates]) for i, x in enumerate(actual)]
    broken = [determined(case, x, updates, tolerance) for x, updates in layers]
    worst, what = max(broken)
    if worst <= 1:
        return "ambiguous", worst, "; ".join(case.reasons)
    return "fail", worst, f"ill-posed ({'; '.join(case.reasons)}), but {what} is determined"


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


def determined(case: Case, x: NDArray[Any], updates: Any, tolerance: float) -> tuple[float, str]:
    """The invariants that hold for every right answer of an ill-posed case: (worst ratio, which)."""
    factors = [(np.asarray(b, np.float64) * s, np.asarray(a, np.float64)) for b, a, s in updates]
    stages = case.method.split("+")
    entrywise = (
        bool({"trim", "dare", "ties", "drm", "iso_cts"} & set(stages))
        or case.params.get("iso", {}).get("support") == "size"
    )
    found = [(norm(x) / (4 * case.scale + tolerance), "a bound on the norm")]
    u, _ = frame([b for b, _ in factors], [norm(b) for b, _ in factors], set())
    v, _ = frame([a.T for _, a in factors], [norm(a) for _, a in factors], set())
    if case.space != "full" or not entrywise:
        found.append((norm(x - u @ (u.T @ x)) / tolerance, "the column space of the tasks"))
    if case.space == "core" or not entrywise:
        found.append((norm(x - (x @ v) @ v.T) / tolerance, "the row space of the tasks"))
    s = svd(x)[1]
    if stages[-1] == "iso" and s[0] > 0:
        flat = s[s > s[0] / 2]
        found.append((norm(np.append(flat - flat.mean(), s[s <= s[0] / 2])) / tolerance, "a flat spectrum"))
    if case.undecided is not None and case.expected is not None:
        found.append(entries_in_question(case, x, factors, tolerance, u, v))
    return max(found)


def entries_in_question(
    case: Case, x: NDArray[Any], factors: Any, tolerance: float, u: Any, v: Any
) -> tuple[float, str]:
    """In the space's coordinates every entry that is not in question must agree (a mask commutes with sign flips)."""
    assert case.expected is not None
    assert case.undecided is not None
    difference = x - case.expected
    if case.space == "knots":
        sizes = [norm(b) * norm(a) for b, a in factors]
        u, _ = frame([b @ a for b, a in factors], sizes, set())
    inner = u.T @ difference if case.space != "full" else difference
    inner = inner @ v if case.space == "core" else inner
    if inner.shape != case.undecided.shape:
        return 0.0, "entries"
    return norm(np.where(case.undecided, 0, inner)) / tolerance, "every entry outside those in question"


__all__ = ["EPS", "SAFETY", "VERDICTS", "detect", "determined", "judge", "output_rounding"]
