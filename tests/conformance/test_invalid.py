"""Invalid input: asked last, judged apart, never required; a right implementation refuses all of it."""

import json

import jsonschema
import numpy as np
import pytest
from doubles import Double

import coremerge_ref as cm
from coremerge_ref import conformance
from coremerge_ref.conformance.invalid import SETTINGS, UPDATES, invalid_cases
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
