"""Batches: layers of equal shape, stacked for one merge and taken apart after it; pieces of work for executors."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from coremerge_ref.core import arrays
from coremerge_ref.core.updates import LowRankUpdate, Update
from coremerge_ref.errors import ShapeError

Updates = Sequence[LowRankUpdate | None]


Layers = Mapping[str, Updates]


# Bytes of float64 factors in one piece of work for an executor: enough to make up for sending it, little enough that a
# model of a few shapes keeps many workers busy. No result depends on it.
CHUNK_BYTES = 32 * 2**20

# The same on a CPU: in larger batches every intermediate array leaves the cache. 48 layers of 768², T = 8, r = 16, one
# batch beside pieces of this size: `ta` 5.3 and 2.2 ms a layer, `tsv` 17 and 14.
CACHE_BYTES = 8 * 2**20


def chunks(layers: Layers, names: list[str], sent: bool) -> Iterator[list[str]]:
    """`names`, of layers of equal shape, in pieces of a size that suits an executor they are sent to, or this device.

    On a GPU, whose calls cost the same for many layers as for one, a piece that is not sent is all of them.
    """
    given = [update for update in layers[names[0]] if update is not None]
    size = len(names)
    if given and (sent or not arrays.loops_over_batches(given[0].B)):
        entries = sum(update.rank * sum(update.shape) for update in given)
        size = max(1, (CHUNK_BYTES if sent else CACHE_BYTES) // (8 * max(1, entries)))
    return (names[i : i + size] for i in range(0, len(names), size))


def equal_shapes(layers: Layers) -> list[list[str]]:
    """Layer names grouped by what must agree to form a batch: shapes, ranks and dtypes of every task."""
    groups: dict[Any, list[str]] = {}
    for name, updates in layers.items():
        batched = [u.shape for u in updates if u is not None and len(u.shape) > 2]
        if batched:
            raise ShapeError(
                f"layer {name!r}: expected updates of shape (m, n), got {batched[0]}; name each layer of a batch"
            )
        key = tuple(
            u and (u.shape, u.rank, arrays.dtype_name(u.B.dtype), arrays.dtype_name(u.A.dtype)) for u in updates
        )
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def stacked(layers: Layers, names: Iterable[str]) -> list[LowRankUpdate | None]:
    """The updates of several layers of equal shape as one batch: B (layers, m, r_t), A (layers, r_t, n)."""
    batch: list[LowRankUpdate | None] = []
    for task in zip(*[layers[name] for name in names], strict=True):
        if task[0] is None:
            batch.append(None)
            continue
        present = [u for u in task if u is not None]  # all of them, since layers are grouped by which tasks they have
        xp = arrays.namespace_of(*[u.B for u in present])
        scales = [u.scale for u in present]
        plain = all(isinstance(s, float | int) for s in scales)
        if plain:
            scale: Any = np.asarray(scales, dtype=np.float64)
        else:
            wide = arrays.counting_dtype(xp, present[0].B)
            scale = xp.stack([arrays.scalar(s, present[0].B, wide) for s in scales])
        B, A = (
            X[0][None, ...] if len(X) == 1 else xp.stack(X) for X in ([u.B for u in present], [u.A for u in present])
        )
        batch.append(LowRankUpdate(B, A, scale))
    return batch


def unstacked(update: Update) -> list[Update]:
    """The layers of a batch, one by one."""
    return [update[i] for i in range(update.shape[0])]
