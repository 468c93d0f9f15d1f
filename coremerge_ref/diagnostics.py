"""What the literature looks at to explain why merges do well: alignment, ranks, truncation, interference.

All but sign_conflict are invariant under orthonormal changes of frame (isometry theorem): a core matrix gives what ΔW
gives. Updates are LowRankUpdate, DenseUpdate or pairs (B, A), leading dimensions a batch; no m × n matrix is formed of
factors. Factors count as exact numbers, and singular values that are rounding of ‖B‖ ‖A‖ as zero. Arithmetic runs in
float64 where that exists; results stay in the library and on the device.

What looks at single singular vectors (a number k of them, interference) is defined where their singular values are
distinct: an isotropized update has none to tell apart.

All raise what as_updates raises (ShapeError, NamespaceError, NonFiniteError, …), and ParameterError for settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from coremerge_ref import linalg, namespaces
from coremerge_ref.errors import ParameterError
from coremerge_ref.merging import Options, prepare
from coremerge_ref.namespaces import Array
from coremerge_ref.pipeline import as_pipeline
from coremerge_ref.spaces import Space, as_space
from coremerge_ref.stages.ties import denoised
from coremerge_ref.updates import DenseUpdate, as_updates

Triplets = tuple[Array, Array, Array]


def alignment(update: Any, reference: Any, epsilon: float = 0.05, k: int | None = None) -> Array:
    """Subspace alignment ratio ‖Π_k ΔW‖_F / ‖ΔW‖_F (…), 0 to 1; Π_k projects on the reference's k leading left vectors.

    k: the smallest for which ‖R − Π_k R‖_F ≤ epsilon · ‖R‖_F, R the reference, unless given. With a merged update as
    reference this is the SAR of Marczak et al., "No Task Left Behind" (2025, arXiv 2502.04959); with another task, its
    pairwise form. It weighs directions by what ΔW has there; overlap does not. 1 where ΔW = 0, of which nothing is
    outside; 0 where only the reference is 0.
    """
    one, other = _checked([update, reference])
    if not 0 < epsilon < 1:
        raise ParameterError(f"epsilon: expected a number between 0 and 1, got {epsilon!r}")
    P, S, _ = _triplets(one)
    Pr, Sr, _ = _triplets(other)
    xp = array_namespace(P, Pr)
    frame = linalg.masked(Pr, _kept(Sr, epsilon, k))
    inside = xp.matrix_transpose(frame) @ (P * S[..., None, :])  # Qᵀ changes no norm
    size = _length(S)
    return xp.where(size > 0, linalg.norm(inside) / xp.where(size > 0, size, 1.0), 1.0)


def overlap(update: Any, other: Any, k: int | None = None, side: str = "left") -> Array:
    """‖U_iᵀ U_j‖_F² / min(k_i, k_j) (…), 0 to 1, of the k leading singular vectors of two updates, by default all.

    The subspaces alone, whatever the singular values: Hu et al., "LoRA" (2021, arXiv 2106.09685), eq. 4. side "right"
    takes the right singular vectors. 1 where one of the updates is 0.
    """
    if side not in ("left", "right"):
        raise ParameterError(f"side: expected left or right, got {side!r}")
    frames, ranks = [], []
    for one in _checked([update, other]):
        P, S, Qh = _triplets(one)
        xp = array_namespace(P)
        kept = _kept(S, 0.0, k)
        frames.append(linalg.masked(P if side == "left" else xp.matrix_transpose(Qh), kept))
        ranks.append(xp.sum(xp.astype(kept, S.dtype), axis=-1))
    least = xp.minimum(*ranks)
    shared = linalg.norm(xp.matrix_transpose(frames[0]) @ frames[1]) ** 2
    return xp.where(least > 0, shared / xp.where(least > 0, least, 1.0), 1.0)


def numerical_rank(update: Any, rtol: float | None = None) -> Array:
    """How many singular values of ΔW are not rounding (…), as floating numbers; with rtol, those above rtol · σ_1.

    The update's numbers are taken as exact. A merged update that was rounded to float32 or less has directions of that
    rounding (about 1e-7 σ_1), and one whose tasks cancel has hardly anything else: merge with out_dtype="float64", or
    give an rtol for the former; for the latter compare its norm with those of the tasks.
    """
    if rtol is not None and not 0 <= rtol < 1:
        raise ParameterError(f"rtol: expected a number of at least 0 and below 1, or None, got {rtol!r}")
    S = _triplets(*_checked([update]))[1]
    xp = array_namespace(S)
    return xp.sum(xp.astype(S > (rtol or 0.0) * S[..., :1], S.dtype), axis=-1)


def stable_rank(update: Any) -> Array:
    """‖ΔW‖_F² / ‖ΔW‖_2² (…): at most the rank, equal to it where the spectrum is flat; 0 where ΔW = 0."""
    S = _triplets(*_checked([update]))[1]
    xp = array_namespace(S)
    return (_length(S) / xp.where(S[..., 0] > 0, S[..., 0], 1.0)) ** 2


@dataclass(frozen=True, eq=False)
class Truncation:
    """What is lost by keeping k components, for k = 0 … s.

    error (…, s + 1): ‖ΔW − ΔW_k‖_F / ‖ΔW‖_F of the best rank-k approximation; 1 − error² is the share of the energy
    that is kept. kept: these k. fraction: k / size, which makes one and the same ΔW look different in spaces of
    different size.
    """

    kept: tuple[int, ...]
    fraction: tuple[float, ...]
    error: Array


def truncation(update: Any, size: int | None = None) -> Truncation:
    """The truncation ablation of ΔW or of a core matrix (Eckart-Young), against components kept and against a fraction.

    size: what fractions are of, min(m, n) unless given. Errors are 0 throughout where ΔW = 0.
    """
    (one,) = _checked([update])
    S = _triplets(one)[1]
    xp = array_namespace(S)
    least = min(one.shape[-2:]) if size is None else size
    if not isinstance(least, int) or least < 1:
        raise ParameterError(f"size: expected an integer of at least 1, got {size!r}")
    kept = tuple(range(S.shape[-1] + 1))
    lost = xp.stack([_length(S[..., k:]) for k in kept], axis=-1)
    return Truncation(kept, tuple(k / least for k in kept), lost / xp.where(lost[..., :1] > 0, lost[..., :1], 1.0))


def interference(updates: Sequence[Any], k: int | None = None) -> Array:
    """Singular task interference Σ_ij |((ÛᵀÛ − I) Σ̂ (V̂ᵀV̂ − I))_ij| (…), 0 where tasks share no direction.

    Û, Σ̂, V̂: the k leading triplets of every task side by side, by default all. Gargiulo et al., "Task Singular Vectors"
    (2025, arXiv 2412.00081), whose ‖·‖_1 is read as the sum over entries. None is a task that has no such module.
    """
    P, S, Q = [], [], []
    for one in _checked(updates, absent=True):
        P_t, S_t, Qh_t = _triplets(one)
        xp = array_namespace(P_t)
        kept = _kept(S_t, 0.0, k)
        P.append(linalg.masked(P_t, kept))
        S.append(xp.where(kept, S_t, 0.0))
        Q.append(linalg.masked(xp.matrix_transpose(Qh_t), kept))
    U, V, sigma = xp.concat(P, axis=-1), xp.concat(Q, axis=-1), xp.concat(S, axis=-1)
    eye = namespaces.identity(U, U.shape[-1])
    left, right = (xp.matrix_transpose(X) @ X - eye for X in (U, V))
    # sigma is 0 at masked columns, which are no directions: their −1 on the diagonal counts for nothing
    return xp.sum(xp.abs((left * sigma[..., None, :]) @ right), axis=(-2, -1))


def sign_conflict(updates: Sequence[Any], space: str | Space = "core") -> Array:
    """Share (…) of the entries of the M_t in `space` where two tasks have opposite signs, of those where two are not 0.

    What TIES resolves (Yadav et al., 2023, section 3), untrimmed. Entries that are rounding of what they were computed
    from count as zero, as in Ties. Depends on the basis; in full space it forms the T matrices. None is a task that has
    no such module.
    """
    given = _checked(updates, absent=True)
    dtype = namespaces.counting_dtype(namespaces.namespace_of(given[0].B), given[0].B)
    options = Options(compute_dtype=namespaces.dtype_name(dtype))
    M = denoised(prepare(given, as_pipeline("ties"), as_space(space), options).stack).M  # (T, …, p, q)
    xp = array_namespace(M)
    positive, negative = (xp.sum(xp.astype(X, M.dtype), axis=0) for X in (M > 0, M < 0))
    both = xp.sum(xp.astype((positive > 0) & (negative > 0), M.dtype), axis=(-2, -1))
    several = xp.sum(xp.astype(positive + negative > 1, M.dtype), axis=(-2, -1))
    return both / xp.where(several > 0, several, 1.0)


def _checked(updates: Sequence[Any], absent: bool = False) -> list[Any]:
    """As as_updates, those that are there; a DenseUpdate passes as the product of its matrix with the identity."""
    made = [
        (u.matrix, namespaces.identity(u.matrix, u.shape[-1])) if isinstance(u, DenseUpdate) else u for u in updates
    ]
    present = [u for u in as_updates(made) if u is not None]
    if len(present) != len(made) and not absent:
        raise ParameterError("expected an update, got None; leave out the tasks that have no such module")
    return present


def _triplets(update: Any) -> Triplets:
    """P (…, m, s), S (…, s), Qh (…, s, n) of ΔW, singular values that are rounding set to zero."""
    xp = namespaces.namespace_of(update.B, update.A)
    B, A = update.folded(namespaces.counting_dtype(xp, update.B))
    if B.shape[-1] == 0:  # one triplet of value zero keeps every later shape legal
        B, A = xp.sum(B, axis=-1, keepdims=True), xp.sum(A, axis=-2, keepdims=True)
    with namespaces.overflow_checked():
        size = linalg.norm(B) * linalg.norm(A)
    namespaces.check_finite(size, "product B A, whose range it leaves; scale the factors down")
    P, S, Qh = linalg.product_svd(B, A)
    noise = linalg.tolerance((*update.shape[-2:], update.rank), B.dtype) * size
    return P, xp.where(S > noise[..., None], S, 0.0), Qh


def _length(S: Array) -> Array:
    """‖S‖_2 (…) of S (…, s), 0 for an empty S."""
    return linalg.norm(S[..., None, :])


def _kept(S: Array, epsilon: float, k: int | None) -> Array:
    """Boolean (…, s): live triplets among the first k, or those needed to leave out at most epsilon of the norm."""
    if k is not None and (not isinstance(k, int) or k < 1):
        raise ParameterError(f"k: expected an integer of at least 1, or None, got {k!r}")
    live = S > 0
    if k is not None:
        return live & linalg.leading(k, S.shape[-1], S)
    xp = array_namespace(S)
    lost = xp.stack([_length(S[..., i:]) for i in range(S.shape[-1])], axis=-1)  # without triplet i and the later ones
    return live & (lost > epsilon * lost[..., :1])
