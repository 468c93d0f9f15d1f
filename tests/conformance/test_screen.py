"""The first screen and the table of cases, line by line; the help names what a case has."""

import re
from dataclasses import replace
from typing import Any

import pytest
from said import parts
from typer.testing import CliRunner

from coremerge_ref.cli import build
from coremerge_ref.conformance import screen
from coremerge_ref.conformance.configs import EVERY_SPACE
from coremerge_ref.conformance.invalid import Reaction
from coremerge_ref.conformance.pages import pages
from coremerge_ref.conformance.provenance import Provenance
from coremerge_ref.conformance.questions import Case, cases
from coremerge_ref.conformance.report import Report, Result
from coremerge_ref.conformance.screen import columns, summary, table, what_to_do

TA, OTHER, TIES = (cases(f"{name}/generic")[0] for name in ("ta/core", "ta/full", "ties/core"))


def lines(*results: Result, **facts: Any) -> list[str]:
    return summary(Report(list(results), **facts)).splitlines()


def line(found: list[str], said: str) -> str:
    """The one line that has these parts."""
    (one,) = (text for text in found if re.search(parts(said), text))
    return one


# ---- the head ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("precision", "shown", "said"),
    [
        ("float64", "float64", "m:merge: kit 1.2, cases 0123456789ab, float64"),
        ("float64", "float32", "m:merge: kit 1.2, cases 0123456789ab, float64, computes in float32"),
        ("float32", "", "m:merge: kit 1.2, cases 0123456789ab, float32"),
    ],
)
def test_the_first_line_says_who_was_asked_what(precision: str, shown: str, said: str) -> None:
    about = Provenance("m:merge", "1.2", "0123456789abcdef", precision=precision, shown=shown)
    assert lines(Result(TA, "pass"), provenance=about)[0] == said
    assert lines(Result(TA, "pass"))[0] == "1 pass · 0.0 s"


def test_verdicts_are_counted_in_their_order_and_none_is_said() -> None:
    given = [Result(TA, verdict) for verdict in ("error", "unsupported", "fail", "fail", "ambiguous", "pass")]
    assert lines(*given, seconds=1.26)[0] == "1 pass · 1 ambiguous · 2 fail · 1 error · 1 unsupported · 1.3 s"
    found = lines()
    assert found[0] == "no case was asked · 0.0 s"
    assert re.search(parts("no case was answered … supports nothing"), found[-1])
    assert len(found) == 2


# ---- the grid ----------------------------------------------------------------------------------------------------
def test_the_grid_has_a_row_for_each_method_that_was_answered() -> None:
    given = [Result(TA, "pass"), Result(TA, "pass"), Result(TA, "ambiguous"), Result(OTHER, "fail")]
    given += [Result(OTHER, "error"), Result(TIES, "unsupported"), Result(replace(TIES, method="mean"), "ambiguous")]
    found = [one.split() for one in lines(*given)]
    start = next(i for i, words in enumerate(found) if words and words[0].startswith("pass/fail"))
    assert found[start : start + 3] == [
        ["pass/fail/ambiguous", *EVERY_SPACE],
        ["ta", "0/2/0", "–", "2/0/1", "–"],
        ["mean", "–", "–", "0/0/1", "–"],
    ]
    assert not any("pass/fail" in one for one in lines(Result(TA, "unsupported")))


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert columns([["a", "bb", "c"], ["ddd", "e", ""]]) == "a    bb  c\nddd  e"


# ---- failures ----------------------------------------------------------------------------------------------------
def test_failures_are_told_by_their_causes_the_most_frequent_first_with_the_worst_of_each() -> None:
    given = [
        Result(TA, "fail", 3.0, cause="this", relative=0.25),
        Result(OTHER, "fail", 3.0, cause="this", relative=0.5, expected_failure="issue 2"),
        Result(TIES, "fail", 3.0, cause="this", relative=0.125, expected_failure="issue 1"),
        Result(TIES, "error", cause="that", expected_failure="issue 1"),
        Result(TA, "pass"),
    ]
    found = lines(*given)
    start = found.index("failures by cause:")
    assert found[start - 1].split()[0] == "ties"  # the last row of the grid
    assert len(found) == start + 7
    assert found[start + 1].split() == ["3", "×", "this"]
    assert re.search(parts("0.5 … ta/full/generic … 2 expected (issue 1, issue 2)"), found[start + 2])
    assert found[start + 3].strip().startswith("→")
    assert found[start + 4].split() == ["1", "×", "that"]
    assert re.search(parts("no comparable answer … ties/core/generic … 1 expected (issue 1)"), found[start + 5])
    plain = lines(given[0])
    assert not any("expected" in one for one in plain)
    assert "failures by cause:" not in lines(given[-1])


@pytest.mark.parametrize(("count", "more"), [(2, ""), (3, "1 causes more"), (5, "3 causes more")])
def test_a_few_causes_are_told_and_the_rest_counted(count: int, more: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "GROUPS", 2)
    found = lines(*(Result(TA, "fail", cause=f"cause {i}") for i in range(count)))
    assert sum(" × cause " in one for one in found) == 2
    rest = [one for one in found if "more" in one]
    assert [bool(re.search(parts(f"{more} … --all"), one)) for one in rest] == [True] * bool(more)


RAISED = """Traceback (most recent call last):
  File "mine.py", line 3, in merge
    inner(case)
  File "inner.py", line 7, in inner
    1 / 0
ZeroDivisionError: division by zero
"""


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (Result(TA, "error", traceback=RAISED), 'raised at File "inner.py", line 7, in inner; … NotImplementedError'),
        (Result(TA, "error"), "for what … NotImplementedError"),
        (Result(TA, "fail"), "no known … coremerge_ref.conformance.definition"),
        (Result(TA, "fail", diagnosis="not a known mistake"), "no known … coremerge_ref.conformance.definition"),
        (Result(TA, "fail", diagnosis="other"), "what is said … where to look"),
    ],
)
def test_each_failure_has_its_advice(result: Result, said: str) -> None:
    assert re.fullmatch(parts(said), what_to_do(result))


def test_a_known_mistake_has_its_own_advice_and_its_page() -> None:
    one, two = "scaling-ignored", "result-negated"
    mend = {name: pages()[name]["mend"] for name in (one, two)}
    for cause, mistakes, told, page in (
        (one, (two, one), mend[one], one),  # what explains most failures
        ("", (two, one), mend[two], two),  # the first that would do
        (f"{one}+{two}", (two, f"{one}+{two}"), f"{mend[one]} {mend[two]}", one),
        ("", (f"{two}+{one}",), f"{mend[two]} {mend[one]}", two),
    ):
        said = what_to_do(Result(TA, "fail", mistakes=mistakes, cause=cause))
        assert said == f"{told} (--explain {page})"


# ---- what is not to be overlooked --------------------------------------------------------------------------------
def test_what_was_left_out_is_said() -> None:
    given = [Result(TA, "pass"), Result(OTHER, "unsupported"), Result(TIES, "unsupported"), Result(TA, "unsupported")]
    found = lines(*given)
    assert "ta (2), ties (1)" in line(found, "not answered … not tested")
    assert not any("no case was answered" in one for one in found)
    assert len(found) == 1 + 2 + 1
    assert not any("not answered" in one for one in lines(given[0]))


@pytest.mark.parametrize(
    ("kit", "generated", "asked", "drawn"),
    [(2, 0, "", ""), (9, 0, "2 of the kit's 9 cases", ""), (9, 1, "1 of the kit's 9 cases", "1 cases … --seed 5")],
)
def test_how_many_of_the_kits_cases_were_asked_is_said(kit: int, generated: int, asked: str, drawn: str) -> None:
    about = Provenance(cases=kit, generated=generated, seed=5)
    found = lines(Result(TA, "pass"), Result(OTHER, "pass"), provenance=about)
    assert [one for one in found if "of the kit's" in one] == ([line(found, asked)] if asked else [])
    assert [one for one in found if "--seed" in one] == ([line(found, drawn)] if drawn else [])


def test_what_is_missing_stale_or_invalid_is_said_last() -> None:
    invalid = [Reaction("invalid/a", "NaN in B", "refused"), Reaction("invalid/b", "no task", "taken")]
    found = lines(Result(TA, "pass"), missing=["a/b/c", "d"], stale=["ta/*", "x"], invalid=invalid)
    assert "such as a/b/c" in line(found, "2 of the kit's … no output")
    for name, one in zip(("ta/*", "x"), found[-2:], strict=True):
        assert re.search(parts(f"passes: {name}; …"), one)
    assert len(found) == 1 + 2 + 2 + 3  # the head, the grid, invalid input, what is missing or stale
    assert line(found, "1 of 2 refused")
    assert "no task" in line(found, "finite numbers")


# ---- the table ---------------------------------------------------------------------------------------------------
def test_a_result_is_a_line_with_both_errors_and_why_it_was_expected() -> None:
    given = [
        Result(TA, "fail", 1234.5, "wrong", "issue 1", relative=0.12345),
        Result(OTHER, "fail", 1234.5, "wrong", relative=0.12345),
        Result(TIES, "error", float("inf"), "raised"),
        Result(TA, "error", float("inf"), "raised", "issue 1"),
    ]
    rows = [re.split("  +", one) for one in table(given).splitlines()]
    assert rows == [
        ["case", "verdict", "ratio", "relative", "diagnosis"],
        [TA.name, "fail", "1.23e+03", "0.12", "wrong (expected: issue 1)"],
        [OTHER.name, "fail", "1.23e+03", "0.12", "wrong"],
        [TIES.name, "error", "inf", "inf", "raised"],
        [TA.name, "error", "inf", "inf", "raised (expected: issue 1)"],
    ]


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
