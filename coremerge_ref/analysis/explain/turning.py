"""How far errors turn the singular vectors of a frame: where possible, for all layers of a group at once."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from coremerge_ref.core import linalg
from coremerge_ref.perturbation.carried import Level
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


def turning(S: np.ndarray, error: np.ndarray, own: np.ndarray, within: np.ndarray | float = 0.0) -> Turn:
    """The turn by errors of norm `error` (…), in two parts: ‖E v_i‖ at most own_i (…, n) of one, and ‖u_iᵀ E‖ at most
    within_i (…, n) of another, which stays within the span; none is wider than 2.

    |K_ij| is at most error · coupling and (σ_i (own_i + within_j) + σ_j (own_j + within_i)) / |σ_i² − σ_j²|, ‖K‖ at
    most √2 error times the largest coupling, and what leaves the span at most own_i / σ_i.
    """
    error, n = np.asarray(error), S.shape[-1]
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        C = coupling(S[..., :, None], S[..., None, :])
        whole = inside = np.minimum(safely(error[..., None, None], C), 2.0)
        if n:
            share = S / S[..., :1]
            each = share * own
            crossed = share[..., :, None] * np.broadcast_to(within, own.shape)[..., None, :]
            total = each[..., :, None] + each[..., None, :] + crossed + np.swapaxes(crossed, -1, -2)
            both = np.hypot(share[..., :, None], share[..., None, :])
            inside = np.minimum(inside, safely(total / both, C))
        outside = np.minimum(safely(own, 1 / np.abs(S)), 2.0)
        nearest = np.max(C[..., np.arange(1, n), np.arange(n - 1)], axis=-1, initial=0.0)
        most = safely(2**0.5 * error, nearest)
    apart = ~np.eye(n, dtype=bool)
    inside, whole = np.where(apart, inside, 0.0), np.where(apart, whole, 0.0)
    return Turn(inside, whole.max(axis=-1, initial=0.0), most, outside)


@dataclass(frozen=True, eq=False)
class Alike:
    """One side of all layers of a group whose stacks are of factors: coordinates (…, p, r_t) and norms (…, r_t) of each
    task, singular values S (…, p), live sizes (…). Layers of one live size are turned at once by errors of one level.
    """

    coordinates: list[np.ndarray]
    norms: list[np.ndarray]
    S: np.ndarray
    live: np.ndarray
    turns: dict[Any, tuple[np.ndarray, Turn]] = field(default_factory=dict)

    def turn(self, level: Level, at: tuple[int, ...]) -> Turn:
        """That of the layer `at`."""
        key = level, int(self.live[at])
        if key not in self.turns:
            self.turns[key] = self._turn(*key)
        numbers, turn = self.turns[key]
        return Turn(*(part[numbers[at]] for part in turn))

    def _turn(self, level: Level, live: int) -> tuple[np.ndarray, Turn]:
        """(the layers' places among those of that live size (…), their turns)."""
        which = self.live == live
        S, tasks = self.S[which][:, :live], list(zip(self.coordinates, self.norms, strict=True))
        together = np.asarray(linalg.norm(np.concatenate(self.norms, axis=-1)[which][..., None]))
        error = max(level.size, level.decomposed) * together
        own = np.broadcast_to(error[:, None], S.shape)
        if level.name != "compute":
            parts = [(np.abs(C[which]) @ x[which][..., None])[:, :live, 0] for C, x in tasks]
            with np.errstate(divide="ignore", invalid="ignore"):
                own = np.minimum(level.size * sum(parts) / S, own)
        return np.cumsum(which).reshape(which.shape) - 1, turning(S, error, own)
