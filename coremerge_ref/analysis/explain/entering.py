"""Errors of the tasks' matrices on entering a space, and of the way back."""

from typing import Any

import numpy as np

from coremerge_ref.analysis.explain.frame import ALLOWANCE, Frame
from coremerge_ref.analysis.explain.terms import Terms
from coremerge_ref.core.linalg import thresholds
from coremerge_ref.core.spaces import Full
from coremerge_ref.perturbation.carried import Errors, Level
from coremerge_ref.perturbation.theorems import norm, safely

ZERO, NU = (x / 2.0**-52 for x in thresholds("float64"))  # in eps: a singular value that is none; ν of norms


def level_of(name: str, dtype: str, eps: float, tiny: float, terms: int, inner: int) -> Level:
    """Level "input": half an eps, as one rounding makes; "compute": what sums of `terms` terms may make of it, of
    `inner` terms within the space.

    Each of N − 1 additions and N products is off by half an eps of what is there. Nothing is taken to cancel.
    """
    if name == "input":
        return Level(name, dtype, eps, 0.5)
    return Level(name, dtype, eps, terms / 2 + ALLOWANCE, tiny, inner / 2 + ALLOWANCE)


def entered(
    level: Level, left: Frame, right: Frame, terms: tuple[Terms, tuple[int, ...]], tasks: tuple[int, ...], **rest: Any
) -> Errors:
    """The errors of every M_t (T, p, q) = L_t R_tᵀ, coordinates of B_t and A_tᵀ, before frames turn; terms: those of
    the layer's group, and the layer's place in it.

    A column of B_t and a row of A_t are off by g = eps · growth of their norms, and so are their coordinates; where a
    frame is an identity nothing is computed, and rounded inputs are off entry by entry. With s = Σ_i ‖b_i‖ ‖a_i‖,
    ‖δM_t‖ ≤ 2 g s and ≤ g (‖B_t‖ ‖A_t‖₂ + ‖B_t‖₂ ‖A_t‖).
    """
    delta, entry, added = terms[0].errors(level, (left.identity, right.identity), terms[1])
    place: Any = (slice(None), *terms[1])
    g, rank, beyond = level.size, np.minimum(terms[0].ranks[place], min(entry.shape[1:])), terms[0].beyond[place]
    pairs: Any = zip(left.coordinates, right.coordinates, left.norms, right.norms, beyond, strict=True)
    sizes, computed, factors = (left.size, right.size), not (left.identity and right.identity), None
    apart: Any = added
    if level.name != "compute":
        factors, apart = [with_rest(L, R, g * b, g * a, g * lost) for L, R, b, a, lost in pairs], 0.0
    elif computed:
        of_left, of_right = (0.0 if one.identity else g for one in (left, right))
        factors = [(L, R, of_left * b, of_right * a) for L, R, b, a, _ in pairs]
    return Errors(
        level, sizes, delta, entry, rank, tasks, computed, entering=delta, factors=factors, apart=apart, **rest
    )


def with_rest(L: np.ndarray, R: np.ndarray, b: np.ndarray, a: np.ndarray, rest: float) -> Any:
    """L (p, r), R (q, r) and bounds on the columns of their errors, and any error of norm `rest` (p, q) as that of a
    product with an identity."""
    if not rest:
        return L, R, b, a
    p, q = len(L), len(R)
    if p < q:
        more = np.eye(p), np.zeros((q, p)), np.zeros(p), np.full(p, rest)
    else:
        more = np.zeros((p, q)), np.eye(q), np.full(q, rest), np.zeros(q)
    return tuple(np.concatenate(pair, axis=-1) for pair in zip((L, R, b, a), more, strict=True))


def sized(errors: Errors, space: Any, frame: Frame, M: np.ndarray, levels: np.ndarray) -> None:
    """Notes the spectrum that the live size of a side is judged by, and a doubt about that size; rows of M (T, p, q)
    are coordinates in the frame, ν_t the levels.

    Directions that count as zero without being so are lost: what they held is an error too.
    """
    if frame.identity:
        errors.live.append((frame.size, frame.size))
        return
    blocks: list[np.ndarray] = []
    if frame.units is not None:
        X, values, columns = frame.units
        error = errors.level.size * X.shape[1] ** 0.5
    else:
        slack = []
        for t, X in enumerate(M):
            P, s, _ = errors.svd(X)
            there = s > levels[t]
            blocks.append(P[:, there])
            with np.errstate(over="ignore"):
                slack.append(norm(np.minimum(safely(errors.delta[t], 1 / s[there]), 1.0)))
        error, X = norm(slack), np.concatenate(blocks, axis=1)
        values, columns = errors.singular_values(X) if X.size else np.zeros(1), int(np.count_nonzero(np.any(X, axis=0)))
    what, live = frame.name, frame.live
    cut = ZERO * errors.unit * values[0]
    errors.spectrum(space, f"{what}, columns of norm 1", values, live, cut)
    dropped = float(values[live]) if live < len(values) else 0.0
    if frame.units is not None and errors.level.formed and 0 < live < min(frame.size, frame.distinct):
        # columns that no factor makes equal: up to the cut, times its norm, each may have beyond the live directions
        beyond = cut / (NU * errors.unit) * np.asarray(levels)
        errors.delta, errors.apart = errors.delta + beyond, errors.apart + beyond
        errors.entry = errors.entry + beyond[:, None, None]
    if live:
        last = values[min(live, len(values)) - 1]
        gap = (last - dropped) / (values[0] or 1.0)
        errors.margin(space, f"gap between kept and dropped singular values of {what}", gap)
    # errors raise the rank to the number of columns that are not zero, and no further
    most = min(frame.size, int(columns))
    possible = np.concatenate([values, np.zeros(max(0, most - len(values)))])[:most]
    if frame.of_updates and not (errors.level.formed or (most > 0 and possible[-1] > cut + error)):
        error = norm(np.minimum(slack, _spans_turned(errors, frame, [P.shape[1] for P in blocks])))
    clear = most > 0 and possible[-1] > cut + error
    own, above = errors.beside(error, cut), 0.0
    if frame.of_updates and errors.level.formed and not clear:
        off, inside = _off(errors, frame, [P.shape[1] for P in blocks])
        own = own if inside else np.maximum(own, min(error, off))
        above = max(off, errors.level.decomposed * columns**0.5)
    near = np.zeros(0, dtype=bool) if clear else errors.near(possible, cut, own)
    # what SVDs of two updates leave of a direction that they share is more than what is taken for none
    found = open_ = np.flatnonzero(near | ((possible > cut) & (possible <= cut + above)) if above else near)
    if frame.of_updates and error > cut:
        # arithmetic knows copies of a column from others, rounded inputs are none
        distinct = frame.distinct if errors.level.formed else frame.columns
        # what the factors' own frame took for zero, relative to their columns, counts more beside small singular values
        if 0 < live < min(frame.size, distinct):
            found, possible = np.asarray([live]), np.pad(values, (0, live + 1))  # the merge may have counted more
    if live and not last > cut:  # the merge took rounding for a direction
        found = open_ = np.arange(int(np.sum(values > cut)), live)
        possible = np.pad(values, (0, live))
    if not len(found) or isinstance(space, Full):  # settings refer to m × n there, whatever frames the merge runs in
        errors.live.append((live, live))
    else:
        # rounded inputs tell columns from each other
        errors.live.append((live - int(np.sum(open_ < live)), max(most, min(frame.size, frame.columns))))
        share, known = possible[found[0]] / values[0], min(float(np.max(own)) / values[0], 1.0)
        errors.size_doubt = (
            f"singular value {found[0] + 1} of {what} is {share:.1e} of the largest, known up to {known:.1e}, so the "
            "live size that its setting refers to is not determined"
        )
    if dropped > max(error, cut / 2):
        errors.lost += 1


def _spans_turned(errors: Errors, frame: Frame, counts: list[int]) -> list[float]:
    """Bounds on how far errors of a task's columns of norm 1 turn the space of its singular vectors, `counts` (T) of
    them, where that is the columns' own, however small singular values of its update are (Wedin 1972)."""
    found = []
    for X, count in zip(frame.unit_columns(), counts, strict=True):
        least = float(errors.singular_values(X)[-1]) if 0 < count == X.shape[1] <= len(X) else 0.0
        found.append(errors.level.size * count**0.5 / least if least > 0 else np.inf)
    return found


def _off(errors: Errors, frame: Frame, counts: list[int]) -> tuple[float, bool]:
    """How far arithmetic is seen to turn the last singular vectors of tasks whose own columns nearly depend on each
    other: by an eps of what the columns of norm 1 have as the condition number of their span. And whether all that
    stays inside the span of a task's columns: counts (T) of singular vectors of the updates.
    """
    parts = [errors.singular_values(X) if X.size else np.zeros(0) for X in frame.unit_columns()]
    ranks = [int(np.sum(s > ZERO * errors.unit * s.max(initial=0.0))) for s in parts]
    off = norm([s[0] / s[rank - 1] for s, rank in zip(parts, ranks, strict=True) if rank])
    return errors.unit * off, ranks == counts
