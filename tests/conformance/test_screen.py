"""The table of cases: errors that say the same are one line; the help names what a case has."""

from dataclasses import replace

from typer.testing import CliRunner

from coremerge_ref.cli import build
from coremerge_ref.conformance.configs import EVERY_SPACE
from coremerge_ref.conformance.questions import Case, cases
from coremerge_ref.conformance.report import Result
from coremerge_ref.conformance.screen import table


def test_errors_that_say_the_same_are_one_line() -> None:
    chosen = cases(["ta/core"], [])[:6]
    results = [Result(case, "error", float("inf"), "KeyError: 'k'") for case in chosen[:4]]
    results += [Result(chosen[4], "error", float("inf"), "KeyError: 'density'")]
    results += [replace(results[0], case=case, verdict="fail", diagnosis="zero") for case in chosen[4:]]
    lines = table(results).splitlines()
    assert len(lines) == 1 + 2 + 2
    assert lines[1].startswith(f"{chosen[0].name} and 3 more  error")
    assert "KeyError: 'density'" in lines[2]
    assert [line.split()[0] for line in lines[3:]] == [case.name for case in chosen[4:]]


def test_the_help_names_the_fields_of_a_case() -> None:
    text = CliRunner().invoke(build(), ["conformance", "--help"]).stdout
    for name in ("name", "updates", "method", "space", "params", "masks"):
        assert name in Case.__dataclass_fields__
        assert f"case.{name} " in text
    assert all(space in text for space in EVERY_SPACE)
