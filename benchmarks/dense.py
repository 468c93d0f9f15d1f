"""The published algorithms on dense matrices, in our own writing: what ours are compared and timed with.

On any array namespace. Updates are pairs (B (m, r_t), A (r_t, n)) in the dtype of all arithmetic, merges functions of
the stack M (T, …, p, q). As published nothing is repaired: no numerical ranks, no masks, mean singular values over all
of them, and null vectors take part (`zero=None`). With zero=1e-9, say, singular values up to that share of the largest
task's norm are none: what the definitions then have in common with ours is all that is determined.
"""

from collections.abc import Callable, Sequence
from typing import Any

from array_api_compat import array_namespace

Array = Any
Updates = Sequence[tuple[Array, Array]]
Merge = Callable[[Array], Array]
Factors = tuple[Array, Array]

KNOTS_CUT = 1e-5  # absolute, as in the original
POLAR_CUT = 1e-5  # with `zero`: of polar factors, whose columns are known worse than singular values


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


def mean(M: Array) -> Array:
    """The mean of the tasks."""
    return ta(M) / M.shape[0]


def iso(M: Array, zero: float | None = None, size: Array = None) -> Array:
    """Iso-C: the sum, with all singular values their mean. size: of the tasks, where M (1, …) is merged already."""
    xp = array_namespace(M)
    P, S, Qh = thin_svd(ta(M), zero, largest_norm(M) if size is None else size)
    return mean_of_live(xp, S, zero) * (P @ Qh)


def tsv(M: Array, k: int | None = None, zero: float | None = None) -> Array:
    """TSV-M: k leading triplets of each task, ⌊min(p, q) / T⌋ by default, both sides orthogonalized."""
    xp, T = array_namespace(M), M.shape[0]
    k = min(M.shape[-2:]) // T if k is None else k
    triplets = [thin_svd(M[t, ...], zero) for t in range(T)]
    U = polar(xp.concat([P[..., :k] for P, _, _ in triplets], axis=-1), zero)
    S = xp.concat([S[..., :k] for _, S, _ in triplets], axis=-1)
    Vh = polar(xp.concat([Qh[..., :k, :] for _, _, Qh in triplets], axis=-2), zero)
    return (U * S[..., None, :]) @ Vh


def polar(X: Array, zero: float | None = None) -> Array:
    """P Qᵀ of X = P S Qᵀ; with `zero`, over its support."""
    P, _, Qh = thin_svd(X, None if zero is None else POLAR_CUT)
    return P @ Qh


def iso_cts(M: Array, d: int, common_fraction: float = 0.8, zero: float | None = None) -> Array:
    """Iso-CTS of d directions in all: common ones of the sum, then each task's own in what they leave."""
    xp, T = array_namespace(M), M.shape[0]
    each = round((d - int(d * common_fraction)) / T)
    common = max(0, d - T * each)
    parts = [tuple(X[..., :common] for X in columns_svd(ta(M), zero, largest_norm(M)))]
    P = parts[0][0]
    for t in range(T):
        rest = M[t, ...] - P @ (xp.matrix_transpose(P) @ M[t, ...])
        parts.append(tuple(X[..., :each] for X in columns_svd(rest, zero, largest_norm(M))))
    U, S, V = (xp.concat([part[i] for part in parts], axis=-1) for i in range(3))
    return mean_of_live(xp, S, zero) * polar(U, zero) @ xp.matrix_transpose(polar(V, zero))


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


def cart(
    M: Array, fraction: float = 0.04, coefficient: float = 1.0, k: int | None = None, zero: float | None = None
) -> Array:
    """CART: the mean, and the leading k triplets of each deviation from it, ⌈fraction·min(p, q)⌉ by default."""
    k = -int(-min(M.shape[-2:]) * fraction // 1) if k is None else k
    centre = mean(M)
    parts = array_namespace(M).zeros_like(centre)
    for t in range(M.shape[0]):
        P, S, Qh = thin_svd(M[t, ...] - centre, zero, largest_norm(M))
        parts = parts + (P[..., :k] * S[..., None, :k]) @ Qh[..., :k, :]
    return centre + coefficient * parts


def thin_svd(X: Array, zero: float | None = None, size: Array = None) -> tuple[Array, Array, Array]:
    """As the library has it, wide matrices included; with `zero`, triplets up to zero · size are zeros.

    size: a norm, by default that of X.
    """
    xp = array_namespace(X)
    P, S, Qh = xp.linalg.svd(X, full_matrices=False)
    if zero is None:
        return P, S, Qh
    live = zero * (S[..., :1] if size is None else size) < S
    return xp.where(live[..., None, :], P, 0.0), xp.where(live, S, 0.0), xp.where(live[..., None], Qh, 0.0)


def columns_svd(X: Array, zero: float | None, size: Array) -> tuple[Array, Array, Array]:
    """As thin_svd, with the right singular vectors as columns."""
    P, S, Qh = thin_svd(X, zero, size)
    return P, S, array_namespace(X).matrix_transpose(Qh)


def largest_norm(M: Array) -> Array:
    """The largest norm of the tasks (…, 1)."""
    xp = array_namespace(M)
    return xp.max(xp.linalg.matrix_norm(M), axis=0)[..., None]


def mean_of_live(xp: Any, S: Array, zero: float | None) -> Array:
    """The mean (…, 1, 1) of singular values, over those that are not zero where `zero` is given."""
    if zero is None:
        return xp.mean(S, axis=-1)[..., None, None]
    count = xp.sum(xp.astype(S > 0, S.dtype), axis=-1)
    return (xp.sum(S, axis=-1) / xp.where(count > 0, count, 1.0))[..., None, None]


def kth_smallest(values: Array, k: int) -> Array:
    """The k-th smallest (from 0) along the last axis, kept; each library's own selection."""
    xp = array_namespace(values)
    if hasattr(xp, "kthvalue"):
        return xp.kthvalue(values, k + 1, dim=-1, keepdim=True).values
    return xp.partition(values, k, axis=-1)[..., k : k + 1]


MERGES: dict[str, Merge] = {"ta": ta, "iso": iso, "tsv": tsv, "ties": ties, "cart": cart}
SPACES = ("full", "knots", "core", "core, optimized")


def merged(updates: Updates, method: str, space: str) -> Array:
    """ΔW (m, n) of one of MERGES in one of SPACES, as the Core Space paper's code applies it, null vectors and all."""
    merge = MERGES[method]
    if space == "full":
        return full(updates, merge)
    if space == "knots":
        return knots(updates, merge, rebuilt_first=method == "iso")
    left, right = (paper_core if space == "core" else optimized_core)(updates, merge)
    return left @ right


def of_pipeline(pipeline: Any, M: Array, zero: float = 1e-9) -> Array:
    """The answer of a Pipeline of ta, mean, tsv, cart and iso at absolute settings: null vectors are none."""
    out = M[:1, ...]
    for stage in pipeline.stages:
        p = stage.parameters
        if stage.name in ("ta", "mean"):
            w = (1.0,) * M.shape[0] if p["weights"] is None else p["weights"]
            total = 1.0 if stage.name == "ta" else sum(w)
            out = sum(wt * M[t, ...] for t, wt in enumerate(w))[None, ...] / total
        elif stage.name == "tsv":
            out = tsv(M, p["k"], zero)[None, ...]
        elif stage.name == "cart":
            out = cart(M, coefficient=p["coefficient"], k=p["k"], zero=zero)[None, ...]
        elif stage.name == "iso":
            out = iso(out, zero, largest_norm(M))[None, ...]
        else:
            raise ValueError(stage.name)
    return out[0, ...]
