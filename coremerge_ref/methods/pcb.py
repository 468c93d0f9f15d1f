"""PCB: entries compete within their task and with the other tasks' (Du et al., 2024, arXiv 2410.02396)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from array_api_compat import array_namespace

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.methods._entries import denoised
from coremerge_ref.methods.base import MERGE, SIGNED_PERMUTATION, Search, Stage, register

EXTREMES = 0.0001  # share of a task's magnitudes that are clamped at either end


@register
@dataclass(frozen=True)
class Pcb(Stage):
    """Σ_t τ_t s_t / Σ_t s_t entry by entry, s_t in [0, 1] the score of an entry in its competition.

    τ_t is M_t with its magnitudes clamped to those at places int(d / 10⁴) and int(d (1 − 1 / 10⁴) − 1) from below, d
    live entries: below d = 10⁴ the largest becomes the second largest. A score is exp(T a²) · tanh(M_t Σ_j M_j), a
    being |τ_t| scaled to [0, 1] within its task; scores below the one at place int(d (1 − ratio)) are raised to it,
    and all scaled to [0, 1]. Where a task's scores are all equal, its nonzero entries score 1.

    tanh has a scale: PCB of c · M_t is not c times that of M_t. Each matrix by itself; the original takes the whole
    model as one.
    """

    ratio: float = 0.1
    name: ClassVar[str] = "pcb"
    kind: ClassVar[str] = MERGE
    commutes_with: ClassVar[str] = SIGNED_PERMUTATION
    source = "Du et al., 2024"
    searches = (Search("pcb", {"pcb": {"ratio": (0.01, 0.05, 0.1, 0.2, 0.3, 0.5)}}),)

    @property
    def expected_failures(self) -> Mapping[str, str]:
        """Of the checks of a method."""
        return {"check_scaling": "tanh has a scale"}

    def __post_init__(self) -> None:
        self.check_fraction("ratio")

    def apply(self, item: Stack) -> Merged:
        """The merged matrix."""
        stack, xp = denoised(item.weighted()), array_namespace(item.M)
        p, q = stack.M.shape[-2:]
        live = linalg.first(stack.rows, p)[..., :, None] & linalg.first(stack.cols, q)[..., None, :]
        live = xp.reshape(live, (*live.shape[:-2], -1))  # (…, N)
        M = xp.reshape(stack.M, (*stack.M.shape[:-2], -1))  # (T, …, N)
        d = stack.rows * stack.cols  # (…)
        size = xp.abs(M)
        lowest, highest = (_at(size, live, d, place) for place in (d * EXTREMES, d * (1 - EXTREMES) - 1))
        size = xp.where(live, xp.minimum(xp.maximum(size, lowest), highest), 0.0)
        together = xp.sum(M, axis=0)
        level = xp.max(stack.rounding_level, axis=0)[..., None]
        cross = xp.tanh(M * xp.where(xp.abs(together) > level, together, 0.0))
        score = xp.exp(stack.T * (_scaled(size, live, 0.0) ** 2 - 1)) * cross  # e^-T drops out, and no T is too large
        score = xp.maximum(score, _at(score, live, d, d * (1 - self.ratio)))
        nonzero = xp.astype(M != 0, M.dtype)
        score = xp.where(live, _scaled(score, live, nonzero), 0.0)
        total = xp.sum(score, axis=0)
        merged = xp.sum(arrays.sign(M) * size * score, axis=0) / xp.where(total > 0, total, 1.0)
        return stack.merged(xp.reshape(merged, stack.M.shape[1:]))


def _at(values: Array, live: Array, d: Array, place: Array) -> Array:
    """The value (T, …, 1) at the place int(place) (…) of the d live ones of `values` (T, …, N), ascending."""
    xp, N = array_namespace(values), values.shape[-1]
    last = xp.where(live, values, -float("inf"))  # dead ones sort before all others
    index = N - d + arrays.clipped(arrays.rounded(place, "floor"), 0.0)
    return arrays.kth_smallest(last, xp.broadcast_to(xp.minimum(index, xp.full_like(index, N - 1)), values.shape[:-1]))


def _scaled(values: Array, live: Array, where_equal: Any) -> Array:
    """`values` (T, …, N) with the least live one of each task 0 and the greatest 1."""
    xp = array_namespace(values)
    least = xp.min(xp.where(live, values, float("inf")), axis=-1, keepdims=True)
    most = xp.max(xp.where(live, values, -float("inf")), axis=-1, keepdims=True)
    return xp.where(most > least, (values - least) / xp.where(most > least, most - least, 1.0), where_equal)
