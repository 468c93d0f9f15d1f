"""Inputs for tests beside other packages: small exact float64 updates, and errors in eps units."""

import numpy as np


def factors(seed, m=12, n=15, ranks=(4, 3, 5)):
    """Random pairs (B, A)."""
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(m, r)), rng.normal(size=(r, n))) for r in ranks]


def full_rank(seed, m=12, n=15, T=3):
    """Pairs (B, A) with products of full rank, where no null vector can take part."""
    return factors(seed, m, n, (min(m, n),) * T)


def dense(updates):
    """The matrices B A."""
    return [B @ A for B, A in updates]


def ratio_of(actual, expected):
    """Relative error in units of size · eps."""
    size = max(expected.shape) * np.finfo(np.float64).eps
    return np.linalg.norm(actual - expected) / (np.linalg.norm(expected) * size)
