"""Compressed core space: `rank` directions a side, found by HOOI inside the core ("Compress then Merge", ICML 2026)."""

from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import ClassVar

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.frames import Factors, Frames
from coremerge_ref.core.sides import Side
from coremerge_ref.core.spaces import SPACES, factor_frames
from coremerge_ref.errors import ParameterError

_STEPS, _TOLERANCE = 1000, 1e-6  # its authors': most steps, and the change of the kept share at which it stops


@dataclass(frozen=True)
class Compressed:
    """The `rank` best directions a side of the rescaled stack: a LoRA of that rank by construction. Lossy.

    Each M_t is rescaled to (M_t / ‖M_t‖) (β ‖M_t‖ + (1 − β) mean_t ‖M_t‖): beta 1 leaves the tasks as they are, 0
    makes them equal. A partial Tucker decomposition (HOOI from the SVD start) of the rescaled stack gives both frames;
    what is merged are the tasks themselves in these frames. info["kept"] (…, T) says how much of each is in them,
    ‖Uᵀ ΔW_t V‖ / ‖ΔW_t‖. Lossless where rank is at least both live sizes. HOOI finds a local optimum.

    >>> updates = [(np.ones((6, 2)), np.eye(2, 5)), (np.eye(6, 2), np.ones((2, 5)))]
    >>> cm.merge(updates, "tsv", cm.Compressed(2)).rank
    2
    """

    rank: int | None = None  # which has no default: who compresses says to what
    beta: float = 0.25
    name: ClassVar[str] = "compressed"
    lossless: ClassVar[bool] = False
    isometric: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.rank, Integral) or isinstance(self.rank, bool) or self.rank < 1:
            expected = "compressed.rank: expected an integer of at least 1, the rank of the result"
            raise ParameterError(f"{expected}, got {self.rank!r}; write cm.Compressed(16), --set compressed.rank=16")
        if not isinstance(self.beta, Real) or isinstance(self.beta, bool) or not 0 <= self.beta <= 1:
            raise ParameterError(f"compressed.beta: expected a number from 0 to 1, got {self.beta!r}")

    def frames(self, factors: Factors, any_frame: bool = False) -> Frames:
        """Both frames; every orthonormal basis of their spans comes from the same decomposition."""
        inside = factor_frames(factors, any_frame=True)
        xp = array_namespace(factors[0][0])
        M = xp.stack([L @ R for L, R in inside.products()])  # (T, …, p, q)
        norms = linalg.norm(M)  # (T, …)
        live = norms > inside.rounding_levels()
        share = xp.sum(norms, axis=0) / M.shape[0]
        factor = xp.where(live, self.beta + (1 - self.beta) * share / xp.where(live, norms, 1.0), 0.0)
        W, Z = self._decomposed(factor[..., None, None] * M, inside)
        left, right = _narrowed(inside.left, W), _narrowed(inside.right, Z)
        core = xp.matrix_transpose(W) @ M @ Z
        kept = xp.where(live, linalg.norm(core) / xp.where(live, norms, 1.0), 1.0)
        return Frames(left, right, kept=xp.moveaxis(kept, 0, -1), rescaling=factor)

    def _decomposed(self, X: Array, inside: Frames) -> tuple[Array, Array]:
        """HOOI: W (…, p, k) and Z (…, q, k) orthonormal, k = rank, each the best for the other; X (T, …, p, q).

        Each layer stops by itself: what else is in its batch changes nothing.
        """
        if not arrays.is_concrete(X):
            raise ParameterError("Compressed: expected values that can be looked at: HOOI stops by them; use no jit")
        xp = array_namespace(X)
        Xt, total = xp.matrix_transpose(X), linalg.norm(_unfolded(X))
        W, Z = self._best(X, inside.rows), self._best(Xt, inside.cols)
        before, done = xp.full_like(total, -1.0), total < 0
        for _ in range(_STEPS):
            better = self._best(X @ Z, inside.rows)
            W = xp.where(done[..., None, None], W, better)
            Z = xp.where(done[..., None, None], Z, self._best(Xt @ W, inside.cols))
            kept = linalg.norm(_unfolded(xp.matrix_transpose(W) @ X @ Z)) / xp.where(total > 0, total, 1.0)
            done, before = done | (xp.abs(kept - before) <= _TOLERANCE), kept
            if bool(xp.all(done)):
                break
        return W, Z

    def _best(self, X: Array, live: Array) -> Array:
        """The leading min(rank, live) left singular vectors (…, p, k) of [X_1 … X_T], null ones zero."""
        xp = array_namespace(X)
        P, S, _ = linalg.svd(_unfolded(X))
        k = min(int(self.rank or 0), X.shape[-2])
        P, S = arrays.widen(P, k), arrays.widen(S[..., None, :], k)[..., 0, :]
        real = S > linalg.thresholds(S.dtype)[0] * S[..., :1]
        return linalg.masked(P, real & linalg.first(xp.astype(live, live.dtype), k))


SPACES[Compressed.name] = Compressed


def _unfolded(X: Array) -> Array:
    """[X_1 … X_T] (…, p, T q) of X (T, …, p, q)."""
    return array_namespace(X).concat([X[t, ...] for t in range(X.shape[0])], axis=-1)


def _narrowed(side: Side, W: Array) -> Side:
    """The side in the directions W (…, p, k) of its coordinates."""
    xp = array_namespace(W)
    live = xp.sum(xp.astype(xp.sum(W * W, axis=-2) > 0.5, side.live.dtype), axis=-1)
    return replace(side.turned(Side(W, live=live)), of_updates=False)
