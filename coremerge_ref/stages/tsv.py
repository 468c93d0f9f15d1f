"""TSV-M: leading singular triplets of every task, side by side, made orthogonal (Gargiulo et al., 2025)."""

from dataclasses import dataclass
from typing import Any, ClassVar

from array_api_compat import array_namespace

from coremerge_ref import linalg
from coremerge_ref.namespaces import Array
from coremerge_ref.stack import Merged, Stack, whole
from coremerge_ref.stages.base import MERGE, Stage


@dataclass(frozen=True)
class Tsv(Stage):
    """polar([P_t]) · blkdiag(S_t) · polar([Q_t])ᵀ, where M_t ≈ P_t S_t Q_tᵀ are the k leading triplets of each task.

    k: an absolute rank, the same in every space; None is the relative ⌊min(rows, cols) / T⌋ of the space's live size.
    Triplets at or below the numerical rank of M_t are never taken: a task of rank below k gives what it has.
    """

    k: int | None = None
    name: ClassVar[str] = "tsv"
    kind: ClassVar[str] = MERGE

    def __post_init__(self) -> None:
        self.check_rank("k")

    def apply(self, item: Stack) -> Merged:
        """The merged matrix; info["k"] is the rank each task was cut to."""
        stack = item.weighted()
        k = whole(stack.least / stack.T) if self.k is None else self.k
        P, S, Qh = leading_triplets(stack.M, k, stack.noise)
        M = orthogonalized(side_by_side(P), beside(S), side_by_side(array_namespace(Qh).matrix_transpose(Qh)), stack.rtol)
        return stack.merged(M, k=k)


def leading_triplets(M: Array, k: Any, noise: Array) -> tuple[Array, Array, Array]:
    """P (…, p, s), S (…, s), Qh (…, s, q): the first k triplets of M with σ above `noise` (…), the others zero.

    k is a Python int, which bounds s, or an array that broadcasts against (…); s ≥ 1 keeps shapes legal.
    """
    xp = array_namespace(M)
    P, S, Qh = linalg.svd(M)
    s = S.shape[-1] if hasattr(k, "shape") else max(1, min(k, S.shape[-1]))
    P, S, Qh = P[..., :s], S[..., :s], Qh[..., :s, :]
    kept = (S > noise[..., None]) & linalg.leading(k, s, S)
    return linalg.masked(P, kept), xp.where(kept, S, 0.0), xp.where(kept[..., None], Qh, 0.0)


def side_by_side(P: Array) -> Array:
    """[P_1 … P_T] (…, p, T·s) from P (T, …, p, s)."""
    return array_namespace(P).concat([P[t, ...] for t in range(P.shape[0])], axis=-1)


def beside(S: Array) -> Array:
    """(…, T·s) from S (T, …, s)."""
    return array_namespace(S).concat([S[t, ...] for t in range(S.shape[0])], axis=-1)


def orthogonalized(U: Array, S: Array, V: Array, rtol: float) -> Array:
    """polar(U) · diag(S) · polar(V)ᵀ (…, p, q) from U (…, p, k), S (…, k), V (…, q, k)."""
    xp = array_namespace(U)
    return (linalg.polar(U, rtol) * S[..., None, :]) @ xp.matrix_transpose(linalg.polar(V, rtol))
