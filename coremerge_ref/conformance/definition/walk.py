"""The error carried through the stages of one merge: sizes, turns of the frames, and what is not determined."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from .linalg import Matrix, hcat, norm, rounded, svd

if TYPE_CHECKING:
    from .pipeline import Exact

SAFETY = 50.0


def as_float(x: Any) -> float:
    """An exact number as float64."""
    return x if isinstance(x, float) else rounded(x)


def size(x: Matrix) -> float:
    """Frobenius norm in float64."""
    return as_float(norm(x))


# what is left open where an answer is not determined, and so how an answer is judged there
ENTRIES = "entries"  # single entries, each of which has a few possible values
ROTATION = "rotation"  # one rotation in the plane of two equal singular values
FLAT = "flat"  # directions without a singular value, made as long as the others


class Walk:
    """Error state while walking through the stages of one exact merge: ``delta`` of each task, then ``bound`` of the
    merged matrix; ``scale``, the size of what it came from."""

    def __init__(self, exact: Exact, eps: float, exact_entries: bool) -> None:
        where = exact.frames
        self.exact, self.eps = exact, eps
        self.sure = exact_entries and where.u is None and where.v is None
        self.reasons: list[str] = []
        self.freedoms: set[str] = set()
        self.options: dict[tuple[int, int], list[float]] = {}
        factors = exact.factors
        self.sizes = [size(b) * size(a) for b, a in factors]
        self.delta = [z + self._underflow(b, a) for z, (b, a) in zip(self.sizes, factors, strict=True)]
        self.turns = {"left": 0.0, "right": 0.0}
        self.basis_gap = math.inf  # the smallest of all, relative
        self.ties = {"left": 0, "right": 0}  # pairs of singular values of the stacks that rounding cannot tell apart
        self.gauge_free = where.u is not None or where.v is not None
        if self.gauge_free:
            sb = as_float(svd(hcat([b for b, _ in factors]))[1][0]) if any(b.cols for b, _ in factors) else 0.0
            sa = as_float(svd(hcat([a.T for _, a in factors]))[1][0]) if any(b.cols for b, _ in factors) else 0.0
            whole = math.hypot(*self.sizes) if where.u is None or where.v is None else 0.0
            self.delta = [
                d + sb * size(a) + size(b) * sa + whole for d, (b, a) in zip(self.delta, factors, strict=True)
            ]
            one_sided = math.hypot(*self.delta) if where.u is None or where.v is None else None
            for side, frame, values, stack in (
                ("left", where.u, where.left_values, sb),
                ("right", where.v, where.right_values, sa),
            ):
                if frame is not None and frame.cols:
                    self.turns[side] = self._turn(side, values or [], frame, one_sided or stack)
        # singular values divided out amplify what is small there
        smallest, largest = as_float(where.factors[-1]), as_float(where.factors[0])
        self.restoring = largest
        self.delta = [d / smallest for d in self.delta]
        self.turns = {side: turn * largest / smallest for side, turn in self.turns.items()}
        self.zeros: list[set[tuple[int, int]]] = [set() for _ in factors]
        self.scale, self.bound = math.fsum(self.sizes), 0.0

    @staticmethod
    def _underflow(b: Matrix, a: Matrix) -> float:
        return 2.0**-1022 * math.sqrt(max(b.rows, a.cols) * max(b.cols, 1)) * max(size(b), size(a))

    def _turn(self, side: str, values: list[Any], frame: Matrix, error: float) -> float:
        """Largest turn of a frame vector: error / smallest gap among live singular values (and to the dead ones), but
        for those that rounding cannot tell apart, which are counted."""
        s = [as_float(x) for x in values]
        gaps = [a - b for a, b in pairwise(s)] + ([s[-1]] if frame.cols < frame.rows else [])
        self.basis_gap = min([self.basis_gap, *(gap / s[0] for gap in gaps)])
        turned = [error / gap if gap > 0 else math.inf for gap in gaps]
        tied = [turn for turn in turned if turn * self.eps * SAFETY > 0.1]
        self.ties[side] += len(tied)
        return max((turn for turn in turned if turn not in tied), default=error / s[0])

    def check_live_size(self) -> None:
        """A singular value near the cut of a live space leaves the size of the space open."""
        for values in (self.exact.frames.left_columns, self.exact.frames.right_columns):
            relative = [as_float(x) / as_float(values[0]) for x in values] if values else []
            if any(1e-30 < x and self.eps < x < 64 * 64 * self.eps for x in relative):
                self.ill(f"a direction of the space is near the level of rounding ({min(relative):.1e})")

    def ill(self, reason: str, freedom: str = "") -> None:
        """Note why the answer is not determined, and what is left open."""
        self.reasons.append(reason)
        self.freedoms.add(freedom)
