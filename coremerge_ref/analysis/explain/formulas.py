"""Perturbation theory to first order: how far singular vectors, truncations and polar factors move with a matrix.

All norms are Frobenius unless said otherwise, singular values descend, and M' = M + E with ‖E‖ ≤ e.

Sources: Wedin (1972), BIT 12, on singular subspaces; Stewart and Sun, Matrix Perturbation Theory (1990), chapters IV
and V; Higham, Functions of Matrices (2008), chapter 8, on polar factors; Higham and Mary (2019), SIAM J. Sci. Comput.
41, on rounding errors that grow like √n.
"""

import math

import numpy as np

Vector = np.ndarray

# Beyond this relative change, error times amplification, first-order bounds are none: 1/4 is where Stewart's theorem on
# perturbed subspaces stops (Stewart and Sun, V.2.1).
LIMIT = 0.25


def growth(m: int, n: int, ranks: int, decomposed: bool) -> float:
    """√max(m, n, R) / 2: rounding errors of products, as errors of each factor in eps, adding up at random; and 3 more
    where frames were computed, for the constants of QR and SVD, which rule in small matrices.

    The worst case is about max(m, n, R), which is also the tolerance up to which values count as zero.
    """
    return math.sqrt(max(m, n, ranks)) / 2 + (3 if decomposed else 0)


def coupling(a: Vector | float, b: Vector | float) -> Vector:
    """√(a² + b²) / |a² − b²|: how far singular vectors of the values a and b turn into each other, per unit of error.

    The vectors i and j of M + E mix by (σ_i E_ji + σ_j E_ij) / (σ_i² − σ_j²); Cauchy-Schwarz gives the bound. It is at
    most 1 / |a − b| and at least 1 / max(a, b). Infinite where a = b.
    """
    a, b = np.broadcast_arrays(np.asarray(a, dtype=float), np.asarray(b, dtype=float))
    large, small = np.maximum(a, b), np.minimum(a, b)
    ratio = small / np.where(large > 0, large, 1.0)
    with np.errstate(divide="ignore", over="ignore"):
        return np.sqrt(1 + ratio**2) / ((large - small) * (1 + ratio))


def turns(S: Vector, k: int) -> Vector:
    """Turn of each of the first k singular vectors out of their span, (k,): coupling(σ_i, σ_{k+1}), σ_{k+1} = 0 after
    the last. Turns inside the span are left out: truncation, TSV and isotropization do not see them.
    """
    return coupling(S[:k], S[k] if k < len(S) else 0.0)


def truncation(S: Vector, k: int) -> float:
    """Condition number σ_k / (σ_k − σ_{k+1}) of the best rank-k approximation, exactly; 1 where nothing is cut.

    The pair (i, j), i ≤ k < j, maps (E_ij, E_ji) by [[σ_i², σ_iσ_j], [σ_iσ_j, σ_i²]] / (σ_i² − σ_j²), whose norm is
    σ_i / (σ_i − σ_j).
    """
    if k == 0 or k >= len(S) or S[k] == 0:
        return 1.0
    return float(S[k - 1] / (S[k - 1] - S[k])) if S[k - 1] > S[k] else math.inf


def polar(S: Vector, size: tuple[int, int]) -> float:
    """Condition number of the polar factor over the support, S its singular values, of a matrix of this size.

    1 / σ_r in general; 2 / (σ_r + σ_{r−1}) for a square real matrix of full rank (Higham 2008, theorem 8.9).
    """
    if len(S) == 0:
        return 0.0
    if len(S) == size[0] == size[1]:
        below = S[-1] + (S[-2] if len(S) > 1 else S[-1])
        return float(2 / below) if below > 0 else math.inf
    return float(1 / S[-1]) if S[-1] > 0 else math.inf


def beyond_first_order(x: float) -> float:
    """1 / (1 − 2x), at most 2: what second-order terms add where first order gives a relative change x."""
    return 1 / (1 - 2 * min(x, LIMIT))


def norm(X: Vector) -> float:
    """Norm of all entries of X, without overflow."""
    return math.hypot(*np.ravel(X).tolist())


def safely(a: Vector, b: Vector) -> Vector:
    """A · b where an infinite factor times zero is zero."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where((a == 0) | (b == 0), 0.0, a * b)


def term_rank(support: np.ndarray) -> int:
    """The largest rank a matrix with nonzeros where `support` (p, q) is True can have: a maximum matching."""
    matched: dict[int, int] = {}  # column → row

    def placed(row: int, seen: set[int]) -> bool:
        for column in np.flatnonzero(support[row]).tolist():
            if column not in seen:
                seen.add(column)
                if column not in matched or placed(matched[column], seen):
                    matched[column] = row
                    return True
        return False

    return sum(placed(row, set()) for row in range(len(support)))


def near(values: np.ndarray, level: np.ndarray | float, error: np.ndarray | float) -> np.ndarray:
    """Which `values`, each known up to `error`, lie where those that count as zero are not told from those that do not.

    Up to level + error from above. From below, values beyond their error count as zero without being so, and all do
    where the error exceeds the level. A negative level: nothing counts as zero.
    """
    level, error = np.asarray(level, dtype=float), np.asarray(error, dtype=float)
    return (values > np.minimum(error, level - error)) & (values <= level + error) & (level >= 0)
