"""Merges written directly on dense NumPy matrices: short, slow, and sharing nothing with the code under test.

W is a stack (T, m, n) of the weighted updates. Singular values up to ZERO times the size of the inputs count as zero,
far above rounding and far below the spectra that the tests prescribe.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

ZERO = 1e-9


def svd(X: np.ndarray, k: int | None = None, size: float | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first k triplets above ZERO · size (the norm of X by default)."""
    P, S, Qh = np.linalg.svd(X, full_matrices=False)
    r = int(np.sum(S > ZERO * (np.linalg.norm(X) if size is None else size)))
    r = r if k is None else min(k, r)
    return P[:, :r], S[:r], Qh[:r]


def largest_norm(W: np.ndarray) -> float:
    return max((float(np.linalg.norm(X)) for X in W), default=0.0)


def polar(X: np.ndarray) -> np.ndarray:
    P, S, Qh = np.linalg.svd(X, full_matrices=False)
    live = S > 1e-5 * S[:1].sum()
    return P[:, live] @ Qh[live]


def ta(W: np.ndarray, weights: Sequence[float] | None = None) -> np.ndarray:
    return np.tensordot(np.ones(len(W)) if weights is None else np.asarray(weights), W, 1)


def mean(W: np.ndarray, weights: Sequence[float] | None = None) -> np.ndarray:
    return ta(W, weights) / (len(W) if weights is None else sum(weights))


def tsv(W: np.ndarray, k: int) -> np.ndarray:
    parts = [svd(X, k) for X in W]
    U, S, Vh = (np.concatenate([p[i] for p in parts], axis=a) for i, a in ((0, 1), (1, 0), (2, 0)))
    return polar(U) @ np.diag(S) @ polar(Vh.T).T if len(S) else np.zeros_like(W[0])


def cart(W: np.ndarray, k: int, coefficient: float = 1.0) -> np.ndarray:
    centre, out = W.mean(0), W.mean(0)
    for X in W:
        P, S, Qh = svd(X - centre, k, largest_norm(W))
        out = out + coefficient * (P * S) @ Qh
    return out


def iso(M: np.ndarray, size: float) -> np.ndarray:
    P, S, Qh = svd(M, None, size)
    return S.mean() * P @ Qh if len(S) else 0.0 * M


def iso_cts(W: np.ndarray, d: int, common_fraction: float = 0.8) -> np.ndarray:
    """Iso-CTS of d directions in all."""
    T = len(W)
    each = round((d - int(d * common_fraction)) / T)
    Uc, Sc, Vch = svd(W.sum(0), max(0, d - T * each), largest_norm(W))
    parts = [svd(X - Uc @ (Uc.T @ X), each, largest_norm(W)) for X in W]
    U = np.concatenate([Uc, *[p[0] for p in parts]], axis=1)
    V = np.concatenate([Vch.T, *[p[2].T for p in parts]], axis=1)
    S = np.concatenate([Sc, *[p[1] for p in parts]])
    return S.mean() * polar(U) @ polar(V).T if len(S) else 0.0 * W[0]


def trim(x: np.ndarray, density: float, keep: str = "threshold") -> np.ndarray:
    """A flat vector with all but its largest entries zero."""
    d, K = len(x), int(len(x) * density)
    if density >= 1:
        return x.copy()
    if keep == "threshold":
        return np.where(np.abs(x) >= np.sort(np.abs(x))[d - K - 1], x, 0.0)
    order = sorted(range(d), key=lambda i: (-abs(x[i]), i))
    out = np.zeros_like(x)
    out[order[:K]] = x[order[:K]]
    return out


def ties(
    X: np.ndarray,
    density: float = 0.2,
    keep: str = "threshold",
    elect: str = "mass",
    zero_sign: str = "majority",
    aggregate: str = "mean",
    weights: Sequence[float] | None = None,
    weight_order: str = "after",
    divisor: str = "count",
) -> np.ndarray:
    """TIES of the rows of X (T, d), entry by entry."""
    T, d = X.shape
    w = [1.0] * T if weights is None else list(weights)
    rows = [trim(x, density, keep) for x in X]
    voters = [w[t] * rows[t] for t in range(T)] if weight_order == "before" else rows
    elected = [np.sign(sum(np.sign(v[i]) if elect == "count" else v[i] for v in voters)) for i in range(d)]
    fill = 1.0 if zero_sign == "positive" else (1.0 if sum(elected) > 0 else -1.0)
    out = np.zeros(d)
    for i in range(d):
        sign = elected[i] if elected[i] != 0 else fill
        chosen = [t for t in range(T) if voters[t][i] * sign > 0]
        if not chosen:
            continue
        total = sum(w[t] * rows[t][i] for t in chosen)
        unit = len(chosen) if divisor == "count" else (sum(w[t] for t in chosen) or 1.0)
        out[i] = total if aggregate == "sum" else total / unit
    return out


def ties_dense(W: np.ndarray, **parameters: Any) -> np.ndarray:
    return ties(W.reshape(len(W), -1), **parameters).reshape(W.shape[1:])


def drm(W: np.ndarray, drop: float = 0.5, rank_cut: float = 0.01, weights: Sequence[float] | None = None) -> np.ndarray:
    """Horizontal Decom-Renorm-Merge, entry by entry."""
    T, _, n = W.shape
    w = [1.0] * T if weights is None else list(weights)
    U, S, _ = np.linalg.svd(np.concatenate(list(W), axis=1), full_matrices=False)
    U = U[:, S > max(rank_cut, ZERO) * S[0]]
    Y = U.T @ W  # (T, k, n)
    length = np.linalg.norm(Y, axis=-1, keepdims=True)
    there = length > ZERO * largest_norm(W)
    V = np.where(there, Y / np.where(there, length, 1.0), 0.0)
    N = V.size
    place = N - round(N * (1 - drop))
    cut = np.sort(np.abs(V).ravel())[place - 1] if place >= 1 else 0.0
    Y = np.where((np.abs(V) >= cut * (1 - 1e-12)) & there, Y, 0.0)
    sign = np.sign(Y.sum(0))
    sign = np.where(sign == 0, np.sign(sign.sum()), sign)
    out = np.zeros(Y.shape[1:])
    for j in range(Y.shape[1]):
        for i in range(n):
            chosen = [t for t in range(T) if Y[t, j, i] * sign[j, i] > 0]
            if chosen:
                out[j, i] = sum(w[t] * Y[t, j, i] for t in chosen) / len(chosen)
    return U @ out


def relative_k(p: int, q: int, T: int) -> int:
    return min(p, q) // T


def ceil_fraction(fraction: float, d: int) -> int:
    return math.ceil(fraction * d)


def dense_pipeline(pipeline: Any, W: np.ndarray) -> np.ndarray:
    """The dense answer of a Pipeline of ta, mean, tsv, cart and iso at absolute settings."""
    out = W
    for stage in pipeline.stages:
        p = stage.parameters
        if stage.name in ("ta", "mean"):
            out = {"ta": ta, "mean": mean}[stage.name](W, p["weights"])
        elif stage.name == "tsv":
            out = tsv(W, p["k"])
        elif stage.name == "cart":
            out = cart(W, p["k"], p["coefficient"])
        elif stage.name == "iso":
            out = iso(out, largest_norm(W))
        else:
            raise ValueError(stage.name)
    return out
