"""One pass of a pipeline over updates on the host, layer by layer, and the errors that go with it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from coremerge_ref.analysis.explain import common, linear, renormalized, spectral, thresholds, votes  # noqa: F401
from coremerge_ref.analysis.explain.formulas import growth, norm
from coremerge_ref.analysis.explain.references import Factors
from coremerge_ref.analysis.explain.rules import carry
from coremerge_ref.analysis.explain.start import entered, left_space
from coremerge_ref.analysis.explain.trace import Level, Trace
from coremerge_ref.core import arrays
from coremerge_ref.core.merging import Prepared, restored
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.sides import Side
from coremerge_ref.core.spaces import Frames, Space
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.core.updates import LowRankUpdate
from coremerge_ref.methods.base import MERGE, ORTHOGONAL, Stage

Updates = Sequence[LowRankUpdate | None]


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer in its space: its name, factors with the scaling folded in, frames and stack, and the inputs' dtype."""

    name: str
    factors: Factors
    frames: Frames
    stack: Stack
    dtype: str


@dataclass(frozen=True, eq=False)
class Pass:
    """A pipeline run over layers: what every stage was given and made, and the merged matrices at the end."""

    layers: list[Layer]
    steps: list[tuple[Stage, list[Any], list[Any]]]
    merged: list[Merged]


def on_host(update: LowRankUpdate | None) -> LowRankUpdate | None:
    """The same update, its numbers exactly, as NumPy arrays of float32 or float64."""
    if update is None:
        return None
    scale = update.scale
    if hasattr(scale, "shape") and not isinstance(scale, np.generic | np.ndarray):
        scale = arrays.to_host(scale)
    return LowRankUpdate(arrays.to_host(update.B), arrays.to_host(update.A), scale)


def coarsest(updates: Updates) -> str:
    """The dtype name of the coarsest factor."""
    names = {arrays.dtype_name(X.dtype) for u in updates if u is not None for X in (u.B, u.A)}
    return max(names, key=arrays.eps)


def prepared(ready: Prepared, pipeline: Pipeline, weights: Any, dtype: str) -> list[Layer]:
    """The layers of one batch, each by itself."""
    frames, stack = ready.encoded(pipeline)
    stack = replace(stack, weights=ready.weights(pipeline, weights))
    batch = ready.present[0].shape[:-2]
    return [
        Layer(
            name,
            [(B[at], A[at]) for B, A in ready.factors],
            _frames(frames, at),
            _one(stack, at, name),
            dtype,
        )
        for name, at in zip(stack.names, np.ndindex(*batch), strict=True)
    ]


def passed(layers: list[Layer], pipeline: Pipeline) -> Pass:
    """Runs the pipeline, keeping what goes in and out of each stage."""
    items: list[Any] = [layer.stack for layer in layers]
    steps = []
    for stage in pipeline.stages:
        made = stage(items)
        steps.append((stage, items, made))
        if stage.kind == MERGE:
            made = [restored(item, layer.frames) for layer, item in zip(layers, made, strict=True)]
        items = made
    return Pass(layers, steps, items)


def errors(run: Pass, pipeline: Pipeline, space: Space, levels: Sequence[Level]) -> list[tuple[Trace, float]]:
    """For each layer the trace at its level, and a bound on the error of its merged ΔW in Frobenius norm."""
    elementwise = pipeline.equivariance != ORTHOGONAL
    started = [
        entered(level, space, layer.frames, layer.stack, layer.factors, elementwise)
        for layer, level in zip(run.layers, levels, strict=True)
    ]
    traces = [trace for trace, _ in started]
    for stage, before, after in run.steps:
        traces = carry(stage, traces, before, after)
        if stage.kind == MERGE:
            for trace, layer, item in zip(traces, run.layers, after, strict=True):
                _multiplied(trace, layer.frames, item)
    ends = zip(traces, run.layers, run.merged, started, strict=True)
    return [(trace, left_space(trace, layer.frames, item.M, turns)) for trace, layer, item, (_, turns) in ends]


def level_of(layer: Layer, name: str, dtype: str) -> Level:
    """The level of errors that rounding to `dtype` makes; input rounding happens once, that of arithmetic grows."""
    m, n = len(layer.factors[0][0]), layer.factors[0][1].shape[1]
    decomposed = layer.frames.U is not None or layer.frames.V is not None
    grown = growth(m, n, sum(B.shape[1] for B, _ in layer.factors), decomposed)
    return Level(name, dtype, arrays.eps(dtype), grown if name == "compute" else 1.0)


def _multiplied(trace: Trace, frames: Frames, item: Merged) -> None:
    """What KnOTS unscaled divided out is multiplied back: errors of the rows by σ_i, those of σ_i by the rows."""
    if frames.sigma is None:
        return
    trace.polar = None
    turned = trace.level.size * norm(frames.sigma) * norm(item.M)
    trace.entry = trace.entry * frames.sigma[:, None] + trace.level.size * norm(frames.sigma) * np.abs(item.M)
    trace.delta = np.asarray(min(float(trace.delta) * float(frames.sigma.max()) + turned, norm(trace.entry)))


def _frames(frames: Frames, at: tuple[int, ...]) -> Frames:
    """One layer's frames out of a batch."""
    sizes = _at(frames.rows, at), _at(frames.cols, at)
    return Frames(_side(frames.left, at), _side(frames.right, at), *sizes, _at(frames.sigma, at))


def _side(side: Side, at: tuple[int, ...]) -> Side:
    return replace(
        side,
        Q=_at(side.Q, at),
        Z=_at(side.Z, at),
        live=_at(side.live, at),
        S=_at(side.S, at),
        coordinates=[C[at] for C in side.coordinates],
        norms=[c[at] for c in side.norms],
    )


def _at(value: Any, at: tuple[int, ...]) -> Any:
    return value[at] if getattr(value, "ndim", 0) > 0 else value


def _one(stack: Stack, at: tuple[int, ...], name: str) -> Stack:
    place = (slice(None), *at)
    rows, cols = _at(stack.rows, at), _at(stack.cols, at)
    level, M = stack.rounding_level[place], stack.M[place]
    return replace(stack, M=M, rounding_level=level, rows=rows, cols=cols, names=(name,), products=None)
