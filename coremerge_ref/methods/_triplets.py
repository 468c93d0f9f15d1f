"""What the methods of singular triplets share: triplets of all tasks side by side, made orthogonal."""

from collections.abc import Sequence

from coremerge_ref.core import linalg
from coremerge_ref.core.arrays import Array, array_namespace


def side_by_side(P: Array) -> Array:
    """[P_1 … P_T] (…, p, T·s) from P (T, …, p, s)."""
    return array_namespace(P).concat([P[t, ...] for t in range(P.shape[0])], axis=-1)


def beside(S: Array) -> Array:
    """(…, T·s) from S (T, …, s)."""
    return array_namespace(S).concat([S[t, ...] for t in range(S.shape[0])], axis=-1)


def block_diagonal(blocks: Sequence[Array]) -> Array:
    """The blocks C_t (…, s_t, s_t) on the diagonal of zeros."""
    xp = array_namespace(*blocks)
    rows = [
        xp.concat(
            [C if i == j else xp.zeros_like(C[..., :, :1] @ D[..., :1, :]) for j, D in enumerate(blocks)], axis=-1
        )
        for i, C in enumerate(blocks)
    ]
    return xp.concat(rows, axis=-2)


def orthogonalized(U: Array, middle: Array, V: Array, error: Array) -> Array:
    """polar(U) · middle · polar(V)ᵀ (…, p, q) from U (…, p, k), V (…, q, k), middle (…, k) a diagonal or (…, k, k).

    The columns of U and V are known up to `error` (…) only, so a singular value of U or V below it is none: two tasks
    that share a direction leave no garbage one behind.
    """
    xp = array_namespace(U)
    cut = linalg.at_most_half_precision(error, linalg.thresholds(U.dtype)[0])
    left, right = linalg.polars([U, V], cut)
    inner = left * middle[..., None, :] if middle.ndim < U.ndim else left @ middle
    return inner @ xp.matrix_transpose(right)
