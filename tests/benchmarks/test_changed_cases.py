"""The page of changed cases lists every kind of change, and nothing that did not change."""

import copy

from benchmarks.changed_cases import page, rows

CASE = {"question": "q", "expected": [(1.0).hex(), (2.0).hex()], "tolerance": 1e-12, "reasons": []}


def test_each_kind_of_change_is_listed_under_its_heading():
    before = {name: copy.deepcopy(CASE) for name in ("same", "value", "opened", "settled", "asked", "gone")}
    after = {name: copy.deepcopy(CASE) for name in ("same", "value", "opened", "settled", "asked", "new")}
    after["same"]["expected"] = [(1.0 + 1e-13).hex(), (2.0).hex()]
    after["value"]["expected"] = [(1.0).hex(), (2.5).hex()]
    after["opened"]["reasons"] = ["a tie"]
    before["settled"]["reasons"] = ["a null vector"]
    after["asked"]["question"] = "other"
    assert rows(before, after) == {
        "Another expected value": [("value", "0.19")],
        "No longer determined": [("opened", "a tie")],
        "Now determined": [("settled", "a null vector")],
        "Another question under the same name": [("asked", "inputs, parameters or masks")],
        "No longer asked": [("gone", "")],
    }
    text = page(before, after, "abc")
    assert "6 cases were asked then, 6 are now, 1 of them new" in text
    assert "| `value` | 0.19 |" in text


def test_of_several_right_answers_another_is_not_called_a_correction():
    before, after = {"tie": copy.deepcopy(CASE)}, {"tie": copy.deepcopy(CASE)}
    for facts in (before, after):
        facts["tie"]["reasons"] = ["a tie"]
    after["tie"]["expected"] = [(-1.0).hex(), (2.0).hex()]
    assert rows(before, after) == {"Another expected value": [("tie", "0.89, one of several right answers")]}
