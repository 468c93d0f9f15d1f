"""What a merge reports: layers that came out as zero, what stages say of layers, how much a lossy space has kept."""

import json
from typing import Any

import pytest

from coremerge_ref.adapters.report import MergeReport, outcome_notes
from coremerge_ref.core.stages import STAGES

PATHS = [f"layers.{i}" for i in range(7)]


@pytest.mark.parametrize(("count", "more"), [(1, False), (5, False), (6, True)])
def test_zeros_are_counted_and_five_are_named(count: int, more: bool) -> None:
    [note] = outcome_notes(PATHS[:count], {}, 9)
    assert f"zero in {count} of 9 layers" in note
    assert f": {', '.join(PATHS[: min(count, 5)])}{' …' if more else ''};" in note


def test_nothing_is_said_where_nothing_was_found() -> None:
    noted = {key: 0 for stage in STAGES.values() for key in stage.noted}
    assert outcome_notes([], {path: {"rank": 2, **noted} for path in PATHS}, 7) == []


@pytest.mark.parametrize(("stage", "key"), [(name, key) for name, stage in STAGES.items() for key in stage.noted])
def test_what_a_stage_notes_is_said_of_the_layers_it_notes_it_of(stage: str, key: str) -> None:
    facts: dict[str, dict[str, Any]] = {path: {key: int(path in PATHS[1:3])} for path in PATHS}
    [note] = outcome_notes([], facts, 7)
    assert note.startswith(f"{stage}: {STAGES[stage].noted[key]}, ")
    assert note.endswith("in 2 of 7 layers: layers.1, layers.2")


def test_the_least_and_the_most_of_what_is_kept_are_told_with_where() -> None:
    facts = {"q": {"kept": [0.5, 0.25, 1.0]}, "k": {"kept": [0.75, 0.9999]}, "v": {}}
    [note] = outcome_notes([], facts, 3)
    assert note.endswith("least of q, task 1")
    assert "25.0% to 100.0%" in note


def test_a_report_as_json_has_no_facts() -> None:
    report = MergeReport("out", True, "ta", "core", 2, 3, (1, 4), 5, 0.5, 0.7, "load", ["note"], {"q": {"rank": 4}})
    assert json.loads(json.dumps(report.as_json())) == {
        "output": "out", "written": True, "method": "ta", "space": "core", "adapters": 2, "layers": 3,
        "ranks": [1, 4], "bytes": 5, "seconds": 0.5, "scale": 0.7, "load": "load", "notes": ["note"],
    }  # fmt: skip
