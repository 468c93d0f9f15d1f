"""Pipelines: stages in a row. Transforms, then exactly one merge, then posts, written "dare+ties+iso"."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from coremerge_ref.core.names import unknown_parameter, unknown_stage
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.core.stages import EQUIVARIANCES, KINDS, MERGE, POST, STAGES, TRANSFORM, Custom, Stage
from coremerge_ref.errors import ParameterError

DEFAULT_MERGE = "ta"
Watch = Callable[[Stage, list[Any], list[Any]], None]
Method = str | Stage | Sequence[Any] | Callable[[Any], Any]


@dataclass(frozen=True, init=False)
class Pipeline:
    """Stages in order. Without a merge among them, `ta` merges: "iso" is ta+iso and "dare" is dare+ta.

    Raises ParameterError for an unknown stage, two merges, or an order other than transforms, merge, posts.

    >>> str(cm.Pipeline(["dare", cm.Ties(density=0.1), "iso"]))
    'dare+ties+iso'
    >>> cm.Pipeline.parse("iso").stages
    (Ta(weights=None), Iso(support='rank'))
    """

    stages: tuple[Stage, ...]

    def __init__(self, stages: Sequence[Stage | str | Callable[[Any], Any]]) -> None:
        made = [_as_stage(stage) for stage in stages]
        kinds = [stage.kind for stage in made]
        if MERGE not in kinds:
            made.insert(sum(kind == TRANSFORM for kind in kinds), STAGES[DEFAULT_MERGE]())
            kinds = [stage.kind for stage in made]
        order = [KINDS.index(kind) for kind in kinds]
        if order != sorted(order) or kinds.count(MERGE) != 1:
            written = "+".join(stage.name for stage in made)
            raise ParameterError(
                f"method {written!r}: expected transforms, then one merge, then posts, got {', '.join(kinds)}"
            )
        object.__setattr__(self, "stages", tuple(made))

    @classmethod
    def parse(cls, text: str, parameters: Mapping[str, Mapping[str, Any]] | None = None) -> "Pipeline":
        """The pipeline written as `text`, such as "dare+ties+iso", with each stage's `parameters` by stage name."""
        given = dict(parameters or {})
        pipeline = cls([_by_name(name.strip(), given.pop(name.strip(), {})) for name in text.split("+")])
        if given:
            raise ParameterError(
                f"parameters for {', '.join(map(repr, given))}: expected stages of the method {text!r}, which has none"
            )
        return pipeline

    @property
    def equivariance(self) -> str:
        """The weakest of the stages' equivariances; "orthogonal": the same ΔW in every space at absolute settings."""
        return max((stage.equivariance for stage in self.stages), key=EQUIVARIANCES.index)

    @property
    def whole_model(self) -> bool:
        """Whether some stage looks at all layers at once."""
        return any(stage.whole_model for stage in self.stages)

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """Every parameter of every stage, by stage name."""
        return {stage.name: stage.parameters for stage in self.stages}

    def __str__(self) -> str:
        return "+".join(stage.name for stage in self.stages)

    @property
    def weights(self) -> Any:
        """The merge's own weights, one for each task of the call; None where those given to merge count."""
        return getattr(self._merge, "weights", None)

    @property
    def linear(self) -> bool:
        """Whether this is a scalar-weighted sum Σ c_t M_t and nothing else: the same ΔW in every lossless space."""
        return len(self.stages) == 1 and self._merge.linear

    @property
    def differentiable(self) -> bool:
        """Whether automatic differentiation through all stages is right wherever a derivative exists."""
        return all(stage.differentiable for stage in self.stages)

    def coefficients(self, weights: Any) -> Any:
        """The c_t (T) of a linear pipeline, from the weights of the tasks."""
        return self._merge.coefficients(weights)

    @property
    def _merge(self) -> Stage:
        return next(stage for stage in self.stages if stage.kind == MERGE)

    def merge(self, stacks: list[Stack], watch: Watch | None = None) -> list[Merged]:
        """One merged matrix for each stack, before posts; watch sees every stage, its items and results."""
        return self._through(stacks, (TRANSFORM, MERGE), watch)

    def finish(self, merged: list[Merged], watch: Watch | None = None) -> list[Merged]:
        """The posts, on matrices in orthonormal frames."""
        return self._through(merged, (POST,), watch)

    def _through(self, items: list[Any], kinds: tuple[str, ...], watch: Watch | None) -> list[Any]:
        for stage in self.stages:
            if stage.kind in kinds:
                made = stage(items)
                if watch is not None:
                    watch(stage, items, made)
                items = made
        return items


def as_pipeline(method: Method | Pipeline) -> Pipeline:
    """`method` as a Pipeline: a string, a stage, a sequence of stages, or a function of the stack (T, …, p, q)."""
    if isinstance(method, Pipeline):
        return method
    if isinstance(method, str):
        return Pipeline.parse(method)
    if isinstance(method, Sequence):
        return Pipeline(method)
    return Pipeline([method])


def _as_stage(given: Any) -> Stage:
    if isinstance(given, Stage):
        return given
    if isinstance(given, str):
        return _by_name(given, {})
    if callable(given) and not isinstance(given, type):
        return Custom(given)
    raise ParameterError(f"method: expected stage names, stage objects or a function of a stack, got {given!r}")


def _by_name(name: str, parameters: Mapping[str, Any]) -> Stage:
    if name not in STAGES:
        raise unknown_stage(name)
    known = {field.name: field for field in fields(STAGES[name])}  # type: ignore[arg-type]
    for key in parameters:
        if key not in known:
            raise ParameterError(f"{name}: {unknown_parameter(STAGES[name], key, known)}")
    return STAGES[name](**parameters)
