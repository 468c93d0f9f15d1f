"""What became of the properties, line by line, and the code that shows a failure."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from coremerge_ref.conformance import checks, properties
from coremerge_ref.conformance.answers import ANSWERED, BROKEN, UNSUPPORTED, Answer
from coremerge_ref.conformance.claims import METHODS, THEOREMS, Claim, Draw, question
from coremerge_ref.conformance.configs import SPACES
from coremerge_ref.conformance.outcomes import FORMAT, Outcome, PropertyReport, reproduction
from coremerge_ref.conformance.properties import Trial, Violated, hold, theorems
from coremerge_ref.conformance.provenance import version

HELD = Outcome("lossless", "one task comes back", "pass", 12, [("ta", "core"), ("tsv", "full")])
FAILED = Outcome(
    "order",
    "tasks in another order",
    "fail",
    7,
    [("ta", "core")],
    [("ta", "core"), ("ties", "full")],
    "off\x1b",
    "code",
)
NOTHING = Outcome("scale", "c times", "unsupported")


def report(*outcomes: Outcome) -> PropertyReport:
    return PropertyReport(list(outcomes), "m:merge", 5, "float32", 1.26)


# ---- reports -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("outcomes", "ok"),
    [((HELD,), True), ((HELD, NOTHING), True), ((HELD, FAILED), False), ((NOTHING,), False), ((), False)],
)
def test_a_report_is_right_where_something_held_and_nothing_failed(outcomes: tuple[Outcome, ...], ok: bool) -> None:
    assert report(*outcomes).ok is ok
    assert json.loads(report(*outcomes).to_json())["ok"] is ok


def test_the_summary_has_a_line_for_each_property_and_the_code_of_each_failure() -> None:
    found = report(HELD, FAILED, NOTHING).summary().splitlines()
    assert found[0] == f"m:merge: properties, kit {version()}, float32, --seed 5"
    assert [" ".join(line.split()) for line in found[1:4]] == [
        "pass lossless one task comes back (12 examples of 2 method-space pairs)",
        "fail order tasks in another order (7 examples of 1 method-space pairs)",
        "unsupported scale c times (nothing to ask)",
    ]
    assert len({line.index(name) for line, name in zip(found[1:4], ("lossless", "order", "scale"), strict=True)}) == 1
    assert found[4:] == ["", r"order fails for ta in core, ties in full: off\x1b", "code", "1.3 s"]
    assert report(HELD).table() == report(HELD).summary()
    nothing = report(NOTHING).summary().splitlines()
    assert nothing[-2].startswith("nothing was answered")
    assert nothing[-2].endswith("not conformant")
    assert not any("nothing was answered" in line for line in found)


def test_json_holds_what_the_summary_says() -> None:
    whole = json.loads(report(FAILED).to_json())
    (told,) = whole.pop("properties")
    assert whole == {
        "format": FORMAT, "ok": False, "function": "m:merge", "kit": version(), "seed": 5, "precision": "float32",
        "seconds": 1.26,
    }  # fmt: skip
    assert told == {
        "name": "order", "sentence": "tasks in another order", "verdict": "fail", "examples": 7,
        "tested": [["ta", "core"]], "failed": [["ta", "core"], ["ties", "full"]], "why": r"off\x1b", "code": "code",
    }  # fmt: skip


# ---- code that shows a failure -----------------------------------------------------------------------------------
B, A = np.array([[1.0, 2.0], [0.5, -1.0]]), np.array([[1.0, 0, 2], [0, 1, 0]])
FIRST = question([(B, A, 2.0)], "ta", "core", {"ta": {}})
SECOND = question([(A.T, B.T, -1.0)], "ta", "core", {"ta": {}})


def right(case: Any) -> np.ndarray:
    return np.asarray(sum(s * B @ A for B, A, s in case.updates))


@pytest.mark.parametrize(
    "claim",
    [
        Claim(FIRST, known=np.ones((2, 3))),
        Claim(FIRST, FIRST),
        Claim(FIRST, SECOND, transposed=True),
        Claim(FIRST, FIRST, factor=-3.0),
        Claim(FIRST, FIRST, left=np.array([[0.0, 1], [1, 0]]), right=np.diag([1.0, -1, 1])),
        Claim(question([(B[:, :0], A[:0], 1.0)], "ta", "full", {"ta": {}}), known=np.zeros((2, 3)), factor=2.0),
    ],
)
def test_the_code_asks_again_and_has_both_sides(claim: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    code = reproduction(claim, "mine:merge", "the sides\ndiffer")
    monkeypatch.setattr("coremerge_ref.conformance.load", {"mine:merge": right}.__getitem__)
    given: dict[str, Any] = {}
    exec(code, given)
    np.testing.assert_allclose(given["left"], right(claim.first))
    known = claim.known if claim.second is None else right(claim.second)
    np.testing.assert_allclose(given["right"], claim.expected(known))
    assert code.splitlines()[-1] == "print(left - right)  # rounding is expected; the sides differ"


# ---- trials ------------------------------------------------------------------------------------------------------
class Answering:
    """A way to ask that has one answer to everything."""

    supports = None

    def __init__(self, answer: Any) -> None:
        self.given, self.asked = answer, 0

    def answer(self, case: Any) -> Answer:
        self.asked += 1
        return self.given(case) if callable(self.given) else self.given


LOSSLESS = next(t for t in THEOREMS if t.name == "lossless")
PAIRS = [("ta", "core"), ("drm", "core"), ("ta", "full")]


def held(answer: Any, examples: int = 5, seed: int = 0) -> tuple[Outcome, Answering]:
    way = Answering(answer)
    return hold(way, LOSSLESS, PAIRS, examples, seed, "float64", "mine:merge"), way  # type: ignore[arg-type]


def test_a_theorem_is_asked_of_the_pairs_that_it_holds_for() -> None:
    outcome, way = held(lambda case: Answer(ANSWERED, right(case)))
    assert (outcome.name, outcome.sentence, outcome.verdict) == ("lossless", "one task comes back", "pass")
    assert (outcome.tested, outcome.failed, outcome.why, outcome.code) == ([("ta", "core"), ("ta", "full")], [], "", "")
    assert outcome.examples == way.asked == 10


def test_what_fails_is_told_with_the_smallest_example_and_its_code() -> None:
    outcome, _ = held(lambda case: Answer(ANSWERED, 2 * right(case)))
    assert (outcome.verdict, outcome.failed) == ("fail", [("ta", "core"), ("ta", "full")])
    assert outcome.why.startswith("the two sides differ by 1 of")
    assert "merge = load('mine:merge')" in outcome.code
    assert outcome.places() == "ta in core, ta in full"
    again, _ = held(lambda case: Answer(ANSWERED, 2 * right(case)))
    assert again == outcome


def test_a_theorem_of_no_pair_is_unsupported() -> None:
    outcome = hold(Answering(None), LOSSLESS, [("drm", "core")], 5, 0, "float64", "x")  # type: ignore[arg-type]
    assert (outcome.verdict, outcome.examples, outcome.tested, outcome.failed) == ("unsupported", 0, [], [])


def test_a_process_that_was_lost_is_not_asked_for_a_smaller_example(monkeypatch: pytest.MonkeyPatch) -> None:
    assumed: list[bool] = []
    monkeypatch.setattr("hypothesis.assume", assumed.append)
    lost = Answering(Answer(BROKEN, message="no answer within 5 s"))
    trial = Trial(lost, LOSSLESS, "float64")  # type: ignore[arg-type]
    draw = Draw("ta", "core", [(B, A, 1.0)], np.random.default_rng(0))
    with pytest.raises(Violated, match="no answer within 5 s"):
        trial(draw)
    assert (trial.count, lost.asked) == (1, 1)
    trial(draw)
    assert (trial.count, lost.asked) == (1, 1)
    lost.given = Answer(BROKEN, message="KeyError")
    trial.failing = (trial.failing[0], "KeyError") if trial.failing else None
    with pytest.raises(Violated, match="KeyError"):
        trial(draw)
    assert (trial.count, lost.asked) == (2, 2)
    assert assumed == [True, True]
    lost.given = Answer(UNSUPPORTED)
    trial(draw)
    assert assumed[2:] == [False]


def test_drawn_updates_are_short_numbers_of_every_kind() -> None:
    seen: list[Any] = []

    def remembered(case: Any) -> Answer:
        seen.append(case)
        return Answer(ANSWERED, right(case))

    order = next(t for t in THEOREMS if t.name == "order")
    hold(Answering(remembered), order, [("ta", "core")], 60, 0, "float64", "x")  # type: ignore[arg-type]
    updates = [update for case in seen for update in case.updates]
    assert {len(case.updates) for case in seen} == {1, 2, 3, 4}
    assert {B.shape[1] for B, _, _ in updates} == {0, 1, 2, 3}
    assert {s for _, _, s in updates} == {1.0, 2.0, 0.5, -1.0, 3.0}
    sizes = {size for case in seen for size in case.shape}
    assert sizes == {1, 2, 3, 4, 5, 6}
    entries = np.concatenate([x.ravel() for B, A, _ in updates for x in (B, A)])
    assert np.abs(entries).max() <= 2
    assert np.abs(entries).max() > 1.9
    np.testing.assert_allclose(entries * 1000, np.round(entries * 1000), atol=1e-9)
    assert any(not B.any() and B.size for B, _, _ in updates)
    assert any(case.updates[0][0] is case.updates[-1][0] for case in seen if len(case.updates) > 1)


# ---- all of them -------------------------------------------------------------------------------------------------
def test_theorems_are_all_or_those_named_in_their_order() -> None:
    assert theorems() == theorems([]) == list(THEOREMS)
    assert [t.name for t in theorems(["scale", "lossless"])] == ["lossless", "scale"]
    with pytest.raises(ValueError, match="no such properties: a, b; there are lossless, copies"):
        theorems(["b", "scale", "a"])


def test_a_run_tells_its_progress_and_what_it_was_asked() -> None:
    told: list[tuple[int, int]] = []
    found = properties.check_properties(
        right_or_nothing, only=["order", "lossless"], examples=3, seed=9, progress=lambda *at: told.append(at)
    )
    assert told == [(1, 2), (2, 2)]
    assert (found.seed, found.precision) == (9, "float64")
    assert found.function.endswith("right_or_nothing")
    assert found.seconds > 0
    assert [(o.name, o.verdict, o.examples) for o in found.outcomes] == [("lossless", "pass", 3), ("order", "pass", 3)]


def right_or_nothing(case: Any) -> np.ndarray:
    if case.method != "ta" or case.space != "core":
        raise NotImplementedError
    weights = case.params["ta"]["weights"]
    return np.asarray(sum(w * s * B @ A for w, (B, A, s) in zip(weights, case.updates, strict=True)))


def test_supported_pairs_are_all_but_those_that_are_not_done() -> None:
    pairs = properties.supported_pairs(Answering(Answer(BROKEN)))  # type: ignore[arg-type]
    assert pairs == [(method, space) for method in METHODS for space in SPACES]
    assert properties.supported_pairs(Answering(Answer(UNSUPPORTED))) == []  # type: ignore[arg-type]


# ---- in pytest ---------------------------------------------------------------------------------------------------
def test_each_property_is_one_test_that_fails_or_is_skipped_with_its_reason() -> None:
    way = Answering(lambda case: Answer(ANSWERED, 2 * right(case)))
    with pytest.raises(pytest.fail.Exception) as caught:
        checks._hold(way, LOSSLESS, 2, 4, "float64", "mine:merge")  # type: ignore[arg-type]
    first, *code = str(caught.value).splitlines()
    assert first.startswith("lossless: one task comes back. Fails for ta in full, ")
    assert first.endswith("(seed 4)")
    assert "the two sides differ" in first
    assert code[0] == "import numpy as np"
    assert not caught.value.pytrace
    with pytest.raises(pytest.skip.Exception, match="nothing that it holds for is supported"):
        checks._hold(Answering(Answer(UNSUPPORTED)), LOSSLESS, 2, 4, "float64", "x")  # type: ignore[arg-type]


def test_properties_are_parameters_with_their_names() -> None:
    mark = checks.parametrize_with_properties(right_or_nothing, only=["zero task", "scale"], examples=3, seed=6)
    assert mark.args[0] == "check"
    assert [param.id for param in mark.args[1]] == ["scale", "zero-task"]
    for param in mark.args[1]:
        assert param.values[0].args[2:] == (3, 6, "float64", right_or_nothing)
        assert param.values[0]() is None
    default = checks.parametrize_with_properties(right_or_nothing)
    assert [param.id for param in default.args[1]] == [t.name.replace(" ", "-") for t in THEOREMS]
    assert default.args[1][0].values[0].args[2:4] == (properties.EXAMPLES, 0)


def test_outcomes_are_values() -> None:
    assert replace(HELD, verdict="fail") != HELD
    assert (HELD.failed, HELD.why, HELD.code) == ([], "", "")
