"""The merges in NumPy's long double (64 bits of mantissa on x86), to measure the error of float64 results against.

Another way than the package takes: Gram-Schmidt frames, Newton's iteration for polar factors, Jacobi's for singular
vectors. For generic updates alone: stacks of full rank, R ≤ min(m, n), equal ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Factors = tuple[np.ndarray, np.ndarray]
LONG = np.longdouble


@dataclass(frozen=True, eq=False)
class Exact:
    """ΔW = U M Vᵀ with orthonormal U (m, R), V (n, R)."""

    U: np.ndarray
    M: np.ndarray
    V: np.ndarray

    def error(self, B: np.ndarray, A: np.ndarray) -> float:
        """‖B A − ΔW‖ / ‖ΔW‖ (Frobenius) of a result in factors, whatever they are, in long double."""
        B, A = B.astype(LONG), A.astype(LONG)
        left, right = self.U.T @ B, A @ self.V
        outside, beside = B - self.U @ left, A - right @ self.V.T
        inner = np.sum((left @ right - self.M) ** 2)
        outer = np.sum((outside.T @ outside) * (A @ A.T)) + np.sum((left.T @ left) * (beside @ beside.T))
        return float(np.sqrt((inner + outer) / np.sum(self.M**2)))


def exact(updates: Sequence[Factors], method: str) -> Exact:
    """ta, iso, tsv (at the tasks' own rank) or ties (density 0.2, paper's core basis) of pairs (B, A)."""
    ranks = [B.shape[1] for B, _ in updates]
    U, left = frame(np.concatenate([B for B, _ in updates], axis=1).astype(LONG))
    V, right = frame(np.concatenate([A for _, A in updates], axis=0).T.astype(LONG))
    if method == "ties":
        (P, left), (Q, right) = rotated(left), rotated(right)
        U, V = U @ P, V @ Q
    ends = np.cumsum(ranks)[:-1]
    pairs = list(zip(np.split(left, ends, axis=1), np.split(right, ends, axis=1), strict=True))
    return Exact(U, {"ta": _sum, "iso": _iso, "tsv": _tsv, "ties": _ties}[method](pairs), V)


def _sum(pairs: Sequence[Factors]) -> np.ndarray:
    return sum(L @ R.T for L, R in pairs)


def _iso(pairs: Sequence[Factors]) -> np.ndarray:
    M = _sum(pairs)
    P = polar(M)
    return np.sum(P * M) / len(M) * P


def _tsv(pairs: Sequence[Factors]) -> np.ndarray:
    triplets = []
    for L, R in pairs:
        (P, C), (Q, D) = frame(L), frame(R)
        X, S, Y = svd(C @ D.T)
        triplets.append((P @ X, S, Q @ Y))
    U, S, V = (np.concatenate(parts, axis=-1) for parts in zip(*triplets, strict=True))
    return (polar(U) * S) @ polar(V).T


def _ties(pairs: Sequence[Factors]) -> np.ndarray:
    M = np.stack([L @ R.T for L, R in pairs])
    size = np.abs(M)
    d = M[0].size
    cut = np.sort(size.reshape(len(M), -1), axis=1)[:, d - int(d * 0.2) - 1]
    tau = np.where(size >= cut[:, None, None], M, 0)
    sign = np.sign(tau.sum(axis=0))
    sign = np.where(sign == 0, 1 if sign.sum() > 0 else -1, sign)
    agrees = tau * sign > 0
    return np.where(agrees, tau, 0).sum(axis=0) / np.maximum(agrees.sum(axis=0), 1)


def frame(X: np.ndarray) -> Factors:
    """Q, C with X = Q C by Gram-Schmidt, each column twice."""
    Q, C = np.zeros_like(X), np.zeros((X.shape[1], X.shape[1]), LONG)
    for j in range(X.shape[1]):
        column = X[:, j].copy()
        for _ in range(2):
            part = Q[:, :j].T @ column
            column -= Q[:, :j] @ part
            C[:j, j] += part
        C[j, j] = np.sqrt(column @ column)
        Q[:, j] = column / C[j, j]
    return Q, C


def rotated(C: np.ndarray) -> Factors:
    """The left singular vectors P of C, and Pᵀ C."""
    P, _, _ = svd(C)
    return P, P.T @ C


def polar(X: np.ndarray) -> np.ndarray:
    """The orthogonal polar factor of a square matrix by Newton's iteration, started from float64's."""
    P, _, Qh = np.linalg.svd(X.astype(np.float64))
    Y = (P @ Qh).astype(LONG)
    # X = Y H with H symmetric: refine by steps of Newton on Xᵀ-scaled residuals, through a symmetric Sylvester equation
    for _ in range(3):
        H = Y.T @ X
        Y = Y @ _orthogonal_step(H)
        Y = Y @ (1.5 * np.eye(len(X), dtype=LONG) - 0.5 * (Y.T @ Y))  # back to orthonormal, quadratically
    return Y


def _orthogonal_step(H: np.ndarray) -> np.ndarray:
    """I + K, K skew with K S + S K = H − Hᵀ for S the symmetric part of H: turns H towards symmetric."""
    S = (H + H.T) / 2
    values, Q = np.linalg.eigh(S.astype(np.float64))
    Q = Q.astype(LONG)
    skew = Q.T @ (H - H.T) @ Q / (values[:, None] + values[None, :])
    return np.eye(len(H), dtype=LONG) + Q @ ((skew - skew.T) / 2) @ Q.T


def svd(X: np.ndarray, sweeps: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P, S, Q with X = P diag(S) Qᵀ, S descending, by Jacobi's one-sided rotations, started from float64's."""
    _, _, Qh = np.linalg.svd(X.astype(np.float64))
    Q, _ = frame(Qh.T.astype(LONG))
    Y = X @ Q
    done = np.finfo(LONG).eps * 8
    for _ in range(sweeps):
        worst = _sweep(Y, Q, done)
        if worst <= done:
            break
    S = np.sqrt(np.sum(Y * Y, axis=0))
    order = np.argsort(-S)
    return Y[:, order] / S[order], S[order], Q[:, order]


def _sweep(Y: np.ndarray, Q: np.ndarray, done: float) -> float:
    """Rotates the columns of Y and Q, pair by pair, where they are not orthogonal; the largest cosine seen."""
    gram = Y.T @ Y
    size = np.sqrt(np.diag(gram))
    cosine = np.abs(np.triu(gram / np.outer(size, size), 1))
    for i, j in zip(*np.nonzero(cosine > done), strict=True):
        a, b, c = Y[:, i] @ Y[:, i], Y[:, j] @ Y[:, j], Y[:, i] @ Y[:, j]
        if c == 0:
            continue
        zeta = (b - a) / (2 * c)
        t = (1 if zeta >= 0 else -1) / (abs(zeta) + np.sqrt(1 + zeta * zeta))
        cos = 1 / np.sqrt(1 + t * t)
        turn = np.array([[cos, cos * t], [-cos * t, cos]], LONG)
        for Z in (Y, Q):
            Z[:, [i, j]] = Z[:, [i, j]] @ turn
    return float(cosine.max(initial=0))
