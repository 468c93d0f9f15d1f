"""From arguments and opened adapters to a job that is ready to run: everything that can be refused is refused here."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from coremerge_ref.adapters import output as outputs
from coremerge_ref.adapters import record as records
from coremerge_ref.adapters.arguments import check_factors, check_numbers
from coremerge_ref.adapters.backends import backend_named
from coremerge_ref.adapters.cutting import Cut
from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.plan import Plan, planned
from coremerge_ref.adapters.selection import Combined, PerModule, matcher, per_module
from coremerge_ref.adapters.streaming import Job, Progress
from coremerge_ref.adapters.tying import twins
from coremerge_ref.adapters.widths import BaseShapes, resolve_widths
from coremerge_ref.core.pipeline import Pipeline, as_pipeline
from coremerge_ref.core.spaces import Space, as_space
from coremerge_ref.errors import ParameterError


@dataclass(frozen=True)
class Options:
    """How to merge: the arguments of merge_folders of the same names."""

    method: Any = "tsv"
    space: Any = "core"
    weights: Any = None
    scale: float = 1.0
    rank: int | Mapping[str, Any] | Cut | None = None
    dense: bool = False
    dtype: str | None = None
    backend: str = "numpy"
    device: str | None = None
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    rename: Sequence[str] = ()
    allow_missing: bool = False
    into: str | Path | None = None

    @cached_property
    def pipelines(self) -> "PerModule[Pipeline] | Combined[Pipeline]":
        """The method by module."""
        given = self.method
        return given if isinstance(given, Combined) else per_module(given, "value", "tsv").map(as_pipeline)

    @cached_property
    def task_weights(self) -> PerModule[Any]:
        """The weights by module."""
        return per_module(self.weights, "values", None)

    @cached_property
    def cut(self) -> Cut | None:
        """How much of each merged update is kept."""
        return Cut.of(self.rank)

    @cached_property
    def where(self) -> Space:
        """The space."""
        return as_space(self.space)

    def check(self, adapters: int) -> None:
        """Raises for every argument that is wrong whatever the `adapters` hold, of which there are so many."""
        weights = self.task_weights.values()
        check_numbers(adapters, weights, self.dtype)
        for pattern in [*self.include, *self.exclude]:
            matcher(pattern)
        allowed = self.dense or self.cut is not None or self.into is not None
        if self.into is not None and (self.dense or self.dtype is not None):
            raise ParameterError(
                "into: expected neither dense nor dtype beside it: a fused model has the dtypes of its base"
            )
        check_factors(self.pipelines.values(), self.where, adapters, weights, self.scale, allowed)

    def method_text(self) -> str:
        """The method, or the methods, as text."""
        return ", ".join(dict.fromkeys(map(str, self.pipelines.values())))

    def described(self) -> dict[str, Any]:
        """As JSON, for the record."""
        pipelines, weights = self.pipelines, self.task_weights
        if isinstance(pipelines, PerModule):
            rules = [{"match": match, **records.described(pipeline)} for match, pipeline in pipelines.rules]
            method = records.described(pipelines.default)
        else:
            rules, method = [records.described(pipeline) for pipeline in pipelines.values()], {"method": "per module"}
        by_module = [{"match": match, "values": list(map(float, values))} for match, values in weights.rules]
        return {
            **method,
            **({"methods": rules} if rules else {}),
            "space": records.described_space(self.where),
            "weights": None if weights.default is None else list(map(float, weights.default)),
            **({"weights_by_module": by_module} if by_module else {}),
            "scale": self.scale,
            "rank": self.cut and self.cut.described,
            "dtype": self.dtype,
            "dense": self.dense,
            "include": list(self.include),
            "exclude": list(self.exclude),
            "rename": list(self.rename),
            "allow_missing": self.allow_missing,
            **({"into": os.fspath(self.into)} if self.into is not None else {}),
        }


def ready(
    adapters: Sequence[Adapter],
    options: Options,
    shapes: BaseShapes | None,
    progress: Progress,
    left_out: Collection[str] = (),
) -> tuple[Job, Plan, list[str]]:
    """(the job, what it merges, notes). AdapterError and ParameterError for what does not fit together.

    left_out: paths of modules that were excluded before adapters were read.
    """
    notes = resolve_widths(adapters, shapes) + outputs.model_notes(adapters)
    plan = planned(
        adapters,
        rename=options.rename,
        include=options.include,
        exclude=options.exclude,
        allow_missing=options.allow_missing,
        left_out=left_out,
    )
    tied = twins(adapters, plan.layers)
    followers = {layer.path for same in tied.values() for layer in same}
    notes += plan.notes + [
        f"{path} and {', '.join(layer.path for layer in same)} are tied: every adapter gives them one update, so they "
        "were merged once"
        for path, same in tied.items()
    ]
    job = Job(
        adapters,
        [layer for layer in plan.layers if layer.path not in followers],
        tied,
        options.pipelines,
        options.where,
        options.scale,
        options.task_weights,
        options.cut,
        options.dtype,
        backend_named(options.backend, options.device),
        progress,
    )
    return job, plan, notes
