"""TSV-M: leading singular triplets of every task, side by side, made orthogonal (Gargiulo et al., 2025)."""

from dataclasses import dataclass
from typing import Any, ClassVar

from array_api_compat import array_namespace

from coremerge_ref.core import linalg
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.stack import Merged, Stack, whole
from coremerge_ref.methods.base import EVERY_SIZE, MERGE, ONE_SPACE, RANKS, Search, Stage, register


@register
@dataclass(frozen=True)
class Tsv(Stage):
    """polar([P_t]) · blkdiag(S_t) · polar([Q_t])ᵀ, where M_t ≈ P_t S_t Q_tᵀ are the k leading triplets of each task.

    k: an absolute rank, the same in every space; None is the relative ⌊min(rows, cols) / T⌋ of the space's live size.
    Triplets at or below the numerical rank of M_t are never taken: a task of rank below k gives what it has.
    """

    k: int | None = None
    name: ClassVar[str] = "tsv"
    kind: ClassVar[str] = MERGE
    source = "Gargiulo et al., 2025"
    searches = (
        Search("tsv", {"tsv": {"k": (None,)}}, spaces=EVERY_SIZE),
        Search("tsv", {"tsv": {"k": RANKS}}, spaces=ONE_SPACE, ranks=("k",)),
        Search("tsv+iso", {"tsv": {"k": (None,)}}, {"iso": {"support": ("rank", "size")}}, EVERY_SIZE),
        Search("tsv+iso", {"tsv": {"k": RANKS}}, spaces=ONE_SPACE, ranks=("k",)),
    )

    def __post_init__(self) -> None:
        self.check_rank("k")

    def apply(self, item: Stack) -> Merged:
        """The merged matrix; info["k"] is the rank each task was cut to."""
        stack = item.weighted()
        xp = array_namespace(stack.M)
        k = whole(stack.least / stack.T) if self.k is None else self.k
        P, S, Qh, error = leading_triplets(*stack.triplets(), k, stack.noise)
        U, V = side_by_side(P), side_by_side(xp.matrix_transpose(Qh))
        return stack.merged(orthogonalized(U, beside(S), V, xp.max(error, axis=0), stack.rtol), k=k)


def leading_triplets(P: Array, S: Array, Qh: Array, k: Any, noise: Array) -> tuple[Array, Array, Array, Array]:
    """P (…, p, s), S (…, s), Qh (…, s, q): the first k triplets of an SVD with σ above `noise` (…), the others zero.

    k is a Python int, which bounds s, or an array that broadcasts against (…); s ≥ 1 keeps shapes legal. Also returned:
    error (…), how far rounding may turn the span of what was kept, noise / (last kept − first dropped σ).
    """
    xp = array_namespace(S)
    s = S.shape[-1] if hasattr(k, "shape") else max(1, min(k, S.shape[-1]))
    live = S > noise[..., None]
    kept = live & linalg.leading(k, S.shape[-1], S)
    last = xp.min(xp.where(kept, S, float("inf")), axis=-1)
    dropped = xp.max(xp.where(live & ~kept, S, 0.0), axis=-1)
    error = xp.where(last > dropped, noise / xp.where(last > dropped, last - dropped, 1.0), 1.0)
    kept, P, S, Qh = kept[..., :s], P[..., :s], S[..., :s], Qh[..., :s, :]
    return linalg.masked(P, kept), xp.where(kept, S, 0.0), xp.where(kept[..., None], Qh, 0.0), error


def side_by_side(P: Array) -> Array:
    """[P_1 … P_T] (…, p, T·s) from P (T, …, p, s)."""
    return array_namespace(P).concat([P[t, ...] for t in range(P.shape[0])], axis=-1)


def beside(S: Array) -> Array:
    """(…, T·s) from S (T, …, s)."""
    return array_namespace(S).concat([S[t, ...] for t in range(S.shape[0])], axis=-1)


def orthogonalized(U: Array, S: Array, V: Array, error: Array, rtol: float) -> Array:
    """polar(U) · diag(S) · polar(V)ᵀ (…, p, q) from U (…, p, k), S (…, k), V (…, q, k).

    The columns of U and V are known up to `error` (…) only, so a singular value of U or V below it is none: two tasks
    that share a direction leave no garbage one behind.
    """
    xp = array_namespace(U)
    cut = linalg.at_most_half_precision(error, rtol)
    return (linalg.polar(U, cut) * S[..., None, :]) @ xp.matrix_transpose(linalg.polar(V, cut))
