"""How much of the task updates a space keeps, and how small it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coremerge_ref import project, reconstruct, reference_bases
from coremerge_ref.core.updates import LowRankUpdate

Layers = Mapping[str, Sequence[LowRankUpdate]]


@dataclass(frozen=True)
class Size:
    """Layers of one shape: the size m × n of ΔW and the live size p × q of a task's matrix in core space."""

    layers: int
    full: tuple[int, int]
    core: tuple[int, int]


def residual(layers: Layers, space: str) -> float:
    """The largest ‖U Uᵀ ΔW_t V Vᵀ − ΔW_t‖ / ‖ΔW_t‖ (Frobenius) of all layers and tasks, in float64."""
    return max(_residual(updates, space) for updates in layers.values())


def sizes(layers: Layers) -> list[Size]:
    """One Size for each combination of sizes that occurs."""
    found: dict[tuple[tuple[int, int], tuple[int, int]], int] = {}
    for updates in layers.values():
        bases = reference_bases(updates)
        m, n = updates[0].shape
        key = ((m, n), (int(bases.rows), int(bases.cols)))
        found[key] = found.get(key, 0) + 1
    return [Size(count, full, core) for (full, core), count in found.items()]


def _residual(updates: Sequence[LowRankUpdate], space: str) -> float:
    wide = [LowRankUpdate(*update.folded(np.float64)) for update in updates]
    bases = reference_bases(wide, space)
    kept = [reconstruct(M, bases).to_dense() for M in project(wide, bases)]
    pairs = [(update.to_dense(), back) for update, back in zip(wide, kept, strict=True)]
    return max(float(np.linalg.norm(back - delta) / np.linalg.norm(delta)) for delta, back in pairs)
