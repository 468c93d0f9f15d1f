"""Trimming: keep the entries of each task's matrix that are largest in magnitude."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array
from coremerge_ref.core.stack import Stack
from coremerge_ref.methods._entries import KEEPS, SCOPES, denoised, largest
from coremerge_ref.methods.base import DENSITIES, SIGNED_PERMUTATION, TRANSFORM, Search, Stage, register


@register
@dataclass(frozen=True)
class Trim(Stage):
    """Keep the K = int(d · density) largest magnitudes of each M_t, d the live size rows · cols.

    keep="threshold" (original TIES, the paper's code): all entries ≥ the (d − K)-th smallest magnitude, so K + 1 of
    them and every equal one; magnitudes within rounding of the cut are equal to it. keep="exact" (PEFT, mergekit): K,
    the lowest index first among equals.
    scope="tensor": d and the threshold are each matrix's own; "model" (original TIES): over all layers of the call.
    """

    density: float = 0.2
    keep: str = "threshold"
    scope: str = "tensor"
    name: ClassVar[str] = "trim"
    kind: ClassVar[str] = TRANSFORM
    commutes_with: ClassVar[str] = SIGNED_PERMUTATION
    source = "Yadav et al., 2023"
    called: ClassVar = {"peft": {"magnitude_prune": "trim+ta", "magnitude_prune_svd": "trim+ta"}}
    dialects: ClassVar = {
        "original": {"scope": "model"}, "peft": {"keep": "exact"}, "mergekit": {"keep": "exact"},
        "fusionbench": {"scope": "model"},
    }  # fmt: skip
    searches = (Search("trim+ta", {"trim": {"density": DENSITIES}}),)

    def __post_init__(self) -> None:
        self.check_fraction("density")
        self.check_choice("keep", KEEPS)
        self.check_choice("scope", SCOPES)

    @property
    def whole_model(self) -> bool:
        """Whether all layers are needed at once."""
        return self.scope == "model"

    def __call__(self, items: list[Stack]) -> list[Stack]:
        """Each stack with the entries below the cut set to zero."""
        stacks = [denoised(item) for item in items]
        if self.scope == "model":
            return self._over_model(stacks)
        return [self._each_tensor(stack) for stack in stacks]

    def _each_tensor(self, stack: Stack) -> Stack:
        xp = array_namespace(stack.M)
        flat = xp.reshape(stack.M, (*stack.M.shape[:-2], -1))  # (T, …, p·q)
        kept = largest(xp.abs(flat), stack.rows * stack.cols, self.density, self.keep, stack.rounding_level[..., None])
        return stack.with_entries(xp.reshape(xp.where(kept, flat, 0.0), stack.M.shape))

    def _over_model(self, stacks: list[Stack]) -> list[Stack]:
        trimmed: list[list[Array]] = [[] for _ in stacks]
        for task in sorted({t for stack in stacks for t in stack.tasks}):
            holders = [(i, s.tasks.index(task)) for i, s in enumerate(stacks) if task in s.tasks]
            parts = [stacks[i].M[t, ...] for i, t in holders]
            xp = array_namespace(*parts)
            flat = xp.concat([xp.reshape(part, (-1,)) for part in parts])
            d = sum(live_entries(stacks[i]) for i, _ in holders)
            noise = [
                xp.broadcast_to(stacks[i].rounding_level[t, ...][..., None, None], stacks[i].M.shape[1:])
                for i, t in holders
            ]
            slack = xp.concat([xp.reshape(part, (-1,)) for part in noise])
            flat = xp.where(largest(xp.abs(flat), d, self.density, self.keep, slack), flat, 0.0)
            start = 0
            for (i, _), part in zip(holders, parts, strict=True):
                size = arrays.count(part)
                trimmed[i].append(xp.reshape(flat[start : start + size], part.shape))
                start += size
        return [s.with_entries(array_namespace(s.M).stack(Ms)) for s, Ms in zip(stacks, trimmed, strict=True)]


def live_entries(stack: Stack) -> Array:
    """Live entries of one task over the whole batch: Σ rows · cols."""
    xp, d = array_namespace(stack.M), stack.rows * stack.cols
    layers = arrays.count(stack.M[0, ...]) // (stack.M.shape[-2] * stack.M.shape[-1])
    return d * layers if d.ndim == 0 else xp.sum(d)
