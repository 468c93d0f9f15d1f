"""Certificates: what floating-point code returned, bounded rigorously in ball arithmetic (the extra "exact").

Every float is a rational number, so bases, factors and merged updates go into the balls exactly; products of them are
enclosed with all rounding accounted for (FLINT's arb). The bounds hold for the numbers at hand, whatever code computed
them; they say nothing about how.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from coremerge_ref.core import arrays
from coremerge_ref.core.frames import Frames
from coremerge_ref.core.stack import check_weights
from coremerge_ref.core.updates import DenseUpdate, Update, as_updates
from coremerge_ref.errors import ParameterError, ShapeError


@dataclass(frozen=True)
class Certificate:
    """Rigorous upper bounds, Frobenius norms, which bound spectral norms too.

    left, right: ‖UᵀU − I‖ and ‖VᵀV − I‖ over the live columns; 0 for an identity frame. lossless: for each task that is
    there ‖ΔW_t − U Uᵀ ΔW_t V Vᵀ‖. sizes: ‖ΔW_t‖. merged: ‖merged − scale Σ w_t ΔW_t‖, None where nothing was given.
    bits: precision of the balls.
    """

    left: float
    right: float
    lossless: tuple[float, ...]
    sizes: tuple[float, ...]
    merged: float | None
    bits: int

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
) -> Certificate:
    """Bounds on how orthonormal `bases` are, how lossless for `updates`, and how exact a linear merge is.

    updates as in merge, one layer. bases: from reference_bases, or any Frames. merged: what merge returned for "ta"
    with these weights and scale; its own numbers are judged, after their rounding to its dtype. bits: working
    precision; more gives tighter bounds, none gives wrong ones.

    No m × n matrix is formed while updates stay in factors. Raises ParameterError where python-flint is missing,
    ShapeError for a batch, and what merge raises.
    """
    try:
        from flint import arb_mat, ctx
    except ImportError as error:
        raise ParameterError("certify: python-flint is not installed; pip install 'coremerge_ref[exact]'") from error
    given = as_updates(updates)
    present = [update for update in given if update is not None]
    w = check_weights(weights, len(given)) if weights is not None else (1.0,) * len(given)
    kept = [w[t] for t, update in enumerate(given) if update is not None]
    for update in (*present, *([merged] if merged is not None else [])):
        if len(update.shape) != 2:
            raise ShapeError(f"certify: expected one layer, (m, n), got shape {update.shape}; take it out of the batch")
    before, ctx.prec = ctx.prec, bits
    try:
        U, V = (_live(*side) for side in ((bases.U, bases.rows), (bases.V, bases.cols)))
        factors = [(_balls(_host(u.B)) * _ball(u.scale), _balls(_host(u.A))) for u in present]
        lossless = []
        for B, A in factors:
            PB = B if U is None else U * (U.transpose() * B)
            PA = A if V is None else (A * V) * V.transpose()
            lossless.append(_product_norm([(B - PB, A), (PB, A - PA)]))
        terms = [(B * _ball(scale) * _ball(x), A) for x, (B, A) in zip(kept, factors, strict=True)]
        return Certificate(
            _distance(U),
            _distance(V),
            tuple(lossless),
            tuple(_product_norm([pair]) for pair in factors),
            None if merged is None else _merge_error(merged, terms, arb_mat),
            bits,
        )
    finally:
        ctx.prec = before


def _merge_error(merged: Update, terms: list[tuple[Any, Any]], arb_mat: Any) -> float:
    """‖merged − Σ B A‖ over the terms."""
    if isinstance(merged, DenseUpdate):
        m, n = merged.shape
        exact = arb_mat(m, n)
        for B, A in terms:
            exact = exact + B * A
        return _norm(_balls(_host(merged.matrix)) - exact)
    own = (_balls(_host(merged.B)) * _ball(merged.scale), _balls(_host(merged.A)))
    return _product_norm([own, *((-1 * B, A) for B, A in terms)])


def _product_norm(pairs: list[tuple[Any, Any]]) -> float:
    """‖Σ X Y‖ from the traces tr(X_iᵀX_j Y_jY_iᵀ) of small matrices: the product itself is never formed."""
    from flint import arb

    total = arb(0)
    for i, (X, Y) in enumerate(pairs):
        for j, (Z, W) in enumerate(pairs[: i + 1]):
            gram, other = X.transpose() * Z, Y * W.transpose()  # ⟨X Y, Z W⟩ = Σ gram ∘ other
            inner = sum((a * b for a, b in zip(gram.entries(), other.entries(), strict=True)), arb(0))
            total += inner if i == j else 2 * inner
    return _upper_root(total)


def _distance(U: Any) -> float:
    """‖UᵀU − I‖."""
    if U is None:
        return 0.0
    from flint import arb_mat

    p = U.ncols()
    return _norm(U.transpose() * U - arb_mat(p, p, [int(i == j) for i in range(p) for j in range(p)]))


def _norm(X: Any) -> float:
    from flint import arb

    return _upper_root(sum((x * x for x in X.entries()), arb(0)))


def _upper_root(square: Any) -> float:
    """√ of the upper end of a ball, rounded up to a float."""
    from flint import arb

    top = square.upper()
    root = arb(top).sqrt().upper() if top > 0 else arb(0)
    value = float(root)
    return value if arb(value) >= root else float(np.nextafter(value, np.inf))


def _live(frame: Any, size: Any) -> Any:
    """The live columns as balls; None for an identity. ParameterError if a masked column is not zero."""
    if frame is None:
        return None
    host = _host(frame)
    live = int(size)
    if np.any(host[:, live:]):
        raise ParameterError(f"bases: expected columns from {live} on to be masked, zero, got others")
    return _balls(host[:, :live])


def _host(array: Any) -> np.ndarray:
    return arrays.to_host(array).astype(np.float64)


def _ball(value: Any) -> Any:
    from flint import arb

    return arb(float(arrays.to_host(value)) if hasattr(value, "shape") else float(value))


def _balls(X: np.ndarray) -> Any:
    """X (m, n) as balls of radius zero."""
    from flint import arb, arb_mat

    return arb_mat(X.shape[0], X.shape[1], [arb(x) for x in X.ravel().tolist()])
