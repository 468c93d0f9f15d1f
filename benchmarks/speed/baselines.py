"""The published algorithms, in our own writing, as straight as they are published: what ours are compared with.

On any array namespace; timings take torch. Updates are pairs (B (m, r_t), A (r_t, n)) in the dtype of all arithmetic,
merges functions of the stack M (T, p, q). Nothing here is repaired: no numerical ranks, no masks, mean singular values
over all of them, as the authors' code has it. Batches of layers go through where the library's decompositions batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

from array_api_compat import array_namespace

Array = Any
Updates = Sequence[tuple[Array, Array]]
Merge = Callable[[Array], Array]
Factors = tuple[Array, Array]

KNOTS_CUT = 1e-5  # absolute, as in the original


def paper_core(updates: Updates, merge: Merge) -> Factors:
    """Section 4.1: per-task SVDs, reference bases, alignment matrices, aligned cores; (U M, Vᵀ)."""
    xp = array_namespace(updates[0][0])
    U, Vh = reference(updates)
    Ut, V = xp.matrix_transpose(U), xp.matrix_transpose(Vh)
    cores = []
    for B, A in updates:
        P, S, Qh = thin_svd(B)  # (m, r), (r), (r, r)
        X, Z, Yh = thin_svd(A)  # (r, r), (r), (r, n)
        core = (S[..., :, None] * Qh) @ (X * Z[..., None, :])
        cores.append((Ut @ P) @ core @ (Yh @ V))
    return U @ merge(xp.stack(cores)), Vh


def optimized_core(updates: Updates, merge: Merge) -> Factors:
    """The paper's optimized form: cores as (UᵀB_t)(A_t V), without per-task SVDs; (U M, Vᵀ)."""
    xp = array_namespace(updates[0][0])
    U, Vh = reference(updates)
    Ut, V = xp.matrix_transpose(U), xp.matrix_transpose(Vh)
    return U @ merge(xp.stack([(Ut @ B) @ (A @ V) for B, A in updates])), Vh


def reference(updates: Updates) -> Factors:
    """U (m, R) and Vᵀ (R, n) of the stacks [B_1 … B_T] and [A_1; …; A_T]."""
    xp = array_namespace(updates[0][0])
    U, _, _ = thin_svd(xp.concat([B for B, _ in updates], axis=-1))
    _, _, Vh = thin_svd(xp.concat([A for _, A in updates], axis=-2))
    return U, Vh


def full(updates: Updates, merge: Merge) -> Array:
    """The merge on the m × n matrices themselves."""
    return merge(array_namespace(updates[0][0]).stack([B @ A for B, A in updates]))


def knots(updates: Updates, merge: Merge, rebuilt_first: bool = False) -> Array:
    """KnOTS: the SVD of [ΔW_1 … ΔW_T] as one m × Tn matrix, the merge on diag(S) V_tᵀ, rebuilt with U.

    rebuilt_first: the tasks' sum is rebuilt before `merge` sees it, as (1, m, n); so does the paper's code with Iso-C.
    """
    xp = array_namespace(updates[0][0])
    n = updates[0][1].shape[-1]
    U, S, Vh = thin_svd(xp.concat([B @ A for B, A in updates], axis=-1))
    rank = max(1, int(xp.max(xp.sum(xp.astype(S > KNOTS_CUT, S.dtype), axis=-1))))
    W = S[..., :rank, None] * Vh[..., :rank, :]
    blocks = xp.stack([W[..., t * n : (t + 1) * n] for t in range(len(updates))])
    if rebuilt_first:
        return merge((U[..., :rank] @ xp.sum(blocks, axis=0))[None, ...])
    return U[..., :rank] @ merge(blocks)


def ta(M: Array) -> Array:
    """Task arithmetic."""
    return array_namespace(M).sum(M, axis=0)


def iso(M: Array) -> Array:
    """Iso-C: the sum, with all singular values their mean."""
    P, S, Qh = thin_svd(ta(M))
    return array_namespace(M).mean(S, axis=-1)[..., None, None] * (P @ Qh)


def tsv(M: Array) -> Array:
    """TSV-M: ⌊min(p, q) / T⌋ leading triplets of each task, both sides orthogonalized."""
    xp, T = array_namespace(M), M.shape[0]
    k = min(M.shape[-2:]) // T
    triplets = [thin_svd(M[t, ...]) for t in range(T)]
    U = polar(xp.concat([P[..., :k] for P, _, _ in triplets], axis=-1))
    S = xp.concat([S[..., :k] for _, S, _ in triplets], axis=-1)
    Vh = polar(xp.concat([Qh[..., :k, :] for _, _, Qh in triplets], axis=-2))
    return (U * S[..., None, :]) @ Vh


def polar(X: Array) -> Array:
    """P Qᵀ of X = P S Qᵀ."""
    P, _, Qh = thin_svd(X)
    return P @ Qh


def ties(M: Array, density: float = 0.2) -> Array:
    """TIES: trim below the (d − int(d·density))-th smallest magnitude, elect by sums, mean of what agrees."""
    xp = array_namespace(M)
    flat = xp.reshape(M, (*M.shape[:-2], -1))
    d = flat.shape[-1]
    size = xp.abs(flat)
    tau = xp.where(size >= kth_smallest(size, d - int(d * density) - 1), flat, 0.0)
    sign = xp.sign(xp.sum(tau, axis=0))
    majority = xp.where(xp.sum(sign, axis=-1, keepdims=True) > 0, 1.0, -1.0)
    sign = xp.where(sign == 0, majority, sign)
    agrees = (tau * sign) > 0
    count = xp.sum(xp.astype(agrees, M.dtype), axis=0)
    merged = xp.sum(xp.where(agrees, tau, 0.0), axis=0) / xp.where(count > 0, count, 1.0)
    return xp.reshape(merged, M.shape[1:])


def cart(M: Array, fraction: float = 0.04, coefficient: float = 1.0) -> Array:
    """CART: the mean, and the leading ⌈fraction·min(p, q)⌉ triplets of each deviation from it."""
    xp = array_namespace(M)
    k = -int(-min(M.shape[-2:]) * fraction // 1)
    mean = xp.mean(M, axis=0)
    parts = xp.zeros_like(mean)
    for t in range(M.shape[0]):
        P, S, Qh = thin_svd(M[t, ...] - mean)
        parts = parts + (P[..., :k] * S[..., None, :k]) @ Qh[..., :k, :]
    return mean + coefficient * parts


def thin_svd(X: Array) -> tuple[Array, Array, Array]:
    """As the library has it, wide matrices included."""
    P, S, Qh = array_namespace(X).linalg.svd(X, full_matrices=False)
    return P, S, Qh


def kth_smallest(values: Array, k: int) -> Array:
    """The k-th smallest (from 0) along the last axis, kept; each library's own selection."""
    xp = array_namespace(values)
    if hasattr(xp, "kthvalue"):
        return xp.kthvalue(values, k + 1, dim=-1, keepdim=True).values
    return xp.partition(values, k, axis=-1)[..., k : k + 1]


MERGES: dict[str, Merge] = {"ta": ta, "iso": iso, "tsv": tsv, "ties": ties, "cart": cart}


def knots_for(method: str) -> Callable[[Updates], Array]:
    """KnOTS with the merge of that name, as the Core Space paper's code applies it."""
    return lambda updates: knots(updates, MERGES[method], rebuilt_first=method == "iso")
