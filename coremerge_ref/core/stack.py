"""What stages work on: the tasks' matrices in some space, and the one matrix they merge into."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.errors import ParameterError

Weights = tuple[float, ...] | Array  # (T,)


@dataclass(frozen=True, eq=False)
class Products:
    """The factors (…, p, r_t), (…, r_t, q) of the matrices in `M`: of no other, so that no change makes them stale.

    graded: rows of the left ones may be far larger than those of M, singular values being divided out of them.
    """

    M: Array
    factors: Sequence[tuple[Array, Array]]
    graded: bool = False


@dataclass(frozen=True, eq=False)
class Stack:
    """T matrices M (T, …, p, q), one a task, of one layer or of a batch of layers.

    rounding_level ν (T, …): up to this size a singular value of M_t is rounding of what it was computed from.
    entry_shares: for an entry it is ν_t √(ρ_i γ_j), `entry_level`, with √ρ (T, …, p) and √γ (T, …, q), None being 1,
    and ν_t times the last of the three (T, …) at least, below which digits are lost to underflow.
    rows, cols (…): live sizes, floating numbers. weights (T): one finite number a task. tasks (T): each task's place
    among all tasks of the call, some of which may lack this layer. names: the layer names of the batch in row-major
    order. products: the factors of M, where it has some.
    """

    M: Array
    rounding_level: Array
    rows: Array
    cols: Array
    weights: Weights
    tasks: tuple[int, ...]
    names: tuple[str, ...]
    products: Products | None = None
    entry_shares: tuple[Array | None, Array | None, Array | None] = (None, None, None)

    @property
    def entry_level(self) -> Array:
        """Up to this size an entry of M_t is rounding of what it was computed from (T, …, p or 1, q or 1)."""
        level, (rows, cols, least) = self.rounding_level[..., None, None], self.entry_shares
        if rows is None and cols is None:
            return level
        share = array_namespace(level).ones_like(level) if rows is None else rows[..., :, None]
        share = share if cols is None else share * cols[..., None, :]
        return level * (share if least is None else array_namespace(level).maximum(share, least[..., None, None]))

    @property
    def T(self) -> int:
        """How many tasks."""
        return int(self.M.shape[0])

    @property
    def short_side(self) -> Array:
        """min(rows, cols) (…), the size that relative ranks refer to."""
        return array_namespace(self.rows).minimum(self.rows, self.cols)

    def weigh(self) -> Array:
        """The weights as an array (T, 1, …, 1) that multiplies M."""
        return as_array(self.weights, self.M, self.M.ndim)

    def weighted(self) -> "Stack":
        """w_t M_t with weights 1: what a stage sees that has no use of its own for weights."""
        if isinstance(self.weights, tuple) and all(weight == 1 for weight in self.weights):
            return self
        xp, w = array_namespace(self.M), self.weigh()
        M, level = w * self.M, xp.abs(arrays.detached(w)[..., 0, 0]) * self.rounding_level
        arrays.check_range(M, "weights times updates")
        own, products = self._products(), None
        if own is not None:
            products = replace(own, M=M, factors=[(w[t, ...] * L, R) for t, (L, R) in enumerate(own.factors)])
        return replace(self, M=M, rounding_level=level, weights=(1.0,) * self.T, products=products)

    def with_entries(self, M: Array, rounding_level: Array | None = None) -> "Stack":
        """The stack with other matrices M (T, …, p, q), whose entries come of those in the same place: where rows or
        columns are mixed, `entry_shares` is to be replaced by nothing too."""
        level = self.rounding_level if rounding_level is None else rounding_level
        return replace(self, M=M, rounding_level=level, products=None)

    def _products(self) -> Products | None:
        return self.products if self.products is not None and self.products.M is self.M else None

    def leading(self, k: Array) -> linalg.Triplets:
        """The first k singular triplets of every M_t above ν_t, from small factors where M has them."""
        xp, products = array_namespace(self.M), self._products()
        if products is None:
            return linalg.leading(self.M, linalg.svd(self.M), k, self.rounding_level)
        factors, graded = products.factors, products.graded
        s = max(1, min(max(L.shape[-1] for L, _ in factors), *self.M.shape[-2:]))
        if len({L.shape[-1] for L, _ in factors}) == 1:
            parts = linalg.product_svd(xp.stack([L for L, _ in factors]), xp.stack([R for _, R in factors]), graded)
            return linalg.leading(self.M, parts, k, self.rounding_level)
        each = [linalg.product_svd(L, R, graded) for L, R in factors]
        P = xp.stack([arrays.widen(P, s) for P, _, _ in each])  # (T, …, p, s)
        S = xp.stack([arrays.widen(S[..., None, :], s)[..., 0, :] for _, S, _ in each])
        Q = xp.stack([arrays.widen(xp.matrix_transpose(Qh), s) for _, _, Qh in each])
        return linalg.leading(self.M, (P, S, xp.matrix_transpose(Q)), k, self.rounding_level)

    def merged(self, M: Array, factor: float = 1.0, **info: Any) -> "Merged":
        """The merge result M (…, p, q); rounding in it is the largest |w_t| ν_t, times `factor`."""
        xp = array_namespace(self.M)
        w = xp.abs(arrays.detached(self.weigh())[..., 0, 0])
        return Merged(M, factor * xp.max(w * self.rounding_level, axis=0), self.rows, self.cols, info)


@dataclass(frozen=True, eq=False)
class Merged:
    """A merged matrix M (…, p, q), its rounding level (…) and live sizes; `info` is what stages report, as ranks."""

    M: Array
    rounding_level: Array
    rows: Array
    cols: Array
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def short_side(self) -> Array:
        """min(rows, cols) (…)."""
        return array_namespace(self.rows).minimum(self.rows, self.cols)


def check_weights(weights: Any, tasks: int) -> Weights:
    """`weights`, one a task, any sign, finite: as floats, or an array (T,) of another library than NumPy as it is."""
    expected = f"weights: expected {tasks} numbers, one a task"
    if hasattr(weights, "shape") and not isinstance(weights, np.ndarray):
        if tuple(weights.shape) != (tasks,):
            raise ParameterError(f"{expected}, got an array of shape {tuple(weights.shape)}")
        arrays.check_real_floating(weights, "weights")
        arrays.check_finite(weights, "weights")
        given: Array = weights
        return given
    try:
        values = tuple(arrays.as_float(w) for w in weights)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"weights: expected a sequence of {tasks} numbers, got {weights!r}") from error
    if len(values) != tasks:
        raise ParameterError(f"{expected}, got {len(values)}")
    if not all(math.isfinite(w) for w in values):
        raise ParameterError(f"weights: expected finite numbers, got {values}")
    return values


def chosen_weights(weights: Weights, tasks: Sequence[int]) -> Weights:
    """Those of the tasks at these places."""
    if isinstance(weights, tuple):
        return tuple(weights[t] for t in tasks)
    return array_namespace(weights).stack([weights[t] for t in tasks])


def as_array(weights: Weights, like: Array, ndim: int = 1) -> Array:
    """Weights as an array (T, 1, …, 1) of `ndim` dimensions beside `like`, of its dtype."""
    w = arrays.scalar(np.asarray(weights) if isinstance(weights, tuple) else weights, like)
    return array_namespace(w).reshape(w, (w.shape[0], *(1,) * (ndim - 1)))


def exact_total(weights: Weights) -> Any:
    """Σ_t w_t, exactly rounded; where gradients flow, a number of the same derivative."""
    if isinstance(weights, tuple):
        return math.fsum(weights)
    total = array_namespace(weights).sum(weights)
    if not arrays.is_concrete(weights):
        return total
    host = [float(w) for w in arrays.to_host(weights)]
    return total + (math.fsum(host) - float(arrays.to_host(total)))
