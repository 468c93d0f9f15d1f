"""How far right results may be off: bounds cover what moved inputs do, and decisions within rounding are told."""

from collections.abc import Iterator
from fractions import Fraction as F
from typing import Any

import numpy as np
import pytest
from mpmath import mp

from coremerge_ref.conformance.definition import conditioning, merge_exactly
from coremerge_ref.conformance.definition.linalg import norm
from coremerge_ref.conformance.definition.pipeline import merge_model_exactly

STEP = F(1, 10**25)
Pair = tuple[np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def sixty_digits() -> Iterator[None]:
    with mp.workdps(60):
        yield


def row(*values: float) -> Pair:
    return np.ones((1, 1)), np.array([values])


def graded(seed: int) -> list[Pair]:
    """Two tasks, the third direction of each a hundred times smaller: what an error of it turns is much larger."""
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal((6, 3)) * [1, 1, 1e-2], rng.standard_normal((3, 5))) for _ in range(2)]


def faint() -> list[Pair]:
    """A strong direction that both tasks have, and a faint one that each has by itself: it is made as long."""
    return [(np.diag([10.0, 1e-4, 0]), np.eye(3)), (np.diag([10.0, 0, 1e-4]), np.eye(3))]


def moved(tasks: list[Pair], seed: int) -> list[Pair]:
    """Each factor by STEP of its norm, in a random direction."""
    rng = np.random.default_rng(seed)

    def off(X: np.ndarray) -> np.ndarray:
        E = rng.standard_normal(X.shape)
        E *= np.linalg.norm(X) / np.linalg.norm(E)
        return np.vectorize(lambda x, e: F(float(x)) + F(float(e)) * STEP, otypes=[object])(X, E)

    return [(off(B), off(A)) for B, A in tasks]


@pytest.mark.parametrize(("tasks", "fraction"), [(graded(3), 0.8), (graded(3), 0.4), (graded(3), 0.0), (faint(), 0.4)])
def test_the_bound_of_iso_cts_covers_what_turned_directions_do(tasks: list[Pair], fraction: float) -> None:
    """The errors of the tasks by themselves do not."""
    params = {"iso_cts": {"common_fraction": fraction}}
    one = merge_exactly(tasks, "iso_cts", params, "full")
    condition = conditioning(one)
    others = [merge_exactly(moved(tasks, seed), "iso_cts", params, "full") for seed in range(2)]
    errors = [float(norm(one.matrix - other.matrix) / float(STEP)) for other in others]
    assert not condition.reasons
    assert max(errors) <= condition.bound
    assert max(errors) > condition.scale


@pytest.mark.parametrize("fraction", [0.8, 0.0])
def test_iso_cts_of_nothing_is_determined(fraction: float) -> None:
    nothing = [(np.zeros((3, 1)), np.zeros((1, 2)))] * 2
    condition = conditioning(merge_exactly(nothing, "iso_cts", {"iso_cts": {"common_fraction": fraction}}, "full"))
    assert (condition.reasons, condition.bound, condition.scale) == ([], 0, 0)


def test_iso_cts_tells_that_no_gap_ends_the_common_directions() -> None:
    """The sum has the singular values 3, 1, 1 and 1, of which two are common to the two tasks."""
    tasks = [(np.diag([2.0, 1, 0, 0]), np.eye(4)), (np.diag([1.0, 0, 1, 1]), np.eye(4))]
    found = conditioning(merge_exactly(tasks, "iso_cts", {"iso_cts": {"common_fraction": 0.5}}, "full"))
    assert any("the sum" in reason and "no gap" in reason for reason in found.reasons)


@pytest.mark.parametrize(("second", "told"), [(1.0, []), (3.996, ["task 0: the residual has rank 0 < 1"])])
def test_iso_cts_tells_of_a_residual_that_rounding_makes(second: float, told: list[str]) -> None:
    """The common direction takes all of the first task, and one more is asked for; it is known the worse the nearer the
    other singular value of the sum is."""
    tasks = [(np.diag([4.0, 0, 0]), np.eye(3)), (np.diag([0, second, 0]), np.eye(3))]
    found = conditioning(merge_exactly(tasks, "iso_cts", {"iso_cts": {"common_fraction": 0.4}}, "full"))
    assert [reason.split(",")[0] for reason in found.reasons] == told


# ---- thresholds --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["trim+ta", "ties"])
@pytest.mark.parametrize(
    ("keep", "density", "values", "open_entries"),
    [
        ("threshold", 0.5, (2, 1, 1), 2),  # the second smallest is the cut, and the smallest is as large
        ("threshold", 0.7, (2, 1, 1), 0),  # the smallest is the cut: nothing lies below
        ("threshold", 0.5, (1, -1), 0),
        ("threshold", 0.5, (3, 2, 1), 0),
        ("threshold", 1.0, (1, 1, 1), 0),
        ("exact", 0.7, (2, 1, -1), 2),  # the last kept and the first cut
        ("exact", 0.5, (2, -2, 1), 2),
        ("exact", 0.5, (2, 1, 1), 0),
        ("exact", 0.2, (1, 1, 1), 0),  # none is kept
    ],
)
def test_entries_at_the_threshold_are_open_where_some_are_cut(
    method: str, keep: str, density: float, values: tuple[float, ...], open_entries: int
) -> None:
    params = {"density": density, "keep": keep}
    exact = merge_exactly([row(*values)], method, {method.split("+")[0]: params}, "full")
    reasons = conditioning(exact).reasons
    assert [reason.split()[0] for reason in reasons] == [str(open_entries)] * (open_entries > 0)
    assert not conditioning(exact, exact_entries=True).reasons


def test_a_threshold_of_the_whole_model_leaves_entries_of_each_layer_open() -> None:
    layers = [[row(3, 1)], [row(1, 0.5)]]
    for scope, reasons in (("model", ["1", "1"]), ("tensor", [])):
        params = {"trim": {"density": 0.5, "scope": scope}}
        found = [conditioning(exact).reasons for exact in merge_model_exactly(layers, "trim+ta", params, "full")]
        assert [reason.split()[0] for one in found for reason in one] == reasons


# ---- rescaling and gaps ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rescale", "drop", "growth"),
    [("inverse", 0.75, 4.0), ("inverse", 0.1, 1 / 0.9), ("none", 0.75, 1.0), ("l1", 0.75, 1.75)],
)
def test_what_dare_multiplies_by_grows_the_errors(rescale: str, drop: float, growth: float) -> None:
    """Of 3 and 4 the 4 is kept, times 7 / 4 by the l1 norm. Each task has ‖B‖ ‖A‖ = 5, and both factors are moved."""
    tasks, masks = [row(3, 4), row(-4, 3)], [np.array([[False, True]]), np.array([[True, False]])]
    params = {"dare": {"drop": drop, "rescale": rescale}}
    one = merge_exactly(tasks, "dare+ta", params, "full", masks=masks)
    found = conditioning(one)
    others = [merge_exactly(moved(tasks, seed), "dare+ta", params, "full", masks=masks) for seed in range(4)]
    errors = [float(norm(one.matrix - other.matrix) / float(STEP)) for other in others]
    assert 2 * found.bound >= max(errors) > 2 * growth
    assert found.reasons == []
    if rescale != "l1":  # the factor of which moves, too
        assert (found.bound, found.scale) == (pytest.approx(10 * growth), pytest.approx(10 * growth))


@pytest.mark.parametrize("size", [2.0**-60, 1.0, 2.0**60])
@pytest.mark.parametrize(
    ("values", "k", "freedom"),
    [
        ((3, 2, 2, 1), 2, "rotation"),
        ((2, 2, 1), 1, "rotation"),
        ((3, 2, 2), 2, "rotation"),
        ((3, 2, 2, 2), 2, ""),  # more than a plane
        ((2, 2, 2, 1), 2, ""),
        ((3, 2, 2, 2 - 1e-14), 2, ""),  # as near as rounding
        ((3, 2 + 1e-14, 2, 1), 2, "rotation"),
        ((3, 2, 1), 2, None),
        ((3, 2, 2, 1), 3, None),
        ((3, 2, 2), 3, None),
    ],
)
def test_a_cut_between_two_equal_singular_values_leaves_a_rotation_open_whatever_their_size(
    values: tuple[float, ...], k: int, freedom: str | None, size: float
) -> None:
    tasks = [(np.diag(values) * size, np.eye(len(values)))]
    found = conditioning(merge_exactly(tasks, "tsv", {"tsv": {"k": k}}, "full"))
    if freedom is None:
        assert found.reasons == []
    else:
        assert ["no gap" in reason and f"value {k} " in reason for reason in found.reasons] == [True]
        assert found.freedom == freedom


@pytest.mark.parametrize("size", [2.0**-60, 1.0, 2.0**60])
@pytest.mark.parametrize(("second", "told"), [(1e-10, False), (1e-14, True), (0.0, False)])
def test_a_singular_value_at_the_level_of_rounding_is_told_whatever_their_size(
    second: float, told: bool, size: float
) -> None:
    tasks = [(np.diag([1.0, second]) * size, np.eye(2))]
    reasons = conditioning(merge_exactly(tasks, "tsv", {"tsv": {"k": 2}}, "full")).reasons
    assert any("at the level of rounding" in reason for reason in reasons) is told


# ---- votes -------------------------------------------------------------------------------------------------------
def test_votes_are_open_with_the_weights_that_they_are_cast_with() -> None:
    """Of 2 − 1 and 3 − 1.5, the second twice: a sum of zero, which takes the sign of a sum within rounding of zero."""
    tasks: list[Any] = [row(2, 3), row(-1, -1.5 + 4.5e-15)]
    found = {}
    for order in ("before", "after"):
        params = {"density": 1.0, "weight_order": order, "weights": [1.0, 2.0]}
        found[order] = conditioning(merge_exactly(tasks, "ties", {"ties": params}, "full"))
    assert not found["after"].reasons
    assert [reason.split()[0] for reason in found["before"].reasons] == ["2"]
    assert found["before"].freedom == "entries"
    assert found["before"].options[0, 0] == [-2, 2]
    assert found["before"].options[0, 1] == pytest.approx([-3, 3])
    assert set(found["before"].options) == {(0, 0), (0, 1)}


# ---- one-sided frames --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("direction", ["horizontal", "vertical"])
@pytest.mark.parametrize(
    ("values", "cut", "gap"),
    [
        ((1, 0.25), 0.0, 0.25),  # to what is nothing
        ((1, 0.75), 0.0, 0.25),
        ((3, 1, 0.5), 0.0, 0.5),
        ((3, 2.5, 0.75), 0.0, 0.5),
        ((1, 0.25), 0.5, 0.75),  # the second is cut, and the first known by the distance to it
        ((1,), 0.0, 1),
    ],
)
def test_coordinates_of_drm_are_known_as_the_vectors_of_its_frame(
    values: tuple[float, ...], cut: float, gap: float, direction: str
) -> None:
    """Errors of δ = ‖B‖ ‖A‖ turn a vector by δ / gap, and so much of the matrix comes to them."""
    given = {"drm": {"drop": 0.0, "rank_cut": cut, "direction": direction}}
    found = conditioning(merge_exactly([(np.diag(values) * 1.0, np.eye(len(values)))], "drm", given, "full"))
    size = np.linalg.norm(values)
    delta = size * len(values) ** 0.5
    assert found.reasons == []
    assert found.bound == pytest.approx(delta + delta / gap * size)
    assert found.scale == pytest.approx(delta)


@pytest.mark.parametrize(
    ("values", "freedom"),
    [
        ((1, 1 - 5e-14), "rotation"),
        ((1, 5e-14), "rotation"),  # and what is nothing
        ((3, 1, 1 - 5e-14), "rotation"),
        ((3, 3 - 5e-14, 1, 1 - 5e-14), ""),  # two planes
    ],
)
def test_a_one_sided_frame_of_near_equal_values_is_open(values: tuple[float, ...], freedom: str) -> None:
    given = {"drm": {"drop": 0.0, "rank_cut": 0.0, "direction": "horizontal"}}
    found = conditioning(merge_exactly([(np.diag(values) * 1.0, np.eye(len(values)))], "drm", given, "full"))
    assert ["frame is not determined" in reason for reason in found.reasons] == [True]
    assert found.freedom == freedom


def test_a_value_at_the_rank_cut_and_a_row_at_rounding_are_told() -> None:
    for second, cut, told in ((0.5, 0.5, True), (0.5 + 1e-12, 0.5, False), (0.5, 0.25, False)):
        given = {"drm": {"drop": 0.0, "rank_cut": cut, "direction": "horizontal"}}
        reasons = conditioning(merge_exactly([(np.diag([1.0, second]), np.eye(2))], "drm", given, "full")).reasons
        assert any("rank cut" in reason for reason in reasons) is told
    given = {"drm": {"drop": 0.0, "rank_cut": 0.0, "direction": "horizontal"}}
    tasks = [(np.diag([1.0, 0.25]), np.eye(2)), (np.diag([1.0, 1e-14]), np.eye(2))]
    found = conditioning(merge_exactly(tasks, "drm", given, "full"))
    assert {reason.split(":")[0] for reason in found.reasons if "level of rounding" in reason} == {"task 1"}


# ---- nothing -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("space", ["full", "knots", "core"])
@pytest.mark.parametrize("method", ["trim+ta", "ties", "drm", "tsv", "cart", "ta+iso"])
def test_merges_of_nothing_are_determined_and_have_no_error(method: str, space: str) -> None:
    found = conditioning(merge_exactly([(np.zeros((3, 1)), np.zeros((1, 2)))] * 2, method, None, space))
    assert (found.reasons, found.options, found.bound, found.scale, found.kappa) == ([], {}, 0, 0, 1)
