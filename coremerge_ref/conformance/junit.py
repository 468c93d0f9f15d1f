"""A report as JUnit XML, for CI systems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .report import UNKNOWN, Report, Result
from .text import TRACE, clean

if TYPE_CHECKING:
    from junitparser import TestCase


def to_junit(report: Report, suite: str = "coremerge-conformance") -> str:
    """One testcase per case; expected failures and unsupported cases are skipped, ambiguous ones pass with a note.

    Needs junitparser (the extra "conformance")."""
    from junitparser import JUnitXml, TestSuite

    whole, cases = JUnitXml(suite), TestSuite(suite)
    for result in report.results:
        cases.add_testcase(_testcase(result, suite))
    for pattern in report.stale:
        cases.add_testcase(_extra(suite, f"expected failure {clean(pattern)}", "it passes: take the entry away"))
    if report.missing and not report.allow_partial:
        cases.add_testcase(_extra(suite, "coverage", f"{len(report.missing)} cases have no output"))
    whole.add_testsuite(cases)
    whole.update_statistics()
    cases.time = whole.time = round(report.seconds, 3)
    return str(whole.tostring().decode())


def _testcase(result: Result, suite: str) -> TestCase:
    from junitparser import Error, Failure, Skipped, TestCase

    case = TestCase(clean(result.case.name), f"{suite}.{result.case.config}")
    message = clean(result.diagnosis or UNKNOWN)
    if result.expected_failure:
        case.result = [Skipped(clean(f"expected failure: {result.expected_failure} ({message})"))]
    elif result.verdict == "unsupported":
        case.result = [Skipped(message)]
    elif result.verdict in ("fail", "error"):
        kind = (Failure if result.verdict == "fail" else Error)(message)
        error = f"error {result.ratio:.3g} times the tolerance, relative error {result.relative:.2g}"
        kind.text = "\n".join(filter(None, [error, clean(result.traceback, TRACE, lines=True)]))
        case.result = [kind]
    note = f"ambiguous: {message}" if result.verdict == "ambiguous" else ""
    printed = "\n".join(filter(None, [note, clean(result.printed, TRACE, lines=True)]))
    if printed:
        case.system_out = printed
    return case


def _extra(suite: str, name: str, message: str) -> TestCase:
    from junitparser import Failure, TestCase

    case = TestCase(name, suite)
    case.result = [Failure(message)]
    return case
