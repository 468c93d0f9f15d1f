"""Trimming: keep the entries of each task's matrix that are largest in magnitude."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace
from coremerge_ref.core.stack import Stack
from coremerge_ref.methods._entries import KEEPS, SCOPES, denoised, largest
from coremerge_ref.methods._votes import cut_at, emptied, pruned, zeroed
from coremerge_ref.methods.base import BOTH, DENSITIES, SIGNED_PERMUTATION, TRANSFORM, Search, Stage, register
from coremerge_ref.perturbation.carried import Errors


@register
@dataclass(frozen=True)
class Trim(Stage):
    """Keep the largest entries of each task's matrix, by magnitude.

    Keep the K = int(d · density) largest magnitudes of each M_t, d the live size rows · cols.

    keep="threshold" (original TIES, the paper's code): all entries ≥ the (d − K)-th smallest magnitude, so K + 1 of
    them and every equal one; magnitudes within rounding of the cut are equal to it. keep="exact" (PEFT, mergekit): K,
    the lowest index first among equals.
    scope="tensor": d and the threshold are each matrix's own; "model" (original TIES): over all layers of the call.

    >>> updates = [(np.eye(2), np.eye(2)), (np.eye(2), np.diag([1.0, 3.0]))]
    >>> cm.merge(updates, [cm.Trim(density=0.25, keep="exact"), cm.Ta()], "full").to_dense()
    array([[1., 0.],
           [0., 3.]])
    """

    density: float = 0.2
    keep: str = "threshold"
    scope: str = "tensor"
    name: ClassVar[str] = "trim"
    kind: ClassVar[str] = TRANSFORM
    commutes_with: ClassVar[str] = SIGNED_PERMUTATION
    source = "Yadav et al., 2023"
    called: ClassVar = {"peft": {"magnitude_prune": "trim+ta", "magnitude_prune_svd": "trim+ta"}}
    remedy = "choose another density, or a method that does not look at entries, such as tsv or iso"
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
        slack = xp.reshape(xp.broadcast_to(stack.entry_level, stack.M.shape), flat.shape)
        kept = largest(xp.abs(flat), stack.rows * stack.cols, self.density, self.keep, slack)
        return stack.with_entries(xp.reshape(xp.where(kept, flat, 0.0), stack.M.shape))

    def _over_model(self, stacks: list[Stack]) -> list[Stack]:
        trimmed: list[list[Array]] = [[] for _ in stacks]
        for task in sorted({t for stack in stacks for t in stack.tasks}):
            holders = [(i, s.tasks.index(task)) for i, s in enumerate(stacks) if task in s.tasks]
            parts = [stacks[i].M[t, ...] for i, t in holders]
            xp = array_namespace(*parts)
            flat = xp.concat([xp.reshape(part, (-1,)) for part in parts])
            first, *rest = [live_entries(stacks[i]) for i, _ in holders]
            d = sum(rest, first)
            noise = [xp.broadcast_to(stacks[i].entry_level[t, ...], stacks[i].M.shape[1:]) for i, t in holders]
            slack = xp.concat([xp.reshape(part, (-1,)) for part in noise])
            flat = xp.where(largest(xp.abs(flat), d, self.density, self.keep, slack), flat, 0.0)
            start = 0
            for (i, _), part in zip(holders, parts, strict=True):
                size = arrays.count(part)
                trimmed[i].append(xp.reshape(flat[start : start + size], part.shape))
                start += size
        return [s.with_entries(array_namespace(s.M).stack(Ms)) for s, Ms in zip(stacks, trimmed, strict=True)]

    def sees(self, T: int) -> tuple[str, ...]:
        """None where all entries are kept."""
        return BOTH if self.density < 1 else ()

    def propagate(self, errors: list[Errors], before: list[Any], after: list[Any]) -> list[Errors]:
        """Kept entries keep their errors; one that may be cut or not brings its whole size."""
        for e, stack in zip(errors, before, strict=True):
            zeroed(e, stack)
        groups = [[(i, t)] for i, s in enumerate(before) for t in range(s.T)]
        if self.scope == "model":
            groups = [
                [(i, s.tasks.index(task)) for i, s in enumerate(before) if task in s.tasks]
                for task in sorted({t for s in before for t in s.tasks})
            ]
        clean: list[Any] = [denoised(s) for s in before]
        empty: list[tuple[int, int]] = []
        unsure, faint = ([np.zeros(s.M.shape, dtype=bool) for s in before] for _ in range(2))
        levels = [s.entry_level + np.zeros(s.M.shape) for s in before]  # (T, p, q), all written out
        for group in groups if self.density < 1 else []:
            d = sum(int(before[i].rows * before[i].cols) for i, _ in group)
            K = int(arrays.rounded(np.asarray(float(d)) * self.density, "floor"))
            x = np.abs(np.concatenate([clean[i].M[t].ravel() for i, t in group]))
            out = np.concatenate([after[i].M[t].ravel() for i, t in group])
            error = np.concatenate([errors[i].entry[t].ravel() for i, t in group])
            slack = np.concatenate([levels[i][t].ravel() for i, t in group])
            cut, start = cut_at(x, error, (out != 0) & (x > 0), K, self.keep, slack), 0
            for i, t in group if d > K else []:
                errors[i].margin(self, "relative gap between the last entry kept and the first one cut", cut.gap, t)
                place = slice(start, start + before[i].M[t].size)
                part, start = cut.unsure[place], place.stop
                unsure[i][t], faint[i][t] = (x[place].reshape(before[i].M[t].shape) for x in (cut.unsure, cut.faint))
                if part.any():
                    errors[i].doubt(self, f"{int(part.sum())} entries lie at the threshold", t)
            if K == 0 and self.keep == "exact":
                empty += group
        for i, e in enumerate(errors if self.density < 1 else []):
            unsized = e.uses_size(self, errors if self.scope == "model" else ())
            open_ = before[i].M != 0 if unsized else unsure[i] | faint[i]
            pruned(e, before[i], (after[i].M != 0) | (clean[i].M == 0), open_)
            for t in [t for j, t in empty if i == j and not unsized]:
                emptied(e, t)
        return errors


def live_entries(stack: Stack) -> Array:
    """Live entries of one task over the whole batch: Σ rows · cols."""
    xp, d = array_namespace(stack.M), stack.rows * stack.cols
    layers = arrays.count(stack.M[0, ...]) // (stack.M.shape[-2] * stack.M.shape[-1])
    return d * layers if d.ndim == 0 else xp.sum(d)
