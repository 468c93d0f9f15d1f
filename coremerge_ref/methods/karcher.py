"""Karcher: the mean of the tasks' directions on the unit sphere, at their mean length (arXiv 2603.04972)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.perturbation import Errors, estimate, near, norm
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.errors import ParameterError
from coremerge_ref.methods.base import MERGE, ONE_SPACE, Search, Stage, register


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
        level = xp.sum(arrays.detached(xp.abs(c)) * item.rounding_level, axis=0)
        return replace(item.merged(xp.sum(c[..., None, None] * M, axis=0)), rounding_level=level)

    def _shares(self, stack: Stack) -> Array:
        """α_t (T, 1, …, 1)."""
        w = stack.weigh()
        xp = array_namespace(w)
        if arrays.is_concrete(w) and not (bool(xp.all(w >= 0)) and bool(xp.any(w > 0))):
            raise ParameterError(f"karcher: expected weights of at least 0, some above, got {stack.weights}; use ta")
        return w / xp.sum(w)

    def _mean(self, G: Array, alpha: Array) -> Array:
        """Coefficients (…, T) of μ in the points, from their cosines G (…, T, T) and weights (…, T)."""
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
        sine between them. tol > 0 makes steps of thresholds, and is probed.
        """
        if self.tol:
            return estimate(self, errors, before, after)
        T, alpha = before.T, np.asarray(self._shares(before))[:, 0, 0]
        length, level = np.asarray([norm(M) for M in before.M]), before.rounding_level
        there = (length > level) & (alpha > 0)
        if (near(length, level, errors.level.beside(errors.delta, level)) & (length > 0) & (alpha > 0)).any():
            errors.doubt(self, "a task is at the level that counts as zero", remedy="leave it out")
        scale, off = float(alpha @ length), float(alpha @ errors.delta)
        if not there.any():
            return errors.merged(off, None, after.M)
        u = np.where(there[:, None, None], before.M / np.where(there, length, 1.0)[:, None, None], 0.0).reshape(T, -1)
        eps = np.where(there, errors.delta / np.where(there, length, 1.0), 0.0)
        pulls = np.where(there, alpha, 0.0) / alpha[there].sum()
        G = u @ u.T
        c = np.asarray(self._mean(G, pulls))
        # between two steps of the sphere's map nothing but points opposite to the mean is no smooth function
        start, tiny = norm(pulls @ u), errors.unit**0.5
        away = float(np.sqrt(max(2 * (1 + float(np.min((G @ c)[there]))), 0.0)))  # the angle from opposite, about
        few = int(there.sum()) > 1
        errors.margin(self, "distance of the farthest task from opposite to the mean", away)
        if few and (start <= float(pulls @ eps) + 16 * tiny or away <= 2 * float(eps.max()) + 16 * tiny):
            errors.doubt(self, "tasks are opposite to each other or to their mean")
            return errors.merged(2 * norm(after.M) + off, None, after.M)
        pairs, step = list(zip(*np.triu_indices(T, 1), strict=True)), 1e-5
        moved = float(np.abs(c) @ eps)
        if pairs and few:
            E = np.zeros((len(pairs), T, T))
            for at, (s, t) in enumerate(pairs):
                E[at, s, t] = E[at, t, s] = 1.0
            ends = [
                np.asarray(self._mean(G + sign * step * E, np.broadcast_to(pulls, (len(pairs), T)))) for sign in (1, -1)
            ]
            for (s, t), turn in zip(pairs, (ends[0] - ends[1]) / (2 * step), strict=True):
                sine = float(np.sqrt(max(1 - min(G[s, t] ** 2, 1.0), 0.0))) + float(eps[s] + eps[t])
                formed = errors.level.formed  # of the sum that G[s, t] is, and of the steps
                moved += norm(turn @ u) * ((eps[s] + eps[t]) * sine + formed)
        errors.margin(self, "how far the mean turns with the tasks", moved / max(float(eps.max()), 1e-300))
        bound = off + scale * moved + errors.level.formed * (self.steps + 1) * norm(after.M)
        return errors.merged(min(bound, 2 * norm(after.M) + off), None, after.M)


def _inner(G: Array, a: Array, b: Array) -> Any:
    """aᵀ G b (…)."""
    return array_namespace(G).sum(a * (G @ b[..., None])[..., 0], axis=-1)
