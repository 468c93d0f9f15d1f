"""Casts to a narrower dtype, in which nothing may overflow or vanish unsaid."""

from collections.abc import Sequence
from typing import Any

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.errors import NonFiniteError


def narrowed(pairs: Sequence[tuple[Array, Array]], dtype: Any) -> list[tuple[Array, Array]]:
    """The pairs B (…, m, r), A (…, r, n) in a narrower `dtype`: c B and A / c, c one power of 2 a layer.

    One for all pairs, so that bases of their stacks stay what they are. 1 where all fits anyhow, else such that the
    largest entries of all B and of all A are equal: what leaves the range of `dtype` in one factor alone does not
    matter. Raises NonFiniteError where factors leave it even so, or vanish in it.
    """
    xp, full = array_namespace(pairs[0][0]), [(arrays.detached(B), arrays.detached(A)) for B, A in pairs if B.shape[-1]]
    c: Any = 1.0
    if full:
        each = xp.stack([linalg.largest(X) for pair in full for X in pair])  # (2 T, …)
        if arrays.is_concrete(each):
            # between the root of the smallest number and its inverse nothing is lost, whatever c
            lowest = arrays.smallest_normal(dtype) ** 0.5
            if bool(xp.all((each == 0) | (each >= lowest) & (each * lowest <= 1))):
                return [(arrays.cast(B, dtype), arrays.cast(A, dtype)) for B, A in pairs]
        b, a = xp.max(each[::2, ...], axis=0), xp.max(each[1::2, ...], axis=0)
        live = (b > 0) & (a > 0)
        c = 2.0 ** xp.round(xp.log2(xp.where(live, a, 1.0)) / 2 - xp.log2(xp.where(live, b, 1.0)) / 2)[..., None, None]
    balanced = [(B * c, A / c) for B, A in pairs]
    with arrays.overflow_checked():
        cast = [(arrays.cast(B, dtype), arrays.cast(A, dtype)) for B, A in balanced]
    check_cast([X for pair in balanced for X in pair], [X for pair in cast for X in pair])
    return cast


def check_cast(wide: Sequence[Array], cast: Sequence[Array]) -> None:
    """NonFiniteError where one of `cast`, of `wide` (…, m, r), has overflowed, or a layer of it has become zero."""
    pairs = [(X, arrays.widened(Y)) for X, Y in zip(wide, cast, strict=True) if arrays.count(X)]
    if not pairs:
        return
    xp, name = array_namespace(wide[0]), arrays.dtype_name(cast[0].dtype)
    sizes = [[linalg.largest(Z) for Z in pair] for pair in pairs]  # (…); NaN where there is one
    good = [xp.all(xp.isfinite(after) & ((before == 0) | (after > 0))) for before, after in sizes]
    if all(arrays.look(xp.all(xp.stack(good)))):
        return
    for _, Y in pairs:
        arrays.check_finite(Y, f"the result in {name}")
    raise NonFiniteError(f"the result: expected numbers that {name} holds, got some that become 0; scale them")
