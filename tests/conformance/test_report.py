"""What a run says: the first screen, JSON of a schema, JUnit, a badge, where it comes from; declared and expected."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree as ET

import jsonschema
import numpy as np
import pytest
from doubles import Double

from coremerge_ref import conformance
from coremerge_ref.conformance.provenance import case_set_hash
from coremerge_ref.conformance.report import schema

HOSTILE = "[bold]\x1b[31m\x00\x08\ud800 & <tag> ]]>\r\n" + "y" * 10_000_000


def zeros(case):
    return np.zeros(case.shape)


def raises(case):
    raise ValueError(HOSTILE)


def unscaled(case):
    if case.space == "knots" or case.method != "ta":
        raise NotImplementedError("later")
    w = case.params["ta"]["weights"]
    return sum(x * (b.astype(float) @ a.astype(float)) for x, (b, a, _) in zip(w, case.updates, strict=True))


def test_the_first_screen_has_counts_a_grid_and_causes_with_an_example():
    report = conformance.run(unscaled, only="/generic")
    screen = report.summary()
    words = [line.split() for line in screen.splitlines()]
    ta = next(line for line in words if line and line[0] == "ta")
    counts = report.counts
    assert f"{counts['fail']} fail · {counts['unsupported']} unsupported" in screen
    assert ta[1:] == ["0/2/0", "–", "0/2/0", "0/2/0"]
    assert "6 × scaling-ignored" in screen
    worst = max((r for r in report.failures), key=lambda r: r.relative)
    assert f"relative error up to {worst.relative:.2g}, such as {worst.case.name}" in screen
    assert "not tested: ta (2), mean (7), ties" in screen
    assert "ta-plain/knots/generic" not in screen
    assert f"{len(report.results)} of the kit's {len(conformance.cases())} cases" in screen
    assert "ta-plain/core/generic" in report.table()
    assert "ta-plain/knots/generic" not in report.table()
    assert "ta-plain/knots/generic" in report.table(every=True)


def test_a_right_one_has_nothing_to_say():
    screen = conformance.run(Double()).summary()
    assert "cause" not in screen
    assert "not tested" not in screen
    assert "of the kit's" not in screen


def test_relative_errors():
    report = conformance.run(lambda case: 3 * right(case), only="ta/core/generic", diagnoses=False)
    assert report.results[0].relative == pytest.approx(2)
    assert conformance.run(lambda case: "x", only="ta/core/generic").results[0].relative == float("inf")


def right(case):
    return Double()(case)


@pytest.mark.parametrize("fn", [zeros, raises, unscaled, Double("dare-not-rescaled")])
def test_json_is_of_its_schema(fn):
    only = "ta/full/generic" if fn is raises else "*/full/generic"
    report = conformance.run(fn, only=only, expected_failures={"*": "known"} if fn is zeros else None)
    whole = json.loads(report.to_json(), parse_constant=pytest.fail)
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(whole, schema())
    assert whole["counts"] == report.counts
    assert whole["ok"] is report.ok
    assert len(whole["results"]) == len(report.results)
    told = whole["provenance"]
    assert told["function"].endswith(getattr(fn, "__name__", "Double"))
    assert told["kit"]
    assert told["platform"]["numpy"] == np.__version__
    assert told["cases"] == len(conformance.cases())
    assert told["only"] == [only]


def test_the_schema_refuses_damage():
    whole = json.loads(conformance.run(zeros, only="ta/core/generic").to_json())
    for damage in ({"format": "other"}, {"ok": 1}, {"more": 1}, {"counts": {"great": 3}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**whole, **damage}, schema())


def test_junit_is_xml_whatever_a_message_holds():
    report = conformance.run(raises, only="ta*/full/generic")
    root = ET.fromstring(conformance.to_junit(report).encode())
    assert int(root.get("errors")) == len(report.results) == len(root.findall("testsuite/testcase/error"))
    message = root.find("testsuite/testcase/error").get("message")
    assert message.startswith("ValueError: [bold]\\x1b[31m\\x00\\x08\\ud800 & <tag> ]]>")
    assert len(conformance.to_junit(report)) < 10**6
    report = conformance.run(unscaled, only="*/generic", expected_failures={"ta/full/generic": "issue 1"})
    root = ET.fromstring(conformance.to_junit(report).encode())
    cases = root.findall("testsuite/testcase")
    assert {c.get("name") for c in cases} == {r.case.name for r in report.results}
    assert int(root.get("failures")) == report.counts["fail"] - 1
    assert int(root.get("skipped")) == report.counts["unsupported"] + 1
    skipped = next(c for c in cases if c.get("name") == "ta/full/generic").find("skipped")
    assert "issue 1" in skipped.get("message")


def test_the_badge():
    badge = json.loads(conformance.run(Double(), only="/generic").badge())
    assert badge["schemaVersion"] == 1
    count = len(conformance.cases("/generic"))
    assert badge["message"] == f"{count} of {count} cases, float64"
    assert badge["color"] == "brightgreen"
    assert json.loads(conformance.run(unscaled, only="/generic").badge())["color"] == "red"


def test_messages_are_bounded_and_printable():
    report = conformance.run(raises, only="ta/core/generic")
    for text in (report.summary(), report.table(), report.to_json()):
        assert len(text) < 20_000
        assert all(c.isprintable() or c == "\n" for c in text)


def test_the_hash_is_of_questions_and_answers():
    cases = conformance.cases("ta/core/")
    first = case_set_hash(cases)
    assert first == case_set_hash(conformance.cases("ta/core/"))
    one = cases[0]
    b, a, s = one.updates[0]
    for other in (
        replace(one, expected=one.expected * 2),
        replace(one, bound=2 * one.bound),
        replace(one, params={"ta": {"weights": [2.0]}}),
        replace(one, updates=[(b, a, 2 * s), *one.updates[1:]]),
        one.at("float32"),
    ):
        assert case_set_hash([other, *cases[1:]]) != first
    assert case_set_hash(cases[1:]) != first
    assert conformance.run(zeros, cases=cases, diagnoses=False).provenance.case_set == first


# ---- declared ----------------------------------------------------------------------------------------------------


def declared(supports):
    def fn(case):
        assert case.method in ("ta", "dare+ta")
        return right(case)

    fn.supports = supports
    return fn


def test_what_is_declared_alone_is_asked_and_the_rest_counted():
    report = conformance.run(declared({"methods": ["ta"], "spaces": ["core"]}), only="/generic")
    asked = {(r.case.method, r.case.space) for r in report.results if r.verdict != "unsupported"}
    assert asked == {("ta", "core")}
    assert report.ok
    assert "not tested: ta (6)" in report.summary()
    report = conformance.run(declared({"methods": ["ta", "dare"]}), only="/generic")
    asked = {r.case.method for r in report.results if r.verdict != "unsupported"}
    assert asked == {"ta", "dare+ta"}


@pytest.mark.parametrize(
    "supports", [{"methods": ["tsw"]}, {"spaces": "core"}, {"method": ["ta"]}, ["ta"], {"methods": [3]}, 5]
)
def test_misspelt_declarations_are_refused(supports):
    with pytest.raises(ValueError, match="supports"):
        conformance.run(declared(supports), only="ta/core/generic")


# ---- expected ----------------------------------------------------------------------------------------------------


def test_expected_failures_are_globs_or_parts():
    known = {"ta/*/generic": "issue 1", "ta-plain": "issue 2"}
    report = conformance.run(unscaled, only="/generic", expected_failures=known)
    assert report.ok, report.summary()
    assert {r.expected_failure for r in report.failures} == {"issue 1", "issue 2"}
    assert "6 expected (issue 1, issue 2)" in report.summary()


def test_an_entry_that_names_no_case_is_an_error():
    with pytest.raises(ValueError, match="'tis/'"):
        conformance.run(unscaled, only="ta", expected_failures={"tis/": "misspelt"})


def test_an_entry_whose_cases_pass_is_stale():
    report = conformance.run(Double(), only="ta", expected_failures={"ta/core/generic": "mended"})
    assert not report.ok
    assert report.stale == ["ta/core/generic"]
    assert "ta/core/generic" in report.summary().splitlines()[-1]
    root = ET.fromstring(conformance.to_junit(report).encode())
    assert int(root.get("failures")) == 1
    assert json.loads(report.to_json())["stale"] == ["ta/core/generic"]


def test_no_answer_is_no_success():
    report = conformance.run(declared({"methods": ["cart"]}), only="ta/")
    assert not report.ok
    assert "supports nothing" in report.summary()


# ---- pytest ------------------------------------------------------------------------------------------------------

SOURCE = """
import numpy as np
from coremerge_ref.conformance import parametrize_with_checks

def mine(case):
    if case.method != "ta":
        raise NotImplementedError("later")
    if case.space == "knots":
        return [][3]
    w = case.params["ta"]["weights"]
    return sum(x * s * (b.astype(float) @ a.astype(float)) for x, (b, a, s) in zip(w, case.updates))

@parametrize_with_checks(mine, only="[td]a*/generic", expected_failures={"ta*/knots/generic": "index"})
def test_expected(check):
    check()

@parametrize_with_checks(mine, only="[td]a*/generic")
def test_unexpected(check):
    check()

@parametrize_with_checks(mine, only="[td]a*/generic", expected_failures={"ta*/generic": "index"})
def test_stale(check):
    check()
"""


def test_in_pytest_tracebacks_are_shown_and_expectations_strict(tmp_path):
    (tmp_path / "test_mine.py").write_text(SOURCE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "test_mine.py"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    lines = Counter(tuple(line.split("[")[0].split("::")) for line in done.stdout.splitlines() if "::" in line)
    assert lines["XFAIL test_mine.py", "test_expected"] == 2
    assert lines["PASSED test_mine.py", "test_unexpected"] == 6
    assert lines["FAILED test_mine.py", "test_unexpected"] == 2
    assert lines["FAILED test_mine.py", "test_stale"] == 6
    assert lines["XFAIL test_mine.py", "test_stale"] == 2
    assert "XPASS(strict)" in done.stdout
    assert "return [][3]" in done.stdout
    assert "IndexError: list index out of range" in done.stdout
    with pytest.raises(ValueError, match="names none"):
        conformance.parametrize_with_checks(zeros, expected_failures={"tis": "misspelt"})
