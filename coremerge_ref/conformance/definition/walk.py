"""The error carried through the stages of one merge: sizes, turns of the frames, and what is not determined."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from .linalg import Matrix, hcat, norm, rounded, svd
from .pipeline import Exact

SAFETY = 50.0


def as_float(x: Any) -> float:
    """An exact number as float64."""
    return x if isinstance(x, float) else rounded(x)


def size(x: Matrix) -> float:
    """Frobenius norm in float64."""
    return as_float(norm(x))


class Walk:
    """Error state while walking through the stages of one exact merge."""

    def __init__(self, exact: Exact, eps: float, exact_entries: bool) -> None:
        self.exact, self.eps, self.sure = (
            exact,
            eps,
            exact_entries and exact.frames.u is None and exact.frames.v is None,
        )
        self.reasons: list[str] = []
        self.undecided: set[tuple[int, int]] = set()
        self.local = True  # the undetermined part is a set of entries
        factors = exact.factors
        self.sizes = [size(b) * size(a) for b, a in factors]
        self.delta = [z + self._underflow(b, a) for z, (b, a) in zip(self.sizes, factors, strict=True)]
        self.turn = 0.0
        where = exact.frames
        if where.u is not None or where.v is not None:
            sb = as_float(svd(hcat([b for b, _ in factors]))[1][0]) if any(b.cols for b, _ in factors) else 0.0
            sa = as_float(svd(hcat([a.T for _, a in factors]))[1][0]) if any(b.cols for b, _ in factors) else 0.0
            whole = math.hypot(*self.sizes) if where.u is None or where.v is None else 0.0
            self.delta = [
                d + sb * size(a) + size(b) * sa + whole for d, (b, a) in zip(self.delta, factors, strict=True)
            ]
            one_sided = math.hypot(*self.delta) if where.u is None or where.v is None else None
            for name, frame, values, stack in (
                ("left", where.u, where.left_values, sb),
                ("right", where.v, where.right_values, sa),
            ):
                if frame is not None and frame.cols:
                    self.turn += self._turn(name, values or [], frame, one_sided or stack)
        self.zeros: list[set[tuple[int, int]]] = [set() for _ in factors]
        self.gauge_free = where.u is not None or where.v is not None

    @staticmethod
    def _underflow(b: Matrix, a: Matrix) -> float:
        return 2.0**-1022 * math.sqrt(max(b.rows, a.cols) * max(b.cols, 1)) * max(size(b), size(a))

    def _turn(self, name: str, values: list[Any], frame: Matrix, error: float) -> float:
        """Largest turn of a frame vector: error / smallest gap among live singular values (and to the dead ones)."""
        s = [as_float(x) for x in values[: frame.cols]]
        gaps = [a - b for a, b in pairwise(s)] + ([s[-1]] if frame.cols < frame.rows else [])
        gap = min(gaps, default=s[0])
        self.basis_gap = min(getattr(self, "basis_gap", math.inf), gap / s[0])
        return error / gap if gap > 0 else math.inf

    def ill(self, reason: str, local: bool = False) -> None:
        """Note why the answer is not determined; ``local`` where that concerns single entries."""
        self.reasons.append(reason)
        self.local = self.local and local
