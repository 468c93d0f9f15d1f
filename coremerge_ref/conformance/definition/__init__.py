"""The definition: what every merge returns, in mpmath at 60 digits or more, written to be read.

It shares no code with the numerical core. ``merged`` gives the correctly rounded float64 result of one layer;
``merge_exactly`` also the exact matrices on the way. Needs mpmath (the extra "test" or "conformance").
"""

from .compressed import Compressed
from .conditioning import Condition, conditioning
from .linalg import DIGITS, exact, polar, svd
from .pipeline import DEFAULTS, Exact, merge_exactly, merge_model_exactly, merged, stages

__all__ = [
    "DEFAULTS",
    "DIGITS",
    "Compressed",
    "Condition",
    "Exact",
    "conditioning",
    "exact",
    "merge_exactly",
    "merge_model_exactly",
    "merged",
    "polar",
    "stages",
    "svd",
]
