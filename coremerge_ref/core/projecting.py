"""The paper's steps one by one: reference bases (Def. 2), projection (Eq. 9), reconstruction."""

from collections.abc import Sequence
from typing import Any

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import AnyArray, Array, array_namespace
from coremerge_ref.core.frames import Frames
from coremerge_ref.core.inputs import as_updates, folded_factors
from coremerge_ref.core.spaces import Core, Space, as_space
from coremerge_ref.core.updates import Update
from coremerge_ref.errors import ShapeError


@arrays.stays_beside
def reference_bases(
    updates: Sequence[Any], space: str | Space = "core", compute_dtype: Any = "float64", basis: str = "paper"
) -> Frames:
    """Find the paper's reference bases (Def. 2), or the frames U (…, m, p) and V (…, n, q) of another `space`.

    updates as in merge. In core space p = min(m, R), q = min(n, R), R = Σ r_t; null directions are zero columns. basis
    "tucker" takes the frames of the updates themselves instead. Raises what merge raises.

    >>> updates = [(np.eye(2), np.eye(2)), (np.eye(2), np.diag([1.0, 3.0]))]
    >>> cm.reference_bases(updates).U.shape
    (2, 2)
    """
    chosen = Core(basis) if isinstance(space, str) and space == "core" else as_space(space)
    return chosen.frames(folded_factors(as_updates(updates), compute_dtype))


@arrays.stays_beside
def project(updates: Sequence[Any], bases: Frames, compute_dtype: Any = "float64") -> AnyArray:
    """Project updates onto frames: the core matrix Uᵀ ΔW_t V of each task (paper, Eq. 9), stacked, M (T, …, p, q).

    One matrix for each update that is there. Raises ShapeError where updates do not fit the frames.

    >>> updates = [(np.eye(2), np.eye(2)), (np.eye(2), np.diag([1.0, 3.0]))]
    >>> bases = cm.reference_bases(updates)
    >>> cm.project(updates, bases).shape
    (2, 2, 2)
    """
    factors = folded_factors(as_updates(updates), compute_dtype)
    B, A = factors[0]
    got = (B.shape[-2], A.shape[-1])
    frames = zip((bases.U, bases.V), got, strict=True)
    expected = tuple(size if frame is None else frame.shape[-2] for frame, size in frames)
    if expected != got:
        raise ShapeError(f"project: expected updates of shape (…, {expected[0]}, {expected[1]}) as bases, got {got}")
    return array_namespace(B).stack([bases.encode(B, A) for B, A in factors])


@arrays.stays_beside
def reconstruct(M: Array, bases: Frames) -> Update:
    """Reconstruct the update of one core matrix M (…, p, q): U M Vᵀ, in factors.

    A LowRankUpdate of rank min(p, q); in full space a DenseUpdate. Raises ShapeError where M does not fit the frames.

    >>> updates = [(np.eye(2), np.eye(2)), (np.eye(2), np.diag([1.0, 3.0]))]
    >>> bases = cm.reference_bases(updates)
    >>> M = cm.project(updates, bases)
    >>> (cm.reconstruct(M[1], bases).to_dense() + 0.0).round(6)
    array([[1., 0.],
           [0., 3.]])
    """
    expected = tuple(None if X is None else X.shape[-1] for X in (bases.U, bases.V))
    got = tuple(getattr(M, "shape", ()))[-2:]
    if len(got) != 2 or any(e is not None and e != g for e, g in zip(expected, got, strict=True)):
        raise ShapeError(f"reconstruct: expected a matrix (…, p, q) with p, q = {expected} of the bases, got {got}")
    return bases.decode(bases.restore(M))
