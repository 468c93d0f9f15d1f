"""DARE without its seed: the masks are read off the merged update itself.

In the space that DARE ran in, an entry of the merged update is c Σ_t z_t M_t with z_t 0 or 1 and one number c, that is
scale / (1 − drop), for all. So every entry is one of 2^T values, c is found from a few entries and checked on all, and
the masks follow. That alone is no DARE: trimming, elections and maxima leave such entries too. DARE's masks look at
neither what they drop nor each other, so kept and dropped entries must look alike, and masks must be independent.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from coremerge_ref.compare.candidates import Candidate, Layers
from coremerge_ref.compare.target import Target
from coremerge_ref.core.frames import Frames
from coremerge_ref.core.projecting import reference_bases
from coremerge_ref.core.spaces import Space
from coremerge_ref.core.updates import LowRankUpdate, Update

MOST_TASKS = 6  # 2^T values an entry
SOME = 8  # entries that c is guessed from
SAMPLE = 512  # entries that guesses are compared on
MISFITS = 0.02  # share of entries that rounding may have moved further than is likely
DEVIATIONS = 5.0  # standard deviations up to which two sets of entries look alike
FEWEST = 200  # entries below which chance cannot be told from a rule


def dropped_at_random(layers: Layers, targets: dict[str, Target], spaces: dict[str, Space]) -> list[Candidate]:
    """A candidate for each space in which every entry of the merged update is such a sum, with the masks found."""
    made = []
    for label, space in spaces.items():
        found = {name: _coordinates(updates, targets[name], space) for name, updates in layers.items()}
        held = {name: one for name, one in found.items() if one is not None}
        if len(held) < len(found) or max(len(M) for M, _, _, _ in held.values()) > MOST_TASKS:
            continue
        c = _common_factor(*max(held.values(), key=lambda one: one[0].size)[:3])
        masks = {} if c is None else {name: _masks(M, Y, c) for name, (M, Y, _, _) in held.items()}
        if c is None or not _blind([(held[name][0], Z) for name, Z in masks.items()]):
            continue
        present = [Z[M != 0] for (M, *_), Z in zip(held.values(), masks.values(), strict=True)]
        drop = 1 - float(np.mean(np.concatenate(present)))
        made.append(
            Candidate(
                "dare+ta", label, {"dare": {"drop": float(f"{drop:.2g}"), "seed": "unknown"}},
                _masked({name: (held[name][0], held[name][3], Z) for name, Z in masks.items()}),
                unknowns=("scale / (1 − drop)",), key=("dare, masks found", label),
            )
        )  # fmt: skip
    return made


def _coordinates(
    updates: Sequence[LowRankUpdate | None], target: Target, space: Space
) -> tuple[np.ndarray, np.ndarray, float, Frames] | None:
    """M (T, p, q), the target Y (p, q) in the space, how far storing moved an entry, and the frames; None for a target
    that is not in the space."""
    present = [u for u in updates if u is not None]
    frames = reference_bases(present, space)
    U, V = (None if frame is None else np.asarray(frame) for frame in (frames.U, frames.V))
    pairs = [(np.asarray(B), np.asarray(A)) for B, A in (u.folded(np.float64) for u in [*present, _low(target)])]
    if U is None and V is None and isinstance(target.update, LowRankUpdate) and target.rank < min(target.update.shape):
        return None  # masks of full matrices do not leave a low rank
    products = [(B if U is None else U.T @ B) @ (A if V is None else A @ V) for B, A in pairs]
    *Ms, Y = products
    if abs(np.linalg.norm(Y) - target.norm) > 1e-3 * target.norm + target.rounding:
        return None
    return np.stack(Ms), Y, 4 * target.rounding / Y.size**0.5 + 1e-12 * float(np.max(np.abs(Y))), frames


def _low(target: Target) -> LowRankUpdate:
    if isinstance(target.update, LowRankUpdate):
        return target.update
    matrix = np.asarray(target.update.to_dense(), np.float64)
    return LowRankUpdate(np.eye(matrix.shape[0]), matrix)


def _choices(T: int) -> np.ndarray:
    """All 2^T masks of one entry (2^T, T)."""
    return np.asarray(list(product((0.0, 1.0), repeat=T)))


def _common_factor(M: np.ndarray, Y: np.ndarray, off: float) -> float | None:
    """c such that every entry of Y (p, q) is c Σ_t z_t M_t, z_t 0 or 1; None where no number does that."""
    sums, y = _choices(len(M)) @ M.reshape(len(M), -1), Y.ravel()  # (2^T, N)
    largest = np.argsort(-np.abs(y))
    sample = largest[:: max(1, len(y) // SAMPLE)]

    def misses(c: float) -> np.ndarray:
        return np.min(np.abs(y[sample] - c * sums[:, sample]), axis=0)

    guesses = [y[at] / total for at in largest[:SOME] for total in sums[1:, at] if abs(total) > 1e-6 * abs(y[at])]
    c = min(guesses, key=lambda c: float(np.sum(misses(c))), default=0.0)
    for _ in range(3):  # known from one entry so far; now from all, with the masks that it gives
        S = (_masks(M, Y, c) * M).sum(axis=0).ravel()
        c = float(y @ S / (S @ S)) if S.any() else 0.0
    misfit = np.mean(np.min(np.abs(y - c * sums), axis=0) > 3 * off + 2 * off * np.abs(y) / np.abs(y).max())
    return c if c and misfit <= MISFITS else None


def _masks(M: np.ndarray, Y: np.ndarray, c: float) -> np.ndarray:
    """The masks (T, p, q) whose sum is nearest to Y."""
    Z = _choices(len(M))
    sums = c * (Z @ M.reshape(len(M), -1))
    nearest = np.argmin(np.abs(Y.ravel() - sums), axis=0)
    return Z[nearest].T.reshape(M.shape)


def _blind(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> bool:
    """Whether masks look at nothing and at no other mask: each entry is kept by a coin of its own, one for all.

    Not at magnitudes, signs or agreement with the sum of the tasks, not at the masks of other tasks or of neighbouring
    entries; and every matrix keeps the same share. `pairs`: M (T, p, q) and the masks of each layer.
    """
    kept, shares, looked = [], [], []
    for M, Z in pairs:
        there = M != 0
        place = np.empty(M.shape)
        for t, X in enumerate(np.abs(M)):  # ranks of magnitudes, within each task
            place[t] = np.argsort(np.argsort(X, axis=None)).reshape(X.shape) / X.size
        earlier = np.cumsum(Z, axis=0) - Z  # how many of the tasks before keep the entry: each pair is looked at once
        seen = [place, np.sign(M), np.sign(M) == np.sign(M.sum(axis=0)), earlier]
        seen += [np.roll(Z, 1, axis) for axis in (1, 2) if M.shape[axis] > 1]
        seen += [np.zeros(M.shape)] * (6 - len(seen))
        # within each task, lest shares that differ a little count once more
        looked.append([np.concatenate([x[t][there[t]] - x[t].mean() for t in range(len(M))]) for x in seen])
        kept.append(Z[there] > 0)
        shares += [(float(z[x].mean()), int(x.sum())) for z, x in zip(Z, there, strict=True) if x.any()]
    keep = np.concatenate(kept) if kept else np.zeros(0, dtype=bool)
    if len(keep) < FEWEST or keep.all() or not keep.any():
        return False
    share = float(keep.mean())
    if any(abs(own - share) > DEVIATIONS * (share * (1 - share) / n) ** 0.5 for own, n in shares):
        return False
    spread = (1 / keep.sum() + 1 / (~keep).sum()) ** 0.5
    return all(
        abs(float(np.mean(x[keep]) - np.mean(x[~keep]))) <= DEVIATIONS * spread * max(float(np.std(x)), 1e-12)
        for x in map(np.concatenate, zip(*looked, strict=True))
    )


def _masked(found: dict[str, tuple[np.ndarray, Frames, np.ndarray]]) -> Any:
    def components(layers: Layers, weights: Sequence[float] | None) -> dict[str, list[Update]]:
        return {name: [found[name][1].decode((found[name][0] * found[name][2]).sum(axis=0))] for name in layers}

    return components
