"""What the singular values of one update say: ranks, and what truncation loses."""

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from coremerge_ref.analysis.diagnostics.triplets import checked, length, triplets
from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array
from coremerge_ref.errors import ParameterError


@arrays.stays_beside
def numerical_rank(update: Any, rtol: float | None = None) -> Array:
    """How many singular values of ΔW are not rounding (…), as floating numbers; with rtol, those above rtol · σ_1.

    The update's numbers are taken as exact. A merged update that was rounded to float32 or less has directions of that
    rounding (about 1e-7 σ_1), and one whose tasks cancel has hardly anything else: merge with out_dtype="float64", or
    give an rtol for the former; for the latter compare its norm with those of the tasks.
    """
    if rtol is not None and not 0 <= rtol < 1:
        raise ParameterError(f"rtol: expected a number of at least 0 and below 1, or None, got {rtol!r}")
    S = triplets(*checked([update]))[1]
    xp = array_namespace(S)
    return xp.sum(xp.astype(S > (rtol or 0.0) * S[..., :1], S.dtype), axis=-1)


@arrays.stays_beside
def stable_rank(update: Any) -> Array:
    """How many directions carry an update, ‖ΔW‖_F² / ‖ΔW‖_2² (…): its rank where the spectrum is flat, else less.

    0 where ΔW = 0.
    """
    S = triplets(*checked([update]))[1]
    xp = array_namespace(S)
    return (length(S) / xp.where(S[..., 0] > 0, S[..., 0], 1.0)) ** 2


@dataclass(frozen=True, eq=False)
class Truncation:
    """What is lost by keeping k components, for k = 0 … s.

    error (…, s + 1): ‖ΔW − ΔW_k‖_F / ‖ΔW‖_F of the best rank-k approximation; 1 − error² is the share of the energy
    that is kept. kept: these k. fraction: k / size, which makes one and the same ΔW look different in spaces of
    different size.
    """

    kept: tuple[int, ...]
    fraction: tuple[float, ...]
    error: Array


@arrays.stays_beside
def truncation(update: Any, size: int | None = None) -> Truncation:
    """The truncation ablation of ΔW or of a core matrix (Eckart-Young), against components kept and against a fraction.

    size: what fractions are of, min(m, n) unless given. Errors are 0 throughout where ΔW = 0.
    """
    (one,) = checked([update])
    S = triplets(one)[1]
    xp = array_namespace(S)
    least = min(one.shape[-2:]) if size is None else size
    if not isinstance(least, int) or least < 1:
        raise ParameterError(f"size: expected an integer of at least 1, got {size!r}")
    kept = tuple(range(S.shape[-1] + 1))
    lost = xp.stack([length(S[..., k:]) for k in kept], axis=-1)
    return Truncation(kept, tuple(k / least for k in kept), lost / xp.where(lost[..., :1] > 0, lost[..., :1], 1.0))
