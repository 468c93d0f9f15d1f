"""Merging: updates → frames → stages → frames → update, for one layer or a batch of layers of equal shape."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.bases import How
from coremerge_ref.core.frames import Frames
from coremerge_ref.core.pipeline import Method, Pipeline, as_pipeline
from coremerge_ref.core.spaces import Core, Space, as_space
from coremerge_ref.core.stack import Merged, Stack, check_weights
from coremerge_ref.core.stages import ORTHOGONAL
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate, Update, as_updates
from coremerge_ref.errors import ParameterError, ShapeError


@dataclass(frozen=True)
class Options:
    """What merge and merge_adapters share beside the method and the space; see merge."""

    scale: float = 1.0
    weights: Sequence[float] | None = None
    rank: str = linalg.NUMERICAL
    compute_dtype: Any = "float64"
    out_dtype: Any = None
    driver: str = "auto"

    def __post_init__(self) -> None:
        if self.rank not in (linalg.NUMERICAL, linalg.FULL):
            raise ParameterError(f"rank: expected 'numerical' or 'full', got {self.rank!r}")
        if isinstance(self.scale, float | int) and not math.isfinite(self.scale):
            raise ParameterError(f"scale: expected a finite number, got {self.scale!r}")


@dataclass(frozen=True, eq=False)
class Prepared:
    """One group of layers in its space: frames, stack, and what the result's dtype will be."""

    frames: Frames
    stack: Stack
    out_dtype: Any


def merge(
    updates: Sequence[Any],
    method: Method | Pipeline = "tsv",
    space: str | Space = "core",
    scale: float = 1.0,
    weights: Sequence[float] | None = None,
    rank: str = linalg.NUMERICAL,
    compute_dtype: Any = "float64",
    out_dtype: Any = None,
    names: Sequence[str] | None = None,
    driver: str = "auto",
) -> Update:
    """Merge T task updates of one layer, or of a batch of layers of equal shape, into one.

    Parameters
    ----------
    updates : sequence of LowRankUpdate or of pairs (B, A), B (…, m, r_t) and A (…, r_t, n), all of one array namespace
        and device; ranks may differ. None marks a task that has no such module: it counts as no task, but keeps its
        place among weights and masks.
    method : pipeline such as "tsv" or "dare+ties+iso", a stage object, a sequence of stages, a Pipeline, or a function
        of the stack of weighted matrices (T, …, p, q) that returns (…, p, q).
    space : "full", "knots", "core", or Full(), Knots(...), Core(...).
    scale : α, multiplies the result.
    weights : one number a task, any sign, finite; all 1 by default.
    rank : "numerical" masks null directions; "full" keeps all min(m, R) as the paper's code does, for comparison only.
    compute_dtype : "float64" or "float32", the dtype of all arithmetic.
    out_dtype : dtype of the result; the promoted dtype of the inputs by default.
    names : the layer names of the batch in row-major order, which key DARE's masks; "" or "0", "1", … by default.

    driver : how orthonormal frames are computed: "cholesky" (Cholesky-QR2, which proves itself or falls back), "qr"
        (Householder), "svd" (of the stacks, the paper's way); "auto" is the quickest that is exact to rounding.

    Returns
    -------
    LowRankUpdate of rank at most min(p, q), or DenseUpdate where the space does not stay in factors (full space with an
    elementwise stage), in the inputs' namespace and on their device. `info` holds live sizes and ranks used.

    Raises ShapeError, DTypeError, NamespaceError, NonFiniteError and ParameterError, naming task and factor.
    """
    pipeline, options = as_pipeline(method), Options(scale, weights, rank, compute_dtype, out_dtype, driver)
    prepared = prepare(as_updates(updates), pipeline, as_space(space), options, names)
    return finish([prepared], pipeline, options)[0]


def prepare(
    checked: Sequence[LowRankUpdate | None],
    pipeline: Pipeline,
    space: Space,
    options: Options,
    names: Sequence[str] | None = None,
) -> Prepared:
    """Finds the frames of the space and encodes every task in them; the updates come from as_updates."""
    tasks = tuple(t for t, update in enumerate(checked) if update is not None)
    present: list[LowRankUpdate] = [update for update in checked if update is not None]
    given = check_weights(options.weights, len(checked)) if options.weights is not None else (1.0,) * len(checked)
    xp = arrays.namespace_of(present[0].B)
    dtype = arrays.working_dtype(xp, options.compute_dtype, present[0].B)
    factors = [update.folded(dtype) for update in present]
    with arrays.overflow_checked():
        try:
            frames = frames_for(factors, pipeline, space, options)
        except (ValueError, RuntimeError, ArithmeticError):  # decompositions refuse what overflowed on the way to them
            for B, A in factors:
                _check_range(linalg.norm(B) * linalg.norm(A), options.compute_dtype)
            raise
        products = frames.encode_known(factors)
    *batch, m, n = present[0].shape
    rtol = linalg.tolerance((m, n, sum(update.rank for update in present)), dtype, options.rank)
    with arrays.overflow_checked():
        sizes = frames.norms or [(linalg.norm(B), linalg.norm(A)) for B, A in factors]
        # the larger norm first: rtol times the smaller alone could underflow
        noise = xp.stack([rtol * xp.maximum(b, a) * xp.minimum(b, a) for b, a in sizes])  # (T, …)
        M = xp.stack([left @ right for left, right in products])  # (T, …, p, q)
    for values in (M, noise):
        _check_range(values, options.compute_dtype)
    if frames.sigma is not None:  # blocks of orthonormal rows: of norm at most 1 whatever they were computed from
        noise = xp.full_like(noise, rtol)
    stack = Stack(
        M,
        noise,
        frames.rows,
        frames.cols,
        rtol,
        tuple(given[t] for t in tasks),
        tasks,
        len(checked),
        layer_names(names, tuple(batch)),
        products,
    )
    factors_given = [factor for update in present for factor in (update.B, update.A)]
    out = arrays.promoted(xp, factors_given) if options.out_dtype is None else arrays.named_dtype(xp, options.out_dtype)
    return Prepared(frames, stack, out)


def _check_range(values: Array, compute_dtype: Any) -> None:
    """NonFiniteError where finite factors have a product beyond the compute dtype, which would pass for rounding."""
    arrays.check_finite(values, f"product B A in {compute_dtype}, whose range it leaves; scale the factors down")


def frames_for(factors: Sequence[tuple[Array, Array]], pipeline: Pipeline, space: Space, options: Options) -> Frames:
    """The frames that the merge runs in.

    An orthogonally equivariant pipeline gives the same ΔW in every lossless pair of frames once its sizes are fixed
    (equivariance theorem). So any frame of the span will do, and full space runs in the core's small frames at the full
    space's size.
    """
    free = pipeline.equivariance == ORTHOGONAL and options.rank == linalg.NUMERICAL
    how = How(options.rank, options.driver, any_frame=free)
    frames = space.frames(factors, how)
    if free and frames.left is None and frames.right is None:
        return replace(Core().frames(factors, how), rows=frames.rows, cols=frames.cols)
    return frames


def finish(prepared: list[Prepared], pipeline: Pipeline, options: Options) -> list[Update]:
    """Runs the pipeline over all groups and decodes each result."""

    def restore(items: list[Merged]) -> list[Merged]:
        pairs = zip(items, prepared, strict=True)
        unscaled = [(item, *one.frames.unscale(item.M, item.noise)) for item, one in pairs]
        return [replace(item, M=M, noise=noise) for item, M, noise in unscaled]

    merged = pipeline.merge([one.stack for one in prepared], restore)
    return [_decode(item, one, options.scale) for item, one in zip(merged, prepared, strict=True)]


def _decode(merged: Merged, prepared: Prepared, scale: float) -> Update:
    update = prepared.frames.decode(scale * merged.M)
    info = {"rows": merged.rows, "cols": merged.cols, **merged.info}
    if isinstance(update, DenseUpdate):
        return DenseUpdate(arrays.cast(update.matrix, prepared.out_dtype), info)
    B, A = (arrays.cast(X, prepared.out_dtype) for X in (update.B, update.A))
    return LowRankUpdate(B, A, info=info)


def layer_names(names: Sequence[str] | None, batch: tuple[int, ...]) -> tuple[str, ...]:
    """One name for each layer of the batch, in row-major order."""
    layers = math.prod(batch)
    if names is None:
        return tuple(str(i) for i in range(layers)) if batch else ("",)
    if isinstance(names, str) or len(names) != layers:
        raise ShapeError(f"names: expected {layers}, one for each layer of the batch {batch}, got {names!r}")
    return tuple(names)
