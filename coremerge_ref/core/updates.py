"""Task updates: LoRA, VeRA and what a merge returns, as one thing with one meaning, the matrix ΔW (…, m, n)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import Any

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import AnyArray, Array, array_namespace
from coremerge_ref.core.operators import Operators, at_layers
from coremerge_ref.errors import DTypeError, ParameterError, ShapeError


@dataclass(frozen=True, eq=False, repr=False)
class LowRankUpdate(Operators):
    """An update of a weight matrix as a product of two thin ones, ΔW = scale · B A.

    B (…, m, r), A (…, r, n), any real floating dtype of one array namespace; leading dimensions are a batch of layers
    of equal shape. scale is a number or an array (…) with one number a layer: LoRA's alpha / r, rsLoRA's alpha / √r,
    which belongs to the factors; α, by which a merged update is multiplied, is merge's argument. Rank 0 and B = 0 are
    legal. The arrays are kept, not copied, and never written to. `info` is filled in by a merge: live sizes of the
    space ("rows", "cols") and what stages report, such as the rank "k" that was used.

    c * update, -update, update / c and sums of updates are updates; a sum of two of low rank has their factors side by
    side, and rounds nothing but a scale that the two do not share. update[i] is layer i of a batch; np.asarray(update)
    is ΔW.

    Raises ShapeError if the shapes do not form a product, DTypeError for integers and complex numbers, NamespaceError
    for arrays of two libraries or devices.

    >>> update = cm.LowRankUpdate(np.ones((6, 2)), np.ones((2, 5)), scale=0.5)
    >>> update
    LowRankUpdate(6 × 5, rank 2, scale 0.5, float64, cpu)
    >>> update + update
    LowRankUpdate(6 × 5, rank 4, scale 0.5, float64, cpu)
    >>> np.asarray(update)[0, 0]
    np.float64(1.0)
    """

    B: AnyArray
    A: AnyArray
    scale: Any = 1.0
    info: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        arrays.namespace_of(self.B, self.A)
        for name, factor in (("B", self.B), ("A", self.A)):
            arrays.check_real_floating(factor, f"factor {name}")
            if factor.ndim < 2:
                raise ShapeError(f"factor {name}: expected at least 2 dimensions, got shape {tuple(factor.shape)}")
        b, a = tuple(self.B.shape), tuple(self.A.shape)
        if b[-1] != a[-2] or b[:-2] != a[:-2]:
            raise ShapeError(f"expected B (…, m, r) and A (…, r, n), got B {b} and A {a}; is A or B transposed?")
        if b[-2] == 0 or a[-1] == 0:
            raise ShapeError(f"expected m and n of at least 1, got B {b} and A {a}")
        if arrays.is_number(self.scale):
            if isinstance(self.scale, Real) and math.isinf(arrays.as_float(self.scale)):
                # an integer or a fraction beyond float64 too: Inf is refused where it is used
                object.__setattr__(self, "scale", arrays.as_float(self.scale))
            return
        shape = getattr(self.scale, "shape", None)
        kind = "" if shape is None else arrays.dtype_name(self.scale.dtype)
        if shape is None or any(word in kind for word in ("bool", "complex", "object", "<U")):
            raise DTypeError(f"scale: expected a real number or an array of them, got {self.scale!r}")
        if tuple(shape) != b[:-2]:
            raise ShapeError(f"scale: expected a number or shape {b[:-2]}, got shape {tuple(shape)}")

    @property
    def rank(self) -> int:
        """r, the number of columns of B: what the rank of ΔW can at most be, as far as shapes say."""
        return int(self.B.shape[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """(…, m, n), the shape of ΔW."""
        return (*self.B.shape[:-1], self.A.shape[-1])

    def folded(self, dtype: Any) -> tuple[Array, Array]:
        """(scale · B, A) in `dtype`: the factors with the scaling folded in before anything else happens."""
        B, A = arrays.cast(self.B, dtype), arrays.cast(self.A, dtype)
        if isinstance(self.scale, float | int) and self.scale == 1:
            return B, A
        return B * arrays.scalar(self.scale, B)[..., None, None], A

    @arrays.stays_beside
    def to_dense(self) -> AnyArray:
        """ΔW (…, m, n) in the factors' promoted dtype; the product itself runs in float64 where that exists.

        Raises NonFiniteError where it leaves the dtype's range.
        """
        xp = arrays.namespace_of(self.B)
        with arrays.overflow_checked():
            B, A = self.folded(arrays.counting_dtype(xp, self.B))
            dense = arrays.cast(B @ A, arrays.promoted(xp, (self.B, self.A)))
        arrays.check_finite(dense, f"the product B A in {arrays.dtype_name(dense.dtype)}")
        return dense

    @arrays.stays_beside
    def truncate(self, rank: int) -> "LowRankUpdate":
        """The nearest update of rank ≤ `rank` in Frobenius and spectral norm (Eckart-Young).

        Costs a QR of each factor and one small SVD; the m × n matrix is never formed. Singular values are shared
        evenly: B = P √S, A = √S Qᵀ, which keeps both factors within the range of a narrow dtype.
        """
        xp = arrays.namespace_of(self.B)
        with arrays.overflow_checked():
            B, A = self.folded(arrays.counting_dtype(xp, self.B))
            arrays.check_finite(linalg.norm(B) * linalg.norm(A), "the product B A")
        return _leading(*linalg.product_svd(B, A), rank, arrays.promoted(xp, (self.B, self.A)), self.info)

    def _parts(self) -> tuple[Array, ...]:
        return (self.B, self.A)

    def _with(self, *parts: Array) -> "LowRankUpdate":
        return replace(self, B=parts[0], A=parts[1])

    def _facts(self) -> list[str]:
        if not arrays.is_number(self.scale):
            return [f"rank {self.rank}", "a scale a layer"]
        scale = self.scale if isinstance(self.scale, Real) else arrays.detached(self.scale)
        known = isinstance(scale, Real) or arrays.is_concrete(scale)
        if known and float(scale) == 1:
            return [f"rank {self.rank}"]
        return [f"rank {self.rank}", f"scale {float(scale):g}" if known else "a traced scale"]

    def _times(self, c: Any) -> "LowRankUpdate":
        if isinstance(self.scale, Real) and isinstance(c, Real):
            return replace(self, scale=self.scale * arrays.as_float(c))
        wide = arrays.counting_dtype(arrays.namespace_of(self.B), self.B)
        return replace(self, scale=arrays.scalar(self.scale, self.B, wide) * arrays.scalar(c, self.B, wide))

    @arrays.stays_beside
    def _plus(self, other: "Update") -> "Update":
        if isinstance(other, DenseUpdate):
            return other._plus(self)
        xp = arrays.namespace_of(self.B)
        scale: Any = 1.0
        if isinstance(self.scale, Real) and isinstance(other.scale, Real):
            scale = max(float(self.scale), float(other.scale), key=abs) or 1.0
        factors = []
        for update in (self, other):
            ratio = update.scale / scale if scale != 1.0 else update.scale
            with arrays.overflow_checked():
                B, _ = replace(update, scale=ratio).folded(arrays.counting_dtype(xp, update.B))
                factors.append(arrays.cast(B, arrays.promoted(xp, (self.B, other.B))))
            arrays.check_finite(factors[-1], "the sum's factor B")
        out = arrays.promoted(xp, (self.A, other.A))
        A = xp.concat([arrays.cast(X, out) for X in (self.A, other.A)], axis=-2)
        return LowRankUpdate(xp.concat(factors, axis=-1), A, scale)

    def _at(self, at: tuple[Any, ...]) -> "LowRankUpdate":
        scale = self.scale[at] if getattr(self.scale, "ndim", 0) > 0 else self.scale
        return LowRankUpdate(self.B[at], self.A[at], scale, at_layers(self.info, at))


@dataclass(frozen=True, eq=False, repr=False)
class DenseUpdate(Operators):
    """ΔW (…, m, n) as one matrix: what a merge returns when its space does not stay in factors.

    >>> cm.DenseUpdate(np.diag([1.0, 3.0])) * 2
    DenseUpdate(2 × 2, float64, cpu)
    """

    matrix: AnyArray
    info: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """(…, m, n)."""
        return tuple(self.matrix.shape)

    @property
    def rank(self) -> int:
        """min(m, n): what the rank of ΔW can at most be, as far as shapes say."""
        return int(min(self.matrix.shape[-2:]))

    @arrays.stays_beside
    def to_dense(self) -> AnyArray:
        """The matrix itself."""
        return self.matrix

    @arrays.stays_beside
    def truncate(self, rank: int) -> LowRankUpdate:
        """The nearest update of rank ≤ `rank` (Eckart-Young), by an SVD of the m × n matrix."""
        xp = arrays.namespace_of(self.matrix)
        wide = arrays.cast(self.matrix, arrays.counting_dtype(xp, self.matrix))
        return _leading(*linalg.svd(wide), rank, self.matrix.dtype, self.info)

    def _parts(self) -> tuple[Array, ...]:
        return (self.matrix,)

    def _with(self, *parts: Array) -> "DenseUpdate":
        return replace(self, matrix=parts[0])

    @arrays.stays_beside
    def _times(self, c: Any) -> "DenseUpdate":
        return replace(self, matrix=self._checked(lambda matrix: arrays.scalar(c, matrix) * matrix))

    @arrays.stays_beside
    def _plus(self, other: "Update") -> "DenseUpdate":
        xp = arrays.namespace_of(self.matrix)
        dense = other.to_dense()
        out = arrays.promoted(xp, (self.matrix, dense))
        return DenseUpdate(self._checked(lambda matrix: arrays.cast(matrix, out) + arrays.cast(dense, out)))

    def _checked(self, change: Callable[[Array], Array]) -> Array:
        with arrays.overflow_checked():
            changed = change(self.matrix)
        arrays.check_finite(changed, f"the update in {arrays.dtype_name(changed.dtype)}")
        return changed

    def _at(self, at: tuple[Any, ...]) -> "DenseUpdate":
        return DenseUpdate(self.matrix[at], at_layers(self.info, at))


Update = LowRankUpdate | DenseUpdate


def _leading(P: Array, S: Array, Qh: Array, rank: int, out: Any, info: Mapping[str, Any]) -> LowRankUpdate:
    """The first `rank` triplets of P (…, m, k), S (…, k), Qh (…, k, n) as an update in dtype `out`."""
    if not isinstance(rank, Integral) or isinstance(rank, bool) or rank < 0:
        raise ParameterError(f"rank: expected an integer of at least 0, got {rank!r}")
    k = min(int(rank), S.shape[-1])
    root = array_namespace(S).sqrt(S[..., :k])
    B, A = P[..., :, :k] * root[..., None, :], root[..., :, None] * Qh[..., :k, :]
    return LowRankUpdate(arrays.cast(B, out), arrays.cast(A, out), info=info)
