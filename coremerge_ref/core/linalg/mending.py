"""What did not prove itself is computed again by the library, for those layers alone."""

import math
from collections.abc import Callable
from typing import TypeVar

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace

Parts = TypeVar("Parts", bound=tuple[Array, ...])


def mended(parts: Parts, missing: list[int], again: Callable[[Array, Array], Parts], X: Array, level: Array) -> Parts:
    """The `parts` of X (…, m, n), `again` of the layers that are `missing`, and of those alone."""
    if not missing:
        return parts
    xp, batch = array_namespace(X), X.shape[:-2]
    layers = math.prod(batch)
    if len(missing) == layers:
        return again(X, level)

    def flat(part: Array) -> Array:
        return xp.reshape(part, (layers, *part.shape[len(batch) :]))

    others = again(*(arrays.some(flat(x), missing) for x in (X, xp.broadcast_to(level, batch))))
    patched = (arrays.patched(flat(part), missing, other) for part, other in zip(parts, others, strict=True))
    return tuple(xp.reshape(new, part.shape) for new, part in zip(patched, parts, strict=True))  # type: ignore[return-value]
