"""What stages work on: the tasks' matrices in some space, and the one matrix they merge into."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array
from coremerge_ref.errors import ParameterError


@dataclass(frozen=True, eq=False)
class Stack:
    """T matrices M (T, …, p, q), one a task, of one layer or of a batch of layers.

    noise (T, …): up to this size a singular value or entry of M_t is rounding of what it was computed from.
    rows, cols: live sizes, Python ints or floating arrays (…). rtol: relative size of rounding in this layer.
    weights (T): one finite number a task. tasks (T): each task's place among the `total` tasks of the call, some of
    which may lack this layer. names: the layer names of the batch in row-major order.
    products: while no transform has changed M, the factors (…, p, r_t), (…, r_t, q) that each M_t is the product of.
    """

    M: Array
    noise: Array
    rows: Any
    cols: Any
    rtol: float
    weights: tuple[float, ...]
    tasks: tuple[int, ...]
    total: int
    names: tuple[str, ...]
    products: Sequence[tuple[Array, Array]] | None = None

    @property
    def T(self) -> int:
        """How many tasks."""
        return int(self.M.shape[0])

    @property
    def least(self) -> Any:
        """min(rows, cols), the size that relative ranks refer to."""
        return smaller(self.rows, self.cols)

    def reweighted(self, weights: Sequence[float] | None) -> "Stack":
        """The stack with a stage's own weights, one for each task of the call; None keeps those given to merge."""
        if weights is None:
            return self
        checked = check_weights(weights, self.total)
        return replace(self, weights=tuple(checked[t] for t in self.tasks))

    def weigh(self) -> Array:
        """The weights as an array (T, 1, …, 1) that multiplies M."""
        w = arrays.from_host(np.asarray(self.weights), self.M, dtype=self.M.dtype)
        return array_namespace(self.M).reshape(w, (self.T, *(1,) * (self.M.ndim - 1)))

    def weighted(self) -> "Stack":
        """w_t M_t with weights 1: what a stage sees that has no use of its own for weights."""
        xp, w = array_namespace(self.M), self.weigh()
        if all(weight == 1 for weight in self.weights):
            return self
        products = self.products and [(w[t, ...] * L, R) for t, (L, R) in enumerate(self.products)]
        noise = xp.abs(w[..., 0, 0]) * self.noise
        return replace(self, M=w * self.M, noise=noise, weights=(1.0,) * self.T, products=products)

    def with_entries(self, M: Array, noise: Array | None = None) -> "Stack":
        """The stack with other matrices M (T, …, p, q), which are no longer the product of anything."""
        return replace(self, M=M, noise=self.noise if noise is None else noise, products=None)

    def triplets(self) -> tuple[Array, Array, Array]:
        """Thin SVDs P (T, …, p, s), S (T, …, s), Qh (T, …, s, q) of all tasks; s = max r_t while M_t are products."""
        xp = array_namespace(self.M)
        if self.products is None or self.rtol < 0:  # null vectors count
            return linalg.svd(self.M)
        s = max(L.shape[-1] for L, _ in self.products)
        if not 0 < s < min(self.M.shape[-2:]):
            return linalg.svd(self.M)
        if all(L.shape[-1] == s for L, _ in self.products):
            return linalg.product_svd(xp.stack([L for L, _ in self.products]), xp.stack([R for _, R in self.products]))
        # one by one: a factor padded with zero columns has a QR, but no derivative of it
        parts = [linalg.product_svd(L, R) for L, R in self.products]
        P = xp.stack([arrays.widen(P, s) for P, _, _ in parts])  # (T, …, p, s)
        S = xp.stack([arrays.widen(S[..., None, :], s)[..., 0, :] for _, S, _ in parts])
        Q = xp.stack([arrays.widen(xp.matrix_transpose(Qh), s) for _, _, Qh in parts])
        return P, S, xp.matrix_transpose(Q)

    def merged(self, M: Array, factor: float = 1.0, **info: Any) -> "Merged":
        """The merge result M (…, p, q); rounding in it is the largest |w_t| noise_t, times `factor`."""
        xp = array_namespace(self.M)
        noise = factor * xp.max(xp.abs(self.weigh()[..., 0, 0]) * self.noise, axis=0)
        return Merged(M, noise, self.rows, self.cols, info)


@dataclass(frozen=True, eq=False)
class Merged:
    """A merged matrix M (…, p, q), its noise (…) and live sizes; `info` holds what stages found out, such as ranks."""

    M: Array
    noise: Array
    rows: Any
    cols: Any
    info: Mapping[str, Any] = field(default_factory=dict)


def check_weights(weights: Sequence[float], total: int) -> tuple[float, ...]:
    """`weights` as floats, one a task, any sign, finite; ParameterError otherwise."""
    try:
        values = tuple(float(w) for w in weights)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"weights: expected a sequence of {total} numbers, got {weights!r}") from error
    if len(values) != total:
        raise ParameterError(f"weights: expected {total} numbers, one a task, got {len(values)}")
    if not all(math.isfinite(w) for w in values):
        raise ParameterError(f"weights: expected finite numbers, got {values}")
    return values


def smaller(a: Any, b: Any) -> Any:
    """min of two sizes, each a Python int or a floating array."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    like = b if isinstance(a, int) else a
    return array_namespace(like).minimum(arrays.scalar(a, like), arrays.scalar(b, like))


def whole(value: Any, rounding: str = "floor") -> Any:
    """A size rounded to a whole number as Python's int, math.ceil and round (half to even) do; arrays stay floating."""
    if not hasattr(value, "shape"):
        value = float(value)
        return int(value) if rounding == "floor" else -int(-value // 1) if rounding == "ceil" else round(value)
    xp = array_namespace(value)
    return {"floor": xp.floor, "ceil": xp.ceil, "round": xp.round}[rounding](value)
