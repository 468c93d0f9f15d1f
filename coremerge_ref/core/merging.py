"""Merging: updates → frames → stages → frames → update, for one layer or a batch of layers of equal shape."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from array_api_compat import array_namespace

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arguments import explains_arguments
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.pipeline import Method, Pipeline, as_pipeline
from coremerge_ref.core.spaces import Factors, Frames, Full, Space, as_space
from coremerge_ref.core.stack import Merged, Products, Stack, as_array, check_weights, chosen_weights
from coremerge_ref.core.stages import ORTHOGONAL
from coremerge_ref.core.updates import (
    DenseUpdate,
    LowRankUpdate,
    Update,
    as_updates,
    check_cast,
    folded_factors,
    narrowed,
)
from coremerge_ref.errors import ParameterError, ShapeError


@dataclass(frozen=True)
class Options:
    """What one merge of prepared updates needs beside the method; see merge."""

    scale: Any = 1.0
    weights: Any = None
    out_dtype: Any = None

    def __post_init__(self) -> None:
        if not arrays.is_number(self.scale):
            raise ParameterError(f"scale: expected a number, got {self.scale!r}")
        if not (math.isfinite(self.scale) if isinstance(self.scale, Real) else arrays.is_finite(self.scale)):
            raise ParameterError(f"scale: expected a finite number, got {self.scale!r}")


@explains_arguments
@arrays.stays_beside
def merge(
    updates: Sequence[Any],
    method: Method | Pipeline = "tsv",
    space: str | Space = "core",
    scale: Any = 1.0,
    weights: Any = None,
    compute_dtype: Any = "float64",
    out_dtype: Any = None,
    names: Sequence[str] | None = None,
) -> Update:
    """Merge T task updates of one layer, or of a batch of layers of equal shape, into one.

    Parameters
    ----------
    updates : sequence of LowRankUpdate or of pairs (B, A), B (…, m, r_t) and A (…, r_t, n), all of one array namespace
        and device; ranks may differ. None marks a task that has no such module: it counts as no task, but keeps its
        place among weights and masks.
    method : pipeline such as "tsv" or "dare+ties+iso", a stage object, a sequence of stages, a Pipeline, or a function
        of the stack of weighted matrices (T, …, p, q) that returns (…, p, q).
    space : "full", "knots", "core", or Full(), Knots(...), Core(...), Compressed(...).
    scale : α, multiplies the result: a number, or a 0-d array of the inputs' library.
    weights : one number a task, any sign, finite; all 1 by default. Numbers, or an array (T,) of the inputs' library.
    compute_dtype : "float64" or "float32", the dtype of all arithmetic.
    out_dtype : dtype of the result; the promoted dtype of the inputs by default.
    names : the layer names of the batch in row-major order, which key DARE's masks; "" or "0", "1", … by default.

    Returns
    -------
    LowRankUpdate, or DenseUpdate where the space does not stay in factors (full space with an elementwise stage), in
    the inputs' namespace and on their device. Its rank is at most min(p, q), Σ r_t for the scalar-weighted sums `ta`
    and `mean`, which are the same in every lossless space (paper, Eq. 13) and need none. `info` holds live sizes and
    ranks used.

    Gradients (torch, JAX) flow to weights and scale through every smooth method, and to the factors for orthogonally
    equivariant ones and in full space; the result of those is a DenseUpdate. ParameterError elsewhere.

    Raises ShapeError, DTypeError, NamespaceError, NonFiniteError and ParameterError, naming task and factor.
    """
    prepared = Prepared(as_updates(updates), as_space(space), compute_dtype, names)
    return prepared.merge(method, scale, weights, out_dtype)


class Prepared:
    """Updates in a space: frames and core matrices, found once for many merges; `cm.prepare` makes it."""

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

    @explains_arguments
    @arrays.stays_beside
    def merge(
        self, method: Method | Pipeline = "tsv", scale: Any = 1.0, weights: Any = None, out_dtype: Any = None
    ) -> Update:
        """One merge of these updates; parameters, result and errors as for `coremerge_ref.merge`."""
        return merge_groups([self], as_pipeline(method), Options(scale, weights, out_dtype))[0]

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
            constant = [
                tuple(arrays.without_derivative(X, _no_derivative(pipeline, self.space)) for X in pair)
                for pair in self.factors
            ]
            self._encoded[free] = self._in_frames(self._frames(constant, free))
        return self._encoded[free]

    def _differentiable(self, pipeline: Pipeline) -> tuple[Frames, Stack]:
        free = pipeline.equivariance == ORTHOGONAL and self.space.isometric
        if not (free or isinstance(self.space, Full)) or not pipeline.differentiable:
            raise ParameterError(_no_derivative(pipeline, self.space))
        constant = [tuple(arrays.detached(X) for X in pair) for pair in self.factors]
        sizes = self._frames(constant, free)
        return self._in_frames(replace(Full().frames(self.factors), rows=sizes.rows, cols=sizes.cols))

    def _frames(self, factors: Factors, any_frame: bool) -> Frames:
        with arrays.overflow_checked():
            try:
                return self.space.frames(factors, any_frame)
            except (ValueError, RuntimeError, ArithmeticError):  # decompositions refuse what overflowed on the way
                for B, A in factors:
                    arrays.check_finite(linalg.norm(B) * linalg.norm(A), _beyond(B))
                raise

    def _in_frames(self, frames: Frames) -> tuple[Frames, Stack]:
        xp = array_namespace(self.factors[0][0])
        with arrays.overflow_checked():
            products = frames.products()
            M = xp.stack([left @ right for left, right in products])  # (T, …, p, q)
            level = arrays.detached(frames.rounding_levels())  # (T, …)
        if not all(arrays.look(arrays.in_range(M), xp.all(xp.isfinite(level)))):
            arrays.check_range(M, "product B A")
            arrays.check_finite(level, _beyond(level))
        ones = (1.0,) * len(products)
        cache = Products(M, products)
        return frames, Stack(M, level, frames.rows, frames.cols, ones, self.tasks, self.names, cache)

    def summed(self, coefficients: Any) -> Update:
        """Σ c_t ΔW_t without any frame: factors side by side, or the dense sum where that is smaller."""
        xp = array_namespace(self.factors[0][0])
        c = as_array(coefficients, self.factors[0][0])
        (m, n), R = self.present[0].shape[-2:], sum(u.rank for u in self.present)
        with arrays.overflow_checked():
            scaled = [(c[t] * B, A) for t, (B, A) in enumerate(self.factors)]
            if 0 < R <= min(m, n):
                B, A = xp.concat([B for B, _ in scaled], axis=-1), xp.concat([A for _, A in scaled], axis=-2)
                arrays.check_finite(linalg.norm(arrays.detached(B)) * linalg.norm(arrays.detached(A)), _beyond(B))
                return LowRankUpdate(B, A)
            dense = sum((B @ A for B, A in scaled[1:]), scaled[0][0] @ scaled[0][1])
        arrays.check_range(dense, "product B A, summed")
        eye = arrays.identity(dense, min(m, n))
        return LowRankUpdate(eye, dense) if m <= n else LowRankUpdate(dense, eye)


def _beyond(array: Array) -> str:
    return f"product B A in {arrays.dtype_name(array.dtype)}, whose range it leaves; scale the factors down"


def _no_derivative(pipeline: Pipeline, space: Space) -> str:
    return (
        f"gradients of the factors through {str(pipeline)!r} in {space.name} space: expected an orthogonally "
        "equivariant method in a lossless space, or full space, since other frames move with the factors; and no jit "
        "around the merge that is differentiated; detach the factors, or differentiate weights and scale alone"
    )


def merge_groups(groups: Sequence[Prepared], pipeline: Pipeline, options: Options) -> list[Update]:
    """One merge a group of layers: thresholds over the whole model see all of them."""
    weights = [group.weights(pipeline, options.weights) for group in groups]
    outs = [group.out_dtype(options.out_dtype) for group in groups]
    if pipeline.linear and all(group.space.lossless for group in groups):
        sums = [group.summed(pipeline.coefficients(w)) for group, w in zip(groups, weights, strict=True)]
        return [_finished(_scaled(update, options.scale), out) for update, out in zip(sums, outs, strict=True)]
    encoded = [group.encoded(pipeline) for group in groups]
    stacks = [replace(stack, weights=w) for (_, stack), w in zip(encoded, weights, strict=True)]
    if not pipeline.differentiable and any(arrays.differentiates(w) for w in weights):
        raise ParameterError(f"gradients of the weights through {str(pipeline)!r}: null vectors have no derivative")
    with arrays.overflow_checked():
        merged = pipeline.merge(stacks)
        upright = [restored(item, frames) for item, (frames, _) in zip(merged, encoded, strict=True)]
        finished = pipeline.finish(upright)
    return [
        _finished(_decoded(item, frames, options.scale, seen=item is before), out)
        for item, before, (frames, _), out in zip(finished, upright, encoded, outs, strict=True)
    ]


def restored(item: Merged, frames: Frames) -> Merged:
    """The merged matrix in orthonormal frames again, within the range of its dtype."""
    arrays.check_range(item.M, "the merged update")
    if frames.sigma is None:
        return item
    level = array_namespace(item.M).max(frames.sigma, axis=-1) * item.rounding_level
    return replace(item, M=frames.restore(item.M), rounding_level=level)


def _decoded(item: Merged, frames: Frames, scale: Any, seen: bool) -> Update:
    """The update in its frames; `seen`: the item is known to be within the range of its dtype."""
    M = item.M
    if not (isinstance(scale, Real) and scale == 1):
        with arrays.overflow_checked():
            M, seen = arrays.scalar(scale, M) * M, False
    if not seen:
        arrays.check_range(M, "scale times the merged update")
    info = {"rows": item.rows, "cols": item.cols, **item.info}
    if frames.kept is not None:
        info["kept"] = frames.kept
    return replace(frames.decode(M), info=info)


def _scaled(update: Update, scale: Any) -> Update:
    B, A = update.B, update.A  # type: ignore[union-attr]
    with arrays.overflow_checked():
        return LowRankUpdate(arrays.scalar(scale, B) * B, A)


def _finished(update: Update, out: Any) -> Update:
    """The update in its output dtype, finite."""
    if isinstance(update, DenseUpdate):
        with arrays.overflow_checked():
            matrix = arrays.cast(update.matrix, out)
        check_cast([update.matrix], [matrix])
        return replace(update, matrix=matrix)
    B, A = update.B, update.A
    if arrays.dtype_name(out) == arrays.dtype_name(B.dtype):
        check_cast([B], [B])
        return update
    return LowRankUpdate(*narrowed([(B, A)], out)[0], info=update.info)


def layer_names(names: Sequence[str] | None, batch: tuple[int, ...]) -> tuple[str, ...]:
    """One name for each layer of the batch, in row-major order."""
    layers = math.prod(batch)
    if names is None:
        return tuple(str(i) for i in range(layers)) if batch else ("",)
    if isinstance(names, str) or len(names) != layers:
        raise ShapeError(f"names: expected {layers}, one for each layer of the batch {batch}, got {names!r}")
    return tuple(names)
