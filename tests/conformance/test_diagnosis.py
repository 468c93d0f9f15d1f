"""Failing answers are searched for pairs of mistakes, a few for every likely one, the others for those found there."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from coremerge_ref.conformance import cases, diagnosis
from coremerge_ref.conformance.diagnosis import Diagnosis, causes, diagnose_all, naming, overflows, plain
from coremerge_ref.conformance.questions import Case

CASE, OTHER = cases("ta/core/generic")[0], cases("ta/core/hetero")[0]
PLAIN, FULL = cases("ta-plain/core/generic")[0], cases("ta/full/generic")[0]
PAIR = "scaling-ignored+result-negated"
NOISE = np.random.default_rng(0).standard_normal(CASE.shape)


class Searched:
    """In place of `matching`: what was searched for, and a pair found where the list has it."""

    def __init__(self, found: str = "") -> None:
        self.found, self.calls = found, list[tuple[str, list[str]]]()

    def __call__(self, case: Case, answer: Any, names: Iterable[str] | None = None) -> list[str]:
        if names is None:
            return []  # no mistake by itself
        self.calls.append((case.name, list(names)))
        return [name for name in self.calls[-1][1] if name == self.found]


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> Searched:
    made = Searched(PAIR)
    monkeypatch.setattr(diagnosis, "matching", made)
    monkeypatch.setattr(diagnosis, "by_structure", lambda case, answer: [])
    monkeypatch.setattr(diagnosis, "likely_pairs", lambda case: [PAIR, "scaling-twice+sum-for-mean"])
    monkeypatch.setattr(diagnosis, "PAIR_SEARCHES", 2)
    return made


def test_all_likely_pairs_are_searched_on_a_few_cases_and_on_the_others_those_found(searched: Searched) -> None:
    told = diagnose_all([(CASE, NOISE)] * 4)
    assert [names for _, names in searched.calls] == [[PAIR, "scaling-twice+sum-for-mean"]] * 2 + [[PAIR]] * 2
    assert [one.mistakes for one in told] == [(PAIR,)] * 4


def test_the_few_are_of_all_methods_and_spaces_in_turn(searched: Searched) -> None:
    given = [CASE, OTHER, FULL, PLAIN]
    diagnose_all([(case, NOISE) for case in given])
    kinds = [CASE, FULL, PLAIN]  # OTHER is of the kind of CASE, so it comes last
    assert [name for name, _ in searched.calls] == [case.name for case in (*kinds, OTHER)]
    assert [len(names) for _, names in searched.calls] == [2, 2, 1, 1]


def test_what_is_plain_or_named_already_is_not_searched(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "by_structure", lambda case, answer: ["half-precision"] * (case is FULL))
    told = diagnose_all([(CASE, NOISE.T), (CASE, NOISE[:3]), (CASE, NOISE * np.nan), (FULL, NOISE), (OTHER, NOISE)])
    assert [name for name, _ in searched.calls] == [OTHER.name]
    assert [one.mistakes for one in told] == [("result-transposed",), (), (), ("half-precision",), (PAIR,)]


def test_a_pair_is_named_on_the_answer_that_two_mistakes_give() -> None:
    weights = CASE.params["ta"]["weights"]
    unscaled = sum(w * (B @ A) for w, (B, A, _) in zip(weights, CASE.updates, strict=True))
    (told,) = diagnose_all([(CASE, -unscaled)])
    assert "scaling-ignored+result-negated" in {*told.mistakes} | {"+".join(n.split("+")[::-1]) for n in told.mistakes}


# ---- words -------------------------------------------------------------------------------------------------------
def test_of_many_mistakes_that_would_do_the_first_is_told_and_three_more_are_listed() -> None:
    names = ["result-negated", "scaling-ignored", "scaling-twice", "zero-matrix", "sum-for-mean"]
    assert not naming([])
    one, five = naming(names[:1]), naming(names)
    assert one.text.startswith("result-negated")
    assert "(or" not in one.text
    assert five.text == f"{one.text} (or scaling-ignored, scaling-twice, zero-matrix)"
    assert (one.mistakes, five.mistakes) == (tuple(names[:1]), tuple(names))


def test_what_is_plain_is_said_without_trying_mistakes() -> None:
    assert plain(CASE, NOISE) is None
    assert plain(CASE, NOISE > 0) is None
    assert plain(CASE, NOISE.T).mistakes == ("result-transposed",)
    for answer in (NOISE[:3], NOISE[None], NOISE + 0j, NOISE * np.inf):
        assert plain(CASE, answer) == Diagnosis()
    huge, zeros = cases("ta/core/huge")[0], cases("drm/core/zero_b")[0]
    assert "overflow" in plain(huge, np.full(huge.shape, np.inf)).text
    assert plain(zeros, np.full(zeros.shape, np.nan)).mistakes == ("drm-divides-zero-rows",)
    assert (overflows(huge), overflows(CASE)) == (True, False)


def test_as_few_causes_as_explain_all_are_told() -> None:
    one, two = "result-negated", "scaling-ignored"
    given = [Diagnosis("x", (one, two)), Diagnosis("y", (two,)), Diagnosis("z", (one,)), Diagnosis("w", (two,))]
    told = causes([*given, Diagnosis("columns"), Diagnosis()])
    assert [text.split(":")[0] for text in told] == [two, two, one, two, "columns", ""]
