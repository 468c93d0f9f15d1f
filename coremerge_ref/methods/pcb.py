"""PCB: entries compete within their task and with the other tasks' (Du et al., 2024, arXiv 2410.02396)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods._entries import denoised
from coremerge_ref.methods._votes import zeroed
from coremerge_ref.methods.base import MERGE, SIGNED_PERMUTATION, Search, Stage, register
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import norm

EPS = 2.0**-52
EXTREMES = 0.0001  # share of a task's magnitudes that are clamped at either end


@register
@dataclass(frozen=True)
class Pcb(Stage):
    """Entries compete within their task and with the other tasks'; their scores are the weights of a mean.

    Σ_t τ_t s_t / Σ_t s_t entry by entry, s_t in [0, 1] the score of an entry in its competition.

    τ_t is M_t with its magnitudes clamped to those at places int(d / 10⁴) and int(d (1 − 1 / 10⁴) − 1) from below, d
    live entries: below d = 10⁴ the largest becomes the second largest. A score is exp(T a²) · tanh(M_t Σ_j M_j), a
    being |τ_t| scaled to [0, 1] within its task; scores below the one at place int(d (1 − ratio)) are raised to it,
    and all scaled to [0, 1]. Where a task's scores are all equal, its nonzero entries score 1.

    tanh has a scale: PCB of c · M_t is not c times that of M_t. Each matrix by itself; the original takes the whole
    model as one.
    """

    ratio: float = 0.1
    name: ClassVar[str] = "pcb"
    kind: ClassVar[str] = MERGE
    commutes_with: ClassVar[str] = SIGNED_PERMUTATION
    source = "Du et al., 2024"
    remedy = "choose another ratio, or a method that does not look at entries, such as tsv or iso"
    searches = (Search("pcb", {"pcb": {"ratio": (0.01, 0.05, 0.1, 0.2, 0.3, 0.5)}}),)

    @property
    def expected_failures(self) -> Mapping[str, str]:
        """Of the checks of a method."""
        return {"check_scaling": "tanh has a scale"}

    def __post_init__(self) -> None:
        self.check_fraction("ratio")

    def apply(self, item: Stack) -> Merged:
        """The merged matrix."""
        stack, xp = denoised(item.weighted()), array_namespace(item.M)
        p, q = stack.M.shape[-2:]
        live = linalg.first(stack.rows, p)[..., :, None] & linalg.first(stack.cols, q)[..., None, :]
        live = xp.reshape(live, (*live.shape[:-2], -1))  # (…, N)
        M = xp.reshape(stack.M, (*stack.M.shape[:-2], -1))  # (T, …, N)
        d = stack.rows * stack.cols  # (…)
        size = xp.abs(M)
        lowest, highest = (_at(size, live, d, place) for place in (d * EXTREMES, d * (1 - EXTREMES) - 1))
        size = xp.where(live, xp.minimum(xp.maximum(size, lowest), highest), 0.0)
        together = xp.sum(M, axis=0)
        level = xp.max(xp.reshape(xp.broadcast_to(stack.entry_level, stack.M.shape), M.shape), axis=0)  # (…, N)
        cross = xp.tanh(M * xp.where(xp.abs(together) > level, together, 0.0))
        score = xp.exp(stack.T * (_scaled(size, live, 0.0) ** 2 - 1)) * cross  # e^-T drops out, and no T is too large
        score = xp.maximum(score, _at(score, live, d, d * (1 - self.ratio)))
        nonzero = xp.astype(M != 0, M.dtype)
        score = xp.where(live, _scaled(score, live, nonzero), 0.0)
        total = xp.sum(score, axis=0)
        merged = xp.sum(arrays.sign(M) * size * score, axis=0) / xp.where(total > 0, total, 1.0)
        return stack.merged(xp.reshape(merged, stack.M.shape[1:]))

    def carry(self, errors: Errors, before: Any, after: Any) -> Errors:
        """Every step in intervals: Σ s_t τ_t / Σ s_t moves by (Σ s_t δτ_t + Σ δs_t |τ_t − v|) / Σ s_t, v the result.

        An entry whose score no task has above its quantile is 0, and one whose only score is just above it is τ_t:
        which it is, is the method's discontinuity.
        """
        unsized = errors.uses_size(self)
        w, stack = np.abs(np.asarray(before.weights)), before.weighted()
        errors.delta, errors.entry = w * errors.delta, w[:, None, None] * errors.entry
        zeroed(errors, stack)
        p, q, T = int(stack.rows), int(stack.cols), stack.T
        M = np.asarray(denoised(stack).M)[:, :p, :q].reshape(T, -1)
        E, d = errors.entry[:, :p, :q].reshape(T, -1), M.shape[1]
        E = np.where(E > 0, E + EPS * np.abs(M), 0.0)  # ends of intervals are rounded too
        if d == 0 or not M.any():
            return errors.merged(norm(E.max(axis=0, initial=0.0)), None, after.M, min(after.M.shape))
        places = [max(int(x), 0) for x in (d * EXTREMES, d * (1 - EXTREMES) - 1)]
        ends = np.maximum(np.abs(M) - E, 0.0), np.abs(M) + E
        size = _between(*(_placed(X, places) for X in ends))
        clamped = _above(ends, places[1])  # to the greatest size
        score = self._scores(errors, M, E, (size, clamped), stack, places[0] == places[1])
        place = min(max(int(np.floor(d * (1 - self.ratio))), 0), d - 1)
        flat = place == d - 1  # all are raised to the greatest
        places = [place, min(place + 1, d - 1), d - 1]
        low, high = (np.partition(X, places, axis=1) for X in score)  # in order at these places
        # surely at or below the quantile, where those above it suffice; surely above it
        raised = score[1] < low[:, [place + 1]] if place < d - 1 else np.ones(M.shape, dtype=bool)
        free = score[0] > high[:, [place]]
        least, most = (low[:, [place]], high[:, [place]]), (low[:, [-1]], high[:, [-1]])
        s = _unit(score, least, most, _above(score, d - 1) & free)
        equal = flat | ((least[0] == least[1]) & (most[0] == most[1]) & (least[0] == most[0]))
        blurred = ~equal & (most[0] <= least[1])
        there = (np.abs(M) > E).astype(float), ((M != 0) | (E > 0)).astype(float)
        lower, upper = (np.where(equal, x, np.where(raised, 0.0, y)) for x, y in zip(there, s, strict=True))
        lower, upper = np.where(blurred, 0.0, lower), np.where(blurred, 1.0, upper)
        sure = np.where(equal, there[0] > 0, free & ~blurred)
        open_ = (upper > 0) & ~sure
        decided = sure.any(axis=0) | ~(upper > 0).any(axis=0)
        if not decided.all():
            number = int((~decided).sum())
            errors.doubt(self, f"{number} of {d} entries have a score at the quantile up to which there is none")
            errors.jumped = True
        bound = self._moved(errors, M, E, size, (lower, upper), after.M[:p, :q].ravel(), open_)
        entry = np.zeros(after.M.shape)
        entry[:p, :q] = bound.reshape(p, q)
        errors.undecided = None
        if unsized:  # other places of the clamps, other scores
            return errors.merged(norm(after.M) + norm(entry) + norm(M), None, after.M, min(after.M.shape))
        return errors.merged(norm(entry), entry, after.M, min(after.M.shape))

    def _scores(
        self,
        errors: Errors,
        M: np.ndarray,
        E: np.ndarray,
        sizes: tuple[tuple[np.ndarray, np.ndarray], np.ndarray],
        stack: Any,
        flat: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Interval of exp(T a²) tanh(M_t Σ M_j), but for e^T; sizes: their interval, and which are the greatest. flat:
        all are clamped to one number."""
        size, clamped = sizes
        levels = np.broadcast_to(np.max(stack.entry_level, axis=0), stack.M.shape[1:])
        level, rounding = levels[: int(stack.rows), : int(stack.cols)].ravel(), max(errors.level.framed, EPS)
        S, R = M.sum(axis=0), E.sum(axis=0)
        zero = errors.near(np.abs(S), level, errors.beside(R, level))
        nothing = ~zero & (np.abs(S) <= level)
        low, high = np.where(zero, np.minimum(S - R, 0.0), S - R), np.where(zero, np.maximum(S + R, 0.0), S + R)
        low, high = np.where(nothing, 0.0, low), np.where(nothing, 0.0, high)
        tiny = float(np.finfo(np.float64 if errors.unit < 1e-10 else np.float32).smallest_normal)
        X, Y = (M - E, M + E), (low, high)
        with np.errstate(over="ignore"):  # tanh of an infinity is 1
            ends = [x * y for x in X for y in Y]
        faint = tiny * ((np.maximum(np.abs(X[0]), np.abs(X[1])) > 0) & (np.maximum(np.abs(low), np.abs(high)) > 0))
        cross = np.tanh(np.min(ends, axis=0) - faint), np.tanh(np.max(ends, axis=0) + faint)
        a = (np.zeros(M.shape),) * 2
        if not flat:
            least, most = ([X.min(axis=1, keepdims=True) for X in size], [X.max(axis=1, keepdims=True) for X in size])
            same = (least[0] == least[1]) & (most[0] == most[1]) & (least[0] == most[0])
            a = tuple(np.where(same, 0.0, x) for x in _unit(size, least, most, clamped))  # type: ignore[assignment]
        factor = [np.exp(stack.T * (x**2 - 1)) for x in a]
        ends = [x * y for x in factor for y in cross]
        low, high = np.min(ends, axis=0), np.max(ends, axis=0)
        return low - rounding * (stack.T + 8) * np.abs(low), high + rounding * (stack.T + 8) * np.abs(high)

    def _moved(
        self, errors: Errors, M: np.ndarray, E: np.ndarray, size: tuple[np.ndarray, np.ndarray],
        score: tuple[np.ndarray, np.ndarray], v: np.ndarray, open_: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        """How far each entry of the result v (d) may move."""
        low, high = score
        turned = np.abs(M) <= E  # may have either sign, or none
        sign, rounding = np.sign(M), errors.level.framed * np.abs(v)
        ends = [np.where(turned, -size[1], sign * X) for X in size], [np.where(turned, size[1], sign * X) for X in size]
        least, most = np.minimum(*ends[0]), np.maximum(*ends[1])
        total = low.sum(axis=0)
        off = np.max([np.abs(least - v), np.abs(most - v)], axis=0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            smooth = np.sum(high * (most - least) + (high - low) * off, axis=0) / total
        possible = high > 0
        hull = np.max(np.where(possible, off, 0.0), axis=0)
        hull = np.where(
            (possible & ~open_).any(axis=0), hull, np.where(possible.any(axis=0), np.maximum(hull, np.abs(v)), 0.0)
        )
        return np.asarray(np.where(total > 0, np.minimum(smooth, hull), hull) + rounding)


def _at(values: Array, live: Array, d: Array, place: Array) -> Array:
    """The value (T, …, 1) at the place int(place) (…) of the d live ones of `values` (T, …, N), ascending."""
    xp, N = array_namespace(values), values.shape[-1]
    last = xp.where(live, values, -float("inf"))  # dead ones sort before all others
    index = N - d + arrays.clipped(arrays.rounded(place, "floor"), 0.0)
    return arrays.kth_smallest(last, xp.broadcast_to(xp.minimum(index, xp.full_like(index, N - 1)), values.shape[:-1]))


def _scaled(values: Array, live: Array, where_equal: Any) -> Array:
    """`values` (T, …, N) with the least live one of each task 0 and the greatest 1."""
    xp = array_namespace(values)
    least = xp.min(xp.where(live, values, float("inf")), axis=-1, keepdims=True)
    most = xp.max(xp.where(live, values, -float("inf")), axis=-1, keepdims=True)
    return xp.where(most > least, (values - least) / xp.where(most > least, most - least, 1.0), where_equal)


def _above(X: tuple[np.ndarray, np.ndarray], place: int) -> np.ndarray:
    """Which of X (T, N), intervals (low, high), surely are at this place, ascending, or above it."""
    return X[0] > np.partition(X[1], place - 1, axis=1)[:, [place - 1]] if place else np.ones(X[0].shape, dtype=bool)


def _placed(X: np.ndarray, places: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X (T, N) and its values (T, 1) at two places, ascending."""
    ordered = np.partition(X, places, axis=1)
    return X, ordered[:, places[:1]], ordered[:, places[1:]]


def _between(*ends: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Interval of sizes held between two others."""
    low, high = (np.maximum(np.minimum(X, top), bottom) for X, bottom, top in ends)
    return low, high


def _unit(X: Any, least: Any, most: Any, greatest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interval of (x − least) / (most − least), held between 0 and 1; all three are intervals (low, high). Of x that
    surely is the greatest that is 1, whatever it is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = (X[0] - least[1]) / (most[1] - least[1]), (X[1] - least[0]) / (most[0] - least[0])
        low, high = low * (1 - 4 * EPS), high * (1 + 4 * EPS)
    low, high = np.nan_to_num(low, nan=0.0), np.nan_to_num(high, nan=1.0, posinf=1.0)
    return np.clip(np.where(greatest, 1.0, low), 0.0, 1.0), np.clip(np.where(greatest, 1.0, high), 0.0, 1.0)
