"""What could have been done: a candidate is a way to compute components X_i of the merge, up to numbers c_i."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from coremerge_ref.compare.fitting import combined
from coremerge_ref.core.models import prepare
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Space
from coremerge_ref.core.updates import LowRankUpdate, Update

Layers = Mapping[str, Sequence[LowRankUpdate | None]]  # layer name → one update a task
HELD = 8  # layers, in a space, whose frames are held
Components = Callable[[Layers, Sequence[float] | None], dict[str, list[Update]]]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One hypothesis. method: a pipeline as `merge` takes it, or words for what no pipeline is.

    space: a label; dialects: the presets that come to this; parameters: those that the hypothesis sets; mistake: what
    was done wrong, "" for nothing. unknowns: what the fitted numbers are, "scale" or one for each component.
    components: layers, weights → {layer: [X_i]}. key: equal where two hypotheses are one. siblings: nearby hypotheses,
    tried where this one comes close.
    """

    method: str
    space: str
    parameters: Mapping[str, Any]
    components: Components
    dialects: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ("scale",)
    mistake: str = ""
    whole_model: bool = False
    key: Hashable = None
    siblings: "Callable[[], list[Candidate]]" = field(default=list, repr=False)

    def over(self, layers: Layers, weights: Sequence[float] | None) -> Iterator[tuple[str, list[Update]]]:
        """(layer, components) one by one; all layers are held at once only where a stage looks at all of them."""
        if self.whole_model:
            yield from self.components(layers, weights).items()
            return
        for name, updates in layers.items():
            yield from self.components({name: updates}, weights).items()


@lru_cache(maxsize=HELD)
def prepared(names: tuple[str, ...], updates: tuple[tuple[LowRankUpdate | None, ...], ...], space: Any) -> Any:
    """Frames and cores of these layers, which many candidates in turn ask for; whoever is done empties the cache."""
    return prepare(dict(zip(names, updates, strict=True)), space)


def merging(pipeline: Pipeline, space: Space) -> Components:
    """The merge itself, of which the scale is unknown."""

    def components(layers: Layers, weights: Sequence[float] | None) -> dict[str, list[Update]]:
        held: Any = space
        model = prepared(tuple(layers), tuple(map(tuple, layers.values())), held)
        merged = model.merge(pipeline, weights=weights, out_dtype="float64")
        return {name: [update] for name, update in merged.items()}

    return components


def merging_linearly(at_zero: Pipeline, at_one: Pipeline, space: Space) -> Components:
    """A merge that is linear in a parameter: its value at 0, and the difference that a 1 makes."""

    def components(layers: Layers, weights: Sequence[float] | None) -> dict[str, list[Update]]:
        zero, one = (merging(pipeline, space)(layers, weights) for pipeline in (at_zero, at_one))
        return {name: [*zero[name], difference(one[name][0], zero[name][0])] for name in zero}

    return components


def difference(X: Update, Y: Update) -> Update:
    """X − Y, in factors where both are."""
    return combined(np.array([1.0, -1.0]), [X, Y])


def each_task(layers: Layers, weights: Sequence[float] | None) -> dict[str, list[Update]]:
    """The tasks' own updates, zero where a task lacks the layer: every linear merge is a sum of them."""

    def own(update: LowRankUpdate | None, shape: tuple[int, ...]) -> Update:
        return update if update is not None else LowRankUpdate(np.zeros((shape[0], 0)), np.zeros((0, shape[1])))

    made = {}
    for name, updates in layers.items():
        shape = next(update.shape for update in updates if update is not None)
        made[name] = [own(update, shape) for update in updates]
    return made
