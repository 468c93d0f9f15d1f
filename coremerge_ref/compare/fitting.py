"""Least squares and distances between a candidate's components and the target, without full-size matrices if possible.

A candidate's merge is Σ c_i X_i with unknown numbers c_i. The target Y may be that sum, or the sum truncated to rank r
(PEFT's *_svd, coremerge merge --rank). Both leave traces that are linear in c: with P, S, Q the singular triplets of Y,
Pᵀ X = S Qᵀ and X Q = P S hold for X = Y and for every X whose truncation Y is. So c is solved for in these equations,
and only then is it seen whether Y is the whole sum or the truncated one.
"""

from collections.abc import Sequence

import numpy as np

from coremerge_ref.compare.target import Target, product_norm, triangle
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate, Update


class LeastSquares:
    """min over c of Σ_layers ‖traces(Σ c_i X_i) − traces(Y)‖², a layer at a time, by a QR that is updated."""

    def __init__(self) -> None:
        self._triangle: np.ndarray | None = None

    def add(self, components: Sequence[Update], target: Target) -> None:
        """One layer: k components X_i (m, n) and the target."""
        columns = [_traces(X, target) for X in components] + [_own_traces(target)]
        rows = np.stack(columns, axis=1)  # (equations, k + 1)
        stacked = rows if self._triangle is None else np.concatenate([self._triangle, rows])
        self._triangle = triangle(stacked)

    def solve(self) -> tuple[np.ndarray, float]:
        """(c (k,), relative residual); the shortest c where several do."""
        assert self._triangle is not None, "no layer was added"
        R = self._triangle
        k = R.shape[1] - 1
        size = np.linalg.norm(R[:, :k], axis=0)
        unit = np.where(size > 0, size, 1.0)
        c = np.linalg.lstsq(R[:, :k] / unit, R[:, k], rcond=1e-10)[0] / unit
        whole = float(np.linalg.norm(R[:, k]))
        return c, float(np.linalg.norm(R[:, :k] @ c - R[:, k])) / whole if whole else 0.0


def _traces(X: Update, target: Target) -> np.ndarray:
    """Pᵀ X and (I − P Pᵀ) X Q, flattened; X itself where the target has full rank."""
    if target.left is None or target.right is None:
        return np.asarray(X.to_dense(), np.float64).ravel()
    P, Q = target.left, target.right
    if isinstance(X, LowRankUpdate):
        B, A = X.folded(np.float64)
        across, down = (P.T @ B) @ A, B @ (A @ Q)
    else:
        across, down = P.T @ X.matrix, X.matrix @ Q
    return np.concatenate([across.ravel(), (down - P @ (P.T @ down)).ravel()])


def _own_traces(target: Target) -> np.ndarray:
    if target.middle is None or target.left is None:
        return np.asarray(target.update.to_dense(), np.float64).ravel()
    m, rank = target.left.shape
    return np.concatenate([target.middle.ravel(), np.zeros(m * rank)])


def combined(c: np.ndarray, components: Sequence[Update]) -> Update:
    """Σ c_i X_i, in factors where all X_i are."""
    low = [X for X in components if isinstance(X, LowRankUpdate)]
    if len(low) < len(components):
        return DenseUpdate(sum(a * np.asarray(X.to_dense(), np.float64) for a, X in zip(c, components, strict=True)))
    pairs = [X.folded(np.float64) for X in low]
    B = np.concatenate([a * B for a, (B, _) in zip(c, pairs, strict=True)], axis=1)
    return LowRankUpdate(B, np.concatenate([A for _, A in pairs], axis=0))


def distance(X: Update, target: Target) -> float:
    """‖X − Y‖_F."""
    Y = target.update
    if isinstance(X, LowRankUpdate) and isinstance(Y, LowRankUpdate):
        B = np.concatenate([X.folded(np.float64)[0], -Y.B], axis=1)
        return product_norm(B, np.concatenate([X.A, Y.A], axis=0))
    return float(np.linalg.norm(np.asarray(X.to_dense(), np.float64) - np.asarray(Y.to_dense(), np.float64)))
