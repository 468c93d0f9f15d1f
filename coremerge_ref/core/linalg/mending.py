"""What did not prove itself is computed again by the library, for those layers alone."""

import math
from collections.abc import Callable, Sequence

from coremerge_ref.core import arrays
from coremerge_ref.core.arrays import Array, array_namespace


def mended(
    parts: Sequence[Array], missing: Sequence[int], again: Callable[..., Sequence[Array]], X: Array, *levels: Array
) -> Sequence[Array]:
    """The `parts` of X (…, m, n) and `levels` (…), `again` of the layers that are `missing`, and of those alone."""
    if not missing:
        return parts
    xp, batch = array_namespace(X), X.shape[:-2]
    layers = math.prod(batch)
    if len(missing) == layers:
        return again(X, *levels)

    def flat(part: Array) -> Array:
        return xp.reshape(part, (layers, *part.shape[len(batch) :]))

    broadcast = [xp.broadcast_to(level, batch) for level in levels]
    others = again(*(arrays.some(flat(x), missing) for x in (X, *broadcast)))
    patched = (arrays.patched(flat(part), missing, other) for part, other in zip(parts, others, strict=True))
    return [xp.reshape(new, part.shape) for new, part in zip(patched, parts, strict=True)]
