"""Tools for testing code that merges low-rank updates: input builders, Hypothesis strategies, error ratios.

Needs Hypothesis (the extra "test"). Builders return NumPy float64 arrays; move them to the library under test.
"""

from coremerge_ref.testing.builders import KINDS, Factors, Recipe, dense, orthonormal
from coremerge_ref.testing.checks import check_method, method_checks, parametrize_method_checks
from coremerge_ref.testing.ratios import THRESHOLD, ratio, sensitivity, size
from coremerge_ref.testing.strategies import methods, recipes, scales, spectra, weights

__all__ = [
    "KINDS",
    "THRESHOLD",
    "Factors",
    "Recipe",
    "check_method",
    "dense",
    "method_checks",
    "methods",
    "orthonormal",
    "parametrize_method_checks",
    "ratio",
    "recipes",
    "scales",
    "sensitivity",
    "size",
    "spectra",
    "weights",
]
