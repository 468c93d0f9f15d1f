"""What the elementwise methods share: which entries are largest, which are rounding, and what sign they have."""

from typing import Any

import numpy as np

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.stack import Stack
from coremerge_ref.errors import ShapeError

KEEPS, SCOPES = ("threshold", "exact"), ("tensor", "model")


def denoised(stack: Stack) -> Stack:
    """The stack with entries that are rounding of what they were computed from set to exactly zero."""
    xp = array_namespace(stack.M)
    return stack.with_entries(xp.where(xp.abs(stack.M) > stack.entry_level, stack.M, 0.0))


def signs(total: Array, level: Array) -> Array:
    """Sign of each entry of `total` (…, p, q), 0 where it is within `level`, broadcast against that."""
    xp = array_namespace(total)
    return xp.where(xp.abs(total) > level, arrays.sign(total), 0.0)


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
    cut = arrays.kth_smallest(lowest, arrays.clipped(N - K - 1, 0.0))
    return (highest >= cut) | (K >= d)[..., None]


def check_masks(stage: Any) -> None:
    """ParameterError unless the stage's `masks` are None or boolean."""
    boolean = stage.masks is None or "bool" in str(getattr(stage.masks, "dtype", ""))
    stage.check(boolean, "masks", "a boolean array (T, …, p, q), True where an entry is kept")


def drawn(stage: Any, stack: Stack, drop: Any) -> Array:
    """Boolean (T, …, p, q), True where an entry is kept: the stage's masks, or each dropped with probability `drop`.

    Drawn on the host from the stage's seed, layer name and task, so that one seed gives one result on every backend, in
    every batch grouping and order of layers. ShapeError for masks of another shape.
    """
    shape = tuple(stack.M.shape)
    if stage.masks is None:
        p, q = shape[-2:]
        keys = [(name, task) for task in stack.tasks for name in stack.names]
        numbers = np.stack([arrays.uniform_numbers(stage.seed, name, task, (p, q)) for name, task in keys])
        kept: Array = arrays.sizes(numbers.reshape(shape), stack.M) >= drop
        return kept
    got = tuple(getattr(stage.masks, "shape", ()))
    if got != shape:
        raise ShapeError(f"{stage.name}.masks: expected boolean {shape}, (T, …, p, q), got {got}")
    return arrays.from_host(stage.masks, stack.M)


def l1_factor(before: Array, after: Array) -> Array:
    """‖before‖₁ / ‖after‖₁ (T, …) of denoised matrices (T, …, p, q); 1 where nothing is left."""
    xp = array_namespace(before)
    whole, left = (xp.sum(xp.abs(M), axis=(-2, -1)) for M in (before, after))
    return xp.where(left > 0, whole / xp.where(left > 0, left, 1.0), 1.0)
