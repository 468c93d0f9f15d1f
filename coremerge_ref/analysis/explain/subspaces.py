"""Checks and bounds that the spectral rules share: cuts in spectra, values that may be zero, polar factors."""

from typing import Any

import numpy as np

from coremerge_ref.analysis.explain.formulas import beyond_first_order, near, norm, polar, term_rank, turns
from coremerge_ref.analysis.explain.trace import Trace
from coremerge_ref.core import linalg


def subspace(
    stage: Any,
    trace: Trace,
    M: np.ndarray,
    S: np.ndarray,
    k: int,
    noise: float,
    delta: float,
    width: int,
    task: int | None,
    what: str = "M_t",
    floor: float = np.inf,
) -> tuple[int, np.ndarray]:
    """(how many of the k leading triplets are kept, the turn of each per unit of error (width,)); checks the cut.

    S: singular values of M.
    """
    live = int(np.sum(S > noise))
    kept = min(k, live)
    trace.spectrum(stage, f"singular values of {what}", S, kept, max(noise, 0.0), task=task)
    columns = np.zeros(width)
    if k > 0 and (kept < k or live == k):  # where none is taken, none can be missed
        possible = (M != 0) | (trace.entry[task] > 0 if task is not None else True)
        at_noise(stage, trace, S, noise, delta, int(np.ravel(trace.rank)[task or 0]), possible, task, what, floor)
    if kept == 0:
        return 0, columns
    known = S if kept == k else S[:kept]  # what is cut as zero is no next singular value
    columns[:kept] = turns(known, kept) if kept < max(trace.shape) else 0.0
    gap = kept_gap(known, kept)
    trace.margin(stage, f"relative gap of {what} at k = {kept}", gap, task, columns[kept - 1] * S[0])
    # the two values meet when each moves by half of their distance
    trace.check(
        stage,
        delta * columns[kept - 1] * (2 if kept < len(known) else 1),
        f"singular values {kept} and "
        f"{kept + 1} of {what} differ by {gap:.1e} of the largest, so which directions are kept is not determined",
        task,
    )
    return kept, columns


def kept_gap(S: np.ndarray, k: int) -> float:
    """(σ_k − σ_{k+1}) / σ_1, σ_{k+1} = 0 after the last; 1 where nothing is kept."""
    if k == 0 or len(S) == 0 or S[0] == 0:
        return 1.0
    return float((S[k - 1] - (S[k] if k < len(S) else 0.0)) / S[0])


def at_noise(
    stage: Any,
    trace: Trace,
    S: np.ndarray,
    noise: float,
    delta: float,
    rank: int,
    possible: np.ndarray,
    task: int | None = None,
    what: str = "the merged matrix",
    floor: float = np.inf,
) -> None:
    """A doubt where a singular value lies at the level that counts as zero, unless it is zero by structure: beyond the
    rank, or the term rank of the `possible` nonzeros. floor: error of the values if the level were known."""
    S = S[:rank]
    found = np.flatnonzero(near(S, noise, trace.level.beside(delta, noise)) | ((S > floor) & (S <= noise)))
    if len(found) and found[0] < term_rank(possible):
        i = int(found[0])
        trace.doubt(
            stage,
            f"singular value {i + 1} of {what} is {S[i] / (S[0] or 1.0):.1e} of the largest, at the level "
            "that counts as zero",
            task,
        )


def orthogonalizing(
    stage: Any,
    trace: Trace,
    X: np.ndarray,
    levels: np.ndarray,
    turned: list[np.ndarray],
    cut: float,
    uncut: float,
    side: str,
    span: tuple[int, float],
) -> tuple[float, int]:
    """Bound on the change of polar(X) diag(levels), X = [P_1 … P_T], and the rank of polar(X).

    Column i of block t turns by turned[t][i], so X changes by at most √Σ_t max(turned[t])² in Frobenius norm, and its
    polar factor by that times its condition number. A single orthonormal block is its own polar factor, and every
    column then counts with its own level. cut: relative level below which a singular value of X is none; uncut: the
    same before it was held at √eps. span: dimension and turn of the space all columns lie in, see `spanned`. Where they
    are a basis of it, X = Q C, C square: its polar factor changes by the smaller condition number of square matrices,
    and beside it Q turns; that and the rounding of X itself bound the change too.
    """
    blocks, L = len(turned), linalg.svd(X)[1]
    support = int(np.sum(L > cut * (L[0] if len(L) else 0.0)))
    active = int(np.sum(np.any(X != 0, axis=0)))
    trace.spectrum(
        stage, f"singular values of [P_1 … P_T], {side}", L, support, max(cut, 0.0) * (L[0] if len(L) else 0.0)
    )
    if support == 0 or active == 0:
        return 0.0, 0
    moved = norm(np.asarray([block.max(initial=0.0) for block in turned]))
    known = trace.level.beside(moved, uncut * L[0])
    factor = polar(L[:support], (trace.shape[side == "right"], active))
    trace.margin(stage, f"σ_min of [P_1 … P_T], {side} (polar factor),", L[support - 1], amplifies=factor)
    edge = cut * L[0]
    inside = L[: min(active, trace.shape[side == "right"])]
    found = np.flatnonzero(near(inside, edge, known)) if blocks > 1 else np.zeros(0, dtype=int)
    if len(found):
        trace.doubt(
            stage,
            f"singular value {found[0] + 1} of [P_1 … P_T], {side}, is {inside[found[0]]:.1e}, at the cut of the "
            "polar factor: tasks share a direction up to the error",
        )
    elif blocks > 1:
        trace.check(
            stage,
            moved * factor,
            f"the smallest singular value of [P_1 … P_T], {side}, is {L[support - 1]:.1e}, so "
            "the polar factor is not determined",
        )
    if not np.isfinite(moved * factor):
        return np.inf, support
    if blocks == 1:
        return float(np.max(turned[0] * levels)), support
    change = moved * factor
    if span[0] == support == active:
        rounding = trace.level.size * norm(X) * factor if trace.level.name == "compute" else 0.0
        change = min(change, norm(np.asarray([moved * polar(L[:support], (support, support)), span[1]])) + rounding)
    return change * float(levels.max()) * beyond_first_order(moved * factor), support


def spanned(M: np.ndarray, delta: np.ndarray, rank: np.ndarray, side: str) -> tuple[int, float]:
    """Dimension and turn of the sum of the column (side "left") or row spaces of all M_t (T, p, q) with errors `delta`.

    The ranks, which errors do not raise, bound the dimension. Where it is reached, the space is that of all R singular
    vectors of the matrices side by side, so errors turn it by ‖δ‖ / σ_R (Wedin 1972).
    """
    S = linalg.svd(np.concatenate(list(M if side == "left" else M.mT), axis=1))[1]
    R = min(int(np.sum(rank)), M.shape[1 if side == "left" else 2])
    return R, norm(delta) / float(S[R - 1]) if 0 < R <= len(S) and S[R - 1] > 0 else np.inf
