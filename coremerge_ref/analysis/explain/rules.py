"""How errors go through a stage: one rule for each kind of stage, found by its class."""

from collections.abc import Callable
from dataclasses import replace
from functools import singledispatch
from typing import Any

import numpy as np

from coremerge_ref.analysis.explain.formulas import norm
from coremerge_ref.analysis.explain.trace import Trace
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods.base import MERGE, TRANSFORM

# rule(stage, traces, before, after): what a stage made of its items, one a layer, and the errors before it
PROBES = 8


@singledispatch
def carry(stage: Any, traces: list[Trace], before: list[Any], after: list[Any]) -> list[Trace]:
    """The errors after a stage. Register a function for a new class of stages; without one, they are estimated.

    The estimate: the stage is run on random changes of the size of the errors, and √eps of the size where that is
    more, scaled down; ten times the largest change seen is taken (small-sample estimation, Kenney and Laub 1994).
    Above √eps and growing with smaller changes it is a discontinuity. It is no bound, and the explanation says so.
    """
    return [_probed(stage, *one) for one in zip(traces, before, after, strict=True)]


def per_layer(kind: type) -> Callable[[Callable[..., Trace]], Callable[..., Trace]]:
    """Registers rule(stage, trace, before, after) → trace for stages that look at one layer at a time."""

    def register(rule: Callable[..., Trace]) -> Callable[..., Trace]:
        def each(stage: Any, traces: list[Trace], before: list[Any], after: list[Any]) -> list[Trace]:
            return [rule(stage, *one) for one in zip(traces, before, after, strict=True)]

        carry.register(kind, each)
        return rule

    return register


def _probed(stage: Any, trace: Trace, before: Stack | Merged, after: Stack | Merged) -> Trace:
    rng = np.random.default_rng(0)
    trace.estimated = True
    sizes = np.sqrt(np.sum(before.M**2, axis=(-2, -1)))
    small = trace.delta
    large = np.maximum(small, sizes * trace.level.eps**0.5)
    change = [
        max((_changed(stage, before, after, step, rng) for _ in range(PROBES)), default=0.0) for step in (small, large)
    ]
    ratio = float(np.max(np.where(small > 0, small, 0.0) / np.where(large > 0, large, 1.0)))
    largest = 10 * max(change[0], change[1] * ratio)
    if change[0] > trace.level.eps**0.5 * norm(after.M):
        trace.doubt(stage, f"the result changes by {change[0] / (norm(after.M) or 1.0):.1e} of its size")
    if stage.kind == TRANSFORM:
        trace.delta = np.full(len(after.M), largest)
        trace.entry = np.full(after.M.shape, largest)
        return trace
    return trace.merged(largest, None, after.M.shape, min(after.M.shape) if stage.kind == MERGE else int(trace.rank))


def _changed(stage: Any, before: Any, after: Any, step: np.ndarray, rng: np.random.Generator) -> float:
    E = rng.standard_normal(before.M.shape)
    E *= (step / np.maximum(np.sqrt(np.sum(E**2, axis=(-2, -1))), 1e-300))[..., None, None]
    M = (before.M + E).astype(before.M.dtype)
    moved = stage([before.with_entries(M) if isinstance(before, Stack) else replace(before, M=M)])[0]
    return norm(moved.M - after.M)
