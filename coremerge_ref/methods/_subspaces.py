"""What the spectral methods' `carry` share: cuts in spectra, values that may be zero, spaces of all columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from coremerge_ref.core.linalg import thresholds
from coremerge_ref.methods._multiplied import Factors, beside, multipliers, relatively
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import another_rank, multiplied, multiplied_span, norm, turns

ZERO = thresholds("float64")[0] / 2.0**-52  # in eps: a singular value that is none


@dataclass(frozen=True, eq=False)
class Leading:
    """Leading triplets P (p, s), S (s), Q (q, s) of a matrix, see linalg.leading.

    error: how far rounding may turn their span. turns (s): that of each one's vectors per unit of error in the matrix.
    known: how many singular values do not count as zero, those that are cut among them. multiplied: where errors
    multiply the matrix, bounds on how far that turns the spans, how far it pairs left vectors otherwise with right
    ones, and how far it moves singular values relative to themselves.
    """

    P: np.ndarray
    S: np.ndarray
    Q: np.ndarray
    error: float
    turns: np.ndarray
    known: int
    multiplied: tuple[float, float, float] = (np.inf, np.inf, np.inf)


def leading(
    stage: Any,
    errors: Errors,
    M: np.ndarray,
    k: int,
    level: float,
    delta: float,
    task: int | None,
    what: str = "M_t",
    rank: int | None = None,
    floor: float = np.inf,
    factors: Factors | None = None,
    apart: float = 0.0,
) -> Leading:
    """The k first triplets of M (p, q), known up to delta, or as `factors` and up to `apart`, with singular values
    above `level`.

    Notes the spectrum, its gap, and a doubt where rounding may change what is kept.
    """
    P, S, Qh = errors.svd(M)
    live = int(np.sum(S > level))
    kept = min(k, live)
    errors.spectrum(stage, f"singular values of {what}", S, kept, level, task)
    rank = int(np.ravel(errors.rank)[task or 0]) if rank is None else rank
    room = float(S[kept - 1] - (S[kept] if kept < live else 0.0)) if kept else 0.0
    span = pairing = relative = np.inf
    # where second-order terms of delta are no less than rounding
    if factors is not None and delta > errors.unit**0.5 * room:
        by = multipliers(errors, factors)
        pairing, relative = multiplied(*by)
    if k > 0 and live <= k:  # where none is taken, none can be missed
        possible = (M != 0) | (errors.entry[task] > 0 if task is not None else True)
        moved = relatively(S, level, delta, relative, apart)
        at_zero(stage, errors, S, level, moved, rank, possible, task, what, floor)
    if kept == 0:
        return Leading(P[:, :0], S[:0], Qh[:0].T, 0.0, S[:0], 0)
    if kept > rank:
        errors.doubt(
            stage, f"singular value {rank + 1} of {what} is rounding, and above the level that counts as zero", task
        )
    known = S[: max(kept, rank)] if kept == k else S[:kept]  # what is cut as zero is no next singular value
    columns = turns(known, kept) if kept < max(errors.shape) else np.zeros(kept)
    after = float(known[kept]) if kept < len(known) else 0.0
    gap = (S[kept - 1] - after) / S[0]
    errors.margin(stage, f"relative gap of {what} at k = {kept}", gap, task, columns[kept - 1] * S[0])
    change = 0.0
    if kept < len(known) and bool(errors.tied(known)[kept - 1]):
        change = np.inf
    elif relative < np.inf:
        span = multiplied_span(*by, (after + level * (kept < rank)) / float(S[kept - 1]))
        span, pairing, relative = beside((span, pairing, relative), float(S[kept - 1]), after, apart)
    if span == np.inf and not change:
        change = delta * columns[kept - 1] * (2 if kept < len(known) else 1)  # both move towards each other
    errors.check(
        stage,
        change,
        f"singular values {kept} and {kept + 1} of {what} differ by {gap:.1e} of the largest, so which directions are "
        "kept is not determined",
        task,
        (lambda: another_rank(S[:rank], kept)) if hasattr(stage, "k") else None,
    )
    error = level / room if room > 0 else 1.0
    return Leading(P[:, :kept], S[:kept], Qh[:kept].T, error, columns, len(known), (span, pairing, relative))


def at_zero(
    stage: Any,
    errors: Errors,
    S: np.ndarray,
    level: float,
    delta: Any,
    rank: int,
    possible: np.ndarray,
    task: int | None = None,
    what: str = "the merged matrix",
    floor: float = np.inf,
) -> None:
    """A doubt where a singular value of S (s), known up to delta, () or (s), lies at the level that counts as zero,
    unless it is zero by structure.

    Which it is beyond the rank, or the nonzero rows or columns of `possible`. floor: error of the values if the level
    were known.
    """
    delta = delta + np.zeros(len(S))
    if (S[:rank] > level + delta[:rank]).all():
        return  # all are clear of it
    rank = min(rank, *(int(np.count_nonzero(possible.any(axis=axis))) for axis in (0, 1)))
    S, delta = S[:rank], delta[:rank]
    error = delta if errors.jumped else errors.beside(delta, level)
    found = np.flatnonzero(errors.near(S, level, error) | ((S > floor) & (S <= level)))
    if len(found):
        value = S[found[0]] / (S[0] or 1.0)
        errors.doubt(
            stage,
            f"singular value {found[0] + 1} of {what} is {value:.1e} of the largest, at the level that counts as zero",
            task,
        )


def leaving_span(errors: Errors, apart: np.ndarray, parts: list[Leading]) -> float:
    """How far arithmetic, by `apart` (T,), takes the vectors of all parts out of the spaces that `spanned` is about:
    what is computed of one matrix is exact for another one, of a higher rank."""
    if not errors.level.formed:
        return 0.0
    return norm([own / part.S[-1] for own, part in zip(apart, parts, strict=True) if len(part.S)])


def spanned(
    errors: Errors,
    M: np.ndarray,
    delta: np.ndarray,
    rank: np.ndarray,
    side: str,
    columns: Any = False,
    tasks: slice = slice(None),
) -> tuple[int, float]:
    """Dimension and turn of the sum of the column (side "left") or row spaces of all M_t (T, p, q) with errors `delta`,
    of those `tasks`.

    The ranks, which errors do not raise, bound the dimension, and so do the rows of the frame that no mask makes zero
    in all tasks. Where it is reached, the space is that of all R singular
    vectors of the matrices side by side, so errors turn it by ‖δ‖ / σ_R (Wedin 1972). It is not moved where it is all
    of a frame that turns along, and as that of all columns of factors where those still are the tasks' and R.
    """
    at = int(side == "right")
    rows, entry = M.shape[1 + at], errors.entry[tasks]
    if not entry.all():
        possible = ((M != 0) | (entry > 0)) & (rank > 0)[:, None, None]
        rows = int(np.count_nonzero(possible.any(axis=(0, 2 - at))))
    R = min(int(np.sum(rank)), rows)
    if errors.closed and R == rows:
        return R, 0.0
    X = spanning(M, side)
    least = errors.value_at(X, R) if 0 < R <= X.shape[1] else 0.0  # and R is no more than the rows
    turn = norm(delta) / least if least > 0 else np.inf
    count, own = errors.columns[side]() if columns else (0, np.inf)
    return R, min(turn, own) if count == R else turn


def spanning(M: np.ndarray, side: str) -> np.ndarray:
    """[M_1 … M_T] of a stack (T, p, q), of which "left" are the column spaces; "right": [M_1ᵀ … M_Tᵀ]."""
    return np.concatenate(list(M if side == "left" else M.mT), axis=1)
