"""SVDs of a batch of matrices by products and SVDs of 32 × 32 matrices: what libraries for GPUs do side by side.

One-sided block Jacobi (Drmač and Veselić, 2008, and the block form of Bečka, Okša and Vajteršic): the rows are cut into
blocks; in turn each two blocks, many such pairs at once, are turned so that their rows become orthogonal, the longer
ones into the first block. Rows that all are orthogonal are S Qᵀ, and the turns P. Whether they are is proven for each
matrix on the spot, as LAPACK's tests do: by the residual, and by how orthonormal P and Q are.
"""

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.linalg.norms import squared

SIDE = 32  # up to which libraries for GPUs decompose the matrices of a batch side by side
_SWEEPS = 4  # that a matrix of two blocks needs, mostly, and one more each time that the blocks are doubled
_TIMES = 5  # sweeps more, with a look after each, for what does not prove itself then
_ANGLE = 1e-3  # up to which the first order is enough
_LOST = 4.0  # residuals, in units of eps · √n of X's norm, up to which a decomposition is taken: that of its products


def thin_svd(X: Array, null_vectors: bool) -> tuple[Array, Array, Array, list[int]]:
    """P (L, m, m), S (L, m) descending, Qh (L, m, n) of X (L, m, n), m ≤ n; and which of the L are not proven.

    Rows of Qh whose singular value is rounding are zero. null_vectors: matrices that have such rows are not proven. The
    host waits once, and once for each sweep more that a matrix needs than most.
    """
    xp, m = array_namespace(X), X.shape[-2]
    pairs = -(-m // SIDE)
    width = -(-m // (2 * pairs))
    moves = arrays.indices(_moves(2 * pairs), X)  # (rounds, blocks)
    with arrays.overflow_checked():
        unit = xp.max(xp.abs(X), axis=(-2, -1))
        X = X / xp.where(unit > 0, unit, 1.0)[:, None, None]
        Y = _padded(X, 2 * pairs * width - m)
        given, turns = Y, arrays.identity(Y[..., :, :1], Y.shape[-2])
        eye = arrays.identity(X[0, ...], 2 * width)
        for sweeps in (_SWEEPS + (pairs - 1).bit_length(), *[1] * _TIMES):
            for move in sweeps * [moves[i, ...] for i in range(moves.shape[0])]:
                Y, turns = _round(Y, turns, move, eye)
            P, S, Qh = _parts(given, turns, m)
            live = S > _rounding(X, S)[:, None]
            Qh = xp.where(live[..., None], Qh, 0.0)
            proven = _is_proven(X, P, S, Qh, live)
            (missing,) = arrays.unproven(proven & xp.all(live, axis=-1) if null_vectors else proven)
            if not missing:
                break
        return P, S * unit[:, None], Qh, missing


def _moves(blocks: int) -> list[list[int]]:
    """For each round of a tournament, where the blocks of its pairs were a round before; in a pair the first is first.

    The longer rows of a pair go into the block that is named first, always: what is sorted so meets everything.
    """
    ring, rounds = list(range(blocks)), []
    for _ in range(blocks - 1):
        rounds.append([block for i in range(blocks // 2) for block in sorted((ring[i], ring[-1 - i]))])
        ring = [ring[0], ring[-1], *ring[1:-1]]
    return [[rounds[i - 1].index(block) for block in now] for i, now in enumerate(rounds)]


def _padded(X: Array, rows: int) -> Array:
    """X (L, m, n) with so many rows and columns more: multiples of unit vectors, longer than any row can become."""
    if not rows:
        return X
    xp = array_namespace(X)
    long = (1 + 2 * xp.sqrt(squared(X)))[:, None, None] * arrays.identity(X, rows)
    wide = arrays.widen(X, X.shape[-1] + rows)
    zeros = xp.zeros_like(long[..., :, :1] @ X[..., :1, :])
    return xp.concat([wide, xp.concat([zeros, long], axis=-1)], axis=-2)


def _round(Y: Array, turns: Array, move: Array, eye: Array) -> tuple[Array, Array]:
    """Y (L, M, N) and the turns (L, M, M) so far, with all pairs of one round turned; eye (side, side) of a pair."""
    xp, side = array_namespace(Y), eye.shape[-1]
    width = side // 2
    Y, turns = (
        xp.reshape(
            xp.take(xp.reshape(X, (X.shape[0], X.shape[1] // width, width, X.shape[2])), move, axis=1),
            (X.shape[0], X.shape[1] // side, side, X.shape[2]),
        )
        for X in (Y, turns)
    )
    gram = Y @ xp.matrix_transpose(Y)  # (L, pairs, side, side)
    norms = xp.sqrt(xp.linalg.diagonal(gram))
    unit = 1 / xp.where(norms > 0, norms, 1.0)
    # at norm 1 small rows keep their digits; the shift turns nothing, and no rows are too dependent for a factor then
    balanced = unit[..., :, None] * gram * unit[..., None, :]
    shift = arrays.eps(Y.dtype) * side**2 + xp.astype(norms == 0, Y.dtype)
    L = arrays.cholesky(balanced + shift[..., None] * eye)
    Vh = xp.linalg.svd(xp.matrix_transpose(L) * norms[..., None, :], full_matrices=False)[2]
    Y, turns = (xp.reshape(Vh @ X, (X.shape[0], -1, X.shape[-1])) for X in (Y, turns))
    return Y, turns


def _parts(given: Array, turns: Array, m: int) -> tuple[Array, Array, Array]:
    """P, S and Qh from the turns alone: errors that gathered in the rows on the way are left behind.

    Those that gathered in the turns go by one step of Ogita's and Aishima's refinement (2018): all rows at once, each
    two by the angle that is left between them over the gap of their lengths, where that is small.
    """
    xp = array_namespace(given)
    Pt = _reorthonormalized(turns)
    Y = Pt @ given
    gram = Y @ xp.matrix_transpose(Y)
    squares = xp.linalg.diagonal(gram)
    gap = squares[..., :, None] - squares[..., None, :]
    small = xp.abs(gram) < _ANGLE * xp.abs(gap)
    Pt = Pt + xp.where(small, gram / xp.where(small, gap, 1.0), 0.0) @ Pt
    Pt = _reorthonormalized(_reorthonormalized(Pt))  # angles in a cluster are rounding, and no longer small
    Y = Pt @ given
    S = xp.sqrt(xp.sum(Y * Y, axis=-1))  # (L, M)
    order = xp.argsort(-S)[:, Y.shape[-2] - m :]  # without the rows that were added, which are the longest
    Y, Pt = (
        xp.take_along_axis(X, xp.broadcast_to(order[..., None], (*order.shape, X.shape[-1])), axis=1) for X in (Y, Pt)
    )
    added = given.shape[-2] - m
    S, Y, Pt = xp.take_along_axis(S, order, axis=1), Y[..., : Y.shape[-1] - added], Pt[..., :m]
    N = Y / xp.where(S > 0, S, 1.0)[..., None]
    return xp.matrix_transpose(Pt), S, _orthonormalized(N)


def _reorthonormalized(X: Array) -> Array:
    """X (L, m, m) of orthonormal rows, their defect squared."""
    return 1.5 * X - 0.5 * (X @ array_namespace(X).matrix_transpose(X)) @ X


def _orthonormalized(N: Array) -> Array:
    """Nearly orthonormal rows (L, m, n) made so, each by what it has of those before: the small yield to the large.

    N − T N for the triangle T of half the defect's diagonal and what is below it squares the defect.
    """
    xp = array_namespace(N)
    eye = arrays.identity(N, N.shape[-2])
    for _ in range(3):
        E = N @ xp.matrix_transpose(N) - eye
        N = N - (xp.tril(E) - 0.5 * E * eye) @ N
    return N


def _rounding(X: Array, S: Array) -> Array:
    """What singular values S (L, m) of X may be by rounding (L,): less than any that `linalg` takes for one."""
    xp = array_namespace(X)
    return 4 * arrays.eps(X.dtype) * xp.minimum(xp.sqrt(squared(X)), 16 * S[:, 0])


def _is_proven(X: Array, P: Array, S: Array, Qh: Array, live: Array) -> Array:
    """Whether P S Qh is X, P is orthonormal, and Qh is where S is `live` (L, m), to rounding (L,); NaN is not."""
    xp = array_namespace(X)
    eye, bound = arrays.identity(X, X.shape[-2]), (_LOST * arrays.eps(X.dtype)) ** 2 * X.shape[-1]
    close = squared(X - (P * S[..., None, :]) @ Qh) <= bound * squared(X)
    Pt, some = xp.matrix_transpose(P), xp.where(live[..., None], eye, 0.0)
    for rows, expected in ((Pt, eye), (Qh, some)):
        close = close & (squared(rows @ xp.matrix_transpose(rows) - expected) <= bound)
    return close
