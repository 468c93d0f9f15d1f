"""The bounds hold, and they are not idle."""

from dataclasses import replace
from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from sensitivity import changed, merged, worst

import coremerge_ref as cm
from coremerge_ref.core.pipeline import as_pipeline
from coremerge_ref.core.stages import STAGES, UNKNOWN, Stage
from coremerge_ref.testing import Recipe

IDLE = 1000.0  # a bound this much above the worst case says nothing
METHODS = {
    "ta": "ta",
    "mean": "mean",
    "tsv": "tsv",
    "tsv-cut": cm.Tsv(k=2),
    "cart": "cart",
    "cart-cut": cm.Cart(k=2, coefficient=-1.5),
    "iso": "iso",
    "iso_cts": "iso_cts",
    "iso_cts-half": cm.IsoCts(0.5),
    "tsv+iso": "tsv+iso",
    "trim": "trim",
    "dare": cm.Dare(drop=0.3, rescale="l1"),
    "ties": cm.Ties(density=0.5),
    "ties-before": cm.Ties(density=0.7, weight_order="before", divisor="weight", elect="count", zero_sign="positive"),
    "ties-sum": cm.Ties(density=1.0, aggregate="sum", keep="exact"),
    "drm": "drm",
    "drm-vertical": cm.Drm("vertical", drop=0.3),
    "dare+ties+iso": "dare+ties+iso",
    "breadcrumbs": cm.Pipeline.parse("breadcrumbs", {"breadcrumbs": {"density": 0.5, "gamma": 0.1, "rescale": "l1"}}),
    "della": "della",
    "della-inverse": cm.Pipeline.parse("della", {"della": {"rescale": "inverse"}}),
    "sce": "sce",
    "sce-half": cm.Pipeline.parse("sce", {"sce": {"density": 0.5}}),
    "sce-floor": cm.Pipeline.parse("sce", {"sce": {"floor": 0.2}}),
    "pcb": "pcb",
    "karcher": "karcher",
    "karcher+iso": "karcher+iso",
    "cart-cut+iso": [cm.Cart(k=2, coefficient=-1.5), cm.Iso()],
    "tsv-cut+iso": [cm.Tsv(k=2), cm.Iso()],
    "dare+ta+iso": [cm.Dare(drop=0.1), cm.Ta(), cm.Iso()],
    "dare+tsv": [cm.Dare(drop=0.2), cm.Tsv(k=1)],
    "dare+iso_cts": [cm.Dare(drop=0.2), cm.IsoCts(0.5)],
}
SPACES = {
    "core": "core",
    "tucker": cm.Core("tucker"),
    "knots": "knots",
    "knots-transposed": cm.Knots(transposed=True),
    "full": "full",
}
WEIGHTS = [1.0, -0.7, 1.6]
NOT_NEGATIVE = ("karcher", "karcher+iso")  # take no other weights


def test_every_method_of_the_table_has_a_rule() -> None:
    ruled = {name for name, s in STAGES.items() if s.carry is not Stage.carry or s.propagate is not Stage.propagate}
    assert ruled == {name for name, s in STAGES.items() if s.commutes_with != UNKNOWN}
    tested = {stage.name for method in METHODS.values() for stage in as_pipeline(method).stages}
    assert ruled == tested


def pairs_of(recipe: Recipe) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(s * B, A) for B, A, s in recipe.build()]


# times the worst case to first order that bounds may be: those for rounded inputs, and those for arithmetic, of which
# each step has a worst case of its own (and leaves spans of which polar factors make a hundred times that); masked
# entries are taken for independent
NEAR, NEAR_ARITHMETIC = 60.0, 600.0
FARTHER = {"iso_cts-half": 2.5, "dare+tsv": 3.0, "dare+ta+iso": 5.0, "dare+iso_cts": 10.0}
UNSCALED = ("ta", "tsv-cut", "iso", "iso_cts", "iso_cts-half", "karcher", "trim", "ties", "sce", "pcb")


@pytest.mark.parametrize(
    ("method", "space"), [*product(METHODS, SPACES), *((method, "knots-unscaled") for method in UNSCALED)]
)
def test_the_condition_number_bounds_the_worst_case_and_is_near_it(method: str, space: str) -> None:
    stage, where = METHODS[method], cm.Knots(scaled=False) if space == "knots-unscaled" else SPACES[space]
    if method == "ties-before" and space != "full":
        # of two votes that are counted neither wins, and frames defined up to signs have no "positive": all 3 must vote
        stage = replace(stage, density=1.0)
    weights = [abs(w) for w in WEIGHTS] if method in NOT_NEGATIVE else WEIGHTS
    for seed in range(8):
        pairs = pairs_of(Recipe(m=7, n=6, ranks=(2, 2, 1), decades=0.5, seed=seed))
        e = cm.explain(pairs, stage, where, weights=weights)
        if e.verdict == "well-posed" and e.input_bound.condition < 1e4:  # else steps of 1e-7 leave the smooth part
            break
    else:
        pytest.fail("no well-posed example among the seeds")
    measured = worst(merged(stage, where, weights), pairs, step=1e-7)
    assert measured <= e.input_bound.condition * 1.001, e.reason
    far = FARTHER.get(method, 1.0)
    assert e.input_bound.condition <= far * NEAR * measured, (measured, e.input_bound.condition)
    if space != "knots-unscaled":
        assert e.bound.condition <= far * NEAR_ARITHMETIC * measured, (measured, e.bound.condition)


GRADED = ("dare+ta+iso", "ties", "pcb", "sce", "karcher+iso", "dare+ties+iso", "breadcrumbs", "drm", "cart-cut+iso")
# rows of equal norms in unscaled KnOTS leave DRM no singular vectors, and CART cuts what is divided there
HARDER = [(method, "knots-unscaled") for method in GRADED[:-2]]


@pytest.mark.parametrize(("method", "space"), [*product(GRADED, SPACES), *HARDER])
def test_a_small_task_and_small_directions_make_no_idle_bound(method: str, space: str) -> None:
    """Factors of two decades and a task a hundred times smaller: small coordinates are known to their own size."""
    where = cm.Knots(scaled=False) if space == "knots-unscaled" else SPACES[space]
    for seed in range(30):
        pairs = pairs_of(Recipe(m=8, n=7, ranks=(2, 2, 1), decades=2.0, seed=seed, scales=(1.0, 1e-4, 1.0)))
        e = cm.explain(pairs, METHODS[method], where)
        if e.input_bound.verdict != "ill-posed" and e.input_bound.condition < 1e7 and not e.input_bound.discontinuity:
            break
    else:
        pytest.fail("no example among the seeds whose bound is a condition number")
    measured = worst(merged(METHODS[method], where), pairs, step=1e-8)
    assert measured <= e.input_bound.condition * 1.001, e.reason
    assert e.input_bound.condition <= IDLE * measured, (measured, e.input_bound.condition)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("seed", range(3))
def test_iso_after_more_triplets_than_there_are_directions_has_a_bound_that_is_not_idle(seed: int, space: str) -> None:
    """Polar factors then lose directions, so the merged matrix is not its own SVD, but its columns are known."""
    pairs = pairs_of(Recipe(m=3, n=7, ranks=(2, 2, 2), decades=0.5, seed=seed))
    method = [cm.Tsv(k=2), cm.Iso()]
    e = cm.explain(pairs, method, SPACES[space])
    measured = worst(merged(method, SPACES[space]), pairs, step=1e-8)
    assert measured <= e.input_bound.condition * 1.001
    assert e.input_bound.condition <= IDLE * measured


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("weight", [1.0, -0.7])
def test_iso_after_ties_of_one_whole_task_is_as_well_known_as_iso_of_the_task(order: str, weight: float) -> None:
    """One task that keeps all entries elects itself: a multiple of it, whose columns are known to their own size."""
    pairs = pairs_of(Recipe(m=9, n=11, ranks=(3,), decades=4.0, seed=1))
    ties = cm.Ties(density=1.0, weight_order=order, aggregate="sum")
    e, of_task = cm.explain(pairs, [ties, cm.Iso()], "full", weights=[weight]), cm.explain(pairs, "ta+iso", "full")
    assert e.input_bound.condition == pytest.approx(of_task.input_bound.condition, rel=1e-3)
    measured = worst(merged([ties, cm.Iso()], "full", [weight]), pairs, step=1e-9)
    assert measured <= e.input_bound.condition * 1.01
    assert e.input_bound.condition <= IDLE * measured


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", ["iso_cts", "ta+iso", "mean+iso", "tsv+iso"])
def test_a_task_of_weight_zero_raises_no_rank(method: str, space: str) -> None:
    """What rounding gives it is multiplied by 0: the merge is as well known as without it."""
    pairs = pairs_of(Recipe(m=11, n=8, ranks=(1, 2, 1), scales=(1e-3, 3.0, 1.0), seed=2))
    weights = [0.5, 0.0, -0.7]
    e = cm.explain(pairs, method, SPACES[space], weights=weights)
    alone = cm.explain([pairs[0], None, pairs[2]], method, SPACES[space], weights=weights)
    assert e.verdict == e.input_bound.verdict == alone.verdict == "well-posed"
    measured = worst(merged(method, SPACES[space], weights), pairs, step=1e-8)
    assert measured <= e.input_bound.condition * 1.01
    assert e.input_bound.condition <= IDLE * measured


@pytest.mark.parametrize("space", SPACES)
def test_deviations_of_which_nothing_is_cut_sum_to_nothing_whatever_a_task_of_weight_zero_could_add(space: str) -> None:
    """Two directions are there, and two are kept of every deviation: CART is the mean, and its bound the mean's."""
    pairs = pairs_of(Recipe(m=11, n=8, ranks=(1, 2, 1), scales=(1e-3, 3.0, 1.0), seed=2))
    weights = [0.5, 0.0, -0.7]
    methods: Any = [cm.Cart(k=2), cm.Iso()], [cm.Mean(), cm.Iso()]
    cart, mean = (cm.explain(pairs, method, SPACES[space], weights=weights).input_bound for method in methods)
    assert cart.condition == pytest.approx(mean.condition, rel=1e-6)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("small", [1e-2, 1e-3, 1e-4])
def test_the_residual_of_a_task_that_is_most_of_the_sum_follows_the_common_directions(small: float, space: str) -> None:
    """What errors of the task leave beside the common directions is what they turn those by, but for a small share."""
    pairs = pairs_of(Recipe(m=9, n=6, ranks=(3, 3), seed=1, scales=(1.0, small)))
    method = cm.IsoCts(0.7)
    e = cm.explain(pairs, method, SPACES[space])
    measured = worst(merged(method, SPACES[space]), pairs, step=1e-9)
    assert measured <= e.input_bound.condition * 1.01
    assert e.input_bound.condition <= IDLE * measured


@pytest.mark.parametrize("apart", [0.3, 1e-2, 1e-3])
def test_tasks_that_are_nearly_opposite_have_a_karcher_mean_that_turns_as_fast_as_it_does(apart: float) -> None:
    """Coefficients go as the inverse of what the tasks leave of each other; so do their derivatives, by differences."""
    B, rng = np.eye(4), np.random.default_rng(0)
    M, N = rng.standard_normal((4, 4)), rng.standard_normal((4, 4))
    pairs = [(B, M), (B, -M + apart * N)]
    e = cm.explain(pairs, "karcher", "full")
    measured = worst(merged("karcher", "full"), pairs, step=1e-7 * apart)
    assert measured <= e.input_bound.condition * 1.01
    assert e.input_bound.condition <= 30 * measured


@pytest.mark.parametrize("kind", ["generic", "duplicated", "zero", "deficient", "vera", "empty"])
@pytest.mark.parametrize("method", METHODS)
def test_the_input_bound_holds_for_inputs_known_to_float32(method: str, kind: str) -> None:
    rng = np.random.default_rng(len(kind))
    recipe = Recipe(m=11, n=9, ranks=(3, 2, 3), decades=1.5, kind=kind, seed=len(method))
    pairs = [(B.astype(np.float32), A.astype(np.float32)) for B, A in pairs_of(recipe)]
    exact = [(B.astype(np.float64), A.astype(np.float64)) for B, A in pairs]
    for space in SPACES.values():
        e, merge = cm.explain(pairs, METHODS[method], space), merged(METHODS[method], space)
        assert e.input_bound.dtype == "float32"
        before = merge(exact)
        moved = max(np.linalg.norm(merge(changed(exact, 2.0**-24, rng)) - before) for _ in range(3))
        assert moved <= e.input_bound.relative * np.linalg.norm(before), (space, e.input_bound)


@pytest.mark.parametrize("kind", ["generic", "duplicated", "zero", "deficient", "vera", "empty"])
@pytest.mark.parametrize("method", METHODS)
def test_the_compute_bound_holds_for_float32_arithmetic(method: str, kind: str) -> None:
    recipe = Recipe(m=12, n=10, ranks=(3, 2, 3), decades=1.0, kind=kind, seed=3 + len(method))
    pairs = pairs_of(recipe)
    for space in SPACES.values():
        e = cm.explain(pairs, METHODS[method], space, compute_dtype="float32")
        if [s.kept for s in e.spectra] != [s.kept for s in cm.explain(pairs, METHODS[method], space).spectra]:
            continue  # something is zero to float32 arithmetic alone: another answer, by definition
        rounded = merged(METHODS[method], space, compute_dtype="float32")(pairs)
        error = np.linalg.norm(rounded - merged(METHODS[method], space)(pairs))
        assert error <= e.bound.relative * np.linalg.norm(rounded), (space, e.bound)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32], ids=["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("method", METHODS)
def test_the_input_bound_holds_for_what_rounding_to_a_narrow_dtype_changes(method: str, dtype: type) -> None:
    pairs = pairs_of(Recipe(m=12, n=9, ranks=(2, 3, 2), decades=0.5, seed=len(method)))
    narrow = [(B.astype(dtype), A.astype(dtype)) for B, A in pairs]
    for space in SPACES.values():
        e = cm.explain(narrow, METHODS[method], space)
        assert e.input_bound.eps == float(ml_dtypes.finfo(dtype).eps)
        merge = merged(METHODS[method], space, out_dtype="float64")
        error = np.linalg.norm(merge(narrow) - merge(pairs))
        assert error <= e.input_bound.relative * np.linalg.norm(merge(narrow)), (space, e.input_bound)


@pytest.mark.parametrize("disjoint", [False, True])
def test_rounding_gives_a_task_a_part_in_directions_of_others_unless_they_are_of_other_rows(disjoint: bool) -> None:
    """Orthogonal columns of Hadamard's matrix, which errors turn into each other, and columns of disjoint rows, which
    they do not. DRM renormalizes a part however small it is."""
    rng = np.random.default_rng(0)
    H = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    columns = np.eye(4) if disjoint else H / 2
    pairs = [(np.float16(B), np.float16(rng.standard_normal((2, 3)))) for B in (columns[:, :2], columns[:, 2:])]
    wide = [(B.astype(float), A.astype(float)) for B, A in pairs]
    e, merge = cm.explain(pairs, cm.Drm(drop=0.3), "full"), merged(cm.Drm(drop=0.3), "full")
    base = merge(wide)
    moved = [merge(changed(wide, e.input_bound.eps / 2, rng)) for _ in range(100)]
    change = max(np.linalg.norm(X - base) for X in moved) / np.linalg.norm(base)
    assert change <= e.input_bound.relative
    assert (change > 0.1, e.input_bound.verdict == "ill-posed") == (not disjoint, not disjoint)
    assert e.verdict == "well-posed"  # float64 arithmetic takes the rounding of zero for zero


OPEN = {
    "sce": cm.Sce(density=0.3),
    "sce-half": cm.Sce(density=0.5),
    "sce-floor": cm.Sce(density=0.8, floor=0.1),
    "della+ta": cm.Pipeline.parse("della+ta", {"della": {"density": 0.6, "epsilon": 0.1}}),
    "breadcrumbs+ta": cm.Pipeline.parse("breadcrumbs+ta", {"breadcrumbs": {"density": 0.5, "rescale": "l1"}}),
    "ties": cm.Ties(density=0.5),
    "ties-count": cm.Ties(density=0.8, elect="count", aggregate="sum"),
    "drm": cm.Drm(drop=0.3),
    "pcb": cm.Pcb(ratio=0.5),
}


@pytest.mark.parametrize("kind", ["nearly equal", "of two sizes", "whole numbers"])
@pytest.mark.parametrize("method", OPEN)
def test_the_input_bound_holds_where_what_is_selected_hangs_on_rounding(method: str, kind: str) -> None:
    """Ill-posed or not: float16 adapters whose differences, or half of whose entries, are no larger than its eps."""
    found = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        m, n, T = rng.integers(3, 7), rng.integers(3, 7), int(rng.integers(2, 4))
        first, pairs = rng.standard_normal((m, n)), []
        for _ in range(T):
            own = rng.standard_normal((m, n))
            A = {
                "nearly equal": first + 1e-3 * own * (rng.random((m, n)) < 0.5),
                "of two sizes": own * np.where(rng.random((m, n)) < 0.5, 1.0, 1e-4),
                "whole numbers": np.round(2 * own) + 1e-3 * rng.standard_normal((m, n)),
            }[kind]
            pairs.append((np.eye(m, dtype=np.float16), A.astype(np.float16)))
        bound, merge = cm.explain(pairs, OPEN[method], "full").input_bound, merged(OPEN[method], "full")
        base = merge([(B.astype(float), A.astype(float)) for B, A in pairs])
        for _ in range(40):
            moved = merge(changed([(B.astype(float), A.astype(float)) for B, A in pairs], bound.eps / 2, rng))
            found.append(np.linalg.norm(moved - base) / np.linalg.norm(base) / bound.relative)
    assert max(found) <= 1 + 1e-9
    assert max(found) > 1e-3  # something was selected anew


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fraction", [0.8, 1.0])
def test_no_residual_is_in_doubt_where_the_common_directions_span_all_columns(fraction: float, seed: int) -> None:
    pairs = pairs_of(Recipe(m=9, n=8, ranks=(1, 1, 1), decades=0.5, seed=seed))
    method = cm.IsoCts(fraction)
    for space in ("core", "full"):  # all 3 directions are common, of 3 or of 8
        e = cm.explain(pairs, method, space)
        assert e.info["common"] >= 3
        assert e.input_bound.verdict == "well-posed", e.input_bound.reason
        measured = worst(merged(method, space), pairs, step=1e-7)
        assert measured <= e.input_bound.condition * 1.001
        assert e.input_bound.condition <= IDLE * measured


# inputs whose condition was once more than IDLE times the worst case: (method, weights, recipe)
IDLED = {
    # errors of singular values went into those of singular vectors, by the smallest singular value
    "tsv+iso": ("tsv+iso", [1.0, 1.6], Recipe(m=11, n=7, ranks=(3, 2), decades=1.5, seed=3001)),
    # near-parallel tasks that span all there is: their polar factor is square, in fixed spaces
    "square": ("iso_cts-half", [1.6, 0.4], Recipe(m=8, n=7, ranks=(1, 3), decades=0.5, seed=3014)),
    "square-wide": ("iso_cts-half", [1.0, 1.0, 0.4], Recipe(m=9, n=11, ranks=(2, 1, 2), decades=0.3, seed=3020)),
    # of all tasks one alone has a part: its columns are orthonormal as they are
    "alone": ("tsv", [1.6, 0.0], Recipe(m=8, n=6, ranks=(2, 2), decades=6.0, seed=3)),
}


@pytest.mark.parametrize("space", ["core", "full"])
@pytest.mark.parametrize("case", IDLED)
def test_the_condition_number_is_not_idle_where_it_once_was(case: str, space: str) -> None:
    method, weights, recipe = IDLED[case]
    pairs = pairs_of(recipe)
    e = cm.explain(pairs, METHODS[method], space, weights=weights)
    measured = worst(merged(METHODS[method], space, weights), pairs, step=1e-7)
    assert measured <= e.input_bound.condition * 1.001
    assert e.verdict != "well-posed" or e.input_bound.condition <= IDLE * measured, (measured, e.input_bound.condition)


# inputs whose float32 result once lay beyond its bound: (method, weights, recipe)
MISSED = {
    # entries that DRM keeps for lying within the turn of their row of the cut
    "drm": ("drm", [1.0, 1.0], Recipe(m=8, n=10, ranks=(2, 3), decades=0.5, seed=1000)),
    "drm-wide": ("drm", [0.4, 1.0, 0.4], Recipe(m=11, n=10, ranks=(1, 3, 1), decades=1.5, kind="empty", seed=1034)),
    "drm-narrow": ("drm-vertical", [1.0, 1.6, 1.0], Recipe(m=10, n=4, ranks=(3, 3, 1), decades=1.5, seed=1029)),
    # votes that are counted were weighted
    "count": ("ties-before", [1.0, 1.6, 1.0], Recipe(m=7, n=10, ranks=(2, 3, 3), decades=1.0, seed=1002)),
}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("case", MISSED)
def test_the_compute_bound_holds_where_it_once_did_not(case: str, space: str) -> None:
    method, weights, recipe = MISSED[case]
    pairs, where = pairs_of(recipe), SPACES[space]
    e = cm.explain(pairs, METHODS[method], where, weights=weights, compute_dtype="float32")
    rounded = merged(METHODS[method], where, weights, compute_dtype="float32")(pairs)
    error = np.linalg.norm(rounded - merged(METHODS[method], where, weights)(pairs))
    assert error <= e.bound.relative * np.linalg.norm(rounded), e.bound


def test_bounds_are_relative_and_see_no_scale() -> None:
    pairs = pairs_of(Recipe(seed=5))
    one = cm.explain(pairs, "tsv+iso").bound
    for factor in (2.0**-40, 2.0**200):
        scaled = cm.explain([(B * factor, A) for B, A in pairs], "tsv+iso", scale=-3.0).bound
        assert scaled.relative == pytest.approx(one.relative, rel=1e-9, abs=0)


@pytest.mark.parametrize("side", ["B", "A"])
@pytest.mark.parametrize("power", [600, -600])
@pytest.mark.parametrize("method", ["ties", "dare+ta+iso"])
def test_bounds_of_updates_whose_squares_leave_float64_or_are_nothing_are_those_of_others(
    method: str, power: int, side: str
) -> None:
    pairs, c = pairs_of(Recipe(m=7, n=6, ranks=(2, 2), decades=0.5, seed=5)), 2.0**power
    for space in (*SPACES.values(), cm.Knots(scaled=False)):
        one = cm.explain(pairs, method, space)
        other = cm.explain([(c * B, A) if side == "B" else (B, c * A) for B, A in pairs], method, space)
        for mine, theirs in ((one.bound, other.bound), (one.input_bound, other.input_bound)):
            assert theirs.verdict == mine.verdict == "well-posed"
            assert theirs.relative == pytest.approx(mine.relative, rel=1e-6, abs=0)


def test_conditioning_does_not_depend_on_the_space_where_the_answer_does_not() -> None:
    """But for what SVDs of stacks of updates add to the arithmetic: they are those of stacks that are as far off, in
    sums of 8 terms or of 9."""
    pairs = pairs_of(Recipe(m=9, n=8, ranks=(3, 2), seed=2))
    found = {space: cm.explain(pairs, cm.Tsv(k=2), SPACES[space]) for space in SPACES}
    conditions = {space: e.input_bound.condition for space, e in found.items()}
    assert max(conditions.values()) <= 1.01 * min(conditions.values()), conditions
    assert found["core"].bound.condition == pytest.approx(found["full"].bound.condition, rel=1e-4)
    assert found["core"].bound.condition < found["knots"].bound.condition < 3 * found["core"].bound.condition
    assert found["knots-transposed"].bound.condition == pytest.approx(found["knots"].bound.condition, rel=0.01)


@pytest.mark.parametrize("method", ["ta", "tsv", "ties", "iso", "karcher"])
def test_a_space_that_loses_something_is_estimated_and_says_so(method: str) -> None:
    pairs = pairs_of(Recipe(m=12, n=10, ranks=(3, 2, 3), decades=1.0, seed=len(method)))
    space = cm.Compressed(3)
    e = cm.explain(pairs, method, space, compute_dtype="float32")
    assert e.estimated
    rounded = merged(method, space, compute_dtype="float32", out_dtype="float64")(pairs)
    error = np.linalg.norm(rounded - merged(method, space)(pairs))
    assert error <= e.bound.relative * np.linalg.norm(rounded)
    assert e.bound.relative < 1e-3
