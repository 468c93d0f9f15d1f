"""Layers of a batch: which of them did not come out well, and others put in their places."""

import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from array_api_compat import is_torch_array

from coremerge_ref.core.arrays.devices import to_host
from coremerge_ref.core.arrays.namespaces import array_namespace, from_host
from coremerge_ref.core.arrays.types import Array


def indices(places: Any, like: Array) -> Array:
    """Whole numbers of the host, nested as they are, beside `like`."""
    xp = array_namespace(like)
    return from_host(np.asarray(places, dtype=np.int64), like, dtype=xp.asarray(0).dtype)


def unproven(flags: Array) -> list[int]:
    """Where `flags` (L,) are not True; the host waits once."""
    xp = array_namespace(flags)
    return [int(i) for i in np.flatnonzero(to_host(xp.astype(flags, xp.float32)) == 0)]


def unproven_of(several: Sequence[Array]) -> list[list[int]]:
    """The same of each of `several` (L_i,); the host waits once."""
    if not several:
        return []
    places, starts = unproven(array_namespace(*several).concat(list(several))), [0]
    for flags in several:
        starts.append(starts[-1] + flags.shape[0])
    return [[place - a for place in places if a <= place < b] for a, b in pairwise(starts)]


def some(batch: Array, places: Sequence[int]) -> Array:
    """The layers at these places of a batch (L, …)."""
    return array_namespace(batch).take(batch, indices(places, batch), axis=0)


def patched(batch: Array, places: Sequence[int], others: Array) -> Array:
    """A batch (L, …) with `others` (len(places), …) at these places."""
    xp, order = array_namespace(batch), list(range(batch.shape[0]))
    for i, place in enumerate(places):
        order[place] = batch.shape[0] + i
    return xp.take(xp.concat([batch, others], axis=0), indices(order, batch), axis=0)


def cholesky(X: Array) -> Array:
    """Lower triangular factors of X (…, n, n); where X has none it may raise, in whatever way, or give what it likes.

    torch would raise for all of a batch, and make the host wait to know.
    """
    if is_torch_array(X):
        factor: Array = sys.modules["torch"].linalg.cholesky_ex(X).L
        return factor
    return array_namespace(X).linalg.cholesky(X)


def inverse(X: Array) -> Array:
    """Inverses of X (…, n, n); where X has none it may raise, in whatever way, or give what it likes."""
    if is_torch_array(X):
        inverses: Array = sys.modules["torch"].linalg.inv_ex(X).inverse
        return inverses
    return array_namespace(X).linalg.inv(X)
