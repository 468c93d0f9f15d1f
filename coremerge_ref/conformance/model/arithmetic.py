"""The numbers of the model: singular values, norms, what counts as zero, in float64 or float32."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Triple = tuple[Array, Array, Array]


class Arithmetic:
    """Linear algebra in one dtype. ``wrong``: ids of the mistakes to make. ``rotation``: an angle by which singular
    vectors of pairs of equal values are turned, which is as right as any other; equal are those closer than ``tied``.
    ``toward``: an answer to which signs and null vectors that a mistake leaves open are chosen nearest.
    """

    def __init__(
        self, *wrong: str, dtype: Any = np.float64, rotation: float = 0.0, tied: float = 0.0,
        toward: Array | None = None,
    ) -> None:  # fmt: skip
        self.toward = toward
        self.seen: Array | None = None  # toward, in the coordinates of the space
        self.flat = False  # whether all singular values are made equal at the end
        self.wrong, self.dtype, self.rotation, self.tied = frozenset(wrong), np.dtype(dtype), rotation, tied
        self.eps = float(np.finfo(self.dtype).eps)

    def bad(self, mistake: str) -> bool:
        """Whether to make this mistake."""
        return mistake in self.wrong

    def read(self, x: Array) -> Array:
        """An input in the dtype of the arithmetic."""
        if type(x) is np.ndarray and x.dtype == self.dtype:
            return x
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(x, dtype=self.dtype)

    def decompose(self, x: Array) -> Triple:
        """Thin SVD of a scaled nonzero matrix: P, s, Qᵀ."""
        p, s, qt = np.linalg.svd(x, full_matrices=False)
        return p, s, qt

    def svd(self, x: Array) -> Triple:
        """P, s, Q with x = P diag(s) Qᵀ, pairs of equal values turned."""
        p, s, q = self.scaled_svd(x)
        turn = self.turning(p, s)
        return (p, s, q) if turn is None else (p @ turn, s, q @ turn)

    def scaled_svd(self, x: Array) -> Triple:
        """P, s, Q with x = P diag(s) Qᵀ, scaled against overflow and underflow."""
        m, n = x.shape
        d = min(m, n)
        top = float(np.abs(x).max(initial=0.0))
        if top == 0:
            return np.eye(m, d, dtype=x.dtype), np.zeros(d, dtype=x.dtype), np.eye(n, d, dtype=x.dtype)
        e = math.frexp(top)[1]
        scaled = np.ldexp(x, -e)
        if self.bad("svd-of-gram-matrix"):
            squares, q = np.linalg.eigh(scaled.T @ scaled)
            s, q = np.sqrt(np.maximum(squares[::-1][:d], 0)), q[:, ::-1][:, :d]
            p = scaled @ q / np.where(s == 0, 1, s)
        else:
            p, s, qt = self.decompose(scaled)
            q = qt.T
        if self.bad("ascending-singular-values"):
            p, s, q = p[:, ::-1], s[::-1], q[:, ::-1]
        return p, np.ldexp(s, e), q

    def turning(self, p: Array, s: Array) -> Array | None:
        """What turns the vectors (m, d) of pairs of equal values by ``rotation``, counted from a place that rounding
        does not move; None where nothing turns."""
        if not (self.tied and s.size):
            return None
        pairs = np.flatnonzero((s[:-1] - s[1:] <= self.tied * s[0]) & (s[1:] > self.tied * s[0]))
        if not len(pairs):
            return None
        turn, along = np.eye(p.shape[1]), generic(p.shape[0] + 1)
        for i in pairs:
            plane = p[:, i : i + 2]
            base = rotation_by(math.atan2(*(along[1:] @ plane)[::-1]))
            across = 1.0 if along[:-1] @ plane @ base[:, 1] > 0 else -1.0
            turn[i : i + 2, i : i + 2] = (base * np.array([1.0, across])) @ rotation_by(self.rotation)
        return turn.astype(p.dtype)

    def live_range(self, stack: Array) -> Array:
        """Orthonormal basis of the numerical range of the columns scaled to norm 1."""
        norms = self.norms(stack)
        columns = stack[:, norms > 0] / norms[norms > 0].astype(stack.dtype)
        if columns.shape[1] == 0:
            return stack[:, :0]
        p, s, _ = self.scaled_svd(columns)
        cut = 64 * self.eps
        for mistake, coarser in (("frame-cut-1e-6", 1e-6), ("frame-cut-1e-2", 1e-2)):
            cut = coarser if self.bad(mistake) else cut
        rank = int(np.sum(s > cut * s.max()))
        return p[:, : max(rank - 1, 1) if self.bad("frame-one-short") else rank]

    def frame(self, stack: Array, live: Array | None = None) -> tuple[Array, Array]:
        """Live left singular vectors of the stack and their singular values."""
        if self.bad("frames-by-qr"):
            top = float(np.max(np.abs(stack), initial=0.0))
            q = np.linalg.qr(stack / stack.dtype.type(top or 1.0))[0]
            return q, np.ones(q.shape[1], dtype=stack.dtype)
        if self.bad("null-frames") or self.bad("frame-cut-absolute"):
            p, s, _ = self.svd(stack)
            rank = int(np.sum(s > 1e-5)) if self.bad("frame-cut-absolute") else len(s)
            return p[:, :rank], s[:rank]
        live = self.live_range(stack) if live is None else live
        p, s, _ = self.scaled_svd(live.T @ stack)
        u = live @ p[:, : live.shape[1]]
        turn = self.turning(u, s)
        return (u if turn is None else signed(u @ turn)), s

    def norms(self, x: Array) -> Array:
        """Norms of the columns."""
        return np.linalg.norm(x.astype(np.float64), axis=0) if self.bad("norms-underflow") else lengths(x)

    def level(self, b: Array, a: Array) -> float:
        """ν: what counts as zero in anything computed from B A."""
        if self.bad("zero-level-absolute"):
            return 1e-12
        return 8 * self.eps * math.fsum(self.norms(b) * self.norms(a.T))


def rotation_by(angle: float) -> Array:
    """A plane rotation."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s], [s, c]])


def generic(size: int) -> Array:
    """A vector to which nothing is orthogonal but by chance."""
    return np.cos(1.0 + np.arange(size))


def signed(frame: Array) -> Array:
    """A frame with the signs of its columns fixed: their products with one generic vector are positive."""
    return frame * np.where(generic(frame.shape[0]) @ frame < 0, -1, 1).astype(frame.dtype)


def lengths(x: Array) -> Array:
    """Norms of the columns, without overflow or underflow on the way."""
    x = np.asarray(x, dtype=np.float64)
    top = np.abs(x).max(axis=0, initial=0.0)
    unit = x / np.where(top == 0, 1, top)
    found: Array = np.sqrt((unit * unit).sum(axis=0)) * top
    return found
