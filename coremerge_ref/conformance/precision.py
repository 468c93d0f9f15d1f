"""The arithmetic that an implementation is judged by: float64, or float32 where it computes in that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Precision:
    """``eps``: relative spacing of numbers; ``largest``, ``smallest``: the range of normal numbers."""

    name: str
    eps: float
    largest: float
    smallest: float

    def holds(self, magnitude: float) -> bool:
        """Whether numbers of this magnitude, times others of order one, neither overflow nor lose digits."""
        return magnitude == 0 or self.smallest / self.eps < magnitude < self.largest * self.eps


FLOAT64 = Precision("float64", 2.0**-52, float.fromhex("0x1.fffffffffffffp+1023"), 2.0**-1022)
FLOAT32 = Precision("float32", 2.0**-23, float.fromhex("0x1.fffffep+127"), 2.0**-126)
PRECISIONS = {p.name: p for p in (FLOAT64, FLOAT32)}


def as_precision(precision: str | Precision) -> Precision:
    """A precision by name."""
    if isinstance(precision, Precision):
        return precision
    if precision not in PRECISIONS:
        raise ValueError(f"expected a precision of {', '.join(PRECISIONS)}, got {precision!r}")
    return PRECISIONS[precision]
