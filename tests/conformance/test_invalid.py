"""Invalid input: asked last, judged apart, never required; a right implementation refuses all of it."""

import json

import jsonschema
import numpy as np
import pytest
from doubles import Double

import coremerge_ref as cm
from coremerge_ref import conformance
from coremerge_ref.conformance.answers import ANSWERED, BROKEN, CHANGED, UNSUPPORTED, Answer
from coremerge_ref.conformance.invalid import SETTINGS, UPDATES, Reaction, invalid_cases, react, told
from coremerge_ref.conformance.report import schema

ONLY = ["ta-plain/full/generic", "invalid/"]


def ours(case):
    weights = next((p["weights"] for p in case.params.values() if "weights" in p), None)
    parameters = {stage: {k: v for k, v in p.items() if k != "weights"} for stage, p in case.params.items()}
    if "dare" in parameters:
        parameters["dare"]["masks"] = case.masks
    updates = [cm.LowRankUpdate(B, A, s) for B, A, s in case.updates]
    return cm.merge(updates, cm.preset(case.method, "paper", parameters), case.space, weights=weights)


def careless(case):
    """Looks at nothing: takes what it gets, whatever the parameters."""
    if len(case.updates) == 0:
        return np.zeros((2, 2))
    return np.nan_to_num(Double()(conformance.cases("ta-plain/full/generic")[0]))


def test_this_package_refuses_all_of_it():
    report = conformance.run(ours, only=ONLY)
    assert report.ok
    assert {r.case for r in report.invalid} == {case.name for case in invalid_cases()}
    assert [r for r in report.invalid if r.outcome != "refused"] == []
    assert all(r.said for r in report.invalid)
    assert f"{len(report.invalid)} of {len(report.invalid)} refused" in report.summary()


def test_nothing_depends_on_it():
    report = conformance.run(careless, only=ONLY)
    assert report.ok
    assert {r.outcome for r in report.invalid} == {"taken"}
    assert f"0 of {len(report.invalid)} refused" in report.summary()
    assert "gave finite numbers: NaN in B of the second task; " in report.summary()
    whole = json.loads(report.to_json())
    jsonschema.validate(whole, schema())
    assert whole["invalid"][0]["outcome"] == "taken"
    assert whole["counts"] == {"pass": 1}


def test_nan_that_comes_out_is_told_apart_and_what_is_not_done_is_not_counted():
    def undefended(case):
        if case.method != "ta" or not case.updates:
            raise NotImplementedError
        return sum(s * B @ A for B, A, s in case.updates)

    with np.errstate(all="ignore"):
        report = conformance.run(undefended, only=ONLY)
    outcomes = {r.case: r.outcome for r in report.invalid}
    assert outcomes["invalid/nan-in-b/ta-plain"] == "not finite"
    assert outcomes["invalid/overflow/ta-plain"] == "not finite"
    assert outcomes["invalid/ranks-disagree/ta-plain"] == "refused"
    assert outcomes["invalid/no-task/ta-plain"] == outcomes["invalid/rank-0"] == "unsupported"
    assert "gave NaN or infinity: NaN in B of the second task; " in report.summary()


def test_it_is_chosen_like_cases_and_left_out_where_cases_are_given():
    names = [case.name for case in invalid_cases()]
    assert len(names) == len(set(names)) == 3 * len(UPDATES) + len(SETTINGS) + 1
    assert [c.name for c in invalid_cases("invalid/nan*", "*/ties")] == [
        n for n in names if n.startswith("invalid/nan") and not n.endswith("/ties")
    ]
    assert conformance.run(ours, only="ta-plain/full/generic").invalid == []
    assert conformance.run(ours, cases=conformance.cases("ta-plain/full/generic")).invalid == []


def test_in_a_process_of_its_own():
    report = conformance.run(f"{__file__}:ours", only=["ta-plain/full/generic", "invalid/n"], isolate=True)
    assert {r.outcome for r in report.invalid} == {"refused"}


def alike(x, y):
    return np.array_equal(x, y) and np.asarray(x).dtype == np.asarray(y).dtype


def form(masks):
    return None if masks is None else (masks.shape, masks.dtype)


@pytest.mark.parametrize("case", invalid_cases(), ids=lambda case: case.name)
def test_each_is_wrong_in_one_thing_alone(case):
    """The same question without it has an answer."""
    right = next(c for c in conformance.cases(f"{case.config}/full/generic") if c.config == case.config)
    same = [
        len(case.updates) == 3 and all(map(alike, got, given))
        for got, given in zip(case.updates, right.updates, strict=False)
    ]
    changed = {
        "updates": len(same) < 3 or not all(same),
        "params": json.dumps(case.params) != json.dumps(right.params),
        "masks": form(case.masks) != form(right.masks),
    }
    assert list(changed.values()).count(True) == 1


# ---- reactions ---------------------------------------------------------------------------------------------------
class Answering:
    """A way to ask that has one answer."""

    def __init__(self, answer, supports=None):
        self.given, self.supports = answer, supports

    def answer(self, case):
        return self.given


@pytest.mark.parametrize(
    ("answer", "outcome", "said"),
    [
        (Answer(UNSUPPORTED, message="later"), "unsupported", ""),
        (Answer(BROKEN, message="ValueError: no"), "refused", "ValueError: no"),
        (Answer(ANSWERED, np.zeros(2)), "taken", ""),
        (Answer(CHANGED, np.zeros(2)), "taken", ""),
        (Answer(ANSWERED, np.array([1.0, np.nan])), "not finite", ""),
        (Answer(ANSWERED, np.array([np.inf, 1.0])), "not finite", ""),
        (Answer(CHANGED, np.array([np.inf], dtype=np.float32)), "not finite", ""),
        (Answer(ANSWERED, np.array([1j * np.inf])), "not finite", ""),
        (Answer(ANSWERED, np.array([1j])), "taken", ""),
        (Answer(ANSWERED, np.array([3])), "taken", ""),
        (Answer(ANSWERED, np.array([True])), "taken", ""),
    ],
)
def test_a_reaction_is_an_error_finite_numbers_or_others(answer, outcome, said):
    (case,) = invalid_cases("invalid/rank-0")
    assert react(Answering(answer), [case]) == [Reaction("invalid/rank-0", "k is 0", outcome, said)]


def test_what_is_not_declared_is_not_asked():
    refused = Answer(BROKEN, message="no")
    given = invalid_cases()
    found = react(Answering(refused, {"methods": ["tsv", "cart"]}), given)
    assert [r.case for r in found] == [c.name for c in given if c.method in ("tsv", "cart")]
    assert react(Answering(refused, {"spaces": ["core"]}), given) == []


def test_reactions_are_told_in_two_or_three_lines():
    def of(*outcomes):
        return [Reaction(f"invalid/{i}", f"wrong {i % 3}", outcome) for i, outcome in enumerate(outcomes)]

    assert told([]) == told(of("unsupported", "unsupported")) == []
    assert told(of("refused", "unsupported", "refused"))[1:] == [
        "invalid input, which nothing is required of: 2 of 2 refused"
    ]
    lines = told(of("refused", "taken", "not finite", "taken", "taken"))
    assert lines[1:] == [
        "invalid input, which nothing is required of: 1 of 5 refused",
        "    gave finite numbers: wrong 1; wrong 0",  # each once
        "    gave NaN or infinity: wrong 2",
    ]


def test_a_reaction_is_written_bounded_and_printable():
    whole = Reaction("invalid/\x1b", "wrong", "refused", "y" * 10_000).as_dict()
    assert (whole["case"], whole["wrong"], whole["outcome"]) == (r"invalid/\x1b", "wrong", "refused")
    assert whole["said"].startswith("y" * 500 + " …")


def test_an_answer_would_have_the_shape_of_the_right_question():
    for case in invalid_cases():
        assert case.shape == (10, 8)
        assert (case.family, case.space) == ("invalid", "full")
        assert case.wrong
    assert {c.method for c in invalid_cases("invalid/nan-in-b")} == {"ta", "ties", "tsv"}


@pytest.mark.parametrize(
    ("name", "found", "expected"),
    [
        ("nan-in-b", lambda c: np.argwhere(np.isnan(c.updates[1][0])).tolist(), [[1, 1]]),
        ("nan-in-a", lambda c: np.argwhere(np.isnan(c.updates[1][1])).tolist(), [[1, 1]]),
        ("infinity-in-b", lambda c: c.updates[1][0][1, 1], np.inf),
        ("no-task", lambda c: len(c.updates), 0),
        ("other-shape", lambda c: [u[0].shape for u in c.updates], [(10, 2), (9, 2), (10, 2)]),
        ("ranks-disagree", lambda c: [u[0].shape for u in c.updates], [(10, 2), (10, 1), (10, 2)]),
        ("b-is-a-vector", lambda c: [u[0].shape for u in c.updates], [(10, 2), (10,), (10, 2)]),
        ("complex", lambda c: [u[0].dtype.kind for u in c.updates], ["f", "c", "f"]),
        ("overflow", lambda c: np.isfinite(c.updates[1][0]).all() and np.abs(c.updates[1][0]).max() > 1e170, True),
        ("weight-missing", lambda c: len(c.params["ta"]["weights"]), 2),
        ("weights-sum-to-zero", lambda c: sum(c.params["mean"]["weights"]), 0),
        ("masks-of-other-shape", lambda c: c.masks.shape, (3, 3, 3)),
    ],
)
def test_each_is_wrong_in_what_it_says(name, found, expected):
    for case in invalid_cases(f"invalid/{name}"):
        assert found(case) == expected
