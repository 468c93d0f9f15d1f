"""Errors of the tasks' matrices on entering a space, and of the way back."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from coremerge_ref.analysis.explain.formulas import coupling, near, norm, safely
from coremerge_ref.analysis.explain.references import Factors, Reference, references
from coremerge_ref.analysis.explain.trace import Level, Trace
from coremerge_ref.core import linalg
from coremerge_ref.core.spaces import Frames
from coremerge_ref.core.stack import Stack


@dataclass(frozen=True, eq=False)
class Turn:
    """How far errors turn a frame: vector i into live vector j by mixing[i, j], out of the live span by leaving[i]."""

    mixing: np.ndarray
    leaving: np.ndarray

    def within(self, X: np.ndarray) -> np.ndarray:
        """Bounds on the entries of the change of X (…, p, q) whose rows are coordinates in this frame."""
        return safely_product(self.mixing, np.abs(X))

    def whole(self, X: np.ndarray) -> float:
        """Bound on the change of U X: what mixes and what leaves the span."""
        return norm(self.within(X)) + norm(safely(self.leaving[:, None], np.abs(X)))


def entered(
    level: Level, space: Any, frames: Frames, stack: Stack, factors: Factors, elementwise: bool
) -> tuple[Trace, dict[str, Turn]]:
    """The errors of every M_t in its space, and the turns of the frames that matter to what comes.

    With ‖δB_t‖ ≤ g ‖B_t‖ and ‖δA_t‖ ≤ g ‖A_t‖, g = eps · growth: ‖δM_t‖ ≤ g (‖B_t‖ ‖A_t‖₂ + ‖B_t‖₂ ‖A_t‖), entry
    (i, j) by g (‖B_t‖ ‖(A_t V)_j‖ + ‖(UᵀB_t)_i‖ ‖A_t‖). elementwise: something looks at entries, so the turns of the
    frames change the M_t, each frame vector by coupling(σ_i, σ_j) times the error of the stack; otherwise the result
    is the same in every basis of the spans, and they are left out.
    """
    g = level.size
    delta, entry = [], []
    for B, A in factors:
        rows = (
            np.linalg.norm(B if frames.U is None else frames.U.T @ B, axis=1) if B.size else np.zeros(len(stack.M[0]))
        )
        cols = np.linalg.norm(A if frames.V is None else A @ frames.V, axis=0)
        b, a = norm(B), norm(A)
        delta.append(g * (b * spectral(A) + spectral(B) * a))
        entry.append(g * (b * cols[None, :] + rows[:, None] * a))
    trace = Trace(
        level,
        (len(factors[0][0]), factors[0][1].shape[1]),
        np.asarray(delta),
        np.asarray(entry),
        np.asarray([min(B.shape[1], *stack.M.shape[1:]) for B, _ in factors]),
        stack.tasks,
        frames.U is not None or frames.V is not None,
        tuple(norm(B) * norm(A) for B, A in factors),
    )
    found: dict[str, Turn] = {}
    for side, reference in references(space, factors).items():
        found[side] = _turned(trace, side, reference, frames, space)
    if frames.sigma is not None:
        _divided(trace, frames.sigma, stack, found["left"])
    if not elementwise and frames.sigma is None:
        return trace, {}
    for side, turn in found.items():
        changes = turn.within(stack.M) if side == "left" else turn.within(stack.M.mT).mT
        trace.entry = trace.entry + changes
        trace.delta = trace.delta + np.asarray([norm(change) for change in changes])
        largest = norm(changes) / norm(stack.M) if norm(stack.M) else 0.0
        if elementwise and not largest < 1:
            _name_the_tie(trace, side, turn, stack, references(space, factors)[side], space)
    return trace, found


def _turned(trace: Trace, side: str, reference: Reference, frames: Frames, space: Any) -> Turn:
    """Turn of the frame of one side; notes spectrum, gaps and the cut at the numerical rank."""
    X = np.concatenate(reference.blocks, axis=1)
    width = int(frames.U.shape[1] if side == "left" else frames.V.shape[1])  # type: ignore[union-attr]
    live = int(frames.rows if side == "left" else frames.cols)
    S = np.zeros(width)
    values = np.linalg.svd(X, compute_uv=False) if X.size else np.zeros(0)
    S[: len(values)] = values[:width]
    error = norm(trace.delta) if reference.of_updates else trace.level.size * norm(X)
    lengths = np.linalg.norm(X, axis=0)
    units = X / np.where(lengths > 0, lengths, 1.0)
    balanced = np.linalg.svd(units, compute_uv=False) if X.size else np.zeros(0)
    cut = linalg.thresholds(X.dtype)[0] * (balanced[0] if len(balanced) else 0.0)
    slack = trace.level.size * X.shape[1] ** 0.5
    if reference.of_updates:  # directions are known up to the error of their task over their singular value
        turns = np.concatenate(
            [safely(np.asarray(d), 1 / s[s > 0]) for d, s in zip(trace.delta, _lengths(reference), strict=True)]
        )
        slack = float(np.linalg.norm(np.minimum(turns, 1.0)))
    trace.spectrum(space, f"{reference.what}, columns of norm 1", balanced, live, max(cut, 0.0))
    band = np.flatnonzero(near(balanced, cut, trace.level.beside(slack, cut)) & (balanced > 0))
    if live:
        dropped = float(balanced[live]) if live < len(balanced) else 0.0
        trace.margin(
            space,
            f"gap between kept and dropped singular values of {reference.what}",
            (balanced[live - 1] - dropped) / (balanced[0] or 1.0),
        )
    if len(band):
        trace.size_doubt = (
            f"singular value {band[0] + 1} of {reference.what} is {balanced[band[0]] / balanced[0]:.1e} of the "
            "largest, so the live size that its setting refers to is not determined"
        )
        if len(band) and dropped > slack:  # directions that count as zero and are not: what is lost of each task
            sizes = np.asarray(trace.sizes)
            trace.delta = trace.delta + dropped * sizes
            trace.entry = trace.entry + dropped * sizes[:, None, None]
    with np.errstate(over="ignore", divide="ignore"):
        mixing = np.minimum(safely(np.asarray(error), coupling(S[:, None], S[None, :])), 2.0)
        leaving = np.minimum(safely(np.asarray(error), 1 / S), 2.0) if live < trace.shape[side == "right"] else 0 * S
    mixing[np.arange(width), np.arange(width)] = 0.0
    mixing[live:, :] = mixing[:, live:] = leaving[live:] = 0.0
    return Turn(mixing, leaving)


def _lengths(reference: Reference) -> list[np.ndarray]:
    """Norms of the columns of each block."""
    return [np.linalg.norm(block, axis=0) for block in reference.blocks]


def _name_the_tie(trace: Trace, side: str, turn: Turn, stack: Stack, reference: Reference, space: Any) -> None:
    rows = np.linalg.norm(stack.M, axis=(0, 2) if side == "left" else (0, 1))
    places = np.unravel_index(np.argmax(turn.mixing * rows[None, :]), turn.mixing.shape)
    S = np.linalg.svd(np.concatenate(reference.blocks, axis=1), compute_uv=False)
    i, j = sorted(int(place) for place in places)
    trace.doubt(
        space,
        f"singular values {i + 1} and {j + 1} of {reference.what} differ by {(S[i] - S[j]) / S[0]:.1e} of "
        "the largest, so the basis whose entries are looked at is not determined",
    )


def _divided(trace: Trace, sigma: np.ndarray, stack: Stack, turn: Turn) -> None:
    """Rows divided by the singular values of the stack, as KnOTS has it unscaled: errors grow by 1 / σ_i."""
    live = sigma > 0
    inverse = np.where(live, 1 / np.where(live, sigma, 1.0), 0.0)
    moved = norm(trace.delta) * inverse[None, :, None] * np.abs(stack.M)
    trace.entry = trace.entry * inverse[None, :, None] + moved
    trace.delta = np.asarray([d * inverse.max() + norm(x) for d, x in zip(trace.delta, moved, strict=True)])


def left_space(trace: Trace, frames: Frames, M: np.ndarray, turned: dict[str, Turn]) -> float:
    """Bound on the error of U M Vᵀ: that of M, and the turns of both frames where they count."""
    total = float(trace.delta)
    if "left" in turned:
        total += turned["left"].whole(M)
    if "right" in turned:
        total += turned["right"].whole(M.T)
    return min(total, float(trace.delta) + 2 * norm(M) * len(turned))


def spectral(X: np.ndarray) -> float:
    """The largest singular value; 0 of an empty matrix."""
    return float(np.linalg.norm(X, 2)) if X.size else 0.0


def safely_product(C: np.ndarray, X: np.ndarray) -> np.ndarray:
    """C @ X for X (…, p, q)."""
    return C @ X
