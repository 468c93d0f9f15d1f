"""Every method beside its definition, whatever the input."""

from typing import Any

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.conformance.definition import conditioning, merge_exactly, merged
from coremerge_ref.conformance.definition.table import TABLE
from coremerge_ref.core.stages import STAGES, Stage
from coremerge_ref.testing import THRESHOLD, Recipe, ratio, sensitivity, size
from coremerge_ref.testing.checks import settings_of

WEIGHTS = [1.0, 0.5, 2.0]
STAGES_DEFINED = [stage for name in TABLE for stage in settings_of(STAGES[name])]


def test_definitions_and_classes_have_the_same_parameters() -> None:
    for name, definition in TABLE.items():
        ours = {k: v for k, v in STAGES[name]().parameters.items() if k not in ("masks", "weights")}
        assert definition.defaults == ours
        assert definition.kind == STAGES[name].kind


@pytest.mark.parametrize("kind", ["generic", "duplicated", "zero", "cancelling"])
@pytest.mark.parametrize("space", ["core", "full"])
@pytest.mark.parametrize("stage", STAGES_DEFINED, ids=str)
def test_the_library_computes_what_is_defined(stage: Stage, space: str, kind: str) -> None:
    factors = Recipe(5, 4, (2, 1, 2), scales=(1.0, 2.0, 0.5), kind=kind, seed=3).build()
    parameters = {k: v for k, v in stage.parameters.items() if k not in ("masks", "weights")}

    def define(given: Any) -> np.ndarray:
        return merged(given, stage.name, {stage.name: parameters}, space, weights=WEIGHTS)

    exact = merge_exactly(factors, stage.name, {stage.name: parameters}, space, weights=WEIGHTS)
    if TABLE[stage.name].walk and (reasons := conditioning(exact).reasons):
        pytest.skip(f"not determined: {reasons[0]}")
    found = cm.merge([cm.LowRankUpdate(*f) for f in factors], stage, space, weights=WEIGHTS).to_dense()
    kappa = sensitivity(define, factors, trials=2)
    assert ratio(found, define(factors), 2 * size(factors), 2.0**-52, kappa) <= THRESHOLD


def test_drm_without_a_rank_cut_counts_no_singular_value_that_is_zero() -> None:
    factors = Recipe(10, 12, (1,), seed=3).build()
    ours, theirs = ({"drm": {"drop": 0.8, "direction": "vertical", "rank_cut": cut}} for cut in (0.0, 0.01))
    exact = merged(factors, "drm", ours, "full")
    assert np.array_equal(exact, merged(factors, "drm", theirs, "full"))
    assert np.count_nonzero(exact.any(axis=1)) == 3  # of one direction: the two largest and the threshold
