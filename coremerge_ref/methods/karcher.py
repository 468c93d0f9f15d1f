"""Karcher: the mean of the tasks' directions on the unit sphere, at their mean length (arXiv 2603.04972)."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.errors import ParameterError
from coremerge_ref.methods._graded import joined
from coremerge_ref.methods.base import MERGE, ONE_SPACE, Search, Stage, register
from coremerge_ref.methods.ta import carry_sum
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.perturbation.theorems import lengths, norm


@register
@dataclass(frozen=True)
class Karcher(Stage):
    """The mean of the tasks' directions on the unit sphere, at their mean length.

    Σ_t α_t ‖M_t‖ · μ, μ the Karcher mean of the points M_t / ‖M_t‖ (Frobenius norms) with weights α_t = w_t / Σ w.

    μ starts at the normalized Σ α_t M_t / ‖M_t‖, or at the first point where that is 0, and takes `steps` steps of the
    exponential map. Zero tasks are no points. A point opposite to μ, whose direction from there is any, does not pull.
    weights: none negative, not all 0. tol, in mergekit 1e-5: norms, sums, angles and steps below it are 0.

    All steps stay in the span of the M_t, where they are functions of inner products alone: the merge is Σ_t c_t M_t
    with numbers c_t that no partial isometry changes which keeps the M_t. So it is orthogonally equivariant.
    """

    steps: int = 10
    tol: float = 0.0
    name: ClassVar[str] = "karcher"
    kind: ClassVar[str] = MERGE
    source = "arXiv 2603.04972; mergekit"
    remedy = "leave out one of two tasks that are opposite to each other"
    spelled: ClassVar = {"max_iter": "steps"}
    dialects: ClassVar = {"mergekit": {"tol": 1e-5}}
    searches = (Search("karcher", {"karcher": {"steps": (10,)}}, {"karcher": {"tol": (0.0, 1e-5)}}, ONE_SPACE),)

    @property
    def expected_failures(self) -> Mapping[str, str]:
        """Of the checks of a method."""
        return {"check_scaling": "tol is an absolute number"} if self.tol else {}

    def __post_init__(self) -> None:
        self.check_integer("steps", 0, "an integer of at least 0")
        self.check_share("tol")

    def apply(self, item: Stack) -> Merged:
        """The merged matrix."""
        xp, M = array_namespace(item.M), item.M
        length = linalg.norm(M)  # (T, …)
        there = length > arrays.clipped(item.rounding_level, self.tol)
        unit = xp.where(there, length, 1.0)
        points = xp.where(there[..., None, None], M / unit[..., None, None], 0.0)
        flat = xp.moveaxis(xp.reshape(points, (*points.shape[:-2], -1)), 0, -2)  # (…, T, p·q)
        G = flat @ xp.matrix_transpose(flat)  # (…, T, T), the cosines
        alpha = self._shares(item)  # (T, 1, …, 1)
        pulls = xp.moveaxis(xp.where(there, xp.broadcast_to(alpha[..., 0, 0], length.shape), 0.0), 0, -1)  # (…, T)
        total = xp.sum(pulls, axis=-1, keepdims=True)
        c = self._mean(G, pulls / xp.where(total > 0, total, 1.0))
        scale = xp.sum(alpha[..., 0, 0] * length, axis=0)
        c = scale * xp.moveaxis(c, -1, 0) / unit  # (T, …)
        level = xp.max(arrays.detached(xp.abs(c)) * item.rounding_level, axis=0)  # as of any sum
        return replace(item.merged(xp.sum(c[..., None, None] * M, axis=0)), rounding_level=level)

    def _shares(self, stack: Stack) -> Array:
        """α_t (T, 1, …, 1)."""
        w = stack.weigh()
        if arrays.is_concrete(w):
            check_shares(w, stack.weights)
        return w / array_namespace(w).sum(w)

    def _mean(self, G: Array, alpha: Array, watch: list[Array] | None = None) -> Array:
        """Coefficients (…, T) of μ in the points, from their cosines G (…, T, T) and weights (…, T).

        watch: gets for every step how far above tol its angles and its length lie, and the cosines between the points
        and μ; ∞ once nothing moves any more.
        """
        xp, tiny = array_namespace(G), linalg.thresholds(G.dtype)[0]
        size = _inner(G, alpha, alpha)[..., None]
        first = xp.astype(xp.cumulative_sum(xp.astype(alpha > 0, G.dtype), axis=-1) == 1, G.dtype)
        first = xp.where(alpha > 0, first, 0.0)
        start = max(tiny, self.tol**2)
        c = xp.where(size > start, alpha / xp.sqrt(xp.where(size > start, size, 1.0)), first)
        moving = xp.ones_like(size) > 0
        for _ in range(self.steps):
            cosine = arrays.clipped((G @ c[..., None])[..., 0], -1.0, 1.0)  # (…, T)
            apart = 1 - cosine**2 > tiny
            sine = xp.sqrt(xp.where(apart, 1 - cosine**2, 1.0))
            angle = xp.where(apart, xp.atan2(sine, cosine), 0.0)
            stretch = xp.where(apart, angle / sine, xp.where(cosine > 0, xp.ones_like(cosine), 0.0))
            pull = xp.where(angle >= self.tol, alpha * stretch, 0.0)  # log map: Σ_t pull_t (u_t − cosine_t μ)
            step = pull - xp.sum(pull * cosine, axis=-1, keepdims=True) * c
            squared = _inner(G, step, step)[..., None]
            if watch is not None:
                length = xp.sqrt(xp.where(squared > 0, squared, 0.0))
                seen = (angle - self.tol, length - self.tol, cosine)
                watch += [xp.where(moving, value, float("inf")) for value in seen]
            moving = moving & (squared >= self.tol**2)
            far = squared > tiny
            angle = xp.sqrt(xp.where(far, squared, 1.0))
            moved = xp.where(far, xp.cos(angle), 1.0) * c + xp.where(far, xp.sin(angle) / angle, 1.0) * step
            size = _inner(G, moved, moved)[..., None]
            c = xp.where(moving & (size > tiny), moved / xp.sqrt(xp.where(size > tiny, size, 1.0)), c)
        return c

    def carry(self, errors: Errors, before: Any, after: Any) -> Errors:
        """Σ c_t δ_t, and what errors of the cosines do to the coefficients c_t: one derivative a pair of tasks.

        u_t = M_t / ‖M_t‖ moves by ε_t = δ_t / ‖M_t‖ at right angles to itself, so ⟨u_s, u_t⟩ by (ε_s + ε_t) times the
        sine between them. One task alone is multiplied by its weight.
        """
        T, alpha = before.T, np.asarray(self._shares(before))[:, 0, 0]
        length = np.asarray([norm(M) for M in before.M])
        level = np.maximum(before.rounding_level, self.tol)
        counts = ((length > 0) | (errors.delta > 0)) & (alpha > 0)  # one that is zero may be none
        there = (length > level) & counts
        scale, off, formed = float(alpha @ length), float(alpha @ errors.delta), errors.level.framed
        zero = errors.near(length, level, errors.beside(errors.delta, level))
        # what lies below tol is zero by definition, what lies below rounding only counts as that
        open_ = np.where(level > self.tol, zero, np.abs(length - self.tol) <= errors.delta) & counts
        if (open_ & (level > 0)).any():
            errors.doubt(self, "a task is at the level that counts as zero", remedy="leave it out")
            return errors.merged(2 * scale + off, None, after.M)
        if not there.any():
            return errors.merged(float(alpha @ np.where(level > self.tol, errors.delta, 0.0)), None, after.M)
        if counts.sum() == 1:
            return carry_sum(self, errors, before, after, alpha)
        size = np.where(there, length, 1.0)
        u = np.where(there[:, None, None], before.M / size[:, None, None], 0.0).reshape(T, -1)
        eps, pulls = np.where(there, errors.delta / size, 0.0), np.where(there, alpha, 0.0) / alpha[there].sum()
        c, slopes, watched, cosines = errors.once((self, id(before)), lambda: self._slopes(u, pulls))
        G = u @ u.T
        # but for tol and points opposite to the mean it is a smooth function
        start, tiny = norm(pulls @ u), 16 * errors.unit**0.5
        least = min(float(np.min(cosine[there])) for cosine in (*cosines, G @ c))
        away = float(np.sqrt(max(2 * (1 + least), 0.0)))  # the angle from opposite, about, at any step
        errors.margin(self, "distance of the farthest task from opposite to the mean", away)
        torn = min(start, abs(start - self.tol)) <= float(pulls @ eps) + tiny or away <= 2 * float(eps.max()) + tiny
        sine = np.sqrt(np.maximum(1 - np.minimum(G**2, 1.0), 0.0)) + eps[:, None] + eps
        moves = np.asarray([(eps[s] + eps[t]) * sine[s, t] + formed for s, t in _pairs(T)])  # of the sum G[s, t] too
        for base, slope in watched:
            change = moves @ slope if self.tol else np.zeros(1)
            pulled = np.broadcast_to(there, base.shape) if base.shape == (T,) else np.ones(base.shape, dtype=bool)
            torn = torn or (bool(self.tol) and bool((pulled & (np.abs(base) <= change + tiny)).any()))
        if torn:
            errors.doubt(self, "tasks are opposite to each other or to their mean, or tol decides")
            return errors.merged(2 * norm(after.M) + off, None, after.M)
        turns = [slope @ u for slope in slopes]
        moved = float(np.abs(c) @ eps) + float(moves @ [norm(turn) for turn in turns])
        errors.margin(self, "how far the mean turns with the tasks", moved / max(float(eps.max()), 1e-300))
        own = np.where(there, np.abs(c) / size, 0.0)[:, None, None]
        entry = np.sum(own * (errors.entry + eps[:, None, None] * np.abs(before.M)), axis=0)
        entry = scale * (entry + (moves @ np.abs(turns)).reshape(after.M.shape)) + (off / scale) * np.abs(after.M)
        rounding = formed * (self.steps + 1)
        entry = entry + rounding * scale * np.sum(own * np.abs(before.M), axis=0)
        bound, factors, apart = off + scale * moved + rounding * norm(after.M), None, 0.0
        if errors.factors is not None:  # of Σ k_t M_t, where errors move k_t by κ_t: κ_t L_t R_tᵀ is one of columns
            k = scale * np.where(there, np.abs(c) / size, 0.0)
            kappa = scale * np.where(there, moves @ np.abs(slopes) / size, 0.0) + k * (eps + off / scale)
            apart = float((k + kappa) @ (errors.apart + rounding * np.asarray(linalg.norm(before.M))))
            factors = joined(
                [
                    ((x + y) * L, R, (x + y) * b + y * lengths(L), a)
                    for x, y, (L, R, b, a) in zip(k, kappa, errors.factors, strict=True)
                ]
            )
        rank = min(int(errors.ranks(alpha).sum()), *after.M.shape)
        errors = errors.merged(min(bound, 2 * norm(after.M) + off), entry, after.M, rank)
        errors.factors, errors.apart = factors, apart
        return errors

    def _slopes(
        self, u: np.ndarray, pulls: np.ndarray
    ) -> tuple[Any, Any, list[tuple[np.ndarray, np.ndarray]], list[Any]]:
        """The coefficients of points u (T, N), their derivatives (pairs, T) by each cosine between points, what is held
        against tol with its own (pairs, …), by differences, and the cosines with μ at every step."""
        T, G = len(u), u @ u.T
        pairs = _pairs(T)
        watch: list[Any] = []
        c = np.asarray(self._mean(G, pulls, watch))
        # a fraction of ‖Σ α_t u_t‖² as well: where points are nearly opposite, coefficients go as its inverse root, and
        # where one is to the mean of any step as that of 1 + its cosine
        least = min([1.0, *(1 + float(np.min(cosine[pulls > 0])) for cosine in watch[2::3])])
        step = min(1e-5 if self.tol == 0 else 1e-7, 1e-3 * norm(pulls @ u) ** 2 or 1.0, 1e-3 * least or 1.0)
        E = np.zeros((len(pairs), T, T))
        for at, (s, t) in enumerate(pairs):
            E[at, s, t] = E[at, t, s] = 1.0
        ways: list[list[Any]] = [[], []]
        ends = [
            np.asarray(self._mean(G + sign * step * E, np.broadcast_to(pulls, (len(pairs), T)), way))
            for sign, way in zip((1, -1), ways, strict=True)
        ]
        compared = [(base, _slope(up, down, step)) for base, up, down in zip(watch, *ways, strict=True)]
        watched = [pair for i, pair in enumerate(compared) if i % 3 < 2]
        return c, (ends[0] - ends[1]) / (2 * step), watched, watch[2::3]


def check_shares(w: Array, given: Any) -> None:
    """ParameterError for weights w, from `given`, of which one is negative or none is positive."""
    xp = array_namespace(w)
    if not (bool(xp.all(w >= 0)) and bool(xp.any(w > 0))):
        raise ParameterError(f"karcher: expected weights of at least 0, some above, got {given}; use ta")


def _pairs(T: int) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(T), 2))


def _slope(up: Any, down: Any, step: float) -> np.ndarray:
    """|up − down| / (2 step), 0 where both are infinite."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nan_to_num(np.abs(np.asarray(up) - np.asarray(down)) / (2 * step), nan=0.0))


def _inner(G: Array, a: Array, b: Array) -> Any:
    """aᵀ G b (…)."""
    return array_namespace(G).sum(a * (G @ b[..., None])[..., 0], axis=-1)
