"""What the file of a method imports: the base class of stages, their kinds and what they commute with."""

from coremerge_ref.core.stages import (
    EQUIVARIANCES,
    MERGE,
    ORTHOGONAL,
    POST,
    SIGNED_PERMUTATION,
    TRANSFORM,
    UNKNOWN,
    Stage,
    register,
)

__all__ = [
    "EQUIVARIANCES",
    "MERGE",
    "ORTHOGONAL",
    "POST",
    "SIGNED_PERMUTATION",
    "TRANSFORM",
    "UNKNOWN",
    "Stage",
    "register",
]
