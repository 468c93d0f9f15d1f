"""Orthonormal frames of tall matrices of full rank by matrix products: X = (Q Z) C, proven on the spot."""

import math
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.linalg.norms import squared

_NEAR = 2.0  # ‖L‖ ‖L⁻¹‖ / R up to which one pass loses less than a digit (it is 1 for orthonormal columns)
_LOST = 30.0  # residuals, in units of eps · R, up to which a factorization is taken
_EACH = 8.0  # and one of m / 2 + 8 eps, up to which explain takes a column and its coordinates for equal


class Factored(NamedTuple):
    """Q (…, m, R), Z (…, R, R), C (…, R, R), column norms (…, R): X = (Q Z) C but in the layers that are `missing`."""

    Q: Array
    Z: Array
    C: Array
    norms: Array
    missing: list[int]


def cholesky_qr2(given: Sequence[Array]) -> list[Factored | None]:
    """Of each X (…, m, R) of full rank: X = (Q Z) C, Q Z orthonormal.

    Cholesky-QR2 (Yamamoto et al., 2015): twice X ← X L⁻ᵀ for XᵀX = L Lᵀ, matrix products for the most part; the last
    L⁻ᵀ = Z is not multiplied in, since whoever uses the frame can do that on the small side. One pass is enough where L
    is well conditioned, as it mostly is for the A_t. Columns are balanced by their norms, which the Gram matrix has on
    its diagonal.

    None, or the layer missing, where it cannot prove itself: m < R, values that cannot be looked at (jit), Gram
    matrices that are not positive definite or out of range, columns that are dependent or nearly so. No library need
    raise for that: L Lᵀ is held against the Gram matrix it is to be the factor of. The host waits once a pass, for the
    answers about all of them.
    """
    found: list[Factored | None] = [None] * len(given)
    passes = {i: _passes(X) for i, X in enumerate(given) if X.shape[-2] >= X.shape[-1] and arrays.is_concrete(X)}
    with arrays.overflow_checked():
        failed: dict[int, Any] = dict.fromkeys(passes)
        while failed:
            asked: dict[int, list[Array]] = {}
            for i, places in failed.items():
                try:
                    asked[i] = passes[i].send(places)
                except StopIteration as end:
                    found[i] = end.value
            everything = [flags for questions in asked.values() for flags in questions]
            answers = iter(arrays.unproven(*everything) if everything else [])
            failed = {i: [next(answers) for _ in questions] for i, questions in asked.items()}
    return found


def _passes(X: Array) -> Generator[list[Array], Any, Factored | None]:
    """The passes of one X; asks with lists of flags (k,), and is sent the places of those that are not True."""
    xp, eps = array_namespace(X), arrays.eps(X.dtype)
    far = eps**0.375  # distance from orthonormality up to which a second pass restores all digits
    X, layers = arrays.detached(X), math.prod(X.shape[:-2])
    try:
        gram = xp.matrix_transpose(X) @ X
        norms = xp.sqrt(xp.linalg.diagonal(gram))  # (…, R)
        unit = 1 / xp.where(norms > 0, norms, 1.0)
        finest = eps / arrays.smallest_normal(X.dtype)
        balanced = unit[..., :, None] * gram * unit[..., None, :]
        L = arrays.cholesky(balanced)
        inverse = arrays.inverse(L)
        once = unit[..., :, None] * xp.matrix_transpose(inverse)  # (…, R, R)
        C = xp.matrix_transpose(L) / unit[..., None, :]
        # smaller squares lose digits to underflow
        sound = xp.all(unit <= finest**0.5, axis=-1) & _is_factor(L, balanced)  # (…)
        enough = xp.all((squared(L) * squared(inverse) <= (_NEAR * X.shape[-1]) ** 2) | ~sound)
        missing, many = yield [xp.reshape(sound, (-1,)), xp.reshape(enough, (1,))]
        if len(missing) == layers:
            return None
        if not many:
            return Factored(X, once, C, norms, missing)
        Q = X @ once
        again = xp.matrix_transpose(Q) @ Q
        K = arrays.cholesky(again)
        Z, C = xp.matrix_transpose(arrays.inverse(K)), xp.matrix_transpose(K) @ C
        near = _small(again - arrays.identity(again, again.shape[-1]), far)
        sound = sound & near & _is_factor(K, again) & _proven(X, unit, Q, Z @ C)
        (missing,) = yield [xp.reshape(sound, (-1,))]
        return Factored(Q, Z, C, norms, missing) if len(missing) < layers else None
    except (ValueError, RuntimeError, ArithmeticError):  # each library's own word for "not positive definite"
        return None


def _is_factor(L: Array, gram: Array) -> Array:
    """Whether L Lᵀ = gram (…, R, R) of unit size to rounding: no library need raise where there is no such L."""
    error = L @ array_namespace(L).matrix_transpose(L) - gram
    return _small(error, _LOST * arrays.eps(gram.dtype) * gram.shape[-1])


def _proven(X: Array, unit: Array, Q: Array, C: Array) -> Array:
    """Whether X = Q C holds to rounding, seen on a few fixed vectors, which a wrong frame passes by accident alone."""
    xp = array_namespace(X)
    columns = arrays.positions(X.shape[-1], X)  # (R,)
    probes = arrays.cast(xp.stack([xp.cos((k + 1.0) * columns) for k in range(4)], axis=-1), X.dtype)
    probes = unit[..., :, None] * probes  # (…, R, 4), which sees every column at norm 1
    error = X @ probes - Q @ (C @ probes)
    return _small(error, arrays.eps(X.dtype) * min(_LOST * X.shape[-1], X.shape[-2] / 2 + _EACH))


def _small(error: Array, bound: float) -> Array:
    """Whether `error` (…, a, b) has a norm of at most `bound` (…); NaN is not small."""
    return squared(error) <= bound**2
