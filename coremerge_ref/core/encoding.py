"""From updates to the stack of their matrices in a space: M_t = Uᵀ ΔW_t V, once for many merges."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.frames import Factors, Frames
from coremerge_ref.core.inputs import folded_factors
from coremerge_ref.core.pipeline import Pipeline
from coremerge_ref.core.spaces import Full, Space
from coremerge_ref.core.stack import Products, Stack, as_array, check_weights, chosen_weights
from coremerge_ref.core.stages import ORTHOGONAL
from coremerge_ref.core.updates import LowRankUpdate, Update
from coremerge_ref.errors import ParameterError, ShapeError


class Encoded:
    """Updates in a space: factors in the compute dtype, and frames and core matrices once found."""

    def __init__(
        self,
        checked: Sequence[LowRankUpdate | None],
        space: Space,
        compute_dtype: Any = "float64",
        names: Sequence[str] | None = None,
    ) -> None:
        present = [update for update in checked if update is not None]
        self.space, self.present, self.total = space, present, len(checked)
        self.tasks = tuple(t for t, update in enumerate(checked) if update is not None)
        self.names = layer_names(names, present[0].shape[:-2])
        self.factors = folded_factors(checked, compute_dtype)
        self._encoded: dict[bool, tuple[Frames, Stack]] = {}

    def weights(self, pipeline: Pipeline, given: Any) -> Any:
        """The weights of the tasks that are there: the pipeline's own before those `given` to merge."""
        own = pipeline.weights
        chosen = given if own is None else own
        return chosen_weights(check_weights((1.0,) * self.total if chosen is None else chosen, self.total), self.tasks)

    def out_dtype(self, given: Any) -> Any:
        """The dtype of a result."""
        xp, B = array_namespace(self.factors[0][0]), [X for u in self.present for X in (u.B, u.A)]
        return arrays.promoted(xp, B) if given is None else arrays.named_dtype(xp, given)

    def encoded(self, pipeline: Pipeline) -> tuple[Frames, Stack]:
        """Frames, and every task in them, of weights 1.

        An orthogonally equivariant pipeline gives the same ΔW in every lossless pair of frames once its sizes are fixed
        (equivariance theorem). So any frame of the span will do, full space runs in the core's small frames, and where
        derivatives of the factors are asked for, which leave the span, the frames are identities.
        """
        if any(arrays.differentiates(X) for u in self.present for X in (u.B, u.A, u.scale)):
            return self._differentiable(pipeline)
        free = pipeline.equivariance == ORTHOGONAL
        if free not in self._encoded:
            refusal = _no_derivative(pipeline, self.space)
            constant = [
                (arrays.without_derivative(B, refusal), arrays.without_derivative(A, refusal)) for B, A in self.factors
            ]
            self._encoded[free] = self._in_frames(self._frames(constant, free))
        return self._encoded[free]

    def _differentiable(self, pipeline: Pipeline) -> tuple[Frames, Stack]:
        free = pipeline.equivariance == ORTHOGONAL and self.space.isometric
        if not (free or isinstance(self.space, Full)) or not pipeline.differentiable:
            raise ParameterError(_no_derivative(pipeline, self.space))
        constant = [(arrays.detached(B), arrays.detached(A)) for B, A in self.factors]
        sizes = self._frames(constant, free)
        return self._in_frames(replace(Full().frames(self.factors), rows=sizes.rows, cols=sizes.cols))

    def _frames(self, factors: Factors, any_frame: bool) -> Frames:
        with arrays.overflow_checked():
            try:
                return self.space.frames(factors, any_frame)
            except (ValueError, RuntimeError, ArithmeticError):  # decompositions refuse what overflowed on the way
                for B, A in factors:
                    b, a = linalg.norm(B), linalg.norm(A)
                    arrays.check_finite(b * a, _beyond(B))
                    there = (b > 0) & (a > 0)
                    if bool(array_namespace(b).any(there & (b * a < arrays.smallest_normal(b.dtype)))):
                        raise arrays.out_of_range(B, "product B A") from None  # and what divides by it overflows
                raise

    def _in_frames(self, frames: Frames) -> tuple[Frames, Stack]:
        with arrays.overflow_checked():
            products = frames.products()
            M = _multiplied(products)
            level = arrays.detached(frames.rounding_levels())  # (T, …)
            rows, cols = (None if x is None else arrays.detached(x) for x in frames.entry_shares())
            there = level > 0
            least = arrays.smallest_normal(level.dtype) / array_namespace(level).where(there, level, 1.0)
            lost = arrays.detached(frames.underflows())
        self.check_products(M, level, lost)
        ones = (1.0,) * len(products)
        cache = Products(M, products, graded=frames.sigma is not None)
        return frames, Stack(
            M, level, frames.rows, frames.cols, ones, self.tasks, self.names, cache, (rows, cols, least)
        )

    def check_products(self, M: Array, level: Array, lost: Array) -> None:
        """NonFiniteError where a product in M (T, …, p, q), or its level (T, …), has left the range of its dtype, or is
        `lost` (T, …) in it."""
        xp = array_namespace(level)
        inside, finite, there = arrays.look(arrays.in_range(M), xp.all(xp.isfinite(level)), ~xp.any(lost))
        if not (inside and there):
            raise arrays.out_of_range(M, "product B A")
        if not finite:
            arrays.check_finite(level, _beyond(level))

    def summed(self, coefficients: Any) -> Update:
        """Σ c_t ΔW_t without any frame: factors side by side, or the dense sum where that is smaller."""
        xp = array_namespace(self.factors[0][0])
        c = as_array(coefficients, self.factors[0][0])
        (m, n), R = self.present[0].shape[-2:], sum(u.rank for u in self.present)
        with arrays.overflow_checked():
            scaled = [(c[t] * B, A) for t, (B, A) in enumerate(self.factors)]
            if 0 < R <= min(m, n):
                B, A = xp.concat([B for B, _ in scaled], axis=-1), xp.concat([A for _, A in scaled], axis=-2)
                b, a = arrays.detached(B), arrays.detached(A)
                most = linalg.largest(b) * linalg.largest(a) * float(R * max(m, n))  # at least ‖B‖ ‖A‖, and cheaper
                if not arrays.is_finite(most):
                    arrays.check_finite(linalg.norm(b) * linalg.norm(a), _beyond(B))
                return LowRankUpdate(B, A)
            dense = sum((B @ A for B, A in scaled[1:]), scaled[0][0] @ scaled[0][1])
        arrays.check_range(dense, "product B A, summed")
        eye = arrays.identity(dense, min(m, n))
        return LowRankUpdate(eye, dense) if m <= n else LowRankUpdate(dense, eye)


def _multiplied(products: Sequence[tuple[Array, Array]]) -> Array:
    """M (T, …, p, q) of T products (…, p, r_t), (…, r_t, q): one product where all r_t are equal."""
    xp = array_namespace(*products[0])
    if len({left.shape[-1] for left, _ in products}) > 1:
        return xp.stack([left @ right for left, right in products])
    return xp.stack([left for left, _ in products]) @ xp.stack([right for _, right in products])


def _beyond(array: Array) -> str:
    return f"product B A in {arrays.dtype_name(array.dtype)}, whose range it leaves; scale the factors down"


def _no_derivative(pipeline: Pipeline, space: Space) -> str:
    return (
        f"gradients of the factors through {str(pipeline)!r} in {space.name} space: expected an orthogonally "
        "equivariant method in a lossless space, or full space, since other frames move with the factors; and no jit "
        "around the merge that is differentiated; detach the factors, or differentiate weights and scale alone"
    )


def layer_names(names: Sequence[str] | None, batch: tuple[int, ...]) -> tuple[str, ...]:
    """One name for each layer of the batch, in row-major order."""
    layers = math.prod(batch)
    if names is None:
        return tuple(str(i) for i in range(layers)) if batch else ("",)
    if isinstance(names, str) or len(names) != layers:
        raise ShapeError(f"names: expected {layers}, one for each layer of the batch {batch}, got {names!r}")
    return tuple(names)
