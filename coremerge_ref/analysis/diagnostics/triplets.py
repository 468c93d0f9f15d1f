"""Singular triplets of updates from their factors, rounding taken out: what every diagnostic starts from."""

from collections.abc import Sequence
from typing import Any

from array_api_compat import array_namespace

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.inputs import as_updates
from coremerge_ref.core.updates import DenseUpdate
from coremerge_ref.errors import ParameterError

Triplets = tuple[Array, Array, Array]


def checked(updates: Sequence[Any], absent: bool = False) -> list[Any]:
    """As as_updates, those that are there; a DenseUpdate passes as the product of its matrix with the identity."""
    made = [(u.matrix, arrays.identity(u.matrix, u.shape[-1])) if isinstance(u, DenseUpdate) else u for u in updates]
    present = [u for u in as_updates(made) if u is not None]
    if len(present) != len(made) and not absent:
        raise ParameterError("expected an update, got None; leave out the tasks that have no such module")
    return present


def triplets(update: Any) -> Triplets:
    """P (…, m, s), S (…, s), Qh (…, s, n) of ΔW, singular values that are rounding set to zero."""
    xp = arrays.namespace_of(update.B, update.A)
    B, A = update.folded(arrays.counting_dtype(xp, update.B))
    if B.shape[-1] == 0:  # one triplet of value zero keeps every later shape legal
        B, A = xp.sum(B, axis=-1, keepdims=True), xp.sum(A, axis=-2, keepdims=True)
    with arrays.overflow_checked():
        size = linalg.norm(B) * linalg.norm(A)
    arrays.check_finite(size, "product B A, whose range it leaves; scale the factors down")
    P, S, Qh = linalg.product_svd(B, A)
    level = linalg.rounding_level(linalg.column_norms(B), linalg.column_norms(xp.matrix_transpose(A)), B.dtype)
    return P, xp.where(S > level[..., None], S, 0.0), Qh


def length(S: Array) -> Array:
    """‖S‖_2 (…) of S (…, s), 0 for an empty S."""
    return linalg.norm(S[..., None, :])


def kept(S: Array, epsilon: float, k: int | None) -> Array:
    """Boolean (…, s): live triplets among the first k, or those needed to leave out at most epsilon of the norm."""
    if k is not None and (not isinstance(k, int) or k < 1):
        raise ParameterError(f"k: expected an integer of at least 1, or None, got {k!r}")
    live = S > 0
    if k is not None:
        return live & linalg.first(arrays.sizes(k, S), S.shape[-1])
    xp = array_namespace(S)
    lost = xp.stack([length(S[..., i:]) for i in range(S.shape[-1])], axis=-1)  # without triplet i and the later ones
    return live & (lost > epsilon * lost[..., :1])
