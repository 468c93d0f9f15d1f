"""Trimming and dropping: which entries are kept, and whether rounding may change that."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from coremerge_ref.analysis.explain.formulas import norm
from coremerge_ref.analysis.explain.rules import carry, per_layer
from coremerge_ref.analysis.explain.trace import Trace
from coremerge_ref.core.stack import Stack
from coremerge_ref.methods import Dare, Trim


@dataclass(frozen=True, eq=False)
class Cut:
    """Of entries in a row: which a threshold keeps, which of them errors may move across it, and its relative gap."""

    kept: np.ndarray
    unsure: np.ndarray
    gap: float


def cut_at(x: np.ndarray, error: np.ndarray, kept: np.ndarray, K: int, keep: str, slack: np.ndarray) -> Cut:
    """The cut between `kept` magnitudes x (N,), each known up to `error`, and the others; K are asked for.

    Kept and dropped stay what they are as long as no dropped x + error reaches a kept x − error; with keep
    "threshold" a dropped entry must stay `slack` below it, and those kept beyond the K + 1 largest, for being equal
    to the threshold, must stay within `slack` of it. An entry that is no larger than its error makes no difference.
    """
    if kept.all() or not kept.any():
        return Cut(kept, np.zeros(len(x), dtype=bool), 1.0)
    room = slack if keep == "threshold" else np.zeros_like(slack)
    low, high = np.min((x - error)[kept]), np.max((x + error + room)[~kept])
    unsure = np.where(kept, x - error <= high, x + error + room >= low)
    if not (unsure & kept).any() or not (unsure & ~kept).any():
        unsure = np.zeros(len(x), dtype=bool)
    if keep == "threshold" and np.sum(kept) > K + 1:
        threshold = np.sort(x + error)[-(K + 1)]
        unsure |= kept & (x - error < threshold - slack)
    edge = float(np.min(x[kept]))
    return Cut(kept, unsure & (x > error), (edge - float(np.max(x[~kept]))) / edge if edge > 0 else 0.0)


@carry.register
def _trim(stage: Trim, traces: list[Trace], before: list[Any], after: list[Any]) -> list[Trace]:
    """Kept entries keep their errors; one that may be cut or not brings its whole size."""
    if stage.scope == "model":
        groups = [
            [(i, s.tasks.index(task)) for i, s in enumerate(before) if task in s.tasks]
            for task in sorted({t for s in before for t in s.tasks})
        ]
    else:
        groups = [[(i, t)] for i, s in enumerate(before) for t in range(s.T)]
    unsure = [np.zeros(s.M.shape, dtype=bool) for s in before]
    for group in groups:
        d = sum(int(before[i].rows * before[i].cols) for i, _ in group)
        K = int(d * float(stage.density))
        flat = [before[i].M[t].ravel() for i, t in group]
        x, out = np.abs(np.concatenate(flat)), np.concatenate([after[i].M[t].ravel() for i, t in group])
        error = np.concatenate([traces[i].entry[t].ravel() for i, t in group])
        slack = np.concatenate(
            [np.full(before[i].M[t].size, max(float(before[i].rounding_level[t]), 0.0)) for i, t in group]
        )
        if d > K:
            cut = cut_at(x, error, (out != 0) & (x > 0), K, stage.keep, slack)
            start = 0
            for i, t in group:
                traces[i].margin(stage, "relative gap between the last entry kept and the first one cut", cut.gap, t)
                part = cut.unsure[start : start + before[i].M[t].size]
                start += part.size
                unsure[i][t] = part.reshape(before[i].M[t].shape)
                if part.any():
                    traces[i].doubt(stage, f"{int(part.sum())} entries lie at the threshold", t)
    for i, trace in enumerate(traces):
        if stage.density < 1 and trace.uses_size(stage):
            unsure[i] = before[i].M != 0
        jumps = np.where(unsure[i], np.abs(before[i].M) + trace.entry, 0.0)
        dropped = (after[i].M == 0) & (before[i].M != 0) & ~unsure[i]
        trace.entry = np.where(unsure[i], jumps, np.where(dropped, 0.0, trace.entry))
        trace.delta = np.asarray([d + norm(j) for d, j in zip(trace.delta, jumps, strict=True)])
        trace.unsure = unsure[i] if trace.unsure is None else trace.unsure | unsure[i]
        trace.rank = np.full(len(trace.rank), min(before[i].M.shape[1:]))
    return traces


@per_layer(Dare)
def _dare(stage: Dare, trace: Trace, before: Stack, after: Stack) -> Trace:
    """Errors of what is kept, times the factor; the l1 factor brings its own, the errors of both sums it divides."""
    kept = (after.M != 0) | (before.M == 0)
    for t, M in enumerate(before.M):
        own = 0.0
        if stage.rescale == "inverse":
            factor = 1 / (1 - stage.drop)
        elif stage.rescale == "l1":
            total, left = float(np.abs(M).sum()), float(np.abs(M[after.M[t] != 0]).sum())
            factor = total / left if left else 1.0
            if left:
                errors = trace.entry[t]
                own = float(errors.sum()) / total + float(errors[kept[t]].sum()) / left
            trace.margin(stage, "what is kept relative to what is there", left / total if total else 1.0, t, factor)
        else:
            factor = 1.0
        trace.entry[t] = np.where(kept[t], factor * trace.entry[t], 0.0) + own * np.abs(after.M[t])
        trace.delta[t] = factor * trace.delta[t] + own * norm(after.M[t])
    trace.rank = np.full(len(trace.rank), min(before.M.shape[1:]))
    return trace
