"""TSV-M: leading singular triplets of every task, side by side, made orthogonal (Gargiulo et al., 2025)."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from coremerge_ref.core import arrays
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods._triplets import beside, block_diagonal, orthogonalized, side_by_side
from coremerge_ref.methods.base import EVERY_SIZE, MERGE, ONE_SPACE, RANKS, Search, Stage, register


@register
@dataclass(frozen=True)
class Tsv(Stage):
    """polar([P_t]) · blkdiag(S_t) · polar([Q_t])ᵀ, where M_t ≈ P_t S_t Q_tᵀ are the k leading triplets of each task.

    k: an absolute rank, the same in every space; None is the relative ⌊min(rows, cols) / T⌋ of the space's live size,
    at least 1. Triplets at or below the numerical rank of M_t are never taken: a task of rank below k gives what it
    has.
    """

    k: int | None = None
    name: ClassVar[str] = "tsv"
    kind: ClassVar[str] = MERGE
    source = "Gargiulo et al., 2025"
    called: ClassVar = {"original": {"tsv_m": "tsv", "tsvm": "tsv"}}
    spelled: ClassVar = {"rank": "k"}
    searches = (
        Search("tsv", {"tsv": {"k": (None,)}}, spaces=EVERY_SIZE),
        Search("tsv", {"tsv": {"k": RANKS}}, spaces=ONE_SPACE, ranks=("k",)),
        Search("tsv+iso", {"tsv": {"k": (None,)}}, {"iso": {"support": ("rank", "size")}}, EVERY_SIZE),
        Search("tsv+iso", {"tsv": {"k": RANKS}}, spaces=ONE_SPACE, ranks=("k",)),
    )

    def __post_init__(self) -> None:
        self.check_rank("k")

    def apply(self, item: Stack) -> Merged:
        """The merged matrix; info["k"] is the rank each task was cut to, "k_raised" where ⌊…⌋ was 0 and 1 was taken."""
        xp, w = array_namespace(item.M), item.weigh()
        share = arrays.rounded(item.short_side / item.T, "floor")
        info = {"k_raised": share < 1} if self.k is None else {}
        k = xp.clip(share, 1.0) if self.k is None else arrays.sizes(self.k, item.rows)
        parts = item.leading(k)
        # w_t M_t has the triplets of M_t with w_t S_t, none where w_t = 0; P_t, Q_t may be any orthonormal bases of
        # their spans if the middle block is P_tᵀ M_t Q_t
        middle = (
            beside(w[..., 0] * parts.S)
            if parts.core is None
            else block_diagonal([w[t, ...] * parts.core[t, ...] for t in range(item.T)])
        )
        U, V = (side_by_side(xp.where(w != 0, X, 0.0)) for X in (parts.P, parts.Q))
        error = xp.max(xp.where(w[..., 0, 0] != 0, parts.error, 0.0), axis=0)
        return item.merged(orthogonalized(U, middle, V, error), k=k, **info)
