"""The walk of errors through a space and its stages: neither side of a matrix comes before the other."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from first import First

import coremerge_ref as cm
from coremerge_ref.core.stack import Merged, Stack
from coremerge_ref.perturbation.carried import Errors
from coremerge_ref.testing import Recipe

MIRRORED: dict[str, tuple[Any, Any]] = {
    "core": ("core", "core"),
    "tucker": (cm.Core("tucker"), cm.Core("tucker")),
    "knots": ("knots", cm.Knots(transposed=True)),
    "full": ("full", "full"),
}


@dataclass(frozen=True)
class Looks(First):
    """That looks at entries, for all that is known, and is off by what the first task is."""

    name: ClassVar[str] = "looks"

    def sees(self, T: int) -> tuple[str, ...]:
        return ("left", "right")

    def carry(self, errors: Errors, before: Stack, after: Merged) -> Errors:
        return errors.merged(float(errors.delta[0]), errors.entry[0], after.M)


# but for iso_cts, which takes common directions from the left of each task
METHODS: dict[str, tuple[Any, Any]] = {
    **{name: (name, name) for name in ("ta", "tsv", "cart", "ties", "trim", "ties+iso", "sce", "pcb")},
    "looks": (Looks(), Looks()),
    "drm": (cm.Drm("horizontal", drop=0.3), cm.Drm("vertical", drop=0.3)),
}


@pytest.mark.parametrize("space", MIRRORED)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_bounds_of_transposed_updates_in_the_transposed_space_are_the_same(
    method: str, space: str, dtype: str
) -> None:
    for seed in range(3):
        pairs = [(s * B, A) for B, A, s in Recipe(m=8, n=6, ranks=(2, 2, 1), decades=0.5, seed=seed).build()]
        one = cm.explain(pairs, METHODS[method][0], MIRRORED[space][0], compute_dtype=dtype)
        turned = [(A.T, B.T) for B, A in pairs]
        other = cm.explain(turned, METHODS[method][1], MIRRORED[space][1], compute_dtype=dtype)
        for mine, theirs in ((one.bound, other.bound), (one.input_bound, other.input_bound)):
            assert mine.verdict == theirs.verdict
            assert mine.relative == pytest.approx(theirs.relative, rel=1e-2, abs=0)
