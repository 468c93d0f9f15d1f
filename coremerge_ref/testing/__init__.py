"""Tools for testing code that merges low-rank updates: input builders, Hypothesis strategies, error ratios.

Needs Hypothesis (the extra "test"). Builders return NumPy float64 arrays; move them to the library under test.
"""

from coremerge_ref.testing.builders import KINDS, Factors, Recipe, dense, orthonormal
from coremerge_ref.testing.ratios import THRESHOLD, ratio, sensitivity, size
from coremerge_ref.testing.strategies import methods, recipes, scales, spectra, weights

__all__ = [
    "KINDS",
    "THRESHOLD",
    "Factors",
    "Recipe",
    "dense",
    "methods",
    "orthonormal",
    "ratio",
    "recipes",
    "scales",
    "sensitivity",
    "size",
    "spectra",
    "weights",
]
