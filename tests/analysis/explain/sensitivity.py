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
    """Every factor changed at random by eta of its norm."""
    made = []
    for pair in pairs:
        noise = [rng.standard_normal(X.shape) for X in pair]
        made.append(
            tuple(
                X + eta * np.linalg.norm(X) * E / max(np.linalg.norm(E), 1e-300)
                for X, E in zip(pair, noise, strict=True)
            )
        )
    return made


def worst(merge: Merge, pairs: Pairs, step: float = 1e-6, starts: int = 3) -> float:
    """Largest relative change of the result per relative change of every factor, to first order.

    The derivative by central differences, then for each start a climb: given the direction y that the result moves in,
    the best change of each factor by itself is along the gradient of ⟨y, result⟩.
    """
    blocks = [X for pair in pairs for X in pair]
    sizes = [np.linalg.norm(X) for X in blocks]

    def result(at: int, E: np.ndarray) -> np.ndarray:
        moved = [X + E if i == at else X for i, X in enumerate(blocks)]
        return merge(list(zip(moved[::2], moved[1::2], strict=True)))

    derivatives = []
    for at, (X, size) in enumerate(zip(blocks, sizes, strict=True)):
        columns = []
        for place in range(X.size):
            E = np.zeros(X.size)
            E[place] = h = step * size
            E = E.reshape(X.shape)
            columns.append((result(at, E) - result(at, -E)).ravel() / (2 * h) * size)
        derivatives.append(np.stack(columns, axis=1))
    rng, best = np.random.default_rng(0), 0.0
    for _ in range(starts):
        y = rng.standard_normal(derivatives[0].shape[0])
        for _ in range(50):
            moves = [J @ (J.T @ y) / max(np.linalg.norm(J.T @ y), 1e-300) for J in derivatives]
            y = np.sum(moves, axis=0)
        best = max(best, float(np.linalg.norm(y)))
    return best / float(np.linalg.norm(merge(pairs)))
