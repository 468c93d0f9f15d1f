"""Every property in every space, shape and kind: parametrized, not sampled."""

import numpy as np
import pytest
from every import PROPERTIES, SHAPES, SPACES, VARIES, Merge, ours

from coremerge_ref.testing import KINDS

PLACES = [(holds, shape, kind) for holds in VARIES for shape in SHAPES for kind in KINDS]
PLACES += [(holds, "square", "generic") for holds in PROPERTIES if holds not in VARIES]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("holds", "shape", "kind"), PLACES, ids=lambda x: getattr(x, "__name__", x))
def test_the_property_holds(holds: object, space: str, shape: str, kind: str) -> None:
    holds(ours, space, shape, kind)


def test_properties_see_a_merge_of_nothing() -> None:
    def nothing(factors: list, method: object, space: object, weights: object = None) -> np.ndarray:
        return 0 * ours(factors, method, space, weights)

    bent: Merge = nothing
    for holds in PROPERTIES:
        with pytest.raises(AssertionError):
            holds(bent, "core", "square", "generic")
