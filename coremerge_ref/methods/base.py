"""What the file of a method imports: the base class of stages, their kinds, and what `compare` is told to search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from coremerge_ref.core.registering import register
from coremerge_ref.core.stages import (
    BOTH,
    EQUIVARIANCES,
    MERGE,
    ORTHOGONAL,
    POST,
    SIGNED_PERMUTATION,
    TRANSFORM,
    UNKNOWN,
    Stage,
)

Grid = Mapping[str, Mapping[str, Sequence[Any]]]  # stage → parameter → values

# Where `compare` looks: once, for what is one ΔW in every space; in spaces of every size, for what depends on sizes
# alone; in every space and basis.
ONE_SPACE, EVERY_SIZE, EVERY_SPACE = "one space", "every size", "every space"

# common values on `compare`'s grids
DENSITIES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
DROPS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9)
RANKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)


@dataclass(frozen=True)
class Search:
    """What `compare` tries of a method: a pipeline and the values of its parameters, every combination of them.

    grid: searched everywhere; choices: where the grid comes close, with all dialects. spaces: one of the three above.
    linear: a (stage, parameter) that the merge is linear in, solved for like the scale. ranks: grid parameters that
    stop at the largest rank of a task.
    """

    method: str
    grid: Grid = field(default_factory=dict)
    choices: Grid = field(default_factory=dict)
    spaces: str = EVERY_SPACE
    linear: tuple[str, str] | None = None
    ranks: tuple[str, ...] = ()


__all__ = [
    "BOTH",
    "DENSITIES",
    "DROPS",
    "EQUIVARIANCES",
    "EVERY_SIZE",
    "EVERY_SPACE",
    "MERGE",
    "ONE_SPACE",
    "ORTHOGONAL",
    "POST",
    "RANKS",
    "SIGNED_PERMUTATION",
    "TRANSFORM",
    "UNKNOWN",
    "Grid",
    "Search",
    "Stage",
    "register",
]
