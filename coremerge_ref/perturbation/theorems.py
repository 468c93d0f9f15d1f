"""How far errors move singular vectors, truncations and polar factors: theorems, as functions of singular values.

All norms are Frobenius unless said otherwise, singular values descend, M' = M + E with ‖E‖ ≤ e. Where first order gives
a relative change x, `beyond` bounds the rest. Sources: Wedin (1972), BIT 12; Stewart and Sun, Matrix Perturbation
Theory (1990), IV and V; Higham, Functions of Matrices (2008), 8. `carried` is what a method makes of errors with them.
"""

import math
from typing import Any

import numpy as np

Vector = np.ndarray
FEW = 64  # entries up to which a list is faster than an array
LIMIT = 0.25  # relative change up to which first-order bounds are any (Stewart and Sun, V.2.1)


def norm(X: Any) -> float:
    """Norm of all entries of X, without overflow or underflow."""
    flat = np.ravel(X)
    if flat.size <= FEW:
        return math.hypot(*flat.tolist())
    with np.errstate(over="ignore", under="ignore"):
        size = math.sqrt(float(flat @ flat)) if flat.dtype == np.float64 else 0.0
    if 1e-140 < size < 1e140:
        return size
    largest = float(np.max(np.abs(flat), initial=0.0))
    return largest * float(np.linalg.norm(flat / largest)) if 0 < largest < math.inf else largest


def lengths(X: Vector, axis: int = 0) -> Vector:
    """Norms of the columns of X, or along another axis, without overflow; 0 below 1e-150 of the largest entry."""
    largest = float(np.max(np.abs(X), initial=0.0))
    if not 0 < largest < math.inf:
        return np.asarray(np.max(np.abs(X), axis=axis, initial=0.0))
    return np.asarray(largest * np.sqrt(np.sum((X / largest) ** 2, axis=axis)))


def sizes(X: Vector) -> Vector:
    """Norms (T,) of all matrices of X (T, p, q), see lengths."""
    return lengths(X.reshape(len(X), -1), axis=1)


def spectral(X: Vector) -> Vector:
    """‖X‖₂ (…) of X (…, p, r), a bit more: from the smaller Gram matrix, the largest eigenvalue of which is as good."""
    if not X.shape[-1]:
        return np.zeros(X.shape[:-2])
    largest = np.max(np.abs(X), axis=(-2, -1), keepdims=True)
    X = X / np.where(largest > 0, largest, 1.0)
    G = X.mT @ X if X.shape[-2] > X.shape[-1] else X @ X.mT
    return np.asarray(largest[..., 0, 0] * np.sqrt(np.maximum(np.linalg.eigvalsh(G)[..., -1], 0.0)) * (1 + 1e-9))


def thin_svd(X: Vector) -> tuple[Vector, Vector, Vector]:
    """Thin SVD of X (…, p, q); of the transpose where LAPACK's iteration does not converge, as for some graded X."""
    try:
        P, S, Qh = np.linalg.svd(X, full_matrices=False)
    except np.linalg.LinAlgError:
        Q, S, Ph = np.linalg.svd(X.mT, full_matrices=False)
        P, Qh = Ph.mT, Q.mT
    return P, S, Qh


def singular_values(X: Vector) -> Vector:
    """Those of X (…, p, q) alone, which take less than half the time."""
    try:
        return np.asarray(np.linalg.svd(X, compute_uv=False))
    except np.linalg.LinAlgError:
        return thin_svd(X)[1]


def value_at(X: Vector, k: int) -> float:
    """σ_k of X (p, q), or up to a thousandth less: from the smaller Gram matrix where that is as good, which takes a
    quarter of the time."""
    largest = float(np.max(np.abs(X), initial=0.0))
    if 0 < largest < math.inf:
        Y = X / largest
        G = Y @ Y.T if Y.shape[0] <= Y.shape[1] else Y.T @ Y
        value, off = float(np.linalg.eigvalsh(G)[-k]), 2.0**-51 * max(X.shape) * float(np.trace(G))
        if off < 1e-3 * value:
            return largest * math.sqrt(value - off)
    return float(singular_values(X)[k - 1])


def coupling(a: Any, b: Any) -> Vector:
    """√(a² + b²) / |a² − b²|: how far singular vectors of the values a and b turn into each other, per unit of error.

    The vectors i and j of M + E mix by (σ_i E_ji + σ_j E_ij) / (σ_i² − σ_j²); Cauchy-Schwarz gives the bound, at most
    1 / |a − b| and at least 1 / max(a, b). Infinite where a = b.
    """
    large, small = np.maximum(a, b), np.minimum(a, b)
    ratio = small / np.where(large > 0, large, 1.0)
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(np.sqrt(1 + ratio**2) / ((large - small) * (1 + ratio)))


def turns(S: Vector, k: int) -> Vector:
    """Turn of each of the first k singular vectors out of their span, (k,), per unit of error; σ_{k+1} = 0 at the end.

    Turns inside the span are left out: truncation, TSV and isotropization do not see them.
    """
    return coupling(S[:k], S[k] if k < len(S) else 0.0)


def truncation(S: Vector, k: int) -> float:
    """Condition number σ_k / (σ_k − σ_{k+1}) of the best rank-k approximation, exactly; 1 where nothing is cut."""
    if k == 0 or k >= len(S) or S[k] == 0:
        return 1.0
    return float(S[k - 1] / (S[k - 1] - S[k])) if S[k - 1] > S[k] else math.inf


def another_rank(S: Vector, k: int) -> str:
    """A remedy: the rank with the widest gap after it, relative, but for k."""
    gaps = (S[:-1] - S[1:]) / np.where(S[:-1] > 0, S[:-1], 1.0)
    gaps[k - 1 : k] = 0.0
    best = int(np.argmax(gaps)) + 1 if len(gaps) else k
    return (
        f"choose another rank, such as k = {best}, with {gaps[best - 1]:.0%} between it and the next"
        if len(gaps)
        else ""
    )


def polar(S: Vector, size: tuple[int, int]) -> float:
    """Condition number of the polar factor over the support, S its singular values, of a matrix of this size.

    1 / σ_r in general; 2 / (σ_r + σ_{r−1}) for a square real matrix of full rank (Higham 2008, theorem 8.9).
    """
    if len(S) == 0:
        return 0.0
    below = S[-1] + (S[-2] if len(S) > 1 else S[-1]) if len(S) == size[0] == size[1] else 2 * S[-1]
    return float(2 / below) if below > 0 else math.inf


def multiplied(x: float, y: float) -> tuple[float, float]:
    """Of (I + X) M (I + Y)ᵀ beside M, ‖X‖ ≤ x and ‖Y‖ ≤ y: how far the polar factor over the support moves, and every
    singular value relative to itself, however small it is; infinite unless x and y are below 1.

    The latter is Ostrowski's (Horn and Johnson 2013, 4.5.9). Along (I + tX) M (I + tY)ᵀ errors are G M + M Kᵀ,
    ‖G‖ ≤ x / (1 − tx), and so on. With F = Pᵀ (G M + M Kᵀ) Q the polar factor moves by (F_ij − F_ji) / (σ_i + σ_j) and
    by what G P and K Q have beyond the spans, together at most √2 (‖G‖ + ‖K‖) (see Li 1997, BIT 37).
    """
    if not max(x, y) < 1:
        return math.inf, math.inf
    return 2**0.5 * (grown(x) + grown(y)), x + y + x * y


def multiplied_span(x: float, y: float, ratio: float) -> float:
    """How far the space of the first k singular vectors turns there, ratio = σ_{k+1} / σ_k; infinite where those two
    may meet.

    Vectors i and j mix by (σ_i F_ji + σ_j F_ij) / (σ_i² − σ_j²), so by at most (‖G‖ + ‖K‖) (1 + ρ²) / (1 − ρ²), ρ the
    largest ratio on the way.
    """
    if not max(x, y) < 1:
        return math.inf
    widest = ratio * (1 + x) * (1 + y) / ((1 - x) * (1 - y))
    return multiplied(x, y)[0] / 2**0.5 * (1 + widest**2) / (1 - widest**2) if widest < 1 else math.inf


def grown(x: float) -> float:
    """−ln(1 − x), what a change x to first order is at most along M + tE where it grows as 1 / (1 − t x), as that of a
    polar factor of which nothing is cut does: its σ_r is at least 1 / c − t ‖E‖. Infinite from 1 on."""
    return -math.log1p(-x) if x < 1 else math.inf


def beyond(x: float) -> float:
    """1 / (1 − 2x), at most 2: what second-order terms add where first order gives a relative change x."""
    return 1 / (1 - 2 * min(x, LIMIT))


def safely(a: Any, b: Any) -> Vector:
    """a · b where an infinite factor times zero is zero."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where((np.asarray(a) == 0) | (np.asarray(b) == 0), 0.0, np.asarray(a) * b)


def near(values: Any, level: Any, error: Any) -> Vector:
    """Which `values`, each known up to `error`, lie where those that count as zero are not told from those that do not.

    Up to level + error from above. From below, values beyond their error count as zero without being so, and all do
    where the error exceeds the level.
    """
    level, error = np.asarray(level, dtype=float), np.asarray(error, dtype=float)
    return np.asarray((values > np.minimum(error, level - error)) & (values <= level + error))
