"""Reference bases: the orthonormal frames that hold every task's update, from the factors alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from array_api_compat import array_namespace

from coremerge_ref import linalg, namespaces, orthonormal
from coremerge_ref.frames import Frames
from coremerge_ref.namespaces import Array

Factors = Sequence[tuple[Array, Array]]


@dataclass(frozen=True)
class How:
    """How frames are computed: rank "numerical" or "full", driver "auto", "cholesky", "qr" or "svd".

    any_frame: the caller can do with any orthonormal frame of the span (orthogonally equivariant methods), so that the
    one that comes first is taken and no singular vectors are computed.
    """

    rank: str = linalg.NUMERICAL
    driver: str = "auto"
    any_frame: bool = False


@dataclass(frozen=True, eq=False)
class Side:
    """A frame U (…, m, p) of a stack [X_1 … X_T], its live size (…), singular values S (…, p), and each Uᵀ X_t."""

    U: Array
    size: Array
    S: Array
    coordinates: list[Array]


def joint_frame(blocks: Sequence[Array], norms: Sequence[Array], how: How) -> Side:
    """Left singular vectors of [X_1 … X_T], p = min(m, Σ r_t) of them, for blocks X_t (…, m, r_t).

    How many directions are live is judged on the balanced stack, each block divided by norms[t] (…): c·B_t with A_t / c
    is the same model, so no task may lose directions for being small in one factor. Which directions they are is the
    raw stack's affair, as in the paper's Def. 2. With any_frame S belongs to the balanced stack.
    """
    xp = array_namespace(*blocks)
    ranks = [block.shape[-1] for block in blocks]
    if sum(ranks) == 0:  # one masked direction keeps every later shape legal
        blocks, norms = [xp.sum(blocks[0], axis=-1, keepdims=True)], norms[:1]
    X = xp.concat([*blocks], axis=-1)
    # one weight a column, (…, R); a block of norm zero is zero and keeps weight 1
    units = [xp.where(c > 0, c, 1.0)[..., None] for c in norms]
    weight = xp.concat([c * xp.ones_like(X_t[..., 0, :]) for c, X_t in zip(units, blocks, strict=True)], axis=-1)
    driver = how.driver if how.rank == linalg.NUMERICAL or how.driver != "auto" else "qr"
    Q, C, independent = orthonormal.factored(X / weight[..., None, :], driver)  # (…, m, p), (…, p, R)
    if independent:  # nothing to mask
        W, live, S = None, xp.ones_like(C[..., 0]) > 0, C[..., 0]
    else:
        W, S, _ = linalg.svd(C)
        rtol = linalg.tolerance((X.shape[-2], X.shape[-1]), X.dtype, how.rank)
        live = S > rtol * S[..., :1]  # (…, p)
        W = linalg.masked(W, live)
        C = xp.matrix_transpose(W) @ C
    C = C * weight[..., None, :]  # the raw stack's coordinates
    if not how.any_frame:
        P, S, _ = linalg.svd(C)
        P = linalg.masked(P, linalg.leading(_size(live), live.shape[-1], X))
        W, C = P if W is None else W @ P, xp.matrix_transpose(P) @ C
    starts = [sum(ranks[:t]) for t in range(len(ranks))]
    return Side(
        Q if W is None else Q @ W, _size(live), S, [C[..., i : i + r] for i, r in zip(starts, ranks, strict=True)]
    )


def _size(live: Array) -> Array:
    """How many directions are live, a floating number (…)."""
    xp = array_namespace(live)
    return xp.sum(xp.astype(live, namespaces.counting_dtype(xp, live)), axis=-1)


def paper_basis(factors: Factors, how: How) -> Frames:
    """U from the stack [B_1 … B_T], V from [A_1; …; A_T]: the reference bases of the paper (Def. 2)."""
    return _framed(*factor_sides(factors, how))


def tucker_basis(factors: Factors, how: How) -> Frames:
    """The HOSVD frames of the m × n × T tensor of updates: a matter of the ΔW_t alone, not of how each is factored."""
    return _framed(*tucker_sides(factors, how))


def _framed(left: Side, right: Side) -> Frames:
    """Both sides as frames, with what the factors are in them: (Uᵀ B_t, A_t V)."""
    transposed = array_namespace(right.U).matrix_transpose
    inside = [(L, transposed(R)) for L, R in zip(left.coordinates, right.coordinates, strict=True)]
    return Frames(left.U, right.U, left.size, right.size, inside=inside)


def factor_sides(factors: Factors, how: How) -> tuple[Side, Side]:
    """The frames of the stacks of factors, left and right."""
    xp = array_namespace(*[X for pair in factors for X in pair])
    Bs = [B for B, _ in factors]
    Ats = [xp.matrix_transpose(A) for _, A in factors]
    return joint_frame(Bs, [linalg.norm(B) for B in Bs], how), joint_frame(Ats, [linalg.norm(At) for At in Ats], how)


def tucker_sides(factors: Factors, how: How) -> tuple[Side, Side]:
    """Left singular vectors of [ΔW_1 … ΔW_T] and right ones of [ΔW_1; …; ΔW_T], found inside the core space.

    Their coordinates are those of the factors: Uᵀ B_t and Vᵀ A_tᵀ.
    """
    xp = array_namespace(*[X for pair in factors for X in pair])
    left, right = factor_sides(factors, How(how.rank, how.driver, any_frame=True))
    Ms = [L @ xp.matrix_transpose(R) for L, R in zip(left.coordinates, right.coordinates, strict=True)]  # (…, p, q)
    norms = [linalg.norm(B) * linalg.norm(A) for B, A in factors]
    small = How(how.rank, "qr")
    return (
        _rotated(left, joint_frame(Ms, norms, small)),
        _rotated(right, joint_frame([xp.matrix_transpose(M) for M in Ms], norms, small)),
    )


def _rotated(side: Side, inner: Side) -> Side:
    """The frame U W, for W (…, p, p') a frame inside the span of U."""
    xp = array_namespace(side.U)
    inward = xp.matrix_transpose(inner.U)
    return Side(side.U @ inner.U, inner.size, inner.S, [inward @ C for C in side.coordinates])
