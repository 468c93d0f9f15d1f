"""Run an implementation on the cases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .diagnosis import OVERFLOW, Diagnosis, causes, diagnose, diagnose_all, overflows
from .questions import Case
from .questions import cases as all_cases
from .report import Report, Result
from .verdict import judge

Function = Callable[[Case], Any]
CHANGED = "the inputs were changed in place"
STATE = "a second call with the same case gave another answer: state kept between calls"


def fresh(case: Case) -> Case:
    """A case whose arrays are the implementation's own copies, without the expected value."""
    updates = [(b.copy(), a.copy(), s) for b, a, s in case.updates]
    params = {k: {n: list(x) if isinstance(x, list) else x for n, x in p.items()} for k, p in case.params.items()}
    masks = None if case.masks is None else case.masks.copy()
    return replace(case, updates=updates, params=params, masks=masks, expected=None)


def changed(given: Case, case: Case) -> bool:
    """Whether the implementation wrote into its inputs."""
    same = all(
        np.array_equal(x, y) and x.dtype == y.dtype
        for new, old in zip(given.updates, case.updates, strict=False)
        for x, y in zip(new[:2], old[:2], strict=True)
    )
    masks = case.masks is None or (given.masks is not None and np.array_equal(given.masks, case.masks))
    return not (same and masks and len(given.updates) == len(case.updates))


def host(answer: Any) -> Any:
    """An array of any library as a NumPy array."""
    if isinstance(answer, np.ndarray):
        return answer
    if hasattr(answer, "detach"):
        answer = answer.detach().cpu()
        if str(answer.dtype) == "torch.bfloat16":
            import ml_dtypes

            return answer.float().numpy().astype(ml_dtypes.bfloat16)
        return answer.numpy()
    return np.asarray(answer.get() if hasattr(answer, "get") else answer)


def check(fn: Function, case: Case) -> Result:
    """One case: call, judge, diagnose."""
    result, answer = ask(fn, case)
    if result.verdict == "fail" and answer is not None:
        name(result, diagnose(case, answer))
    return result


def name(result: Result, diagnosis: Diagnosis, cause: str = "") -> None:
    """Write a diagnosis into a result."""
    result.diagnosis = diagnosis.text or result.diagnosis
    result.mistakes, result.cause = diagnosis.mistakes, cause or result.diagnosis


def ask(fn: Function, case: Case) -> tuple[Result, Any]:
    """One case: call and judge; the result and the answer (None where there is none to diagnose)."""
    given = fresh(case)
    try:
        answer = host(fn(given))
    except NotImplementedError as error:
        return Result(case, "unsupported", diagnosis=str(error)), None
    except Exception as error:  # any exception of the implementation is its answer
        numeric = isinstance(error, (ArithmeticError, np.linalg.LinAlgError))
        hint = f" ({OVERFLOW})" if numeric and overflows(case) else ""
        return Result(case, "error", float("inf"), f"{type(error).__name__}: {error}{hint}"), None
    if changed(given, case):
        return Result(case, "fail", float("inf"), CHANGED), None
    return Result(case, *judge(case, answer)), answer


def run(
    fn: Function, *, only: str | None = None, skip: str | None = None, cases: Iterable[Case] | None = None,
    expected_failures: Mapping[str, str] | None = None, diagnoses: bool = True, repeat: bool = True,
) -> Report:  # fmt: skip
    """Ask ``fn`` every case; ``expected_failures`` maps a part of a case's name to the reason. With ``repeat`` one case
    of each method and space is asked again at the end."""
    start = time.perf_counter()
    chosen = list(cases) if cases is not None else all_cases(only, skip)
    asked = [ask(fn, case) for case in chosen]
    report = Report([result for result, _ in asked])
    failed = [(r, x) for r, x in asked if r.verdict == "fail" and x is not None]
    found = diagnose_all([(r.case, x) for r, x in failed]) if diagnoses else []
    for (result, _), diagnosis, cause in zip(failed, found, causes(found), strict=False):
        name(result, diagnosis, cause)
    seen: set[tuple[str, str]] = set()
    for result in report.results if repeat else []:
        kind = (result.case.config, result.case.space)
        if kind in seen or result.verdict != "pass":
            continue
        seen.add(kind)
        again, _ = ask(fn, result.case)
        if again.verdict != "pass":
            result.verdict, result.ratio, result.diagnosis = "fail", again.ratio, STATE
    for result in report.results:
        if result.verdict in ("fail", "error"):
            result.expected_failure = next(
                (r for k, r in (expected_failures or {}).items() if k in result.case.name), ""
            )
    report.seconds = time.perf_counter() - start
    return report
