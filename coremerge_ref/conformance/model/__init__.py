"""A float64 NumPy model of one merge with named mistakes that can be switched on: what the diagnosis compares with.

Expected values never come from here. ``wrong`` is a set of names
from :mod:`coremerge_ref.conformance.mistakes`; empty gives the right answer.
"""

from .layers import merge
from .linear import frame, svd

__all__ = ["frame", "merge", "svd"]
