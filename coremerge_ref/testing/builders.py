"""Updates with prescribed ranks, spectra, scales and degeneracies, from a few simple numbers and a seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

# B (…, m, r), A (…, r, n), s: the update s · B A
Factors: TypeAlias = tuple[np.ndarray, np.ndarray, float]

# What is special about the tasks beside their ranks. "generic": nothing. "duplicated": the last is the first again.
# "cancelling": the last is minus the first. "zero": B = 0 in the last. "empty": the last has rank 0. "deficient": the
# last lies in the row and column space of the first. "vera": one A and one B for all, up to diagonals.
KINDS = ("generic", "duplicated", "cancelling", "zero", "empty", "deficient", "vera")


@dataclass(frozen=True)
class Recipe:
    """T updates of shape (*batch, m, n), one for each number in `ranks` (each cut to min(m, n)).

    Task t is P_t diag(S) Q_tᵀ with P_t, Q_t random orthonormal and S from 1 down to 10^-decades, evenly in logarithm,
    factored at random: B = P √S G, A = G⁻¹ √S Qᵀ, G orthogonal times scalings between 1/2 and 2. `scales` (1 where
    missing) are the s_t. Kinds other than "generic" then replace the last task, see KINDS; they need two tasks, and
    with one change nothing.
    """

    m: int = 6
    n: int = 5
    ranks: tuple[int, ...] = (2, 2)
    decades: float = 1.0
    scales: tuple[float, ...] = ()
    kind: str = "generic"
    batch: tuple[int, ...] = ()
    seed: int = 0

    def build(self) -> list[Factors]:
        """The updates as (B, A, s), NumPy float64."""
        rng = np.random.default_rng(self.seed)
        layers = [self._layer(rng) for _ in range(int(np.prod(self.batch, dtype=int)))]
        scales = (*self.scales, *(1.0,) * len(self.ranks))
        return [
            (
                np.stack([layer[t][0] for layer in layers]).reshape(*self.batch, *layers[0][t][0].shape),
                np.stack([layer[t][1] for layer in layers]).reshape(*self.batch, *layers[0][t][1].shape),
                scales[t],
            )
            for t in range(len(self.ranks))
        ]

    @property
    def T(self) -> int:
        """How many tasks."""
        return len(self.ranks)

    def _layer(self, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
        made = [self._task(rng, min(r, self.m, self.n)) for r in self.ranks]
        (B, A), r = made[0], made[0][0].shape[-1]
        if self.kind == "vera":
            return [(rng.uniform(0.5, 1.5, (self.m, 1)) * B * rng.uniform(0.5, 1.5, r), A.copy()) for _ in self.ranks]
        if len(made) > 1:
            last: dict[str, tuple[np.ndarray, np.ndarray]] = {
                "generic": made[-1],
                "duplicated": (B.copy(), A.copy()),
                "cancelling": (-B, A.copy()),
                "zero": (0.0 * made[-1][0], made[-1][1]),
                "empty": (made[-1][0][:, :0], made[-1][1][:0]),
                "deficient": (B @ rng.standard_normal((r, r)), rng.standard_normal((r, r)) @ A),
            }
            made[-1] = last[self.kind]
        return made

    def _task(self, rng: np.random.Generator, r: int) -> tuple[np.ndarray, np.ndarray]:
        root = np.sqrt(np.logspace(0, -self.decades, r)) if r else np.ones(0)
        P, Q, G = orthonormal(rng, self.m, r), orthonormal(rng, self.n, r), orthonormal(rng, r, r)
        d = rng.uniform(0.5, 2.0, r)
        return (P * root) @ G * d, (G / d).T @ (root[:, None] * Q.T)


def orthonormal(rng: np.random.Generator, m: int, k: int) -> np.ndarray:
    """m × k with orthonormal columns, uniformly distributed; k ≤ m."""
    Q, R = np.linalg.qr(rng.standard_normal((m, k)))
    return Q * np.where(np.diag(R) < 0, -1.0, 1.0)


def dense(factors: Sequence[Factors]) -> np.ndarray:
    """The stack (T, …, m, n) of s_t B_t A_t, formed densely."""
    return np.stack([np.asarray(s)[..., None, None] * (B @ A) for B, A, s in factors])
