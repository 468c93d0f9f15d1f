"""Decom-Renorm-Merge: TIES-like merging of renormalized singular vectors (Chaichana et al., 2025, arXiv 2505.23117)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from array_api_compat import array_namespace

from coremerge_ref.core import linalg
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods._entries import largest, signs
from coremerge_ref.methods.base import DROPS, MERGE, SIGNED_PERMUTATION, Search, Stage, register


@register
@dataclass(frozen=True)
class Drm(Stage):
    """Decompose [M_1 … M_T] = U S [V_1 … V_T], renormalize the rows of each V_t, prune, elect signs, average.

    direction "horizontal" stacks side by side and merges rows of V_t; "vertical" is its mirror image. drop: share of
    the renormalized entries pruned, over all tasks together, threshold included (≥). rank_cut: singular values up to
    this fraction of the largest are cut. weights (the original's coefficients) multiply after the election; the mean
    is over agreeing entries.

    Departs from the original where that is undefined or skipped: a task without part in a direction gives zeros, not
    NaN, and drop=0 prunes nothing but still elects. Elementwise in one frame, so the result depends on the space's
    basis on that side.
    """

    direction: str = "horizontal"
    drop: float = 0.5
    rank_cut: float = 0.01
    weights: tuple[float, ...] | None = None
    name: ClassVar[str] = "drm"
    kind: ClassVar[str] = MERGE
    commutes_with: ClassVar[str] = SIGNED_PERMUTATION
    source = "Chaichana et al., 2025"
    searches = (Search("drm", {"drm": {"direction": ("horizontal", "vertical"), "drop": DROPS}}),)

    @property
    def expected_failures(self) -> Mapping[str, str]:
        """Of the checks of a method."""
        return {"check_single_precision": "entries closer to the cut than their row is known are equal to it"}

    def __post_init__(self) -> None:
        self.check_choice("direction", ("horizontal", "vertical"))
        self.check_share("drop")
        self.check_share("rank_cut")

    def apply(self, item: Stack) -> Merged:
        """The merged matrix; info["rank"] is the rank kept."""
        if self.direction == "horizontal":
            return self._horizontal(item)
        xp = array_namespace(item.M)
        mirrored = self._horizontal(
            replace(item.with_entries(xp.matrix_transpose(item.M)), rows=item.cols, cols=item.rows)
        )
        return replace(mirrored, M=xp.matrix_transpose(mirrored.M), rows=item.rows, cols=item.cols)

    def _horizontal(self, stack: Stack) -> Merged:
        xp = array_namespace(stack.M)
        level = xp.max(stack.rounding_level, axis=0)  # (…)
        U, S, _ = linalg.svd(xp.concat([stack.M[t, ...] for t in range(stack.T)], axis=-1))
        live = (S > self.rank_cut * S[..., :1]) & (S > level[..., None])  # (…, k)
        U = linalg.masked(U, live)
        rank = xp.sum(xp.astype(live, stack.cols.dtype), axis=-1)
        Y = xp.matrix_transpose(U) @ stack.M  # (T, …, k, q): rows s_tj V̂_tj
        length = linalg.norm(Y[..., None, :])  # (T, …, k)
        there = length > stack.rounding_level[..., None]
        unit = xp.where(there, length, 1.0)[..., None]
        V = xp.where(there[..., None], Y / unit, 0.0)
        # a row is known as well as its direction in U is, which the gap between singular values says
        turn = linalg.at_most_half_precision(level[..., None] / gaps(S), 0.0)  # (…, k)
        known = stack.rounding_level[..., None] + turn * linalg.norm(stack.M)[..., None]  # (T, …, k)
        slack = xp.broadcast_to(known[..., None] / unit, V.shape)
        cut = (rank * stack.cols * stack.T, 1 - self.drop, "threshold")
        kept = apart(largest(together(xp.abs(V)), *cut, together(slack), "round"), V.shape)
        values = xp.where(kept & (xp.abs(Y) > known[..., None]), Y, 0.0)
        sign = signs(xp.sum(values, axis=0), level)
        majority = xp.sign(xp.sum(sign, axis=(-2, -1), keepdims=True))
        sign = xp.where(sign == 0, majority, sign)
        agrees = xp.sign(values) == sign
        total = xp.sum(xp.where(agrees, stack.weigh() * values, 0.0), axis=0)
        count = xp.sum(xp.astype(agrees, values.dtype), axis=0)
        return stack.merged(U @ (total / xp.where(count > 0, count, 1.0)), rank=rank)


def gaps(S: Array) -> Array:
    """Distance (…, k) of each singular value to its nearest neighbour, 0 standing after the last; never zero."""
    xp = array_namespace(S)
    below = xp.concat([S[..., :-1] - S[..., 1:], S[..., -1:]], axis=-1)
    above = xp.concat([below[..., :1], below[..., :-1]], axis=-1)
    gap = xp.minimum(below, above)
    return xp.where(gap > 0, gap, float(xp.finfo(S.dtype).smallest_normal))


def together(V: Array) -> Array:
    """All tasks' entries (…, T·k·q) of V (T, …, k, q)."""
    xp = array_namespace(V)
    return xp.reshape(xp.moveaxis(V, 0, -3), (*V.shape[1:-2], -1))


def apart(flat: Array, shape: tuple[int, ...]) -> Array:
    """What together made of an array of `shape` (T, …, k, q), undone."""
    xp = array_namespace(flat)
    return xp.moveaxis(xp.reshape(flat, (*shape[1:-2], shape[0], *shape[-2:])), -3, 0)
