"""What is searched is the methods' own table: every row, every parameter, its own range."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import pytest

import coremerge_ref as cm
from coremerge_ref.compare.tables import all_rows
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.stages import STAGES
from coremerge_ref.methods.base import MERGE, Search, Stage, register
from coremerge_ref.tuning.arms import Range, Values, arms_for, range_of

LARGEST = 16


class Lowest:
    """A trial that suggests the lowest of everything; `highest` the other end."""

    def __init__(self, highest: bool = False) -> None:
        self.end, self.asked = -1 if highest else 0, dict[str, tuple[Any, ...]]()

    def _suggest(self, name: str, ends: tuple[Any, ...]) -> Any:
        assert name not in self.asked, f"{name} is asked for twice"
        self.asked[name] = ends
        return ends[self.end]

    def suggest_int(self, name: str, low: int, high: int, log: bool = False) -> int:
        assert isinstance(low, int)
        assert isinstance(high, int)
        return int(self._suggest(name, (low, high)))

    def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> float:
        assert low > 0 or not log
        return float(self._suggest(name, (low, high)))

    def suggest_categorical(self, name: str, values: Any) -> Any:
        return self._suggest(name, tuple(values))


@pytest.fixture
def _table() -> Iterator[None]:
    before = dict(STAGES)
    yield
    STAGES.clear()
    STAGES.update(before)


def test_every_row_of_the_table_is_an_arm_with_its_own_ranges() -> None:
    arms = arms_for((), ("core",), LARGEST, {}, {})
    assert {arm.method for arm in arms} == {row.method for row in all_rows()}
    assert len({arm.label for arm in arms}) == len(arms)
    for row in all_rows():
        mine = [arm for arm in arms if arm.method == row.method and {s for s, _ in arm.varied} <= row.grid.keys()]
        grid = {(stage, name): values for stage, some in row.grid.items() for name, values in some.items()}
        assert any(_same(arm, grid, row.ranks) for arm in mine), row


def _same(arm: Any, grid: dict[tuple[str, str], Any], ranks: tuple[str, ...]) -> bool:
    for (stage, name), values in grid.items():
        domain, highest = arm.varied.get((stage, name)), LARGEST if name in ranks else max
        if domain is None:
            if arm.fixed.get(stage, {}).get(name, None) != values[0] or len(values) > 1:
                return False
        elif isinstance(domain, Values):
            if set(domain.values) != set(values):
                return False
        elif (domain.low, domain.high) != (min(values), highest if highest == LARGEST else max(values)):
            return False
    return len(arm.varied) <= len(grid)


@pytest.mark.parametrize("highest", [False, True])
def test_both_ends_of_every_range_merge(highest: bool) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    updates = [cm.LowRankUpdate(rng.normal(size=(9, 2)), rng.normal(size=(2, 8))) for _ in range(2)]
    prepared = cm.prepare(updates)
    for arm in arms_for((), ("core",), 2, {}, {}):
        trial = Lowest(highest)
        pipeline = Pipeline.parse(arm.method, arm.parameters(trial))
        assert np.all(np.isfinite(np.asarray(prepared.merge(pipeline).to_dense())))
        assert all(name.startswith(f"{arm.label}/") for name in trial.asked)


def test_what_the_user_fixes_or_tries_is_not_the_tables() -> None:
    given = {"tsv": {"k": 3}}
    arms = arms_for(["tsv", "ties"], ("core",), LARGEST, given, {"ties": {"density": Range(0.5, 0.6)}})
    assert [arm.label for arm in arms] == ["tsv", "ties"]  # with k fixed both rows of tsv are one
    assert arms[0].fixed == given
    assert not arms[0].varied
    assert arms[1].varied["ties", "density"] == Range(0.5, 0.6)
    assert isinstance(arms[1].varied["ties", "elect"], Values)


def test_spaces_are_tried_where_they_differ() -> None:
    arms = arms_for(["ties", "iso", "ta"], ("core", "full", cm.Core("tucker")), LARGEST, {}, {})
    assert [(arm.method, arm.space) for arm in arms if arm.method == "ties"] == [
        ("ties", cm.Core()), ("ties", cm.Full()), ("ties", cm.Core("tucker")),
    ]  # fmt: skip
    assert [arm.space for arm in arms if arm.method == "ta"] == [cm.Core()]
    assert len({arm.label for arm in arms}) == len(arms)


def test_a_pipeline_without_a_row_is_searched_at_its_defaults() -> None:
    (arm,) = arms_for(["dare+tsv+iso"], ("core",), LARGEST, {}, {})
    assert (arm.label, arm.fixed, arm.varied) == ("dare+tsv+iso", {}, {})


@pytest.mark.usefixtures("_table")
def test_a_method_of_ones_own_is_searched_as_its_file_says() -> None:
    @register
    @dataclass(frozen=True)
    class Halved(Stage):
        share: float = 0.5
        name: ClassVar[str] = "halved"
        kind: ClassVar[str] = MERGE
        searches = (Search("halved", {"halved": {"share": (0.1, 0.9)}}),)

    arm = next(arm for arm in arms_for((), ("core",), LARGEST, {}, {}) if arm.method == "halved")
    assert arm.varied == {("halved", "share"): Range(0.1, 0.9, False, False)}
    assert {field.name for field in fields(Halved)} == {"share"}


def test_errors() -> None:
    for methods, fixed, text in (
        (["tvs"], {}, "tvs"),
        (["tsv"], {"ties": {"density": 0.1}}, "ties"),
        ((), {"x": {}}, "x"),
    ):
        with pytest.raises(cm.ParameterError, match=text):
            arms_for(methods, ("core",), LARGEST, fixed, {})
    with pytest.raises(cm.ParameterError, match="density"):
        arms_for(["ties"], ("core",), LARGEST, {"ties": {"density": 7.0}}, {})


@pytest.mark.parametrize(
    ("low", "high", "integer", "log"),
    [
        (1, 16, True, True),
        (1, 4, True, False),
        (0.01, 1.0, False, True),
        (0.0, 1.0, False, False),
        (1, 4.0, False, False),
    ],
)
def test_ranges(low: float, high: float, integer: bool, log: bool) -> None:
    assert range_of(low, high) == Range(low, high, integer, log)
