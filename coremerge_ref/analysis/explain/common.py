"""Iso-CTS: errors of the common directions go into the residuals of all tasks."""

import numpy as np

from coremerge_ref.analysis.explain.formulas import norm
from coremerge_ref.analysis.explain.rules import per_layer
from coremerge_ref.analysis.explain.subspaces import orthogonalizing, spanned, subspace
from coremerge_ref.analysis.explain.trace import Trace
from coremerge_ref.core import linalg
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods import IsoCts
from coremerge_ref.methods._triplets import side_by_side


@per_layer(IsoCts)
def _iso_cts(stage: IsoCts, trace: Trace, before: Stack, after: Merged) -> Trace:
    """As TSV on [U_c P_1 … P_T], every level the mean σ̄.

    The common projector turns by τ = coupling(σ_s, σ_{s+1}) Σ δ_t, so the residual of task t is known up to
    δ_t + τ ‖M_t‖. U_c lies in the sum of all column spaces, of dimension min(p, Σ r_t) at most, so the residuals have
    ranks of at most that minus the common count, whatever the errors: none where U_c spans all. P_t that spans all that
    is left turns as U_c and that sum do, Q_t that spans the rows of M_t as those do. A block of k triplets pairs P with
    Q up to its error times 2 / (σ_k + σ_{k−1}), which σ̄ P Qᵀ sees where P S Qᵀ does not.
    """
    known = trace.lost
    trace.uses_size(stage)
    stack = before.weighted()
    delta, _ = trace.weighted(before.weights)
    common, each = int(after.info["common"]), int(after.info["task"])
    every, noise = float(delta.sum()), float(np.max(stack.rounding_level))
    summed, ranks = stack.M.sum(axis=0), trace.rank
    first = linalg.svd(summed)
    shared = linalg.leading(summed, first, np.asarray(float(common)), np.asarray(noise))
    Uc, Sc, Vc, turned = shared.P, shared.S, shared.Q, shared.error
    trace.rank = np.asarray([ranks.sum()])
    kept, columns = subspace(stage, trace, summed, first[1], common, noise, every, len(Sc), None, "Σ M_t")
    trace.rank = ranks
    turn = every * float(columns.max(initial=0.0))
    own = delta + np.asarray([min(turn, 2.0) * norm(M) for M in stack.M])
    residual = stack.M - Uc @ (Uc.T @ stack.M)
    trace.rank = np.minimum(ranks, max(0, min(len(Uc), int(ranks.sum())) - kept))  # no more is left beside U_c
    level = stack.rounding_level + float(turned) * np.asarray([norm(M) for M in stack.M])
    second = linalg.svd(residual)
    own_parts = linalg.leading(residual, second, np.asarray(float(each)), level)
    P, S, Q, error = own_parts.P, own_parts.S, own_parts.Q, own_parts.error
    spans, least = [], [every / Sc[kept - 1] if kept else 0.0]
    pairing = [every * _pairing(Sc, kept)]
    whole = {side: spanned(stack.M, delta, ranks, side) for side in ("left", "right")}
    sides: dict[str, list[np.ndarray]] = {side: [every * columns] for side in whole}
    for t in range(stack.T):
        cuts = (each, float(level[t]), float(own[t]), S.shape[1])
        n, found = subspace(
            stage, trace, residual[t], second[1][t], *cuts, t, "the residual of M_t", floor=float(delta[t])
        )
        least.append(own[t] / S[t, n - 1] if n else 0.0)
        pairing.append(own[t] * _pairing(S[t], n))
        spans.append(n)
        formed = trace.level.size * norm(stack.M[t]) if trace.level.name == "compute" else 0.0
        rows = spanned(stack.M[t : t + 1], delta[t : t + 1], ranks[t : t + 1], "right")
        complete = {"left": (whole["left"][0] - kept, norm(np.asarray([turn, whole["left"][1]]))), "right": rows}
        for side, (size, moved) in complete.items():
            most = moved + formed / S[t, n - 1] if n and n == size else np.inf
            sides[side].append(np.minimum(own[t] * found, most))
    trace.rank = ranks
    values = np.concatenate([Sc, S.ravel()])
    count = int(np.sum(values > 0))
    most = 2 * (norm(summed) + norm(stack.M)) + every
    if count == 0:
        return trace.merged(most if trace.lost > known else every, None, after.M.shape)
    mean = float(values.sum()) / count
    trace.check(stage, max(least), "a direction is kept whose singular value is no larger than its error")
    levels = np.where(values > 0, mean, 0.0)
    wide = np.maximum(turned, np.max(error, axis=0))
    cut, uncut = (
        float(linalg.at_most_half_precision(wide, linalg.thresholds(stack.M.dtype)[0])),
        max(float(wide), linalg.thresholds(stack.M.dtype)[0]),
    )
    bound = mean * norm(np.asarray(pairing)) + (kept**0.5 * every + float(np.sqrt(spans) @ own)) / count**0.5
    U, V = np.concatenate([Uc, side_by_side(P)], axis=1), np.concatenate([Vc, side_by_side(Q)], axis=1)
    rank = count
    for X, side in ((U, "left"), (V, "right")):
        turned_by = [np.minimum(e, 4.0) for e in sides[side]]  # no turn is wider
        part, support = orthogonalizing(stage, trace, X, levels, turned_by, cut, uncut, side, whole[side])
        bound, rank = bound + part, min(rank, support)
    return trace.merged(most if trace.lost > known else min(bound, most), None, after.M.shape, rank)


def _pairing(S: np.ndarray, k: int) -> float:
    """Condition number of the polar factor of diag(S_1 … S_k), Higham 2008, theorem 8.9; 0 for k = 1, a sign."""
    return float(2 / (S[k - 1] + S[k - 2])) if k > 1 else 0.0
