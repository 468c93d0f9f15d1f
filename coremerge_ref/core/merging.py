"""Merging: updates → frames → stages → frames → update, for one layer or a batch of layers of equal shape."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Literal, overload

from coremerge_ref.core import arrays
from coremerge_ref.core.arguments import explains_arguments
from coremerge_ref.core.arrays import AnyArray, Array, array_namespace
from coremerge_ref.core.casting import check_cast, narrowed
from coremerge_ref.core.encoding import Encoded
from coremerge_ref.core.frames import Frames
from coremerge_ref.core.inputs import as_updates
from coremerge_ref.core.method_names import MethodName
from coremerge_ref.core.pipeline import Method, Pipeline, as_pipeline
from coremerge_ref.core.spaces import Core, Knots, Space, as_space
from coremerge_ref.core.stack import Merged
from coremerge_ref.core.stages import Stage
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate, Update
from coremerge_ref.errors import ParameterError

# What a type checker sees of the arguments: a misspelt name is an error, and only some spaces promise factors. A
# pipeline that is no MethodName, or a name that is known at run time alone, is Pipeline.parse(name).
Updates = Sequence[LowRankUpdate | tuple[Array, Array] | list[AnyArray] | None]
TypedMethod = MethodName | Stage | Pipeline | list[Any] | tuple[Any, ...] | Callable[[Any], Any]
FactoredSpace = Literal["core", "knots"] | Core | Knots


@dataclass(frozen=True)
class Options:
    """What one merge of prepared updates needs beside the method; see merge."""

    scale: Any = 1.0
    weights: Any = None
    out_dtype: Any = None

    def __post_init__(self) -> None:
        if not arrays.is_number(self.scale):
            raise ParameterError(f"scale: expected a number, got {self.scale!r}")
        if not (
            math.isfinite(arrays.as_float(self.scale)) if isinstance(self.scale, Real) else arrays.is_finite(self.scale)
        ):
            raise ParameterError(f"scale: expected a finite number, got {self.scale!r}")


@overload
def merge(
    updates: Updates,
    method: TypedMethod = ...,
    space: FactoredSpace = ...,
    scale: Any = ...,
    weights: Any = ...,
    compute_dtype: Any = ...,
    out_dtype: Any = ...,
    names: Sequence[str] | None = ...,
) -> LowRankUpdate: ...
@overload
def merge(
    updates: Updates,
    method: TypedMethod = ...,
    space: str | Space = ...,
    scale: Any = ...,
    weights: Any = ...,
    compute_dtype: Any = ...,
    out_dtype: Any = ...,
    names: Sequence[str] | None = ...,
) -> Update: ...
@explains_arguments
@arrays.stays_beside
def merge(
    updates: Any,
    method: Any = "tsv",
    space: Any = "core",
    scale: Any = 1.0,
    weights: Any = None,
    compute_dtype: Any = "float64",
    out_dtype: Any = None,
    names: Sequence[str] | None = None,
) -> Any:
    """Merge T task updates of one layer, or of a batch of layers of equal shape, into one.

    Parameters
    ----------
    updates : sequence of LowRankUpdate or of pairs (B, A), B (…, m, r_t) and A (…, r_t, n), all of one array namespace
        and device; ranks may differ. None marks a task that has no such module: it counts as no task, but keeps its
        place among weights and masks.
    method : pipeline such as "tsv" or "dare+ties+iso", a stage object, a sequence of stages, a Pipeline, or a function
        of the stack of weighted matrices (T, …, p, q) that returns (…, p, q). A type checker takes the names that it
        knows; any other text is cm.Pipeline.parse(text) to it.
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

    >>> updates = [(np.eye(2), np.eye(2)), (np.eye(2), np.diag([1.0, 3.0]))]
    >>> cm.merge(updates, "ta", scale=0.5).to_dense()
    array([[1., 0.],
           [0., 2.]])
    >>> cm.merge(updates, "tsv").rank
    2
    """
    prepared = Prepared(as_updates(updates), as_space(space), compute_dtype, names)
    return prepared.merge(method, scale, weights, out_dtype)


class Prepared(Encoded):
    """Updates in a space: frames and core matrices, found once for many merges; `cm.prepare` makes it."""

    @explains_arguments
    @arrays.stays_beside
    def merge(
        self, method: Method | Pipeline = "tsv", scale: Any = 1.0, weights: Any = None, out_dtype: Any = None
    ) -> Update:
        """One merge of these updates; parameters, result and errors as for `coremerge_ref.merge`."""
        return merge_groups([self], as_pipeline(method), Options(scale, weights, out_dtype))[0]


def merge_groups(groups: Sequence[Encoded], pipeline: Pipeline, options: Options) -> list[Update]:
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
        try:
            finished = pipeline.finish(upright)
        except (ValueError, RuntimeError, ArithmeticError):  # as decompositions refuse what overflowed
            for item in (*merged, *upright):
                arrays.check_range(item.M, _MERGED)
            raise
    return [
        _finished(_decoded(item, [before.M, whole.M], frames, options.scale), out)
        for item, before, whole, (frames, _), out in zip(finished, merged, upright, encoded, outs, strict=True)
    ]


_MERGED = "the merged update"


def restored(item: Merged, frames: Frames) -> Merged:
    """The merged matrix in orthonormal frames again."""
    if frames.sigma is None:
        return item
    level = array_namespace(item.M).max(frames.sigma, axis=-1) * item.rounding_level
    return replace(item, M=frames.restore(item.M), rounding_level=level)


def _decoded(item: Merged, before: Sequence[Array], frames: Frames, scale: Any) -> Update:
    """The update in its frames, scaled; it, and what it was `before`, within the range of their dtype."""
    M = item.M
    if not (isinstance(scale, Real) and scale == 1):
        with arrays.overflow_checked():
            M = arrays.scalar(scale, M) * M
    what = _MERGED if M is item.M else "scale times the merged update"
    seen = [(X, _MERGED) for X in {id(X): X for X in before}.values() if X is not M] + [(M, what)]
    if not all(arrays.look(*[arrays.in_range(X) for X, _ in seen])):
        for X, where in seen:
            arrays.check_range(X, where)
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
