"""Task updates: LoRA, VeRA and what a merge returns, as one thing with one meaning, the matrix ΔW (…, m, n)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.operators import Operators, at_layers
from coremerge_ref.errors import DTypeError, NamespaceError, NonFiniteError, ParameterError, ShapeError


@dataclass(frozen=True, eq=False, repr=False)
class LowRankUpdate(Operators):
    """ΔW = scale · B A.

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
        if arrays.is_number(self.scale):
            return
        shape = getattr(self.scale, "shape", None)
        if shape is None or any(word in str(self.scale.dtype) for word in ("bool", "complex", "object", "<U")):
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
    def to_dense(self) -> Array:
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
            return replace(self, scale=self.scale * c)
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
    """ΔW (…, m, n) as one matrix: what a merge returns when its space does not stay in factors."""

    matrix: Array
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
    def to_dense(self) -> Array:
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


def _leading(P: Array, S: Array, Qh: Array, rank: int, out: Any, info: Mapping[str, Any]) -> LowRankUpdate:
    """The first `rank` triplets of P (…, m, k), S (…, k), Qh (…, k, n) as an update in dtype `out`."""
    if not isinstance(rank, Integral) or isinstance(rank, bool) or rank < 0:
        raise ParameterError(f"rank: expected an integer of at least 0, got {rank!r}")
    k = min(int(rank), S.shape[-1])
    root = array_namespace(S).sqrt(S[..., :k])
    B, A = P[..., :, :k] * root[..., None, :], root[..., :, None] * Qh[..., :k, :]
    return LowRankUpdate(arrays.cast(B, out), arrays.cast(A, out), info=info)


def as_updates(updates: Sequence[Any], layer: str = "", look: bool = True) -> list[LowRankUpdate | None]:
    """`updates` as LowRankUpdates of one shape, namespace and device; a pair (B, A) is read as the product B A.

    None stands for a task that has no such module: it keeps its place, for weights and masks, and counts as no task.
    Raises what LowRankUpdate raises and NonFiniteError, each naming the task, the factor and the layer; look=False
    leaves it to the caller to look for NaN and Inf, with `are_finite`.
    """
    where = f"layer {layer!r}, " if layer else ""
    if isinstance(updates, Mapping):
        raise ParameterError(
            f"{where}expected a sequence of updates, one a task, got a mapping with keys such as "
            f"{next(iter(updates), None)!r}; write list(updates.values()) if keys are tasks, or call merge_adapters if "
            "they are layers, each with a list of updates"
        )
    if isinstance(updates, str) or not isinstance(updates, Sequence):
        one = "; write [update] for one task" if isinstance(updates, LowRankUpdate | DenseUpdate) else ""
        raise ParameterError(
            f"{where}expected a sequence of updates or pairs (B, A), one a task, got {type(updates).__name__}{one}"
        )
    made: list[LowRankUpdate | None] = []
    for t, given in enumerate(updates):
        if given is None or isinstance(given, LowRankUpdate):
            made.append(given)
        elif isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2:
            try:
                made.append(LowRankUpdate(*given))
            except (ShapeError, DTypeError, NamespaceError) as error:
                raise type(error)(f"{where}task {t}: {error}") from error
        else:
            raise ParameterError(
                f"{where}task {t}: expected a LowRankUpdate or a pair (B, A), got {type(given).__name__}"
                f"{_meant(given, len(updates))}"
            )
    present = [(t, u) for t, u in enumerate(made) if u is not None]
    if not present:
        got = f"None for each of {len(made)} tasks" if made else "an empty sequence"
        raise ParameterError(f"{where}expected at least one update, got {got}")
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
    if look and not are_finite(made):
        for t, u in present:
            for name, array in _arrays(u).items():
                arrays.check_finite(array, f"{where}task {t}, {name}")
    return made


def are_finite(updates: Sequence[LowRankUpdate | None]) -> bool:
    """Whether no update has a NaN or Inf, by one look at the device where that is so."""
    everything = [X for update in updates if update is not None for X in _arrays(update).values()]
    there = [X for X in everything if not isinstance(X, np.ndarray)]
    return all(arrays.are_finite(group) for group in (there, [X for X in everything if isinstance(X, np.ndarray)]))


def _arrays(update: LowRankUpdate) -> dict[str, Array]:
    """What may hold NaN or Inf: the factors, and the scale where it is no finite number of Python's."""
    looked, scale = {"factor B": update.B, "factor A": update.A}, update.scale
    if isinstance(scale, float | int) and math.isfinite(scale):
        return looked
    if not hasattr(scale, "shape") or isinstance(scale, np.generic | np.ndarray):
        return {**looked, "scale": np.asarray(scale, dtype=np.float64)}
    wide = arrays.counting_dtype(arrays.namespace_of(update.B), update.B)
    return {**looked, "scale": arrays.cast(scale, wide)}


def _meant(given: Any, count: int) -> str:
    """What to write where something else than an update stands among `count` of them."""
    if isinstance(given, str | PathLike):
        return "; coremerge_ref.adapters.load(path) reads an adapter"
    if isinstance(given, DenseUpdate):
        return "; its truncate(rank) gives factors"
    if count == 2 and hasattr(given, "shape"):
        return "; a pair (B, A) of one task is written [(B, A)]"
    return ""


def folded_factors(updates: Sequence[LowRankUpdate | None], compute_dtype: Any) -> list[tuple[Array, Array]]:
    """(s_t B_t, A_t) of every update that is there, in the compute dtype."""
    present = [update for update in updates if update is not None]
    xp = arrays.namespace_of(present[0].B)
    dtype = arrays.working_dtype(xp, compute_dtype, present[0].B)
    with arrays.overflow_checked():
        if arrays.eps(dtype) <= min(arrays.eps(X.dtype) for u in present for X in (u.B, u.A)):
            return [update.folded(dtype) for update in present]
        wide = arrays.counting_dtype(xp, present[0].B)
        return narrowed([update.folded(wide) for update in present], dtype)
