"""A space of the model: the stack of a layer's updates in its coordinates, and the way back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..configs import UNSCALED
from .arithmetic import Arithmetic, Array


@dataclass
class Coordinates:
    """``stack`` (T, p, q), ``levels``: what is zero per task; frames ``u`` (m, p), ``v`` (n, q), None for identities;
    ``divided``: singular values that were divided out of the rows."""

    stack: Array
    levels: Array
    u: Array | None = None
    v: Array | None = None
    divided: Array | None = None

    def copy(self) -> Coordinates:
        """Another of the same, to be advanced by itself."""
        return replace(self)

    def seen(self, x: Array) -> Array:
        """Uᵀ X V of an answer X, without the singular values that are multiplied back."""
        inner = x if self.u is None else self.u.T @ x
        inner = inner if self.divided is None else inner / self.divided[:, None]
        return inner if self.v is None else inner @ self.v

    def restored(self, matrix: Array) -> Array:
        """The merged matrix with the singular values multiplied back."""
        return matrix if self.divided is None else self.divided[:, None] * matrix

    def decode(self, matrix: Array) -> Array:
        """U M Vᵀ of a restored matrix."""
        out = matrix if self.u is None else self.u @ matrix
        return out if self.v is None else out @ self.v.T


def encode(model: Arithmetic, updates: list[Any], space: str) -> Coordinates:
    """A layer's updates (B (m, r), A (r, n), scale) in a space."""
    factors = [(model.read(b) * model.dtype.type(s), model.read(a)) for b, a, s in updates]
    levels = np.array([model.level(b, a) for b, a in factors])
    if model.bad("scaling-folded-into-a"):
        factors = [(model.read(b), model.read(a) * model.dtype.type(s)) for b, a, s in updates]
    u, v, divided = None, None, None
    if space == "core":
        u, v = core_frames(model, factors, levels)
    elif space in ("knots", UNSCALED):
        if model.bad("knots-other-side"):
            v, _ = knots_frame(model, [(a.T, b.T) for b, a in factors], levels)
        else:
            u, values = knots_frame(model, factors, levels)
            if space == UNSCALED or model.bad("knots-without-singular-values"):
                divided = values
                levels = np.array([8 * model.eps * b.shape[1] for b, _ in factors])
    stack = np.stack([(b if u is None else u.T @ b) @ (a if v is None else a @ v) for b, a in factors])
    if divided is not None:
        stack = stack / divided[:, None]
    if model.bad("left-frame-on-both-sides") and u is not None and v is not None and u.shape == v.shape:
        v = u
    return Coordinates(stack, levels, u, v, divided)


def core_frames(model: Arithmetic, factors: list[tuple[Array, Array]], levels: Array) -> tuple[Array, Array]:
    """Frames of the stacked factors."""
    if model.bad("tucker-basis"):
        return knots_frame(model, factors, levels)[0], knots_frame(model, [(a.T, b.T) for b, a in factors], levels)[0]
    if model.bad("frames-of-first-task"):
        factors = factors[:1]
    u, _ = model.frame(np.concatenate([b for b, _ in factors], axis=1))
    v, _ = model.frame(np.concatenate([a.T for _, a in factors], axis=1))
    if model.bad("frames-cut-to-common-rank"):
        common = min(u.shape[1], v.shape[1])
        u, v = u[:, :common], v[:, :common]
    if model.bad("frames-capped-at-12"):
        u, v = u[:, :12], v[:, :12]
    return u, v


def knots_frame(model: Arithmetic, factors: list[tuple[Array, Array]], levels: Array) -> tuple[Array, Array]:
    """The frame of [ΔW_1 … ΔW_T] over the range of their singular vectors above rounding."""
    dense = [b @ a for b, a in factors]
    spanning = []
    for x, level in zip(dense, levels, strict=True):
        p, s, _ = model.svd(x)
        spanning.append(p[:, s > level])
    return model.frame(np.concatenate(dense, axis=1), model.live_range(np.concatenate(spanning, axis=1)))
