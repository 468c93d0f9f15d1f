"""Core space by hand: reference bases, projection, reconstruction (paper, section 4)."""

from collections.abc import Sequence
from typing import Any

from array_api_compat import array_namespace

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.bases import How
from coremerge_ref.core.frames import Frames
from coremerge_ref.core.spaces import Core, Space, as_space
from coremerge_ref.core.updates import Update, as_updates


def reference_bases(
    updates: Sequence[Any],
    space: str | Space = "core",
    rank: str = linalg.NUMERICAL,
    compute_dtype: Any = "float64",
    basis: str = "paper",
    driver: str = "auto",
) -> Frames:
    """The frames U (…, m, p) and V (…, n, q) of `space` for these updates; the paper's reference bases by default.

    updates as in merge. In core space p = min(m, R), q = min(n, R), R = Σ r_t; null directions are zero columns. basis
    "tucker" takes the frames of the updates themselves instead. driver: see merge. Raises what merge raises.
    """
    chosen = Core(basis) if space == "core" else as_space(space)
    return chosen.frames(_factors(updates, compute_dtype), How(rank, driver))


def project(updates: Sequence[Any], bases: Frames, compute_dtype: Any = "float64") -> Array:
    """The stack M (T, …, p, q) of Uᵀ ΔW_t V, one matrix for each update that is there."""
    products = [bases.encode(B, A) for B, A in _factors(updates, compute_dtype)]
    return array_namespace(products[0][0]).stack([left @ right for left, right in products])


def reconstruct(M: Array, bases: Frames) -> Update:
    """U M Vᵀ of one matrix M (…, p, q): a LowRankUpdate of rank min(p, q) (DenseUpdate in full space)."""
    return bases.decode(bases.unscale(M, M[..., 0, 0])[0])


def _factors(updates: Sequence[Any], compute_dtype: Any) -> list[tuple[Array, Array]]:
    present = [update for update in as_updates(updates) if update is not None]
    xp = arrays.namespace_of(present[0].B)
    dtype = arrays.working_dtype(xp, compute_dtype, present[0].B)
    return [update.folded(dtype) for update in present]
