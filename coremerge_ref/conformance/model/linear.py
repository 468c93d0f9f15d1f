"""Singular values and frames of the NumPy model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
EPS = 2.0**-52


def svd(x: Array) -> tuple[Array, Array, Array]:
    """P, s, Q with x = P diag(s) Qᵀ, scaled against overflow and underflow."""
    top = float(np.max(np.abs(x), initial=0.0))
    if top == 0:
        return np.eye(x.shape[0], min(x.shape)), np.zeros(min(x.shape)), np.eye(x.shape[1], min(x.shape))
    e = int(np.frexp(top)[1])
    p, s, qt = np.linalg.svd(np.ldexp(x, -e), full_matrices=False)
    return p, np.ldexp(s, e), qt.T


def frame(blocks: list[Array], sizes: list[float], wrong: set[str]) -> tuple[Array, Array]:
    """Live left singular vectors of the stack and their singular values."""
    whole = np.concatenate(blocks, axis=1)
    u, s, _ = svd(whole)
    if "null directions kept in the frames" in wrong:
        return u, s
    parts = [np.ldexp(b, -int(np.frexp(z)[1])) / np.frexp(z)[0] for b, z in zip(blocks, sizes, strict=True) if z]
    values = svd(np.concatenate(parts, axis=1))[1] if parts else np.zeros(0)
    rank = int(np.sum(values > max(whole.shape) * EPS * values[0])) if values.size else 0
    return u[:, :rank], s[:rank]
