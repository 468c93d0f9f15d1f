"""How far a merge really moves: at worst, to first order, and under given changes of its inputs."""

from collections.abc import Callable, Sequence

import numpy as np

import coremerge_ref as cm

Pairs = list[tuple[np.ndarray, np.ndarray]]
Merge = Callable[[Pairs], np.ndarray]


def merged(method: object, space: object, weights: Sequence[float] | None = None, **options: object) -> Merge:
    """A function of the factors that merges them densely."""

    def merge(pairs: Pairs) -> np.ndarray:
        batch = pairs[0][0].shape[:-2]
        names = [""] * batch[0] if batch else None  # masks are those of one layer, however often it is merged
        return np.asarray(
            cm.merge(pairs, method, space, weights=weights, names=names, **options).to_dense(), np.float64
        )

    return merge


def changed(pairs: Pairs, eta: float, rng: np.random.Generator) -> Pairs:
    """Every entry of every factor changed at random by at most eta of itself, as rounding does."""
    return [tuple(X * (1 + eta * rng.uniform(-1, 1, X.shape)) for X in pair) for pair in pairs]  # type: ignore[misc]


def worst(merge: Merge, pairs: Pairs, step: float = 1e-6, starts: int = 3) -> float:
    """Largest relative change of the result per relative change of every entry, to first order.

    The derivative by central differences, then for each start a climb: given the direction y that the result moves in,
    every entry moves by its size, up or down, as ⟨y, result⟩ has it.
    """
    blocks = [X for pair in pairs for X in pair]
    entries = [(at, place) for at, X in enumerate(blocks) for place in np.ndindex(X.shape) if X[place]]

    def moved(factor: float) -> np.ndarray:
        """The results (entries, m, n) for one entry times `factor` each: a batch of layers."""
        batch = [np.repeat(X[None], len(entries), axis=0) for X in blocks]
        for i, (at, place) in enumerate(entries):
            batch[at][(i, *place)] *= factor
        return merge(list(zip(batch[::2], batch[1::2], strict=True)))

    J = ((moved(1 + step) - moved(1 - step)) / (2 * step)).reshape(len(entries), -1).T
    rng, best = np.random.default_rng(0), 0.0
    for _ in range(starts):
        y = rng.standard_normal(len(J))
        for _ in range(50):
            y = J @ np.sign(J.T @ y)
        best = max(best, float(np.linalg.norm(y)))
    return best / float(np.linalg.norm(merge(pairs)))
