"""TSV, CART and isotropization: errors of singular subspaces, truncations and polar factors."""

import numpy as np

from coremerge_ref.analysis.explain.formulas import beyond_first_order, norm, polar, safely, truncation
from coremerge_ref.analysis.explain.rules import per_layer
from coremerge_ref.analysis.explain.subspaces import at_noise, kept_gap, orthogonalizing, spanned, subspace
from coremerge_ref.analysis.explain.trace import Trace
from coremerge_ref.core import linalg
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods import Cart, Iso, Tsv
from coremerge_ref.methods._triplets import side_by_side


@per_layer(Tsv)
def _tsv(stage: Tsv, trace: Trace, before: Stack, after: Merged) -> Trace:
    """√Σδ_t² and, on both sides, σ_1 c √Σ(δ_t τ_t)²: subspaces turn by τ_t, then polar factors amplify, see
    `orthogonalizing`.

    The result is its own SVD if no polar factor lost a direction. Its singular vectors then turn without the σ_1, but
    block t pairs P_t with Q_t only up to δ_t / σ_k, as in Iso-CTS.
    """
    known = trace.lost
    if stage.k is None:
        trace.uses_size(stage)
    stack = before.weighted()
    delta, total = trace.weighted(before.weights)
    k, T = int(after.info["k"]), stack.T
    parts, values = stack.leading(np.asarray(float(k))), linalg.svd(stack.M)[1]
    P, S, Q, error = parts.P, parts.S, parts.Q, parts.error
    columns = np.zeros(S.shape)
    for t in range(T):
        noise, own = float(stack.rounding_level[t]), float(delta[t])
        columns[t] = subspace(stage, trace, stack.M[t], values[t], k, noise, own, S.shape[1], t)[1]
    turned = np.max(error, axis=0)
    cut, uncut = (
        float(linalg.at_most_half_precision(turned, linalg.thresholds(stack.M.dtype)[0])),
        max(float(turned), linalg.thresholds(stack.M.dtype)[0]),
    )
    sides = [
        orthogonalizing(
            stage,
            trace,
            side_by_side(X),
            S.ravel(),
            list(safely(delta[:, None], columns)),
            cut,
            uncut,
            side,
            spanned(stack.M, delta, trace.rank, side),
        )
        for X, side in ((P, "left"), (Q, "right"))
    ]
    bound, most = total + sum(b for b, _ in sides), 2 * norm(stack.M) + total
    rank = min(r for _, r in sides)
    lost = trace.lost > known
    trace.merged(most if lost else min(bound, most), None, after.M.shape, rank)
    if T > 1 and not lost and rank == np.sum(S > 0):
        least = np.min(np.where(S > 0, S, np.inf), axis=1)
        trace.polar = norm(delta / least) + sum(b for b, _ in sides) / (float(S.max()) or 1.0), total
    return trace


@per_layer(Cart)
def _cart(stage: Cart, trace: Trace, before: Stack, after: Merged) -> Trace:
    """δ̄ + |λ| Σ_t (δ_t + δ̄) σ_k / (σ_k − σ_{k+1}), δ̄ the error of the mean, σ those of M_t − M̄."""
    if stage.k is None:
        trace.uses_size(stage)
    stack = before.weighted()
    delta, _ = trace.weighted(before.weights)
    of_mean = float(delta.sum()) / stack.T
    bound, k, noise = of_mean, int(after.info["k"]), float(np.max(stack.rounding_level))
    for t, D in enumerate(stack.M - stack.M.mean(axis=0)):
        S, own = linalg.svd(D)[1], float(delta[t]) + of_mean
        kept = min(k, int(np.sum(S > noise)))
        gap = kept_gap(S, kept) if kept == k else 1.0
        factor = truncation(S, kept) if kept == k else 1.0
        trace.spectrum(stage, "singular values of M_t − M̄", S, kept, max(noise, 0.0), task=t)
        trace.margin(stage, f"relative gap at k = {k} of M_t − M̄", gap, t, factor)
        if 0 < kept < len(S) and kept == k:
            distance = float(S[k - 1] - S[k])
            trace.check(
                stage,
                2 * own / distance if distance > 0 else np.inf,
                f"singular values {k} and {k + 1} of M_t − M̄ differ by {gap:.1e} of the largest",
                t,
            )
        crude = 2 * norm(S[:kept]) + own
        own += norm(S[kept:k])  # counts as zero
        bound += abs(stage.coefficient) * min(own * factor * beyond_first_order(own * factor / (S[0] or 1.0)), crude)
    return trace.merged(bound, None, after.M.shape)


@per_layer(Iso)
def _iso(stage: Iso, trace: Trace, before: Merged, after: Merged) -> Trace:
    """δ √(1 + (σ̄ c)²), c the condition number of the polar factor over the support; the two parts are orthogonal.

    What is known of the singular vectors and values before, see Trace.polar, replaces δ c and δ, beside the rounding of
    the matrix itself.
    """
    delta, M, known = float(trace.delta), before.M, trace.lost
    S, most, finer = linalg.svd(M)[1], 2 * norm(M) + delta, trace.polar
    formed = trace.level.size * norm(M) if trace.level.name == "compute" else 0.0
    if stage.support == "size":
        trace.uses_size(stage)
        finer = None  # null vectors take part
        kept, mean, cut = len(S), float(S.sum()) / float(before.short_side), None
    else:
        cut = float(before.rounding_level)
        kept = int(np.sum(S > cut))
        mean = float(S[:kept].sum()) / max(kept, 1)
        finer = finer if kept == trace.rank else None
        delta = delta if finer is None else min(delta, finer[1] + formed)
        at_noise(stage, trace, S, cut, delta, int(trace.rank), (M != 0) | (trace.entry > 0))
    trace.spectrum(stage, "singular values of the merged matrix", S, kept, cut)
    if kept == 0 or S[0] == 0:
        return trace.merged(most if trace.lost > known else delta, None, M.shape)
    factor = polar(S[:kept], trace.shape)
    least = float(S[kept - 1] / S[0])
    trace.margin(
        stage,
        f"smallest singular value of the support of {kept}, relative to the largest,",
        least,
        amplifies=mean * factor,
    )
    trace.check(
        stage,
        delta * factor,
        f"singular value {kept} of the merged matrix, the last that takes part, is {least:.1e} of the largest",
    )
    if finer is not None:
        turned = finer[0] + formed * factor
    else:
        turned = delta * factor * beyond_first_order(delta * factor) if np.isfinite(factor) else np.inf
    bound = float(np.hypot(delta, mean * turned))
    return trace.merged(most if trace.lost > known else min(bound, most), None, M.shape)
