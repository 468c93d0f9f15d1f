"""How far errors move polar([P_1 … P_T]), the step of TSV and Iso-CTS that makes directions of all tasks orthogonal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coremerge_ref.methods._graded import Met, Triplets, turned_into
from coremerge_ref.methods._subspaces import ZERO, Leading
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import LIMIT, beyond, coupling, grown, norm, polar, safely

EPS = 2.0**-52  # of a sum of which most is taken away again, as often as it has terms
MODEST = 8.0  # a condition number up to which no more is asked


@dataclass(frozen=True, eq=False)
class Crossing:
    """The vectors of one block on one side: how far each of the k kept ones turns, per unit of error, into each of
    `others` (p, j) that are cut and, last, into what lies beyond all of them, `into` (k, j + 1), and that by any error
    at `most`. The error's norm, and bounds (k,) on turns of second order."""

    others: np.ndarray
    into: np.ndarray
    most: np.ndarray
    error: float
    second: np.ndarray


Block = tuple[np.ndarray, Leading, float, Met | None, Any]  # M, part, error, finer, slack, see `crossing`


def crossing(
    errors: Errors, side: str, M: np.ndarray, part: Leading, error: float, finer: Met | None, slack: Any = 0.0
) -> Crossing:
    """That of the leading `part` of M, known up to `error`, of which singular vectors meet what is `finer` known; slack
    (k,) adds to turns of second order."""
    P, S, Qh = errors.svd(M)
    k, at = len(part.S), int(side == "right")
    into = np.zeros((k, part.known - k + 1))
    into[:, :-1] = coupling(S[:k, None], S[None, k : part.known])
    with np.errstate(over="ignore"):
        inverse = 1 / part.S
    into[:, -1] = inverse if part.known < errors.shape[at] else 0.0
    most = np.full(into.shape, np.inf)
    if finer is not None and k:
        most[:, :-1] = turned_into(finer, S, k)[at][:, : part.known - k]
        most[:, -1] = safely((finer.left, finer.right)[at][:k], inverse) if part.known == len(S) else np.inf
    second = 4 * safely(error, part.turns) ** 2 + slack
    return Crossing((P, Qh.T)[at][:, k : part.known], into, most, error, second)


def crossed(X: Triplets, crossings: Sequence[Crossing]) -> float:
    """Bound on the change of polar(X), X = U diag(s) Vᵀ of which nothing is cut, to first order.

    A column i that turns into a unit vector p moves polar(X) = U Vᵀ by U K Vᵀ, K_kl = (a_k b_l − a_l b_k) /
    (s_k + s_l), a = Uᵀ p, b = Vᵀ e_i, and beyond its spans by √(1 − ‖a‖²) ‖b / s‖ and √(1 − ‖b‖²) ‖a / s‖ (Higham
    2008, 8): by as much as the condition number says only where the turn meets the smallest s, which narrow gaps need
    not.
    ‖K‖² = 2 Σ D_kl a_k² b_l² − 2 cᵀ D c, D_kl = 1 / (s_k + s_l)² and c = a b. D is positive definite, so cᵀ D c is at
    least (eᵀ D c)² / eᵀ D e, e that of the smallest s.
    """
    U, s, V = X[0], X[1], X[2].T
    D, total, at = 1 / (s[:, None] + s) ** 2, 0.0, 0
    for block in crossings:
        k = len(block.into)
        a, b = U.T @ block.others, V[at : at + k].T  # (r, j), (r, k)
        at += k
        inside, leaving = 2 * D @ b**2, np.sum((b / s[:, None]) ** 2, axis=0)  # (r, k), (k,)
        lost, missed = (np.maximum(1 - np.sum(x**2, axis=0), 0.0) for x in (a, b))  # (j,), (k,)
        squares = (1 + 8 * len(s) * EPS) * inside.T @ a**2 - 2 * (b.T @ (D[-1][:, None] * a)) ** 2 / D[-1, -1]
        squares += np.outer(leaving, lost) + np.outer(missed, np.sum((a / s[:, None]) ** 2, axis=0))
        farthest = np.maximum(inside.max(axis=0), leaving) + missed / s[-1] ** 2
        moves = np.sqrt(np.maximum(np.column_stack([squares, farthest]), 0.0))
        total += largest_sum(safely(moves, block.into), block.error, safely(moves, block.most))
    return total


def largest_sum(slopes: np.ndarray, size: float, most: np.ndarray) -> float:
    """Bound on Σ slopes · e for e ≥ 0 of norm `size` with no term above `most`.

    For every m > 0 it is at most Σ max (slope · e − m e² / 2) + m size² / 2. Numbers may be near the ends of their
    range.
    """
    steepest = norm(slopes)
    whole, every = float(safely(steepest, size)), float(np.sum(most))
    if not 0 < whole < np.inf:
        return min(whole, every)
    with np.errstate(over="ignore"):  # in units of all of them
        slopes, most, m = np.ravel(slopes) / steepest, np.ravel(most) / whole, 0.5 ** np.arange(12)
        e = np.minimum(slopes / m[:, None], most / np.where(slopes > 0, slopes, 1.0))
        sums = e @ slopes - m * np.einsum("mi,mi->m", e, e) / 2 + m / 2
    return min(1.0, every / whole, float(sums.min())) * whole


def orthogonalizing(
    stage: Any,
    errors: Errors,
    X: np.ndarray,
    levels: np.ndarray,
    turned: list[tuple[np.ndarray, np.ndarray]],
    known: float,
    side: str,
    span: tuple[int, float],
    blocks: Sequence[Block] = (),
    rotated: float = 0.0,
    leaving: float = 0.0,
) -> tuple[float, float, int]:
    """Bounds on the change of polar(X) diag(levels), X = [P_1 … P_T], and of polar(X), and the rank of it.

    turned: of each block bounds on the turns of its columns, and bounds δ τ_i by the norm of one error, which
    all columns share: it turns the block by at most δ max τ_i (Wedin 1972). X changes by the root of the sum of their
    squares, and its polar factor by that times its condition number. A single orthonormal block is its own polar
    factor, and every column then counts with its own level. known: relative level up to which a singular value of X
    is none, before it is held at √eps.
    span: dimension and turn of the space of all columns, see `spanned`. Where they are a basis of it, X = Q C, C
    square: its polar factor has the smaller condition number of square matrices, and beside it Q turns. leaving: how
    far arithmetic takes columns out of that, which no turn of it follows, unless it is all of the frame.
    blocks: what `crossing` asks of each; `crossed` takes the place of the condition number where it is less, beside
    `rotated`, how far all columns turn as one, and their polar factor with them.
    """
    turned, cut_off = [block for block in turned if len(block[0])], [b for b in blocks if b[1].known > len(b[1].S)]
    L = errors.svd(X)[1] if cut_off else errors.singular_values(X)
    uncut = max(known, ZERO * errors.unit)
    cut = min(uncut, errors.unit**0.5)
    support = int(np.sum(L > cut * L[0])) if len(L) else 0
    active = int(np.sum(np.any(X != 0, axis=0)))
    errors.spectrum(stage, f"singular values of [P_1 … P_T], {side}", L, support, cut * L[0] if len(L) else 0.0)
    if support == 0 or active == 0:
        return 0.0, 0.0, 0
    own = errors.level.decomposed * norm(X)  # of the polar factor's SVD
    moved = norm([min(norm(columns), float(shared.max())) for columns, shared in turned]) + own
    size = errors.shape[side == "right"]
    factor = polar(L[:support], (size, active))
    errors.margin(stage, f"σ_min of [P_1 … P_T], {side} (polar factor),", L[support - 1], amplifies=factor)
    if len(turned) == 1:
        columns, shared = (x * levels for x in turned[0])
        each = min(norm(columns), float(shared.max())) if np.isfinite(moved) else np.inf
        return each + own * float(levels.max()), moved, support
    first = moved * factor
    whole = first * grown(LIMIT) / LIMIT  # turns are known to first order up to LIMIT
    inside = L[: min(active, size, max(span[0], support))]
    lowest = inside[-1] <= cut * L[0] + moved  # else all are clear of it
    found = np.flatnonzero(errors.near(inside, cut * L[0], errors.beside(moved, uncut * L[0]))) if lowest else L[:0]
    if len(found):
        errors.doubt(
            stage,
            f"singular value {found[0] + 1} of [P_1 … P_T], {side}, is {inside[found[0]]:.1e}, at the cut of the "
            "polar factor: tasks share a direction up to the error",
        )
    else:
        errors.check(
            stage,
            first if first <= LIMIT else whole,
            f"the smallest singular value of [P_1 … P_T], {side}, is {L[support - 1]:.1e}, so the polar factor is not "
            "determined",
            limit=1.0 if support == active else LIMIT,
        )
    if not np.isfinite(first):
        return np.inf, np.inf, support
    change = first
    if span[0] == support == active:
        square = moved * polar(L[:support], (support, support))
        change = min(change, norm([square, span[1]]) + (own + (leaving if len(X) > span[0] else 0.0)) * factor)
    change *= beyond(first) if first <= LIMIT else grown(whole) / first
    if factor > MODEST and cut_off and first <= LIMIT:
        crossings = [crossing(errors, side, *block) for block in blocks]
        P, S, Qh = errors.svd(X)
        more = factor * (own + sum(norm(one.second) for one in crossings)) + 4 * first**2
        least = crossed((P[:, :support], S[:support], Qh[:support]), crossings)
        change = min(change, least + rotated + more)
    return change * float(levels.max()), change, support
