"""A report as JUnit XML: every part of a result has its place, under the suite's name."""

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from said import parts

from coremerge_ref.conformance import cases
from coremerge_ref.conformance.junit import to_junit
from coremerge_ref.conformance.report import Report, Result

CASE, OTHER = cases("ta/core/generic")[0], cases("tsv-9/core/generic")[0]


def written(*results: Result, suite: str | None = None, **facts: object) -> ET.Element:
    report = replace(Report(list(results)), **facts)  # type: ignore[arg-type]
    return ET.fromstring(to_junit(report) if suite is None else to_junit(report, suite))


def only_case(result: Result) -> ET.Element:
    (found,) = written(result).findall("testsuite/testcase")
    return found


@pytest.mark.parametrize(("suite", "name"), [(None, "coremerge-conformance"), ("mine", "mine")])
def test_all_bears_the_name_of_the_suite(suite: str | None, name: str) -> None:
    root = written(Result(CASE, "pass"), Result(OTHER, "pass"), suite=suite, stale=["x"], missing=["y"])
    assert (root.get("name"), [part.get("name") for part in root.findall("testsuite")]) == (name, [name])
    classes = [case.get("classname") for case in root.findall("testsuite/testcase")]
    assert classes == [f"{name}.ta", f"{name}.tsv-9", name, name]


@pytest.mark.parametrize("verdict", ["pass", "ambiguous"])
def test_what_is_right_has_no_result(verdict: str) -> None:
    case = only_case(Result(CASE, verdict, 0.5))
    assert case.get("name") == "ta/core/generic"
    assert {part.tag for part in case} <= {"system-out"}


@pytest.mark.parametrize(("verdict", "tag"), [("fail", "failure"), ("error", "error")])
def test_what_is_wrong_is_told_with_its_size_and_traceback(verdict: str, tag: str) -> None:
    case = only_case(Result(CASE, verdict, 1234.5, "scaling-ignored", relative=0.25, traceback="File mine.py\n  1 / 0"))
    (told,) = case
    assert (told.tag, told.get("message")) == (tag, "scaling-ignored")
    first, *rest = told.text.strip().splitlines()
    assert parts_of(first, "1.23e+03 … tolerance … 0.25")
    assert rest == ["File mine.py", "  1 / 0"]


def parts_of(text: str, said: str) -> bool:
    return re.search(parts(said), text) is not None


def test_a_cause_that_is_not_known_is_called_that() -> None:
    (told,) = only_case(Result(CASE, "fail", 2.0))
    assert told.get("message") == "not a known mistake"


def test_what_is_expected_to_fail_is_skipped_with_both_reasons() -> None:
    (told,) = only_case(Result(CASE, "fail", 2.0, "scaling-ignored", expected_failure="issue 7"))
    assert told.tag == "skipped"
    assert parts_of(told.get("message", ""), "issue 7 … scaling-ignored")


def test_what_is_not_done_is_skipped_with_its_reason() -> None:
    (told,) = only_case(Result(CASE, "unsupported", diagnosis="later"))
    assert (told.tag, told.get("message")) == ("skipped", "later")


def test_what_was_printed_and_why_a_case_is_ambiguous_is_its_output() -> None:
    (told,) = only_case(Result(CASE, "ambiguous", 0.5, "two equal values", printed="one\ntwo\x1b"))
    assert told.tag == "system-out"
    first, *rest = told.text.splitlines()
    assert parts_of(first, "ambiguous … two equal values")
    assert rest == ["one", "two\\x1b"]
    (told,) = only_case(Result(CASE, "pass", printed="one"))
    assert (told.tag, told.text) == ("system-out", "one")


@pytest.mark.parametrize(
    ("missing", "partial", "said"), [(["a", "b"], False, "2 cases"), (["a"], True, ""), ([], False, "")]
)
def test_cases_without_an_output_are_one_failure_unless_they_are_allowed(
    missing: list[str], partial: bool, said: str
) -> None:
    root = written(Result(CASE, "pass"), missing=missing, allow_partial=partial)
    failures = root.findall("testsuite/testcase/failure")
    assert len(failures) == int(root.get("failures", "")) == bool(said)
    assert all(said in one.get("message", "") for one in failures)


def test_an_expectation_that_no_longer_fails_is_a_failure_that_names_it() -> None:
    root = written(Result(CASE, "pass"), stale=["tsv/*"], seconds=61.23456)
    (case,) = [one for one in root.findall("testsuite/testcase") if one.find("failure") is not None]
    assert "tsv/*" in case.get("name", "")
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    assert (root.get("time"), root.find("testsuite").get("time")) == ("61.235", "61.235")
