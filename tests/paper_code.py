"""The paper's definitions written down directly in NumPy: no rank cut, null vectors and all.

As the authors' code has them: float64, thin SVDs, the scaling folded into B. These are what the numerical core is
compared with where its own definitions differ: here answers depend on null vectors, which are arbitrary.
"""

from collections.abc import Sequence

import numpy as np

Pairs = Sequence[tuple[np.ndarray, np.ndarray]]


def svd(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.linalg.svd(X, full_matrices=False)


def core(pairs: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U (m, p), the stack (T, p, q), Vᵀ (q, n) of Def. 2 with all min(m, R) and min(n, R) columns."""
    U = svd(np.concatenate([B for B, _ in pairs], axis=1))[0]
    Vh = svd(np.concatenate([A for _, A in pairs], axis=0))[2]
    return U, np.stack([(U.T @ B) @ (A @ Vh.T) for B, A in pairs]), Vh


def tsv(W: np.ndarray, k: int | None = None) -> np.ndarray:
    """k = ⌊min(p, q)/T⌋ triplets of each task, null or not."""
    k = min(W.shape[1:]) // len(W) if k is None else k
    parts = [svd(X) for X in W]
    U = np.concatenate([P[:, :k] for P, _, _ in parts], axis=1)
    S = np.concatenate([s[:k] for _, s, _ in parts])
    Vh = np.concatenate([Qh[:k] for _, _, Qh in parts], axis=0)
    (P, _, Ph), (Q, _, Qh) = svd(U), svd(Vh)
    return (P @ Ph * S) @ (Q @ Qh)


def iso(W: np.ndarray) -> np.ndarray:
    """All singular values of the sum at their mean, zeros included."""
    P, S, Qh = svd(W.sum(0))
    return S.mean() * (P @ Qh)


METHODS = {"tsv": tsv, "iso": iso}


def merge(pairs: Pairs, method: str, space: str) -> np.ndarray:
    if space == "full":
        return METHODS[method](np.stack([B @ A for B, A in pairs]))
    U, M, Vh = core(pairs)
    return U @ METHODS[method](M) @ Vh
