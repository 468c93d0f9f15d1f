"""How far errors turn singular vectors, of one matrix or of many at once (Wedin 1972; Stewart and Sun 1990, V)."""

from typing import Any, NamedTuple

import numpy as np

from coremerge_ref.perturbation.theorems import coupling, safely


class Turn(NamedTuple):
    """What errors E make of the singular vectors of the values S (…, n).

    inside (…, n, n): bounds on K, which turns them within their span; widest (…, n): on its rows; most (…): on ‖K‖.
    outside (…, n): bounds on how far each leaves that span.
    """

    inside: np.ndarray
    widest: np.ndarray
    most: np.ndarray
    outside: np.ndarray


def turning(S: np.ndarray, error: np.ndarray, own: np.ndarray | None = None, within: np.ndarray | float = 0.0) -> Turn:
    """The turn by errors of norm `error` (…), S above 0 where more is known of them: in two parts, ‖E v_i‖ at most
    own_i (…, n) of one, and ‖u_iᵀ E‖ at most within_i (…, n) of another, which stays within the span. None is wider
    than 2.

    |K_ij| is at most error · coupling and (σ_i (own_i + within_j) + σ_j (own_j + within_i)) / |σ_i² − σ_j²|, ‖K‖ at
    most √2 error times the largest coupling, and what leaves the span at most own_i / σ_i.
    """
    error, n = np.asarray(error), S.shape[-1]
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        C = coupling(S[..., :, None], S[..., None, :])
        whole = inside = np.minimum(safely(error[..., None, None], C), 2.0)
        if own is None:
            own = np.broadcast_to(error[..., None], S.shape)
        elif n:
            share = S / S[..., :1]
            each = share * own
            crossed = share[..., :, None] * np.broadcast_to(within, own.shape)[..., None, :]
            total = each[..., :, None] + each[..., None, :] + crossed + np.swapaxes(crossed, -1, -2)
            both = np.hypot(share[..., :, None], share[..., None, :])
            inside = np.fmin(inside, safely(total / both, C))  # 0 / 0 of two values of zero, of which nothing is known
        outside = np.minimum(safely(own, 1 / np.abs(S)), 2.0)
        nearest = np.max(C[..., np.arange(1, n), np.arange(n - 1)], axis=-1, initial=0.0)
        most = safely(2**0.5 * error, nearest)
    apart = ~np.eye(n, dtype=bool)
    inside, whole = np.where(apart, inside, 0.0), np.where(apart, whole, 0.0)
    return Turn(inside, whole.max(axis=-1, initial=0.0), most, outside)


def owned(size: float, coordinates: list[np.ndarray], norms: list[np.ndarray], S: np.ndarray, error: np.ndarray) -> Any:
    """Bounds (…, n) on ‖E v_i‖, v_i the right singular vectors of a stack [U C_1 … U C_T] of the singular values S
    (…, n), the columns of its error E at most `size` of their norms (…, r_t), ‖E‖ at most error (…).

    Copies, and whatever depends on other columns, leave directions V⊥ out. Through them E turns u_i by E V⊥ (E V⊥)ᵀ u_i
    / σ_i², of second order, which counts as E v_i of ‖E V⊥‖² / σ_i, where a column has 1 − Σ_i v_i² of itself in V⊥.
    """
    n = S.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        V = [np.abs(C[..., :n, :]) / S[..., None] for C in coordinates]  # (…, n, r_t), row i is v_i
        own = size * sum((v @ x[..., None])[..., 0] for v, x in zip(V, norms, strict=True))
        if n < sum(x.shape[-1] for x in norms):
            rest = [x * np.sqrt(np.maximum(1 - np.sum(v * v, axis=-2), 0.0)) for v, x in zip(V, norms, strict=True)]
            left_out = size * np.hypot.reduce(np.concatenate(rest, axis=-1), axis=-1, keepdims=True)
            own = own + left_out * (left_out / S)
    return np.where(S > 0, np.minimum(own, error[..., None]), error[..., None])


def mixed(turn: Turn, M: np.ndarray) -> np.ndarray:
    """Bounds on the entries of K M (…, p, q): Σ_k |K_ik| |M_kj| and ‖K_i‖ ‖M_j‖ at most."""
    columns = np.hypot.reduce(M, axis=-2, keepdims=True)  # squares of entries may leave float64, or be nothing
    return np.asarray(np.minimum(turn.inside @ np.abs(M), turn.widest[:, None] * columns))
