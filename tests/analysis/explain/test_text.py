"""Explanations as text: what stands on each line, of explanations made by hand."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from said import parts

from coremerge_ref.analysis.explain.explanation import Bound, Explanation, Explanations, judged
from coremerge_ref.analysis.explain.text import (
    ESTIMATED,
    _moves,
    _Name,
    _stem,
    at_separators,
    headline,
    plain,
    smallest,
    tabulated,
)
from coremerge_ref.perturbation.carried import Errors, Level, Margin, Spectrum

EPS = 2.0**-52
GOOD = Bound("float64", EPS, 2.0, 3.0, 6 * EPS, "well-posed", "arithmetic is fine")
INPUT = Bound("float16", 2.0**-10, 0.5, 12.0, 6 * 2.0**-10, "sensitive", "inputs are coarse", "widen them")
BAD = replace(GOOD, verdict="ill-posed", relative=1.5, reason="a tie", remedy="take another rank")
MARGINS = (
    Margin("ties", "the gap,", 0.25, 1, 40.0),
    Margin("ties", "the gap,", 0.125, 2, 80.0),
    Margin("ties", "the gap,", 0.5, 0, 1.0),
    Margin("ta", "the sum", 3.0),
)
SPECTRA = (
    Spectrum("core", "[B]", np.array([4.0, 2.0, 0.5]), 2, 1.5e-9),
    Spectrum("tsv", "M_t", np.array([3.0]), 1, None, 0),
    Spectrum("tsv", "M_t", np.array([3.0, 1.0]), 0, 0.0, 1),
)
ONE = Explanation("blocks.0.q", "ties", "core", (9, 8), 2, 3, 4, {}, GOOD, INPUT, (), ())


def rows(shown: Any) -> list[list[str]]:
    """Lines as their cells, which two blanks part."""
    return [re.split(" {2,}", line.strip()) for line in plain(shown).splitlines() if line.strip()]


# ---- one layer ---------------------------------------------------------------------------------------------------
def test_a_layer_is_told_by_its_verdict_what_it_is_its_reason_and_what_to_do() -> None:
    first, second, third, *_ = plain(ONE).splitlines()
    assert first == "well-posed  blocks.0.q: ties in core space, 2 tasks of 9 × 8, live 3 × 4"
    assert (second, third) == ("arithmetic is fine", "What to do: widen them.")
    nameless = plain(replace(ONE, layer="", input_bound=GOOD)).splitlines()
    assert nameless[0] == "well-posed  ties in core space, 2 tasks of 9 × 8, live 3 × 4"
    assert not any("What to do" in line for line in nameless)
    bad = plain(replace(ONE, bound=BAD)).splitlines()
    assert [line for line in bad if "What to do" in line] == ["What to do: take another rank."]  # the first alone


def test_both_bounds_are_rows_and_what_says_nothing_is_a_dash() -> None:
    found = rows(ONE)[3:]
    assert found == [
        ["rounding of", "eps", "condition", "moves ΔW by at most", "verdict"],
        ["arithmetic in float64", "2.2e-16", "3", "1.3e-15", "well-posed"],
        ["inputs to float16", "9.8e-04", "12", "5.9e-03", "sensitive"],
    ]
    assert rows(replace(ONE, bound=BAD))[4] == ["arithmetic in float64", "2.2e-16", "–", "–", "ill-posed"]
    for relative, shown in ((1.0, "1.0e+00"), (1.0001, "–"), (np.inf, "–"), (0.0, "0.0e+00")):
        assert _moves(replace(GOOD, relative=relative)) == shown


@pytest.mark.parametrize(
    ("undecided", "said"),
    [
        (None, []),
        (np.zeros((2, 3), dtype=bool), []),
        (np.array([[True, False, True]]), ["2 of 3 entries are undecided."]),
    ],
)
def test_undecided_entries_are_counted(undecided: np.ndarray | None, said: list[str]) -> None:
    text = plain(replace(ONE, undecided=undecided)).splitlines()
    assert [line for line in text if "undecided" in line] == said


def test_estimates_are_called_that() -> None:
    assert ESTIMATED not in plain(ONE)
    assert ESTIMATED in plain(replace(ONE, estimated=True)).splitlines()
    many = Explanations({"a": ONE, "b": replace(ONE, estimated=True)})
    assert ESTIMATED in plain(many).splitlines()
    assert ESTIMATED not in plain(Explanations({"a": ONE}))


def test_margins_are_rows_one_of_each_kind_where_it_is_smallest() -> None:
    assert smallest(MARGINS) == [MARGINS[1], MARGINS[3]]
    assert smallest(MARGINS[::-1]) == [MARGINS[3], MARGINS[1]]
    equal = (MARGINS[0], replace(MARGINS[0], task=5))
    assert smallest(equal) == [equal[0]]
    assert smallest((MARGINS[0], replace(MARGINS[0], stage="trim"))) == [
        MARGINS[0],
        replace(MARGINS[0], stage="trim"),
    ]
    found = rows(replace(ONE, margins=MARGINS))
    start = found.index(["margin", "stage", "at", "number", "condition"])
    assert found[start + 1 :] == [["the gap", "ties", "task 2", "0.12", "80"], ["the sum", "ta", "3"]]


def test_spectra_are_rows_with_what_is_kept_and_what_is_cut() -> None:
    found = rows(replace(ONE, spectra=SPECTRA))
    start = found.index(["spectrum", "kept", "largest", "last kept", "first dropped", "zero below"])
    assert found[start + 1 :] == [
        ["core: [B]", "2 of 3", "4", "2", "0.5", "1.5e-09"],
        ["tsv: task 0: M_t", "1 of 1", "3", "3"],
        ["tsv: task 1: M_t", "0 of 2", "3", "3"],  # the largest, and the first that is dropped
    ]


NARROW = replace(GOOD, dtype="float32", eps=2.0**-23)


def test_what_is_zero_in_float32_alone_is_said() -> None:
    one = replace(ONE, bound=NARROW, narrower_zeros={"core: [B]": 2, "iso: M": 1})
    said = "Taken for zero in float32 and not in float64, which is another merge: core: [B], 2; iso: M, 1."
    assert " ".join(plain(one).split()).endswith(said)
    assert "another merge" not in plain(ONE)
    many = {"a": one, "b": replace(one, narrower_zeros={}), "c": one}
    said = "In 2 of 3 layers float32 takes singular values for zero that float64 would not, which is another merge."
    assert said in " ".join(plain(Explanations(many)).split())
    assert "another merge" not in plain(Explanations({"b": many["b"]}))


def test_tables_stand_at_the_left_after_a_blank_line_and_none_follows() -> None:
    lines = plain(replace(ONE, margins=MARGINS, spectra=SPECTRA)).splitlines()
    blank = [i for i, line in enumerate(lines) if not line]
    assert [lines[i + 1].split(" ")[0] for i in blank] == ["rounding", "margin", "spectrum"]
    assert all(line == line.lstrip() for line in lines)
    assert lines[-1].startswith("tsv: task 1: M_t")
    many = plain(Explanations(layers("a.0.x", "b.0.x"))).splitlines()
    blank = [i for i, line in enumerate(many) if not line]
    assert [many[i + 1].split(" ")[0] for i in blank] == ["layer", "a.0.x:"]
    assert all(line == line.lstrip() for line in many)


# ---- many layers -------------------------------------------------------------------------------------------------
def test_the_headline_counts_verdicts_of_both_readings_the_best_first() -> None:
    layers = [ONE, replace(ONE, bound=BAD), replace(ONE, bound=BAD), replace(ONE, input_bound=GOOD)]
    many = Explanations({str(i): e for i, e in enumerate(layers)})
    assert headline(many) == (
        "arithmetic: 2 well-posed, 2 ill-posed · your float16 and float64 inputs: 1 well-posed, 3 sensitive"
    )
    assert headline(Explanations({"a": ONE})) == "arithmetic: 1 well-posed · your float16 inputs: 1 sensitive"


def layers(*names: str, **changes: Any) -> dict[str, Explanation]:
    return {name: replace(ONE, layer=name, **changes) for name in names}


def test_layers_that_differ_in_their_number_alone_are_one_row_the_worst_first() -> None:
    many = Explanations(layers("b.0.q", "b.1.q", "b.0.v") | layers("b.2.q", bound=BAD))
    found = rows(many)
    assert found[0] == [headline(many)]
    assert found[1:5] == [
        ["layer", "layers", "arithmetic", "moves by", "inputs", "move by"],
        ["b.2.q", "1", "ill-posed", "–", "sensitive", "5.9e-03"],
        ["b.*.q", "2", "well-posed", "1.3e-15", "sensitive", "5.9e-03"],
        ["b.0.v", "1", "well-posed", "1.3e-15", "sensitive", "5.9e-03"],
    ]
    said = [" ".join(cells) for cells in found[5:]]
    assert said[0] == "b.2.q: a tie. What to do: take another rank."
    assert [line.split(":")[0] for line in said[1:]] == ["b.0.q", "b.0.v"]
    assert all(line.endswith("inputs are coarse. What to do: widen them.") for line in said[1:])
    every = [cells[0] for cells in rows(tabulated(many, every=True))[2:6]]
    assert every == ["b.2.q", "b.0.q", "b.1.q", "b.0.v"]
    assert all(cells[1] == "1" for cells in rows(tabulated(many, every=True))[2:6])


@pytest.mark.parametrize(("count", "more"), [(5, 0), (6, 1), (8, 3)])
def test_five_groups_are_shown_and_the_layers_of_the_others_counted(count: int, more: int) -> None:
    names = [f"{'abcdefgh'[i]}.x" for i in range(count)]
    many = Explanations(layers(*names, input_bound=GOOD))
    text = plain(many).splitlines()
    assert sum(".x" in line for line in text) == min(count, 5)
    assert [line for line in text if "--all" in line] == [f"and {more} layers more; --all shows them"] * (more > 0)
    assert not any("What to do" in line for line in text)
    assert not any("--all" in line for line in plain(tabulated(many, every=True)).splitlines())
    several = Explanations(layers(*names, "z.0.x", "z.1.x", input_bound=GOOD))
    if more:
        assert f"and {more + 2} layers more" in plain(several)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("b.0.q", "b.*.q"),
        ("b.12.q.3", "b.*.q.*"),
        ("0.q", "*.q"),
        ("1.2.3", "*.*.*"),
        ("b0.q1", "b0.q1"),
        ("", ""),
        ("b.0a.q", "b.0a.q"),
    ],
)
def test_layer_numbers_are_stars(name: str, stem: str) -> None:
    assert _stem(name) == stem


@pytest.mark.parametrize(
    ("name", "width", "lines"),
    [
        ("model.layers.0", 100, ["model.layers.0"]),
        ("model.layers.0", 14, ["model.layers.0"]),
        ("model.layers.0", 13, ["model.layers.", "0"]),
        ("model.layers.0", 8, ["model.", "layers.0"]),
        ("model.layers.0", 1, ["model.", "layers.", "0"]),
        ("a_b-c/d", 2, ["a_", "b-", "c/", "d"]),
        ("a_b-c/d", 4, ["a_b-", "c/d"]),
        ("..a__b", 3, ["..", "a__", "b"]),
        ("", 5, [""]),
    ],
)
def test_names_are_broken_after_their_separators(name: str, width: int, lines: list[str]) -> None:
    assert at_separators(name, width) == lines
    assert "".join(at_separators(name, width)) == name


def test_a_long_name_is_whole_where_there_is_room_and_broken_where_there_is_not() -> None:
    long = ".".join(["transformer", "encoder", "attention", "projection"] * 4)
    text = plain(Explanations(layers(long, input_bound=GOOD)))
    assert long in "".join(line.split(" ")[0] for line in text.splitlines()[2:])
    assert all(len(line) <= 100 for line in text.splitlines())
    measure = _Name("model.layers.0").__rich_measure__(None, None)  # type: ignore[arg-type]
    assert (measure.minimum, measure.maximum) == (7, 14)
    assert _Name("").__rich_measure__(None, None).maximum == 0  # type: ignore[arg-type]


# ---- verdicts ----------------------------------------------------------------------------------------------------
COMPUTE, HALF = Level("compute", "float64", EPS, 4.0), Level("input", "float16", 2.0**-10, 0.5)


def errors(level: Level, doubts: Any = (), margins: Any = (), estimated: bool = False) -> Errors:
    made = Errors(level, (2, 2), np.zeros(1), np.zeros((1, 2, 2)), np.ones(1), (0,), False, {}, level.eps)
    made.doubts, made.margins, made.estimated = list(doubts), list(margins), estimated
    return made


WIDER = {"float16": "keep the adapters in a wider dtype than float16", "float32": "compute in float64"}
TIE = ("two equal values", "take another rank")


def judged_as(level: Level, bound: float, size: float, doubts: Any, verdict: str, said: str, remedy: str) -> None:
    found = judged(errors(level, doubts), bound, size)
    assert (found.verdict, found.remedy) == (verdict, remedy)
    assert re.search(parts(said), found.reason)
    assert (found.dtype, found.eps, found.growth) == (level.dtype, level.eps, level.growth)
    expected = bound / size if size else (np.inf if bound else 0.0)
    expected = np.inf if np.isnan(expected) else expected
    assert found.relative == pytest.approx(expected)
    assert found.condition == pytest.approx(expected / (level.eps * level.growth))
    assert found.discontinuity == ("two equal values" if doubts and bound != 0 else "")


@pytest.mark.parametrize(
    ("level", "bound", "size", "verdict", "said", "remedy"),
    [
        (COMPUTE, 1e-4, 2.0, "well-posed", "float64 moves the result by at most 5.0e-05 of its size", ""),
        (COMPUTE, 2e-3, 2.0, "well-posed", "moves the result by at most 1.0e-03", ""),
        (COMPUTE, 2.2e-3, 2.0, "sensitive", "may move the result by at most 1.1e-03", ""),
        (COMPUTE, 2.0, 2.0, "sensitive", "may move the result by at most 1.0e+00", ""),
        (COMPUTE, 2.1, 2.0, "sensitive", "may move the result by as much as its size", ""),
        (COMPUTE, 0.0, 0.0, "well-posed", "at most 0.0e+00", ""),
        (COMPUTE, 1e-300, 0.0, "sensitive", "as much as its size", ""),
        (COMPUTE, np.nan, 1.0, "sensitive", "as much as its size", ""),
        (COMPUTE, np.nan, 0.0, "sensitive", "as much as its size", ""),
        (HALF, 1e-4, 2.0, "well-posed", "rounding to float16 moves", ""),
        (HALF, 0.5, 2.0, "sensitive", "rounding to float16 may move", WIDER["float16"]),
        (replace(COMPUTE, dtype="float32"), 0.5, 2.0, "sensitive", "float32 may move", WIDER["float32"]),
    ],
)
def test_a_bound_is_judged_by_its_share_of_the_result(
    level: Level, bound: float, size: float, verdict: str, said: str, remedy: str
) -> None:
    judged_as(level, bound, size, [], verdict, said, remedy)


@pytest.mark.parametrize(
    ("level", "bound", "verdict", "said", "remedy"),
    [
        (COMPUTE, 2.2e-3, "ill-posed", "two equal values", "take another rank"),
        (COMPUTE, 2e-3, "well-posed", "1.0e-03 … hangs on rounding (two equal values)", ""),
        (COMPUTE, 1e-4, "well-posed", "5.0e-05 … hangs on rounding (two equal values)", ""),
        (COMPUTE, 0.0, "well-posed", "at most 0.0e+00 of its size", ""),
        (COMPUTE, np.nan, "ill-posed", "two equal values", "take another rank"),
        (HALF, 0.5, "ill-posed", "two equal values", f"{WIDER['float16']}, or take another rank"),
        (replace(HALF, dtype="float64"), 0.5, "ill-posed", "two equal values", "take another rank"),
    ],
)
def test_what_hangs_on_rounding_decides_where_it_moves_the_result(
    level: Level, bound: float, verdict: str, said: str, remedy: str
) -> None:
    judged_as(level, bound, 2.0, [TIE], verdict, said, remedy)


def test_the_first_doubt_and_the_weakest_margin_are_named() -> None:
    plain_margins = [Margin("ties", "a share", 0.5)]
    margins = [*plain_margins, Margin("tsv", "the gap", 0.25, 1, 4.0), Margin("iso", "the last", 0.125, None, 8.0)]
    assert "weakest" not in judged(errors(COMPUTE, [], plain_margins), 1e-9, 1.0).reason
    said = judged(errors(COMPUTE, [], margins), 1e-9, 1.0).reason
    assert said.endswith("; the weakest point is iso: the last is 0.12")
    doubted = judged(errors(COMPUTE, [TIE, ("another", "else")], margins), 1e-9, 1.0)
    assert "weakest" not in doubted.reason
    assert "another" not in doubted.reason
    assert doubted.discontinuity == TIE[0]


def test_an_estimate_says_so_and_any_doubt_of_it_is_one() -> None:
    said = judged(errors(COMPUTE, estimated=True), 1e-9, 1.0).reason
    assert re.search(parts("by about 1.0e-09 of its size … no bound is known for this method"), said)
    assert judged(errors(COMPUTE, [TIE], estimated=True), 1e-9, 1.0).verdict == "ill-posed"


def test_layers_are_ranked_by_the_verdict_on_arithmetic_then_on_inputs_then_by_their_bounds() -> None:
    given = {
        "fine": replace(ONE, input_bound=GOOD),
        "moves more": replace(ONE, bound=replace(GOOD, relative=1e-4), input_bound=GOOD),
        "inputs": ONE,
        "inputs more": replace(ONE, input_bound=replace(INPUT, relative=0.5)),
        "sensitive": replace(ONE, bound=replace(GOOD, verdict="sensitive")),
        "bad": replace(ONE, bound=replace(BAD, relative=0.0), input_bound=GOOD),
    }
    many = Explanations({name: replace(e, layer=name) for name, e in given.items()})
    assert [e.layer for e in many.ranked()] == ["bad", "sensitive", "inputs more", "inputs", "moves more", "fine"]
    assert (many.verdict, many.reason, many.worst.layer) == ("ill-posed", "layer 'bad': a tie", "bad")
