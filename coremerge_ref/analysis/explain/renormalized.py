"""Decom-Renorm-Merge: errors turn a one-sided frame, then a threshold and an election look at entries in it."""

from dataclasses import replace

import numpy as np

from coremerge_ref.analysis.explain.formulas import coupling, near, norm, safely
from coremerge_ref.analysis.explain.rules import per_layer
from coremerge_ref.analysis.explain.thresholds import cut_at
from coremerge_ref.analysis.explain.trace import Trace
from coremerge_ref.analysis.explain.votes import Votes, elected
from coremerge_ref.core import linalg
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods import Drm
from coremerge_ref.methods._entries import largest
from coremerge_ref.methods.drm import gaps


@per_layer(Drm)
def _drm(stage: Drm, trace: Trace, before: Stack, after: Merged) -> Trace:
    """As TIES, on coordinates in the left singular vectors of [M_1 … M_T], which turn by coupling(σ_i, σ_j) √Σδ_t²."""
    if stage.direction == "vertical":
        trace.entry = trace.entry.mT
        mirrored = replace(after, M=after.M.T)
        trace = _horizontal(stage, trace, replace(before, M=before.M.mT, rows=before.cols, cols=before.rows), mirrored)
        trace.entry = trace.entry.T
        trace.undecided = None
        return trace
    return _horizontal(stage, trace, before, after)


def _horizontal(stage: Drm, trace: Trace, stack: Stack, after: Merged) -> Trace:
    unsized = trace.uses_size(stage)
    error, noise = norm(trace.delta), float(np.max(stack.rounding_level))
    U, S, _ = linalg.svd(np.concatenate(list(stack.M), axis=1))
    level = max(stage.rank_cut * S[0], noise)
    k = int(np.sum(level < S))
    trace.spectrum(stage, "singular values of [M_1 … M_T]", S, k, max(level, 0.0))
    if k == 0:
        return trace.merged(error, None, after.M.shape, min(after.M.shape))
    if stage.rank_cut * S[0] > noise:
        at_cut = np.abs(S - level) <= 2 * error
    else:
        at_cut = near(S, noise, trace.level.beside(error, noise))
    found = np.flatnonzero(at_cut[: int(np.sum(trace.rank))])
    if len(found):
        trace.doubt(
            stage,
            f"singular value {found[0] + 1} of [M_1 … M_T] is {S[found[0]] / S[0]:.1e} of the largest, at the rank cut",
        )
    trace.margin(stage, "relative gap at the rank cut", (S[k - 1] - level) / S[0])
    mixing = np.minimum(safely(np.asarray(error), coupling(S[:, None], S[None, :])), 2.0)
    np.fill_diagonal(mixing, 0.0)
    N = U.T @ stack.M  # all of it, what is cut too
    turned = (mixing @ np.abs(N))[:, :k]
    if norm(turned) >= norm(N):
        trace.doubt(stage, "the singular vectors of [M_1 … M_T] whose coordinates are looked at are not determined")
    columns = np.minimum(np.sqrt(np.sum(trace.entry**2, axis=1)), trace.delta[:, None])  # (T, q)
    E, Y = columns[:, None, :] + turned, N[:, :k]
    votes = _pruned(stage, trace, stack, Y, E, noise, linalg.at_most_half_precision(noise / gaps(S), 0.0)[:k])
    trace.gauge_free = True
    values, W = after.M, np.abs(np.asarray(stack.weights))[:, None, None]
    agrees = votes.sure & (np.sign(Y) == np.sign(votes.total))
    divisor = np.maximum(np.sum(agrees, axis=0), 1)
    smooth = np.sum(np.where(agrees, W * E, 0.0), axis=0) / divisor
    delta = float(np.sum(W[:, 0, 0] * np.asarray([norm(e) for e in E])))
    final = replace(votes, W=np.asarray(stack.weights)[:, None, None])
    R = U[:, :k].T @ values
    trace = elected(stage, trace, votes, R, smooth, delta, final.spread)
    trace.undecided = None  # in the frame of [M_1 … M_T], not in the space's
    away = norm(mixing[:, :k] @ np.abs(R)) + norm(np.minimum(safely(error / S[:k, None], np.abs(R)), 2 * np.abs(R)))
    crude = norm(values) + sum(float(w) * norm(M) for w, M in zip(W[:, 0, 0], stack.M, strict=True)) + error
    bound = crude if unsized else min(float(trace.delta) + min(away, 2 * norm(R)), crude)
    return trace.merged(bound, None, values.shape, min(values.shape))


def _pruned(
    stage: Drm, trace: Trace, stack: Stack, Y: np.ndarray, E: np.ndarray, noise: float, turn: np.ndarray
) -> Votes:
    """Renormalizes the rows of each task and prunes over all tasks together, as the stage does.

    The stage takes entries for equal to the cut that the `turn` (k,) of their rows may bring there. Which of them are
    is not determined: in higher precision fewer would be kept. Only those within the noise itself count as ties.
    """
    length = np.sqrt(np.sum(Y * Y, axis=-1, keepdims=True))  # (T, k, 1)
    known = np.sqrt(np.sum(E * E, axis=-1, keepdims=True))
    own = stack.rounding_level[:, None, None]
    there = length > own
    if (near(length, own, known) & (length > 0)).any():
        trace.doubt(stage, "a task's part in a direction is at the level that counts as zero")
    unit = np.where(there, length, 1.0)
    V = np.where(there, np.abs(Y) / unit, 0.0)
    error = np.where(there, (E + V * known) / unit, 0.0)
    live = int(Y.shape[1] * float(stack.cols) * stack.T)
    K = round(live * (1 - stage.drop))
    kept, unsure = V > 0, np.zeros(V.shape, dtype=bool)
    if live > K:
        slack = np.broadcast_to(np.maximum(own, 0.0) / unit, V.shape)
        wide = np.asarray([norm(M) for M in stack.M])[:, None, None] * turn[:, None] / unit + slack  # (T, k, q)
        flat, e, s, w = (X.ravel() for X in (V, error, slack, wide))
        chosen = largest(flat, np.asarray(float(live)), 1 - stage.drop, "threshold", w, "round") & (flat > 0)
        cut = cut_at(flat, e, chosen, K, "threshold", s)
        kept = chosen.reshape(V.shape)
        unsure = (cut.unsure | _crossing(flat, e, w, chosen, K) & (flat > e)).reshape(V.shape)
        trace.margin(stage, "relative gap between the last entry kept and the first one pruned", cut.gap)
        if unsure.any():
            trace.doubt(stage, f"{int(unsure.sum())} entries lie at the threshold")
    sure = kept & ~unsure & (np.abs(Y) > E)
    return Votes(Y, E, E, np.ones((stack.T, 1, 1)), sure, kept | unsure, noise, False, 0)


def _crossing(x: np.ndarray, error: np.ndarray, width: np.ndarray, kept: np.ndarray, K: int) -> np.ndarray:
    """Which intervals of `width` about x, known up to `error`, may cross the lower end of the K + 1 highest."""
    top, bottom = x + width / 2, x - width / 2
    enters = top + error >= np.sort(bottom - error)[len(x) - K - 1]
    highest = np.sort(bottom + error)  # it leaves if K + 1 others may lie above it
    above = len(x) - np.searchsorted(highest, top - error, side="right") - (bottom + error > top - error)
    return np.where(kept, above > K, enters)
