"""Mistakes that give no one output: rounding in the arithmetic, directions out of nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .model import Model, encode
from .model.arithmetic import Array
from .precision import FLOAT32, FLOAT64
from .questions import SAFETY, Case, norm
from .reproducing import SINGLE, rounds_to_single
from .verdict import judge

HALF = "half-precision"
ALIKE = 32  # by what factor two implementations' rounding differs
# told by where they put arbitrary vectors
NULL = {"iso": "null-vectors-in-iso", "tsv": "null-vectors-in-tsv", "iso_cts": "null-vectors-in-tsv"}


def by_structure(case: Case, answer: Any) -> list[str]:
    """The mistake that an answer shows, not by its value, but by its kind."""
    actual = np.asarray(answer).astype(np.float64)
    assert case.expected is not None
    if is_single(case, actual):
        return [SINGLE]
    with np.errstate(over="ignore"):
        in_half = np.all(actual.astype(np.float16).astype(np.float64) == actual)
    if in_half and norm(actual - case.expected) <= SAFETY * 2.0**-10 * case.bound:
        return [HALF]
    stages = [stage for stage in case.method.split("+") if stage in NULL]
    return [NULL[stages[-1]]] if stages and from_nothing(case, actual) else []


def is_single(case: Case, actual: Array) -> bool:
    """Whether an answer is off by about as much as one computed in single precision is."""
    single = case.at(FLOAT32) if case.precision == FLOAT64 else None
    assert case.expected is not None
    if single is None or judge(single, actual)[0] == "fail" or not rounds_to_single(actual, case.expected):
        return False
    with np.errstate(all="ignore"):
        usual = norm(Model(dtype=np.float32)(case) - case.expected)
    return usual / ALIKE <= norm(actual - case.expected) <= ALIKE * usual


def from_nothing(case: Case, actual: Array) -> bool:
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
