"""What a search tries: the rows of the methods' own table, each with the range of every parameter that it varies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from coremerge_ref.compare.tables import ANY, Row, all_rows
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Space, as_space
from coremerge_ref.errors import ParameterError
from coremerge_ref.methods import STAGES

Parameters = Mapping[str, Mapping[str, Any]]  # stage → parameter → value
_WIDE = 10  # a range whose ends are so many times apart is searched by its logarithm


@dataclass(frozen=True)
class Range:
    """Numbers from low to high; integers, or by their logarithm, where it says so."""

    low: float
    high: float
    integer: bool = False
    log: bool = False

    def suggest(self, trial: Any, name: str) -> float | int:
        """A number, as an Optuna trial suggests it."""
        if self.integer:
            return int(trial.suggest_int(name, int(self.low), int(self.high), log=self.log))
        return float(trial.suggest_float(name, self.low, self.high, log=self.log))


@dataclass(frozen=True)
class Values:
    """One of a few values."""

    values: tuple[Any, ...]

    def suggest(self, trial: Any, name: str) -> Any:
        """A value, as an Optuna trial suggests it."""
        return trial.suggest_categorical(name, self.values)


@dataclass(frozen=True)
class Arm:
    """A pipeline in a space. fixed: parameters that have one value; varied: (stage, parameter) → what is searched."""

    label: str
    method: str
    space: Space
    fixed: Parameters = field(default_factory=dict)
    varied: Mapping[tuple[str, str], Range | Values] = field(default_factory=dict)

    def parameters(self, trial: Any) -> dict[str, dict[str, Any]]:
        """Every parameter that is set, those searched as an Optuna trial suggests them."""
        made = {stage: dict(values) for stage, values in self.fixed.items()}
        for (stage, name), domain in self.varied.items():
            made.setdefault(stage, {})[name] = domain.suggest(trial, f"{self.label}/{stage}.{name}")
        return made


Domains: TypeAlias = Mapping[str, Mapping[str, Range | Values]]  # stage → parameter → what is searched


def arms_for(
    methods: Sequence[str], spaces: Sequence[str | Space], largest: int, fixed: Parameters, tries: Domains
) -> list[Arm]:
    """What is searched: the table's rows of those methods, all by default, in each of the spaces.

    largest: the rank up to which ranks are searched. fixed: parameters set in every method that has the stage; tries:
    stage → parameter → a Range or Values in place of the table's. What is one ΔW in every space is tried in the first
    alone. ParameterError for a method or stage that is none.
    """
    known = all_rows()
    for method in methods:
        Pipeline.parse(method)
    rows = [row for row in known if not methods or row.method in methods]
    rows += [Row(method) for method in methods if method not in {row.method for row in known}]
    for stage in {*fixed, *tries}:
        if stage not in STAGES or not any(stage in row.method.split("+") for row in rows):
            raise ParameterError(f"{stage}: expected a stage of the methods searched, got {stage!r}")
    arms: list[Arm] = []
    for row in rows:
        for space in map(as_space, spaces[:1] if row.spaces in (ANY, ()) else spaces):
            arm = _arm(row, space, largest, fixed, tries)
            if not any((arm.method, arm.space, arm.fixed, arm.varied) == _what(other) for other in arms):
                arms.append(arm)
    return _labelled(arms, len(spaces) > 1)


def _what(arm: Arm) -> tuple[Any, ...]:
    return arm.method, arm.space, arm.fixed, arm.varied


def _arm(row: Row, space: Space, largest: int, fixed: Parameters, tries: Domains) -> Arm:
    stages = row.method.split("+")
    one: dict[str, dict[str, Any]] = {}
    varied: dict[tuple[str, str], Range | Values] = {}
    for stage, parameters in row.grid.items():
        for name, values in parameters.items():
            domain = _domain(values, largest if name in row.ranks else None)
            if isinstance(domain, Range | Values):
                varied[stage, name] = domain
            elif domain is not None:  # None is every default that can be it
                one.setdefault(stage, {})[name] = domain
    for stage, domains in tries.items():
        for name, given in domains.items() if stage in stages else ():
            one.get(stage, {}).pop(name, None)
            varied[stage, name] = given
    for stage, settings in fixed.items():
        for name, value in settings.items() if stage in stages else ():
            varied.pop((stage, name), None)
            one.setdefault(stage, {})[name] = value
    one = {stage: values for stage, values in one.items() if values}
    Pipeline.parse(row.method, one)
    return Arm(row.method, row.method, space, one, varied)


def _domain(values: Sequence[Any], largest: int | None) -> Any:
    """What a row's grid of values is as something to search: a Range, Values, or the one value."""
    kept = [value for value in values if largest is None or value <= largest] or list(values[:1])
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in kept)
    if largest is not None:
        kept = sorted({*kept, largest})
    if len(set(kept)) == 1:
        return kept[0]
    if not numbers:
        return Values(tuple(kept))
    return range_of(min(kept), max(kept))


def range_of(low: float, high: float) -> Range:
    """The numbers from low to high: integers where both are, by the logarithm where they are far apart."""
    integer = all(isinstance(end, int) and not isinstance(end, bool) for end in (low, high))
    return Range(low, high, integer, low > 0 and high / low >= _WIDE)


def _labelled(arms: list[Arm], with_space: bool) -> list[Arm]:
    """The arms with names that differ: by what rows of one method vary, and by the space where there are many."""
    made: list[Arm] = []
    for arm in arms:
        rivals = [other for other in arms if other.method == arm.method and other.space == arm.space]
        label = arm.method
        if len(rivals) > 1:
            varied = [f"{stage}.{name}" for stage, name in arm.varied]
            varied += [
                f"{stage}.{name}={value}" for stage, values in arm.fixed.items() for name, value in values.items()
            ]
            label += f" by {', '.join(varied)}" if varied else ""
        if with_space:
            label += f" in {arm.space.name}"
        taken = sum(other.label == label or other.label.startswith(f"{label} #") for other in made)
        made.append(replace(arm, label=label if not taken else f"{label} #{taken + 1}"))
    return made
