"""Layers of a batch: which of them did not come out well, and others put in their places."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import is_torch_array

from coremerge_ref.core.arrays.devices import to_host
from coremerge_ref.core.arrays.namespaces import array_namespace, from_host
from coremerge_ref.core.arrays.types import Array
from coremerge_ref.core.arrays.values import look


def indices(places: Any, like: Array) -> Array:
    """Whole numbers of the host, nested as they are, beside `like`."""
    xp = array_namespace(like)
    return from_host(np.asarray(places, dtype=np.int64), like, dtype=xp.asarray(0).dtype)


def unproven(*several: Array) -> list[list[int]]:
    """Where each of `several` flags (L,) is not True; the host waits once, and once for each that has such places."""
    xp = array_namespace(*several)
    whole = look(*[xp.all(flags) for flags in several])
    return [[] if sound else _places(flags) for sound, flags in zip(whole, several, strict=True)]


def _places(flags: Array) -> list[int]:
    if flags.shape[0] == 1:
        return [0]
    xp = array_namespace(flags)
    return [int(i) for i in np.flatnonzero(to_host(xp.astype(flags, xp.float32)) == 0)]


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
