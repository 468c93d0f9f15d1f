"""How far a merge really moves: at worst, to first order, and under given changes of its inputs."""

from collections.abc import Callable, Sequence

import numpy as np

import coremerge_ref as cm

Pairs = list[tuple[np.ndarray, np.ndarray]]
Merge = Callable[[Pairs], np.ndarray]


def merged(method: object, space: object, weights: Sequence[float] | None = None, **options: object) -> Merge:
    """A function of the factors that merges them densely."""
    return lambda pairs: np.asarray(
        cm.merge(pairs, method, space, weights=weights, **options).to_dense(), dtype=np.float64
    )


def changed(pairs: Pairs, eta: float, rng: np.random.Generator) -> Pairs:
    """Every entry of every factor changed at random by at most eta of itself, as rounding does."""
    return [tuple(X * (1 + eta * rng.uniform(-1, 1, X.shape)) for X in pair) for pair in pairs]  # type: ignore[misc]


def worst(merge: Merge, pairs: Pairs, step: float = 1e-6, starts: int = 3) -> float:
    """Largest relative change of the result per relative change of every entry, to first order.

    The derivative by central differences, then for each start a climb: given the direction y that the result moves in,
    every entry moves by its size, up or down, as ⟨y, result⟩ has it.
    """
    blocks = [X for pair in pairs for X in pair]

    def result(at: int, E: np.ndarray) -> np.ndarray:
        moved = [X + E if i == at else X for i, X in enumerate(blocks)]
        return merge(list(zip(moved[::2], moved[1::2], strict=True)))

    columns = []
    for at, X in enumerate(blocks):
        for place in np.ndindex(X.shape):
            E = np.zeros(X.shape)
            E[place] = h = step * X[place]
            if h:
                columns.append((result(at, E) - result(at, -E)).ravel() / (2 * step))
    J = np.stack(columns, axis=1)
    rng, best = np.random.default_rng(0), 0.0
    for _ in range(starts):
        y = rng.standard_normal(len(J))
        for _ in range(50):
            y = J @ np.sign(J.T @ y)
        best = max(best, float(np.linalg.norm(y)))
    return best / float(np.linalg.norm(merge(pairs)))
