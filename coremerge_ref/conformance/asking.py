"""Run an implementation on the cases: ask, judge, diagnose."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .answers import ANSWERED, UNSUPPORTED, Answer, Function
from .answers import CHANGED as WRITTEN_INTO
from .diagnosis import OVERFLOW, Diagnosis, causes, diagnose, diagnose_all, overflows
from .expected import known
from .invalid import invalid_cases, react
from .isolate import Here, Worker, asker
from .loading import name_of
from .precision import FLOAT64
from .provenance import Provenance
from .questions import Case, norm
from .questions import cases as all_cases
from .report import Report, Result
from .selecting import Patterns, listed
from .supports import supported
from .verdict import detect, judge

CHANGED = "the inputs were changed in place"
STATE = "a second call with the same case gave another answer: state kept between calls"
COLUMNS = "column-major: the entries of the right answer in the order of its transpose"
UNDECLARED = "not among what the function declares in supports"
AUTO = "auto"
Progress = Callable[[int, int], None]


def check(fn: Function, case: Case) -> Result:
    """One case: call, judge, diagnose."""
    return check_with(Here(fn), case)


def check_with(way: Here | Worker, case: Case) -> Result:
    """One case, asked in this process or in another."""
    answer = ask(way, case)
    result = judged(case, answer)
    if result.verdict == "fail" and answer.kind == ANSWERED:
        name(result, column_major(case, answer.array) or diagnose(case, answer.array))
    return result


def ask(way: Here | Worker, case: Case) -> Answer:
    """The answer to one case, or that it is not supported by what the function declares."""
    return way.answer(case) if supported(case, way.supports) else Answer(UNSUPPORTED, message=UNDECLARED)


def judged(case: Case, answer: Answer) -> Result:
    """The verdict on an answer."""
    if answer.kind == UNSUPPORTED:
        result = Result(case, "unsupported", diagnosis=answer.message)
    elif answer.kind == WRITTEN_INTO:
        result = Result(case, "fail", float("inf"), CHANGED)
    elif answer.kind == ANSWERED and answer.array is not None:
        result = Result(case, *judge(case, answer.array), relative=relative_error(case, answer.array))
    else:
        hint = f" ({OVERFLOW})" if answer.numeric and overflows(case) else ""
        result = Result(case, "error", float("inf"), answer.message + hint)
    result.traceback, result.printed = answer.traceback, answer.printed
    return result


def relative_error(case: Case, array: np.ndarray[Any, Any]) -> float:
    """‖answer − expected‖ / ‖expected‖ in the Frobenius norm, infinite where it is no such number."""
    if array.shape != case.shape or array.dtype.kind == "c" or case.expected is None:
        return float("inf")
    with np.errstate(all="ignore"):
        error, size = norm(array.astype(np.float64) - case.expected), norm(case.expected)
        relative = error / size if size else (0.0 if error == 0 else float("inf"))
    return relative if np.isfinite(relative) else float("inf")


def column_major(case: Case, array: np.ndarray[Any, Any] | None) -> Diagnosis:
    """Whether the entries are right and their order is that of the transpose."""
    if array is None or array.size != np.prod(case.shape) or array.dtype.kind == "c" or 1 in case.shape[-2:]:
        return Diagnosis()
    swapped = (*case.shape[:-2], case.shape[-1], case.shape[-2])
    turned = np.ascontiguousarray(array).reshape(swapped).swapaxes(-1, -2)
    right = array.shape == case.shape and judge(case, turned)[0] in ("pass", "ambiguous")
    return Diagnosis(COLUMNS) if right else Diagnosis()


def name(result: Result, diagnosis: Diagnosis, cause: str = "") -> None:
    """Write a diagnosis into a result."""
    result.diagnosis = diagnosis.text or result.diagnosis
    result.mistakes, result.cause = diagnosis.mistakes, cause or result.diagnosis


def run(
    fn: Function | str, *, only: Patterns = None, skip: Patterns = None, cases: Iterable[Case] | None = None,
    expected_failures: Mapping[str, str] | None = None, diagnoses: bool = True, repeat: bool = True,
    precision: str = "float64", generated: int = 0, seed: int | None = None, isolate: bool = False,
    timeout: float | None = None, progress: Progress | None = None,
) -> Report:  # fmt: skip
    """Ask ``fn`` every case and judge its answers.

    fn: a function of a case, or its name, ``my_pkg.my_module:merge``. only, skip: parts of names of cases, or globs
    of whole names. expected_failures: such a pattern → the reason; one that names no case is a ValueError, one whose
    cases all pass is stale and makes ``report.ok`` false. precision: that of the arithmetic judged, or "auto" for the
    one that the answers show. generated: as many cases more, drawn with ``seed``. isolate, timeout: in a process of
    its own, with so many seconds a case (60). repeat: one case of each method and space is asked again at the end.
    What the function does with invalid input is asked last, unless ``cases`` are given, and stands in
    ``report.invalid``; nothing depends on it.
    """
    start = time.perf_counter()
    chosen = list(cases) if cases is not None else all_cases(only, skip, FLOAT64 if precision == AUTO else precision)
    if generated:
        from .generated import fresh_seed, generate

        seed = fresh_seed() if seed is None else seed
        chosen += generate(seed, generated)
    known(expected_failures, chosen)
    with asker(fn, isolate, timeout) as way:
        answers = []
        for count, case in enumerate(chosen):
            answers.append(ask(way, case))
            if progress is not None:
                progress(count + 1, len(chosen))
        pairs = [(case, answer.array) for case, answer in zip(chosen, answers, strict=True) if answer.kind == ANSWERED]
        shown = detect(pairs)
        if precision == AUTO:
            at = [(case.at(shown), answer) for case, answer in zip(chosen, answers, strict=True)]
            chosen, answers = [c for c, _ in at if c is not None], [a for c, a in at if c is not None]
        report = Report([judged(case, answer) for case, answer in zip(chosen, answers, strict=True)])
        if diagnoses:
            _diagnose(report.results, answers)
        if repeat:
            _repeat(way, report.results)
        if cases is None:
            report.invalid = react(way, invalid_cases(only, skip))
    report.expect(expected_failures)
    report.provenance = Provenance.of(
        name_of(fn), chosen, precision=shown.name if precision == AUTO else precision, shown=shown.name,
        isolated=isolate, only=listed(only), skip=listed(skip), generated=generated, seed=seed if generated else None,
    )  # fmt: skip
    report.seconds = time.perf_counter() - start
    return report


def _diagnose(results: Sequence[Result], answers: Sequence[Answer]) -> None:
    """Name the mistakes of all failures together."""
    failed = [(r, a.array) for r, a in zip(results, answers, strict=True) if r.verdict == "fail" and a.kind == ANSWERED]
    rest = []
    for result, array in failed:
        columns = column_major(result.case, array)
        if columns:
            name(result, columns)
        else:
            rest.append((result, array))
    found = diagnose_all([(r.case, x) for r, x in rest])
    passed = [r.case for r in results if r.verdict == "pass"]
    for (result, _), diagnosis, cause in zip(rest, found, causes(found, passed), strict=True):
        name(result, diagnosis, cause)


def _repeat(way: Here | Worker, results: Sequence[Result]) -> None:
    """Ask one case of each method and space again: the answer must be right again."""
    seen: set[tuple[str, str]] = set()
    for result in results:
        kind = (result.case.config, result.case.space)
        if kind in seen or result.verdict != "pass":
            continue
        seen.add(kind)
        again = judged(result.case, ask(way, result.case))
        if again.verdict != "pass":
            result.verdict, result.ratio, result.diagnosis = "fail", again.ratio, STATE
            result.relative, result.traceback, result.printed = again.relative, again.traceback, again.printed
