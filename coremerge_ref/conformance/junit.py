"""A report as JUnit XML, for CI systems."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from .report import Report


def to_junit(report: Report, suite: str = "coremerge-conformance") -> str:
    """One testcase per case; expected failures and unsupported cases are skipped, ambiguous ones pass with a note."""
    counts = {
        "tests": len(report.results),
        "failures": sum(r.verdict == "fail" and not r.expected_failure for r in report.results),
        "errors": sum(r.verdict == "error" and not r.expected_failure for r in report.results),
        "skipped": sum(r.verdict == "unsupported" or bool(r.expected_failure) for r in report.results),
    }
    attributes = {"name": suite, "time": f"{report.seconds:.3f}", **{k: str(v) for k, v in counts.items()}}
    root = ET.Element("testsuite", attributes)
    for r in report.results:
        case = ET.SubElement(root, "testcase", classname=f"{suite}.{r.case.config}", name=r.case.name)
        message = r.diagnosis or "not a known mistake"
        if r.expected_failure:
            ET.SubElement(case, "skipped", message=f"expected failure: {r.expected_failure} ({message})")
        elif r.verdict == "unsupported":
            ET.SubElement(case, "skipped", message=message)
        elif r.verdict in ("fail", "error"):
            kind = "failure" if r.verdict == "fail" else "error"
            ET.SubElement(case, kind, message=message).text = f"error {r.ratio:.3g} times the tolerance"
        elif r.verdict == "ambiguous":
            ET.SubElement(case, "system-out").text = f"ambiguous: {message}"
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
