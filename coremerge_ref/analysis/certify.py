"""Certificates: what floating-point code returned, bounded rigorously in ball arithmetic (the extra "exact").

Every float is a rational number, so bases, factors and merged updates go into the balls exactly; products of them are
enclosed with all rounding accounted for (FLINT's arb). The bounds hold for the numbers at hand, whatever code computed
them; they say nothing about how. Nothing that is not finite is certified.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from coremerge_ref.analysis import balls
from coremerge_ref.analysis.verified import Pair, check_rules, surely_merged
from coremerge_ref.core import arrays
from coremerge_ref.core.frames import Frames
from coremerge_ref.core.inputs import as_updates
from coremerge_ref.core.pipeline import Method, Pipeline, as_pipeline
from coremerge_ref.core.stack import check_weights
from coremerge_ref.core.updates import DenseUpdate, LowRankUpdate, Update
from coremerge_ref.errors import NonFiniteError, ParameterError, ShapeError

LEAST_BITS, MOST_BITS = 64, 100_000


@dataclass(frozen=True)
class Certificate:
    """Rigorous upper bounds, Frobenius norms, which bound spectral norms too; every one is a finite number.

    left, right: ‖UᵀU − I‖ and ‖VᵀV − I‖ over the live columns; 0 for an identity frame. lossless: for each task that is
    there ‖ΔW_t − U Uᵀ ΔW_t V Vᵀ‖. sizes: ‖ΔW_t‖. merged: ‖merged − scale · method(ΔW_1 … ΔW_T)‖, None where nothing was
    given. method: the pipeline that `merged` is held against. bits: precision of the balls.
    """

    left: float
    right: float
    lossless: tuple[float, ...]
    sizes: tuple[float, ...]
    merged: float | None
    bits: int
    method: str = "ta"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def certify(
    updates: Sequence[Any],
    bases: Frames,
    merged: Update | None = None,
    weights: Sequence[float] | None = None,
    scale: float = 1.0,
    bits: int = 320,
    method: Method | Pipeline = "ta",
) -> Certificate:
    """Bounds on how orthonormal `bases` are, how lossless for `updates`, and how exact a merge is.

    updates as in merge, one layer. bases: from reference_bases, or any Frames; relative ranks refer to their live
    sizes. merged: what merge returned for `method` with these weights and scale; its own numbers are judged, after
    their rounding to its dtype. method: ta, mean, tsv, cart, iso_cts or karcher, and iso after any of them; zero is
    what it is in float64 arithmetic (specification, section 2). bits: working precision; more gives tighter bounds,
    none gives wrong ones.

    No m × n matrix is formed while updates stay in factors. Raises ParameterError where python-flint is missing, for
    an argument that is none, for a method that looks at entries, and where a singular value lies so near a cut that
    balls cannot tell; ShapeError for a batch and shapes that do not fit; NonFiniteError for NaN and infinity anywhere,
    and bounds beyond float64; and what merge raises.

    >>> updates = [(np.eye(4)[:, :2], np.ones((2, 3))), (np.eye(4)[:, 1:3], np.eye(2, 3))]
    >>> bounds = cm.certify(updates, cm.reference_bases(updates), cm.merge(updates, "ta"))
    >>> max(bounds.left, bounds.right, *bounds.lossless, bounds.merged) < 1e-14
    True
    """
    try:
        from flint import arb_mat, ctx
    except ImportError as error:
        raise ParameterError("certify: python-flint is not installed; pip install python-flint") from error
    present, w, pipeline = _checked(updates, bases, merged, weights, scale, bits, method)
    if merged is not None:
        check_rules(pipeline.stages)
    before, ctx.prec = ctx.prec, bits
    try:
        U, V = (_live(*side) for side in ((bases.U, bases.rows), (bases.V, bases.cols)))
        factors = [(_balls(_host(u.B)) * _scale(u), _balls(_host(u.A))) for u in present]
        lossless = []
        for B, A in factors:
            PB = B if U is None else U * (U.transpose() * B)
            PA = A if V is None else (A * V) * V.transpose()
            lossless.append(_product_norm([(B - PB, A), (PB, A - PA)]))
        right: list[Pair] = []
        if merged is not None:
            least = int(min(float(arrays.to_host(s)) if hasattr(s, "shape") else s for s in (bases.rows, bases.cols)))
            given = [(_host(u.B), _host(u.A)) for u in present]
            right = [(X * balls.exactly(scale), Y) for X, Y in surely_merged(given, factors, w, pipeline, least)]
        return Certificate(
            _distance(U),
            _distance(V),
            tuple(lossless),
            tuple(_product_norm([pair]) for pair in factors),
            None if merged is None else _merge_error(merged, right, arb_mat),
            bits,
            str(pipeline),
        )
    finally:
        ctx.prec = before


def _checked(
    updates: Sequence[Any],
    bases: Frames,
    merged: Update | None,
    weights: Sequence[float] | None,
    scale: float,
    bits: int,
    method: Method | Pipeline,
) -> tuple[list[LowRankUpdate], list[float], Pipeline]:
    """The updates that are there, their weights, and the pipeline; every argument looked at."""
    if not isinstance(bases, Frames):
        raise ParameterError(f"certify: bases: expected Frames, got {type(bases).__name__}; see reference_bases")
    if not (merged is None or isinstance(merged, LowRankUpdate | DenseUpdate)):
        raise ParameterError(f"certify: merged: expected what merge returns, got {type(merged).__name__}")
    if not isinstance(bits, int) or isinstance(bits, bool) or not LEAST_BITS <= bits <= MOST_BITS:
        raise ParameterError(f"certify: bits: expected an integer from {LEAST_BITS} to {MOST_BITS}, got {bits!r}")
    if not isinstance(scale, float | int | np.number) or not math.isfinite(arrays.as_float(scale)):
        raise ParameterError(f"certify: scale: expected a finite number, got {scale!r}")
    given, pipeline = as_updates(updates), as_pipeline(method)
    present = [update for update in given if update is not None]
    shape = present[0].shape
    for update in (*present, *([] if merged is None else [merged])):
        if len(update.shape) != 2:
            raise ShapeError(f"certify: expected one layer, (m, n), got shape {update.shape}; take it out of the batch")
        if update.shape != shape:
            raise ShapeError(f"certify: merged: expected shape {shape} as the updates have, got {update.shape}")
    for name, frame, size in (("U", bases.U, shape[0]), ("V", bases.V, shape[1])):
        if frame is not None and (frame.ndim != 2 or frame.shape[0] != size):
            raise ShapeError(f"certify: bases.{name}: expected {size} rows, got shape {tuple(frame.shape)}")
    own = getattr(next(stage for stage in pipeline.stages if stage.kind == "merge"), "weights", None)
    chosen = weights if own is None else own
    w = check_weights(chosen, len(given)) if chosen is not None else (1.0,) * len(given)
    return present, [float(w[t]) for t, update in enumerate(given) if update is not None], pipeline


def _merge_error(merged: Update, terms: list[Pair], arb_mat: Any) -> float:
    """‖merged − Σ X Y‖ over the terms."""
    if isinstance(merged, DenseUpdate):
        m, n = merged.shape
        exact = arb_mat(m, n)
        for B, A in terms:
            exact = exact + B * A
        return _upper(balls.frobenius(_balls(_host(merged.matrix)) - exact))
    own = (_balls(_host(merged.B)) * _scale(merged), _balls(_host(merged.A)))
    return _product_norm([own, *((-1 * B, A) for B, A in terms)])


def _product_norm(pairs: list[Pair]) -> float:
    """‖Σ X Y‖ from the traces tr(X_iᵀX_j Y_jY_iᵀ) of small matrices: the product itself is never formed."""
    from flint import arb

    total = arb(0)
    for i, (X, Y) in enumerate(pairs):
        for j, (Z, W) in enumerate(pairs[: i + 1]):
            gram, other = X.transpose() * Z, Y * W.transpose()  # ⟨X Y, Z W⟩ = Σ gram ∘ other
            inner = sum((a * b for a, b in zip(gram.entries(), other.entries(), strict=True)), arb(0))
            total += inner if i == j else 2 * inner
    return _upper(total.nonnegative_part().sqrt())


def _distance(U: Any) -> float:
    """‖UᵀU − I‖."""
    return 0.0 if U is None else _upper(balls.frobenius(U.transpose() * U - balls.eye(U.ncols())))


def _upper(ball: Any) -> float:
    """The upper end of a ball, rounded up to a float; NonFiniteError where there is none."""
    from flint import arb

    top = ball.upper()
    value = float(top) if top.is_finite() else math.nan
    if math.isfinite(value) and arb(value) < top:
        value = float(np.nextafter(value, np.inf))
    if not math.isfinite(value):
        raise NonFiniteError(f"certify: expected a bound within float64, got {top}; scale the factors down")
    return value


def _live(frame: Any, size: Any) -> Any:
    """The live columns as balls; None for an identity. ParameterError if a masked column is not zero."""
    if frame is None:
        return None
    host, live = _host(frame), float(arrays.to_host(size) if hasattr(size, "shape") else size)
    if not (live.is_integer() and 0 <= live <= host.shape[1]):
        raise ParameterError(f"bases: expected a live size from 0 to {host.shape[1]}, got {live:g}")
    if np.any(host[:, int(live) :]):
        raise ParameterError(f"bases: expected columns from {int(live)} on to be masked, zero, got others")
    return _balls(host[:, : int(live)])


def _host(array: Any) -> np.ndarray:
    """The numbers (m, n), exactly; NonFiniteError for NaN and infinity."""
    arrays.check_real_floating(array, "certify")
    host = arrays.to_host(array).astype(np.float64)
    if not np.isfinite(host).all():
        raise NonFiniteError("certify: expected finite numbers in updates, bases and merged, got NaN or infinity")
    return host


def _scale(update: LowRankUpdate) -> Any:
    """Its scale as a ball; NonFiniteError for NaN and infinity."""
    value = float(arrays.to_host(update.scale) if hasattr(update.scale, "shape") else update.scale)
    if not math.isfinite(value):
        raise NonFiniteError(f"certify: scale of an update: expected a finite number, got {value}")
    return balls.exactly(value)


def _balls(X: np.ndarray) -> Any:
    """X (m, n) as balls of radius zero."""
    from flint import arb, arb_mat

    return arb_mat(X.shape[0], X.shape[1], [arb(x) for x in X.ravel().tolist()])
