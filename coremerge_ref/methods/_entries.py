"""What the elementwise methods share: which entries are largest, which are rounding, and what sign they have."""

from array_api_compat import array_namespace

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.stack import Stack

KEEPS, SCOPES = ("threshold", "exact"), ("tensor", "model")


def denoised(stack: Stack) -> Stack:
    """The stack with entries that are rounding of what they were computed from set to exactly zero."""
    xp = array_namespace(stack.M)
    return stack.with_entries(xp.where(xp.abs(stack.M) > stack.rounding_level[..., None, None], stack.M, 0.0))


def signs(total: Array, level: Array) -> Array:
    """Sign of each entry of `total` (…, p, q), 0 where it is within `level` (…)."""
    xp = array_namespace(total)
    return xp.where(xp.abs(total) > level[..., None, None], xp.sign(total), 0.0)


def largest(magnitude: Array, d: Array, fraction: float, keep: str, slack: Array, rounding: str = "floor") -> Array:
    """Which of `magnitude` (…, N) are kept: K = rounding(d · fraction) of d (…) live entries, the N − d others zeros.

    Zeros sort below all else, so the (d − K)-th smallest live one is the (N − K)-th smallest of all. Magnitudes closer
    to the cut than `slack`, broadcast against (…, N), are equal to it: which of two equal numbers rounding made the
    larger must not matter. Entries are thus intervals of width slack, each its own, and the cut is the smallest that
    its own entry may be.
    """
    xp = array_namespace(magnitude)
    magnitude, N = arrays.detached(magnitude), magnitude.shape[-1]
    K = arrays.rounded(d * fraction, rounding)
    if keep == "exact":
        order = xp.argsort(magnitude, descending=True)  # stable, the standard's default
        place = xp.argsort(order)  # the inverse permutation
        return place < xp.astype(K, place.dtype)[..., None]
    lowest, highest = magnitude - slack / 2, magnitude + slack / 2
    # where all are kept any place does for the cut, since it is not looked at
    cut = arrays.kth_smallest(lowest, xp.clip(N - K - 1, 0.0))
    return (highest >= cut) | (K >= d)[..., None]
