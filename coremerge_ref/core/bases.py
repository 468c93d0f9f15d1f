"""Reference bases: the orthonormal frames that hold every task's update, from the factors alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from coremerge_ref.core import arrays, linalg, orthonormal
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.frames import Frame, Frames

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

    def __post_init__(self) -> None:
        orthonormal.check_driver(self.driver)


@dataclass(frozen=True, eq=False)
class Side:
    """A frame (…, m, p) of a stack [X_1 … X_T], its singular values S (…, p), and each Uᵀ X_t.

    size: its live size, an int where nothing is masked, else (…).
    """

    frame: Frame
    size: Any
    S: Array
    coordinates: list[Array]

    @property
    def norms(self) -> list[Array]:
        """‖X_t‖_F (…), which the coordinates have too."""
        return [linalg.norm(C) for C in self.coordinates]


def joint_frame(blocks: Sequence[Array], how: How, norms: Sequence[Array] | None = None) -> Side:
    """Left singular vectors of [X_1 … X_T], p = min(m, Σ r_t) of them, for blocks X_t (…, m, r_t).

    How many directions are live is judged on the balanced stack, each block divided by its Frobenius norm, or by
    norms[t] (…): c·B_t with A_t / c is the same model, so no task may lose directions for being small in one factor.
    Which directions they are is the raw stack's affair, as in the paper's Def. 2. With any_frame they are any
    orthonormal ones, and S means nothing.
    """
    xp = array_namespace(*blocks)
    ranks = [block.shape[-1] for block in blocks]
    if sum(ranks) == 0:  # one masked direction keeps every later shape legal
        blocks, norms = [xp.sum(blocks[0], axis=-1, keepdims=True)], None
    X = xp.concat([*blocks], axis=-1)
    own = norms is None and sum(ranks) > 0 and how.rank == linalg.NUMERICAL
    fast = orthonormal.cholesky_qr2(X, ranks, how.driver) if own else None
    if fast is not None:  # of full rank, nothing to mask
        Q, Z, C = fast
        size, S = X.shape[-1], C[..., 0, :]
    else:
        Q, Z, C, size, S = _revealed(X, _column_weights(blocks, norms), how)
    if not how.any_frame:
        # masked rows of C are zero, hence rows and columns of this R are: however graded C is, they mix with nothing
        small = C if fast is not None else xp.matrix_transpose(xp.linalg.qr(xp.matrix_transpose(C))[1])
        P, S, _ = linalg.svd(small)
        if fast is None:
            P, S = _live_first(P, S, linalg.leading(size, S.shape[-1], X))
        Z, C = Z @ P, xp.matrix_transpose(P) @ C
    starts = [sum(ranks[:t]) for t in range(len(ranks))]
    coordinates = [C[..., i : i + r] for i, r in zip(starts, ranks, strict=True)]
    return Side(Frame(Q, Z, whole=fast is not None), size, S, coordinates)


def _revealed(X: Array, weight: Array, how: How) -> tuple[Array, Array, Array, Array, Array]:
    """Q, Z, the raw stack's coordinates C, live size (…) and S of the balanced stack, whatever its rank."""
    xp = array_namespace(X)
    Q, C = orthonormal.householder(X / weight[..., None, :], how.driver)  # (…, m, p), (…, p, R)
    Z, S, _ = linalg.svd(C)
    live = S > linalg.tolerance((X.shape[-2], X.shape[-1]), X.dtype, how.rank) * S[..., :1]  # (…, p)
    Z = linalg.masked(Z, live)
    size = xp.sum(xp.astype(live, arrays.counting_dtype(xp, live)), axis=-1)
    return Q, Z, (xp.matrix_transpose(Z) @ C) * weight[..., None, :], size, S


def _live_first(P: Array, S: Array, live: Array) -> tuple[Array, Array]:
    """P (…, p, p) and S (…, p), columns that stand on rows where `live` (…, p) first, the others zero.

    Singular values tell them apart but where those of live directions have drowned in rounding too.
    """
    xp = array_namespace(P)
    share = xp.sum(xp.where(live[..., None], P * P, 0.0), axis=-2)  # (…, p): about 1 or 0
    order = xp.argsort(xp.astype(share < 0.5, P.dtype))  # stable, the standard's default
    P = xp.take_along_axis(P, xp.broadcast_to(order[..., None, :], P.shape), axis=-1)
    return linalg.masked(P, live), xp.take_along_axis(S, order, axis=-1)


def _column_weights(blocks: Sequence[Array], norms: Sequence[Array] | None) -> Array:
    """One weight a column, (…, R): its block's norm; a block of norm zero is zero and keeps weight 1."""
    xp = array_namespace(*blocks)
    sizes = [linalg.norm(block) for block in blocks] if norms is None else norms
    units = [xp.where(c > 0, c, 1.0)[..., None] for c in sizes]
    return xp.concat([c * xp.ones_like(X_t[..., 0, :]) for c, X_t in zip(units, blocks, strict=True)], axis=-1)


def paper_basis(factors: Factors, how: How) -> Frames:
    """U from the stack [B_1 … B_T], V from [A_1; …; A_T]: the reference bases of the paper (Def. 2)."""
    left, right = factor_sides(factors, how)
    return framed(left, right, list(zip(left.norms, right.norms, strict=True)))


def tucker_basis(factors: Factors, how: How) -> Frames:
    """The HOSVD frames of the m × n × T tensor of updates: a matter of the ΔW_t alone, not of how each is factored."""
    return framed(*tucker_sides(factors, how))


def framed(left: Side, right: Side, norms: Sequence[tuple[Array, Array]]) -> Frames:
    """Both sides as frames, with what the factors are in them, (Uᵀ B_t, A_t V), and the norms of the factors."""
    transposed = array_namespace(right.S).matrix_transpose
    inside = [(L, transposed(R)) for L, R in zip(left.coordinates, right.coordinates, strict=True)]
    return Frames(left.frame, right.frame, left.size, right.size, inside=inside, norms=norms)


def factor_sides(factors: Factors, how: How) -> tuple[Side, Side]:
    """The frames of the stacks of factors, left and right."""
    xp = array_namespace(*[X for pair in factors for X in pair])
    return (
        joint_frame([B for B, _ in factors], how),
        joint_frame([xp.matrix_transpose(A) for _, A in factors], how),
    )


def tucker_sides(factors: Factors, how: How) -> tuple[Side, Side, list[tuple[Array, Array]]]:
    """Left singular vectors of [ΔW_1 … ΔW_T] and right ones of [ΔW_1; …; ΔW_T], found inside the core space.

    Their coordinates are those of the factors, Uᵀ B_t and Vᵀ A_tᵀ; third, the norms of the factors.
    """
    xp = array_namespace(*[X for pair in factors for X in pair])
    left, right = factor_sides(factors, How(how.rank, how.driver, any_frame=True))
    Ms = [L @ xp.matrix_transpose(R) for L, R in zip(left.coordinates, right.coordinates, strict=True)]  # (…, p, q)
    norms = list(zip(left.norms, right.norms, strict=True))
    sizes = [b * a for b, a in norms]
    small = How(how.rank)
    return (
        _rotated(left, joint_frame(Ms, small, sizes)),
        _rotated(right, joint_frame([xp.matrix_transpose(M) for M in Ms], small, sizes)),
        norms,
    )


def _rotated(side: Side, inner: Side) -> Side:
    """The frame U W, for W (…, p, p') a frame inside the span of U."""
    W = inner.frame.array
    inward = array_namespace(W).matrix_transpose(W)
    frame = Frame(side.frame.Q, side.frame.Z @ W, whole=False)
    return Side(frame, inner.size, inner.S, [inward @ C for C in side.coordinates])
