"""One side of a space: an orthonormal frame of a stack [X_1 … X_T], and what every X_t is in it (paper, Def. 2).

With the thin SVD [X_1 … X_T] = U S Wᵀ the coordinates Uᵀ X_t are S times the t-th block of Wᵀ: no further product with
an m-sized array is needed. The right side of a space is the left side of the transposed factors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import AnyArray, Array, array_namespace
from coremerge_ref.core.linalg import orthonormal
from coremerge_ref.core.linalg.mending import mended


@dataclass(frozen=True, eq=False)
class Side:
    """A frame (…, m, p) as Q Z, Q (…, m, k) tall and Z (…, k, p) small: fewer m-sized products. Q None is I_m,
    Z None an identity.

    live (…): how many columns are not masked; masked ones are zero and come last. S (…, p): singular values of the
    stack. coordinates: frameᵀ X_t (…, p, r_t). norms: those of the columns of X_t (…, r_t). invertible: Z is, so that Q
    alone spans the same and Z may go to the other factor of an update. of_updates: the frame is not that of the stack
    of factors, but of updates.
    """

    Q: Array | None
    Z: Array | None = None
    live: AnyArray = None
    coordinates: Sequence[Array] = ()
    norms: Sequence[Array] = ()
    S: Array | None = None
    invertible: bool = False
    of_updates: bool = False

    @cached_property
    @arrays.stays_beside
    def frame(self) -> Array | None:
        """The frame itself (…, m, p), None for the identity."""
        if self.Q is None or self.Z is None:
            return self.Q
        return self.Q @ self.Z

    def encode(self, X: Array) -> Array:
        """frameᵀ X (…, p, r) of X (…, m, r)."""
        return X if self.frame is None else array_namespace(X).matrix_transpose(self.frame) @ X

    def decode(self, M: Array) -> Array:
        """The frame times M (…, p, q)."""
        return M if self.Q is None else self.Q @ (M if self.Z is None else self.Z @ M)

    def decode_rows(self, M: Array) -> Array:
        """M (…, q, p) times the frame transposed (…, q, m), its rows contiguous."""
        xp = array_namespace(M)
        inner = M if self.Z is None else M @ xp.matrix_transpose(self.Z)
        return M if self.Q is None else inner @ xp.matrix_transpose(self.Q)

    def split(self, M: Array) -> tuple[Array, Array]:
        """An m-sized factor and what is left of M (…, p, q), with the same product as the frame times M."""
        if self.Q is None:
            return arrays.identity(M, M.shape[-2]), M
        if self.Z is None:
            return self.Q, M
        return (self.Q, self.Z @ M) if self.invertible else (self.Q @ self.Z, M)

    def turned(self, inner: "Side") -> "Side":
        """The frame times `inner`'s frame W (…, p, p'), which is one of this side's coordinates."""
        coordinates = [inner.encode(C) for C in self.coordinates]
        W = inner.frame if self.Z is None or inner.frame is None else self.Z @ inner.frame
        return Side(self.Q, W, inner.live, coordinates, self.norms, inner.S, of_updates=True)


def identity_side(factors: Sequence[Array]) -> Side:
    """I_m, in which every X_t (…, m, r_t) is itself."""
    X = factors[0]
    return Side(None, None, arrays.sizes(X.shape[-2], X), list(factors), [linalg.column_norms(X) for X in factors])


def stack_side(factors: Sequence[Array], any_frame: bool = False) -> Side:
    """Left singular vectors of [X_1 … X_T], p = min(m, Σ r_t) of them, for X_t (…, m, r_t).

    Which directions are live is judged with every nonzero column scaled to norm 1: then nothing is lost for being
    small, and no refactoring B_t D, D⁻¹A_t by a diagonal D changes the live size. In the live span the frame is that of
    the stack itself, as in the paper. any_frame: any orthonormal frame of the span will do, S means nothing.
    """
    stack = _stacked(factors)
    return _side(factors, stack, orthonormal.cholesky_qr2([stack])[0], any_frame)


def stack_sides(lefts: Sequence[Array], rights: Sequence[Array], any_frame: bool = False) -> tuple[Side, Side]:
    """The two sides of a space, of X_t (…, m, r_t) and of the transposes of Y_t (…, r_t, n), looked at together."""
    xp = array_namespace(*rights)
    upright = [xp.matrix_transpose(Y) for Y in rights]
    empty = not sum(Y.shape[-2] for Y in rights)
    # contiguous arrays are stacked as such
    stacks = [_stacked(lefts), _stacked(upright) if empty else xp.matrix_transpose(xp.concat(list(rights), axis=-2))]
    proven = orthonormal.cholesky_qr2(stacks)
    left, right = (
        _side(factors, stack, found, any_frame)
        for factors, stack, found in zip((lefts, upright), stacks, proven, strict=True)
    )
    return left, right


def _stacked(factors: Sequence[Array]) -> Array:
    xp = array_namespace(*factors)
    if sum(X.shape[-1] for X in factors):
        return xp.concat(list(factors), axis=-1)
    return xp.sum(factors[0], axis=-1, keepdims=True)  # one masked direction keeps every later shape legal


def _side(factors: Sequence[Array], X: Array, proven: orthonormal.Factored | None, any_frame: bool) -> Side:
    """The side of the stack X (…, m, R) of factors: of its layers of full rank as is proven, and others judged here."""
    xp, missing = array_namespace(X), None if proven is None else proven.missing
    if proven is None:
        Q, Z, C, norms, live = _revealed(X)
    else:
        Q, Z, C, norms, _ = proven
        live = arrays.sizes(X.shape[-1], X)  # nothing to mask
    if missing:
        found = (Q, Z, C, norms, xp.broadcast_to(live, X.shape[:-2]))
        Q, Z, C, norms, live = mended(found, missing, _revealed, X)
    S = None
    if not any_frame:
        small = _triangular(C)[0] if proven is None else C
        if missing:
            (small,) = mended((C,), missing, _triangular, C)
        P, S, _ = linalg.svd(small)
        if missing != []:
            P, S = _live_first(P, S, linalg.first(live, S.shape[-1]))
        Z, C = Z @ P, xp.matrix_transpose(P) @ C
    ranks = [factor.shape[-1] for factor in factors]
    starts = [sum(ranks[:t]) for t in range(len(ranks))]
    cuts = [(..., slice(i, i + r)) for i, r in zip(starts, ranks, strict=True)]
    return Side(Q, Z, live, [C[cut] for cut in cuts], [norms[cut] for cut in cuts], S, invertible=missing == [])


def _triangular(C: Array) -> tuple[Array]:
    """A triangle (…, p, p) with the left singular vectors of C (…, p, R), however large C is.

    Masked rows of C are zero, hence rows and columns of it are: however graded C is, they mix with nothing.
    """
    xp = array_namespace(C)
    unit = xp.max(linalg.column_norms(C), axis=-1)  # some libraries' QR overflows well below the largest number
    unit = xp.where(unit > 0, unit, 1.0)[..., None, None]
    return (unit * xp.matrix_transpose(xp.linalg.qr(xp.matrix_transpose(C / unit))[1]),)


def _revealed(X: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Q (…, m, k), Z (…, k, p), coordinates C (…, p, R), column norms (…, R) and live size (…), whatever X's rank.

    A wide X takes the identity for Q: it has no rows to save.
    """
    xp = array_namespace(X)
    norms = linalg.column_norms(X)
    unit = xp.where(norms > 0, norms, 1.0)[..., None, :]
    Y = arrays.detached(X / unit)
    Q, Y = xp.linalg.qr(Y) if X.shape[-2] > X.shape[-1] else (arrays.identity(X, X.shape[-2]), Y)
    Z, S, _ = linalg.svd(Y)
    live = S > linalg.thresholds(X.dtype)[0] * S[..., :1]  # (…, p)
    Z = linalg.masked(Z, live)
    size = xp.sum(xp.astype(live, arrays.counting_dtype(xp, X)), axis=-1)
    return Q, Z, (xp.matrix_transpose(Z) @ Y) * unit, norms, size


def _live_first(P: Array, S: Array, live: Array) -> tuple[Array, Array]:
    """P (…, p, p) and S (…, p), columns that stand on rows where `live` (…, p) first, the others zero.

    Singular values tell them apart but where those of live directions have drowned in rounding too.
    """
    xp = array_namespace(P)
    share = xp.sum(xp.where(live[..., None], P * P, 0.0), axis=-2)  # (…, p): about 1 or 0
    order = xp.argsort(xp.astype(share < 0.5, P.dtype))  # stable, the standard's default
    P = xp.take_along_axis(P, xp.broadcast_to(order[..., None, :], P.shape), axis=-1)
    return linalg.masked(P, live), xp.take_along_axis(S, order, axis=-1)


def update_blocks(left: Side, right: Side) -> tuple[list[Array], list[Array]]:
    """P_t S_t (…, p, s_t) and Q_t S_t (…, q, s_t), the triplets of every ΔW_t above ν_t, from sides that hold it.

    The stacks of these have the left and right singular vectors of [ΔW_1 … ΔW_T] and [ΔW_1; …; ΔW_T], the Tucker
    (HOSVD) frames: a matter of the ΔW_t alone. With columns of norm 1 they are [P_1 … P_T] and [Q_1 … Q_T].
    """
    xp = array_namespace(left.coordinates[0])
    blocks: tuple[list[Array], list[Array]] = ([], [])
    for L, R, b, a in zip(left.coordinates, right.coordinates, left.norms, right.norms, strict=True):
        P, S, Qh = linalg.product_svd(L, xp.matrix_transpose(R))
        S = xp.where(S > linalg.rounding_level(b, a, S.dtype)[..., None], S, 0.0)
        blocks[0].append(P * S[..., None, :])
        blocks[1].append(xp.matrix_transpose(Qh) * S[..., None, :])
    return blocks
