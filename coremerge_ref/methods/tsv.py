"""TSV-M: leading singular triplets of every task, side by side, made orthogonal (Gargiulo et al., 2025)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import array_namespace
from coremerge_ref.core.perturbation import Errors, norm, safely
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods._subspaces import leading_turns, orthogonalizing, spanned
from coremerge_ref.methods._triplets import beside, block_diagonal, orthogonalized, side_by_side
from coremerge_ref.methods.base import EVERY_SIZE, MERGE, ONE_SPACE, RANKS, Search, Stage, register


@register
@dataclass(frozen=True)
class Tsv(Stage):
    """polar([P_t]) · blkdiag(S_t) · polar([Q_t])ᵀ, where M_t ≈ P_t S_t Q_tᵀ are the k leading triplets of each task.

    k: an absolute rank, the same in every space; None is the relative ⌊min(rows, cols) / T⌋ of the space's live size,
    at least 1. Triplets at or below the numerical rank of M_t are never taken: a task of rank below k gives what it
    has.

    >>> updates = [(np.eye(2), np.diag([2.0, 0.0])), (np.eye(2), np.diag([0.0, 3.0]))]
    >>> (cm.merge(updates, cm.Tsv(k=1)).to_dense() + 0.0).round(6)
    array([[2., 0.],
           [0., 3.]])
    """

    k: int | None = None
    name: ClassVar[str] = "tsv"
    kind: ClassVar[str] = MERGE
    source = "Gargiulo et al., 2025"
    noted: ClassVar = {"k_raised": "there are more tasks than live directions, so that each was cut to rank 1, not 0"}
    called: ClassVar = {"original": {"tsv_m": "tsv", "tsvm": "tsv"}}
    spelled: ClassVar = {"rank": "k"}
    remedy = "choose another rank, or leave out one of two tasks that are nearly the same"
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
        info: dict[str, Any] = {"k_raised": share < 1} if self.k is None else {}
        k = arrays.clipped(share, 1.0) if self.k is None else arrays.sizes(self.k, item.rows)
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

    def carry(self, errors: Errors, before: Any, after: Any) -> Errors:
        """√Σδ_t² and, on both sides, σ_1 c √Σ(δ_t τ_t)²: subspaces turn by τ_t, then polar factors amplify.

        The result is its own SVD if no polar factor lost a direction. Its singular vectors then turn without the σ_1,
        but block t pairs P_t with Q_t only up to δ_t / σ_k.
        """
        lost = errors.lost
        if self.k is None:
            errors.uses_size(self)
        stack = before.weighted()
        delta, total = errors.weighted(before)
        parts: Any = stack.leading(np.asarray(float(after.info["k"])))
        turned, kept = [], []
        for t, M in enumerate(stack.M):
            level, own = float(stack.rounding_level[t]), float(delta[t])
            S, columns = leading_turns(self, errors, M, int(after.info["k"]), level, own, t)
            kept.append(S)
            turned.append(np.zeros(parts.S.shape[-1]))
            turned[-1][: len(columns)] = safely(own, columns)
        bounds = [
            orthogonalizing(
                self, errors, np.asarray(side_by_side(X)), parts.S.ravel(), turned, float(np.max(parts.error)), side,
                spanned(errors, stack.M, delta, errors.rank, side),
            )
            for X, side in ((parts.P, "left"), (parts.Q, "right"))
        ]  # fmt: skip
        bound, most, rank = total + sum(b for b, _ in bounds), 2 * norm(stack.M) + total, min(r for _, r in bounds)
        lost = errors.lost > lost
        errors.merged(most if lost else min(bound, most), None, after.M, rank)
        if stack.T > 1 and not lost and rank == sum(map(len, kept)):
            least = np.asarray([S[-1] if len(S) else np.inf for S in kept])
            turn = norm(delta / least) + sum(b for b, _ in bounds) / (float(parts.S.max()) or 1.0)
            errors.polar = turn, total
        return errors
