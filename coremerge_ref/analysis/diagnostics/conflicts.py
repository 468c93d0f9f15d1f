"""How tasks get in each other's way: shared singular directions, opposite signs."""

from collections.abc import Sequence
from typing import Any

from array_api_compat import array_namespace

from coremerge_ref.analysis.diagnostics.triplets import checked, kept, triplets
from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.merging import Prepared
from coremerge_ref.core.pipeline import as_pipeline
from coremerge_ref.core.spaces import Space, as_space
from coremerge_ref.methods._entries import denoised


@arrays.stays_beside
def interference(updates: Sequence[Any], k: int | None = None) -> Array:
    """How much tasks interfere (…), 0 where they share no direction: singular task interference.

    Σ_ij |((ÛᵀÛ − I) Σ̂ (V̂ᵀV̂ − I))_ij|, Û, Σ̂ and V̂ being the k leading triplets of every task side by side, by default
    all. Gargiulo et al., "Task Singular Vectors" (2025, arXiv 2412.00081), whose ‖·‖_1 is read as the sum over entries.
    None is a task that has no such module.
    """
    P, S, Q = [], [], []
    for one in checked(updates, absent=True):
        P_t, S_t, Qh_t = triplets(one)
        xp = array_namespace(P_t)
        live = kept(S_t, 0.0, k)
        P.append(linalg.masked(P_t, live))
        S.append(xp.where(live, S_t, 0.0))
        Q.append(linalg.masked(xp.matrix_transpose(Qh_t), live))
    U, V, sigma = xp.concat(P, axis=-1), xp.concat(Q, axis=-1), xp.concat(S, axis=-1)
    eye = arrays.identity(U, U.shape[-1])
    left, right = (xp.matrix_transpose(X) @ X - eye for X in (U, V))
    # sigma is 0 at masked columns, which are no directions: their −1 on the diagonal counts for nothing
    return xp.sum(xp.abs((left * sigma[..., None, :]) @ right), axis=(-2, -1))


@arrays.stays_beside
def sign_conflict(updates: Sequence[Any], space: str | Space = "core") -> Array:
    """How often two tasks disagree about a sign (…): the share of the entries of the M_t in `space` where they do.

    Of the entries where at least two tasks are not 0: what TIES resolves (Yadav et al., 2023, section 3), untrimmed.
    Entries that are rounding of what they were computed from count as zero, as in Ties, and those up to √eps ‖M_t‖_F:
    where tasks share no direction entries are rounding, the larger the closer singular values of the stacks are, with
    signs by chance. Depends on the basis; in full space it forms the T matrices. None is a task without such a module.
    """
    given = checked(updates, absent=True)
    dtype = arrays.counting_dtype(arrays.namespace_of(given[0].B), given[0].B)
    _, stack = Prepared(given, as_space(space), arrays.dtype_name(dtype)).encoded(as_pipeline("ties"))
    xp = array_namespace(stack.M)
    least = xp.maximum(stack.rounding_level, arrays.eps(stack.M.dtype) ** 0.5 * linalg.norm(stack.M))  # (T, …)
    M = denoised(stack.with_entries(stack.M, least)).M  # (T, …, p, q)
    positive, negative = (xp.sum(xp.astype(X, M.dtype), axis=0) for X in (M > 0, M < 0))
    both = xp.sum(xp.astype((positive > 0) & (negative > 0), M.dtype), axis=(-2, -1))
    several = xp.sum(xp.astype(positive + negative > 1, M.dtype), axis=(-2, -1))
    return both / xp.where(several > 0, several, 1.0)
