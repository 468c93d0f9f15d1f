"""From the tables to candidates: one for each choice of values, space and dialect."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from coremerge_ref.compare.candidates import Candidate, each_task, merging, merging_linearly
from coremerge_ref.compare.tables import ANY_SPACE, SPACES, Row
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Core
from coremerge_ref.methods.base import Grid
from coremerge_ref.methods.dialects import DIALECTS, preset


def linear_candidate(tasks: int) -> Candidate:
    """All linear merges at once: the tasks' weights are what is solved for."""
    unknowns = tuple(f"weight {t + 1}" for t in range(tasks))
    return Candidate("ta", ANY_SPACE, {}, each_task, DIALECTS, unknowns)


def candidates(rows: Sequence[Row], largest_rank: int) -> list[Candidate]:
    """The candidates of a coarse search, each knowing its siblings."""
    return [
        _candidate(row, label, values, largest_rank)
        for row in rows
        for label in row.spaces
        for values in combinations(row.grid, row.ranks, largest_rank)
    ]


def _candidate(row: Row, label: str, values: Mapping[str, Mapping[str, Any]], largest_rank: int) -> Candidate:
    def siblings() -> list[Candidate]:
        found: dict[Pipeline, list[str]] = {}
        settings: dict[Pipeline, Mapping[str, Any]] = {}
        for dialect, chosen in product(DIALECTS, combinations(row.choices)):
            parameters = {stage: {**values.get(stage, {}), **chosen.get(stage, {})} for stage in {**values, **chosen}}
            for given in (parameters, values):  # a dialect's own choices, too
                pipeline = preset(row.method, dialect, given)
                found.setdefault(pipeline, [])
                found[pipeline] += [dialect] * (given is values and dialect not in found[pipeline])
                settings.setdefault(pipeline, given)
        return [made(pipeline, settings[pipeline], tuple(names)) for pipeline, names in found.items()]

    def made(pipeline: Pipeline, given: Mapping[str, Any], dialects: tuple[str, ...]) -> Candidate:
        space = Core() if label == ANY_SPACE else SPACES[label]
        components = merging(pipeline, space)
        unknowns: tuple[str, ...] = ("scale",)
        if row.linear is not None:
            zero, one = (preset_with(pipeline, row.linear, value) for value in (0.0, 1.0))
            components = merging_linearly(zero, one, space)
            unknowns = ("scale", f"scale · {'.'.join(row.linear)}")
        return Candidate(
            row.method, label, telling(pipeline, given), components, dialects, unknowns,
            whole_model=pipeline.whole_model, key=(pipeline, label), siblings=siblings,
        )  # fmt: skip

    return made(Pipeline.parse(row.method, values), values, ())


def telling(pipeline: Pipeline, given: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The parameters worth showing: those that are not the defaults, and searched numbers."""
    usual = Pipeline.parse(str(pipeline)).parameters
    told = {
        stage: {
            name: value
            for name, value in parameters.items()
            if value != usual[stage][name] or (name in given.get(stage, {}) and not isinstance(value, str))
        }
        for stage, parameters in pipeline.parameters.items()
    }
    return {stage: parameters for stage, parameters in told.items() if parameters}


def preset_with(pipeline: Pipeline, owner: tuple[str, str], value: Any) -> Pipeline:
    """The pipeline with one parameter of one stage changed."""
    stage, parameter = owner
    parameters = pipeline.parameters
    return Pipeline.parse(str(pipeline), {**parameters, stage: {**parameters[stage], parameter: value}})


def combinations(grid: Grid, ranks: Sequence[str] = (), largest: int = 0) -> Iterator[dict[str, dict[str, Any]]]:
    """Every choice of one value for each parameter of the grid; ranks up to `largest`, which is one of them."""
    axes = []
    for stage, parameters in grid.items():
        for name, values in parameters.items():
            cut = sorted({k for k in values if k < largest} | {largest}) if name in ranks and largest else values
            axes.append([(stage, name, value) for value in cut])
    for chosen in product(*axes):
        made: dict[str, dict[str, Any]] = {}
        for stage, name, value in chosen:
            made.setdefault(stage, {})[name] = value
        yield made
