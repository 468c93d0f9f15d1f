"""How well the subspaces of two updates agree."""

from typing import Any

from array_api_compat import array_namespace

from coremerge_ref.analysis.diagnostics.triplets import checked, kept, length, triplets
from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array
from coremerge_ref.errors import ParameterError


@arrays.stays_beside
def alignment(update: Any, reference: Any, epsilon: float = 0.05, k: int | None = None) -> Array:
    """How much of an update lies in a reference's leading directions (…), 0 to 1: the subspace alignment ratio.

    ‖Π_k ΔW‖_F / ‖ΔW‖_F, where Π_k projects on the reference's k leading left singular vectors. k: the smallest for
    which ‖R − Π_k R‖_F ≤ epsilon · ‖R‖_F, R the reference, unless given. With a merged update as reference this is the
    SAR of Marczak et al., "No Task Left Behind" (2025, arXiv 2502.04959); with another task, its pairwise form. It
    weighs directions by what ΔW has there; overlap does not. 1 where ΔW = 0, of which nothing is outside; 0 where only
    the reference is 0.
    """
    one, other = checked([update, reference])
    if not 0 < epsilon < 1:
        raise ParameterError(f"epsilon: expected a number between 0 and 1, got {epsilon!r}")
    P, S, _ = triplets(one)
    Pr, Sr, _ = triplets(other)
    xp = array_namespace(P, Pr)
    frame = linalg.masked(Pr, kept(Sr, epsilon, k))
    inside = xp.matrix_transpose(frame) @ (P * S[..., None, :])  # Qᵀ changes no norm
    size = length(S)
    return xp.where(size > 0, linalg.norm(inside) / xp.where(size > 0, size, 1.0), 1.0)


@arrays.stays_beside
def overlap(update: Any, other: Any, k: int | None = None, side: str = "left") -> Array:
    """How far the leading directions of two updates are the same (…), 0 to 1: ‖U_iᵀ U_j‖_F² / min(k_i, k_j).

    U_i, U_j: the k leading singular vectors of each, by default all. The subspaces alone, whatever the singular values:
    Hu et al., "LoRA" (2021, arXiv 2106.09685), eq. 4. side "right" takes the right singular vectors. 1 where one of the
    updates is 0.
    """
    if side not in ("left", "right"):
        raise ParameterError(f"side: expected left or right, got {side!r}")
    frames, ranks = [], []
    for one in checked([update, other]):
        P, S, Qh = triplets(one)
        xp = array_namespace(P)
        live = kept(S, 0.0, k)
        frames.append(linalg.masked(P if side == "left" else xp.matrix_transpose(Qh), live))
        ranks.append(xp.sum(xp.astype(live, S.dtype), axis=-1))
    least = xp.minimum(*ranks)
    shared = linalg.norm(xp.matrix_transpose(frames[0]) @ frames[1]) ** 2
    return xp.where(least > 0, shared / xp.where(least > 0, least, 1.0), 1.0)
