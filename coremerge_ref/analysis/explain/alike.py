"""Frames of all layers of a group, whose singular vectors turn at once."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from coremerge_ref.core import linalg
from coremerge_ref.perturbation.carried import Level
from coremerge_ref.perturbation.turning import Turn, owned, turning


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
        S = self.S[which][:, :live]
        together = np.asarray(linalg.norm(np.concatenate(self.norms, axis=-1)[which][..., None]))
        error = level.stacked * together
        own = np.broadcast_to(error[:, None], S.shape)
        if level.name != "compute":
            own = owned(level.size, [C[which] for C in self.coordinates], [x[which] for x in self.norms], S, error)
        return np.cumsum(which).reshape(which.shape) - 1, turning(S, error, own)
