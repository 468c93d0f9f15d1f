"""The merged update that is to be explained: one layer of it, and how far its storage may have rounded it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate, Update
from coremerge_ref.errors import NonFiniteError

# Above this many rows and columns a full-size matrix is not decomposed to see whether it was truncated.
LARGEST_SVD = 1024
SEEN = 64  # and above this many one of full rank is not decomposed once more to see how much of it there is


@dataclass(frozen=True, eq=False)
class Target:
    """One layer Y (m, n) of the merged update, in float64.

    left P (m, r), middle S Qᵀ (r, n), right Q (n, r): its singular vectors over its numerical rank r; None where Y has
    full rank or is too large to look. dtype: what it is stored in. rounding: bound of the Frobenius norm of what
    storing it in that dtype did to it. norm: ‖Y‖_F.
    """

    update: Update
    left: np.ndarray | None
    middle: np.ndarray | None
    right: np.ndarray | None
    dtype: str
    rounding: float
    norm: float

    @property
    def rank(self) -> int:
        """The numerical rank, or all there could be."""
        return self.update.rank if self.left is None else self.left.shape[1]

    def rank_above(self, share: float) -> int:
        """How many singular values exceed `share` of the largest; all there could be of a large one of full rank."""
        if self.middle is None and min(self.update.shape) > SEEN:
            return self.rank
        X = np.asarray(self.update.to_dense(), np.float64) if self.middle is None else self.middle
        S = np.linalg.svd(X, compute_uv=False)
        return int(np.sum(share * S.max(initial=0.0) < S))


def low_rank_target(update: LowRankUpdate, dtype: str | None = None, layer: str = "") -> Target:
    """The target stored as factors B (m, r), A (r, n) in `dtype`, their own by default.

    Each factor's entries were rounded by half an eps, so no entry of the product is off by more than eps |B| |A|.
    NonFiniteError, naming the layer, for NaN and infinity, which nothing merges into.
    """
    name = dtype or arrays.dtype_name(update.B.dtype)
    B, A = (np.asarray(X) for X in update.folded(np.float64))
    _check_finite(layer, B, A)
    rounding = arrays.eps(name) * product_norm(np.abs(B), np.abs(A))
    P, S, Qh = (np.asarray(X) for X in linalg.product_svd(B, A))
    return _target(LowRankUpdate(B, A), P, S, Qh, name, rounding)


def dense_target(matrix: np.ndarray, dtype: str | None = None, layer: str = "") -> Target:
    """The target stored as one matrix (m, n) in `dtype`, its own by default; NonFiniteError for NaN and infinity."""
    name = dtype or arrays.dtype_name(matrix.dtype)
    Y = matrix.astype(np.float64)
    _check_finite(layer, Y)
    rounding = arrays.eps(name) / 2 * float(np.linalg.norm(Y))
    if min(Y.shape) > LARGEST_SVD:
        return Target(DenseUpdate(Y), None, None, None, name, rounding, float(np.linalg.norm(Y)))
    P, S, Qh = (np.asarray(X) for X in linalg.svd(Y))
    return _target(DenseUpdate(Y), P, S, Qh, name, rounding)


def _check_finite(layer: str, *arrays: np.ndarray) -> None:
    if not all(np.isfinite(X).all() for X in arrays):
        where = f"layer {layer!r} of the merged update" if layer else "the merged update"
        raise NonFiniteError(f"{where}: expected finite numbers, got NaN or infinity, which no merge has")


def _target(update: Update, P: np.ndarray, S: np.ndarray, Qh: np.ndarray, name: str, rounding: float) -> Target:
    m, n = update.shape
    # what was cut away before storing comes back as rounding of the stored entries, no larger than sqrt of their number
    noise = max(max(m, n) * arrays.eps("float64"), arrays.eps(name) if isinstance(update, DenseUpdate) else 0.0)
    rank = int(np.sum(S > noise * S[0])) if S.size and S[0] > 0 else 0
    size = float(np.linalg.norm(S))
    if rank == min(m, n):
        return Target(update, None, None, None, name, rounding, size)
    P, S, Qh = P[:, :rank], S[:rank], Qh[:rank]
    return Target(update, P, S[:, None] * Qh, Qh.T, name, rounding, size)


def product_norm(B: Any, A: Any) -> float:
    """‖B A‖_F without the product: from the triangular factors of B (m, r) and Aᵀ (n, r)."""
    if 0 in B.shape or 0 in A.shape:
        return 0.0
    return float(np.linalg.norm(triangle(B) @ triangle(A.T).T))


def triangle(X: Any) -> np.ndarray:
    """R (min(m, n), n) of X = Q R, for X (m, n)."""
    R: np.ndarray = np.linalg.qr(X, mode="r")  # type: ignore[assignment]
    return R
