"""Task updates: LoRA, VeRA and what a merge returns, as one thing with one meaning, the matrix ΔW (…, m, n)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from array_api_compat import array_namespace

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array
from coremerge_ref.errors import DTypeError, NamespaceError, ParameterError, ShapeError


@dataclass(frozen=True, eq=False)
class LowRankUpdate:
    """ΔW = scale · B A.

    B (…, m, r), A (…, r, n), any real floating dtype of one array namespace; leading dimensions are a batch of layers
    of equal shape. scale is a number or an array (…) with one number a layer: LoRA's alpha / r, rsLoRA's alpha / √r.
    Rank 0 and B = 0 are legal. The arrays are kept, not copied, and never written to. `info` is filled in by a merge:
    live sizes of the space ("rows", "cols") and what stages report, such as the rank "k" that was used.

    Raises ShapeError if the shapes do not form a product, DTypeError for integers and complex numbers, NamespaceError
    for arrays of two libraries or devices.
    """

    B: Array
    A: Array
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
        scale_shape = tuple(getattr(self.scale, "shape", ()))
        if scale_shape not in ((), b[:-2]):
            raise ShapeError(f"scale: expected a number or shape {b[:-2]}, got shape {scale_shape}")

    @property
    def rank(self) -> int:
        """r, the number of columns of B: an upper bound of the rank of ΔW."""
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

    def to_dense(self) -> Array:
        """ΔW (…, m, n) in the factors' promoted dtype; the product itself runs in float64 where that exists."""
        xp = arrays.namespace_of(self.B)
        B, A = self.folded(arrays.counting_dtype(xp, self.B))
        return arrays.cast(B @ A, arrays.promoted(xp, (self.B, self.A)))

    def truncate(self, rank: int) -> "LowRankUpdate":
        """The nearest update of rank ≤ `rank` in Frobenius and spectral norm (Eckart-Young).

        Costs a QR of each factor and one small SVD; the m × n matrix is never formed. Singular values are shared
        evenly: B = P √S, A = √S Qᵀ, which keeps both factors within the range of a narrow dtype.
        """
        xp = arrays.namespace_of(self.B)
        B, A = self.folded(arrays.counting_dtype(xp, self.B))
        return _leading(*linalg.product_svd(B, A), rank, arrays.promoted(xp, (self.B, self.A)), self.info)


@dataclass(frozen=True, eq=False)
class DenseUpdate:
    """ΔW (…, m, n) as one matrix: what a merge returns when its space does not stay in factors."""

    matrix: Array
    info: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """(…, m, n)."""
        return tuple(self.matrix.shape)

    @property
    def rank(self) -> int:
        """min(m, n): all that is known without an SVD."""
        return int(min(self.matrix.shape[-2:]))

    def to_dense(self) -> Array:
        """The matrix itself."""
        return self.matrix

    def truncate(self, rank: int) -> LowRankUpdate:
        """The nearest update of rank ≤ `rank` (Eckart-Young), by an SVD of the m × n matrix."""
        xp = arrays.namespace_of(self.matrix)
        wide = arrays.cast(self.matrix, arrays.counting_dtype(xp, self.matrix))
        return _leading(*linalg.svd(wide), rank, self.matrix.dtype, self.info)


Update = LowRankUpdate | DenseUpdate


def _leading(P: Array, S: Array, Qh: Array, rank: int, out: Any, info: Mapping[str, Any]) -> LowRankUpdate:
    """The first `rank` triplets of P (…, m, k), S (…, k), Qh (…, k, n) as an update in dtype `out`."""
    if not isinstance(rank, int) or rank < 0:
        raise ParameterError(f"rank: expected an integer of at least 0, got {rank!r}")
    k = min(rank, S.shape[-1])
    root = array_namespace(S).sqrt(S[..., :k])
    B, A = P[..., :, :k] * root[..., None, :], root[..., :, None] * Qh[..., :k, :]
    return LowRankUpdate(arrays.cast(B, out), arrays.cast(A, out), info=info)


def as_updates(updates: Sequence[Any], layer: str = "") -> list[LowRankUpdate | None]:
    """`updates` as LowRankUpdates of one shape, namespace and device; a pair (B, A) is read as the product B A.

    None stands for a task that has no such module: it keeps its place, for weights and masks, and counts as no task.
    Raises what LowRankUpdate raises and NonFiniteError, each naming the task, the factor and the layer.
    """
    where = f"layer {layer!r}, " if layer else ""
    made: list[LowRankUpdate | None] = []
    for t, given in enumerate(updates):
        if given is None or isinstance(given, LowRankUpdate):
            made.append(given)
        elif isinstance(given, Sequence) and len(given) == 2:
            try:
                made.append(LowRankUpdate(*given))
            except (ShapeError, DTypeError, NamespaceError) as error:
                raise type(error)(f"{where}task {t}: {error}") from error
        else:
            raise ParameterError(
                f"{where}task {t}: expected a LowRankUpdate or a pair (B, A), got {type(given).__name__}"
            )
    present = [(t, u) for t, u in enumerate(made) if u is not None]
    if not present:
        raise ParameterError(f"{where}expected at least one update, got {len(made)} of which none is there")
    first = present[0][1]
    for t, u in present:
        try:
            arrays.namespace_of(first.B, u.B)
        except NamespaceError as error:
            raise NamespaceError(f"{where}task {t} beside task {present[0][0]}: {error}") from error
        if u.shape != first.shape:
            raise ShapeError(
                f"{where}task {t}: expected shape {first.shape} as task {present[0][0]} has, got {u.shape}"
            )
        for name, factor in (("B", u.B), ("A", u.A)):
            arrays.check_finite(factor, f"{where}task {t}, factor {name}")
        wide = arrays.counting_dtype(arrays.namespace_of(u.B), u.B)
        arrays.check_finite(arrays.scalar(u.scale, u.B, wide), f"{where}task {t}, scale")
    return made
