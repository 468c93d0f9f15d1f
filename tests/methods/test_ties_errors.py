"""Errors through TIES: where signs and voters are decided, what moving entries does; where not, what may come out."""

import itertools
from typing import Any

import numpy as np
import pytest
from carrying import carried, doubts_of, errors_of, margins_of, moved
from examples import stack_of

from coremerge_ref.methods.ties import Ties

ORDERS, DIVISORS, AGGREGATES = ("after", "before"), ("count", "weight"), ("mean", "sum")
# + is elected by 3 and 1 against −2; + by all; − by −5 against 2, or + by the majority of the others' signs; − by one
DECIDED = np.asarray([[[3.0, 1.0, 2.0, 0.0]], [[1.0, 2.0, -5.0, -1.0]], [[-2.0, 4.0, 0.0, 0.0]]])
SMALL = np.asarray([[[0.01, 0.02, 0.03, 0.0]], [[0.04, 0.05, 0.06, 0.07]], [[0.08, 0.09, 0.0, 0.0]]])


@pytest.mark.parametrize("elect", ["mass", "count"])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (2.0, 0.5, 1.5), (-2.0, -0.5, -1.5), (1.0, 0.5, -0.25)])
def test_where_all_is_decided_an_entry_is_off_by_what_moving_its_voters_does(weights: Any, elect: str) -> None:
    for order, divisor, aggregate in itertools.product(ORDERS, DIVISORS, AGGREGATES):
        ties = Ties(1.0, elect=elect, weight_order=order, divisor=divisor, aggregate=aggregate, weights=weights)
        errors, _ = carried(ties, DECIDED, SMALL, weights=weights)
        by_moving = moved(ties, DECIDED, SMALL, weights, by_task=True)
        np.testing.assert_allclose(errors.entry, by_moving, rtol=1e-9, err_msg=str(ties))
        # what is bound is the norm of all of them
        np.testing.assert_allclose(float(errors.delta), np.linalg.norm(by_moving), rtol=1e-9, err_msg=str(ties))
        assert (int(errors.rank), errors.jumped, errors.doubts) == (1, False, [])


def test_a_finer_bound_on_the_norm_is_weighed_and_divided_by_the_least_divisor() -> None:
    """Of the entries, one has 2 and one has 3 voters; (2 · 1e-3 + 1/2 · 2e-3) / 2."""
    M = [[[3.0, 1.0]], [[1.0, 2.0]], [[0.0, 4.0]]]
    stack = stack_of(M, [0.0] * 3, (2.0, -0.5, 0.0))
    ties = Ties(1.0)
    errors = errors_of(np.where(M, 0.1, 0.0), delta=np.asarray([1e-3, 2e-3, 3e-3]))
    (errors,) = ties.propagate([errors], [stack], ties([stack]))
    assert float(errors.delta) == pytest.approx(1.5e-3)


def test_arithmetic_rounds_what_is_summed() -> None:
    """Sums of 3 terms and a division: 3 / 2 + 2 units of 2 · 3 + 1/2 · 1, over two voters; −9 has no part in it."""
    M = [[[3.0, 1.0]], [[1.0, 0.0]], [[-0.5, 4.0]]]
    stack, ties = stack_of(M, [0.0] * 3, (2.0, -0.5, 1.0)), Ties(1.0)
    found = {}
    for name in ("compute", "input"):
        errors = errors_of(np.where(M, 0.01, 0.0), name, eps=1e-3)
        (found[name],) = ties.propagate([errors], [stack], ties([stack]))
    rounded = 3.5e-3 * np.asarray([[6.5 / 2, (2.0 + 4.0) / 2]])
    smooth = np.asarray([[0.025 / 2, 0.03 / 2]])
    np.testing.assert_allclose(found["input"].entry, smooth)
    np.testing.assert_allclose(found["compute"].entry, smooth + rounded)


def test_arithmetic_adds_its_rounding_to_a_finer_bound_on_the_norm() -> None:
    stack, ties = stack_of([[[3.0, 4.0]], [[3.0, 4.0]]], [0.0] * 2), Ties(1.0)
    errors = errors_of(np.full((2, 1, 2), 0.1), "compute", eps=2.0**-10, delta=np.asarray([0.01, 0.02]))
    (errors,) = ties.propagate([errors], [stack], ties([stack]))
    assert float(errors.delta) == pytest.approx(0.015 + 3 * 2.0**-10 * 5)


# 1 and −1 elect nobody; 0.1 and 0.2 are their errors
EVEN = [[[1.0, 2.0, 1.0]], [[-1.0, 1.0, 3.0]]], [[[0.1, 0.0, 0.0]], [[0.2, 0.0, 0.0]]]


@pytest.mark.parametrize(
    ("others", "zero_sign", "expected"),
    [
        ([[2.0, 1.0], [1.0, 3.0]], "majority", 0.1),  # + is elected twice
        ([[-2.0, -1.0], [-1.0, -3.0]], "majority", 0.2),
        ([[2.0, -1.0], [1.0, -3.0]], "majority", 0.2),  # no majority: −
        ([[-2.0, -1.0], [-1.0, -3.0]], "positive", 0.1),
        ([[2.0, 0.0], [1.0, 0.0]], "majority", 0.1),
        ([[-2.0, 0.0], [-1.0, 0.0]], "majority", 0.2),
    ],
)
def test_an_even_count_takes_the_sign_that_is_said_and_only_its_voters_count(
    others: Any, zero_sign: str, expected: float
) -> None:
    """Signs are counted, so 1 and −1 are even whatever their errors: the result is ±1, off by one of them."""
    M = np.asarray([[[1.0, *others[0]]], [[-1.0, *others[1]]]])
    E = [[[0.1, 0.0, 0.0]], [[0.2, 0.0, 0.0]]]
    ties = Ties(1.0, elect="count", zero_sign=zero_sign)
    errors, _ = carried(ties, M, E)
    assert errors.entry[0].tolist() == pytest.approx([expected, 0.0, 0.0])
    np.testing.assert_allclose(errors.entry, moved(ties, M, E, by_task=True), rtol=1e-9)
    assert not errors.doubts


@pytest.mark.parametrize("zero_sign", ["majority", "positive"])
def test_an_even_count_is_open_where_frames_are_known_up_to_signs(zero_sign: str) -> None:
    """Between 1.1 and −1.2, whatever the sign of ties is."""
    ties = Ties(1.0, elect="count", zero_sign=zero_sign)
    errors, _ = carried(ties, *EVEN, gauge_free=True)
    assert errors.entry[0].tolist() == pytest.approx([2.3, 0.0, 0.0])
    sentence = "ties: 1 of 3 entries have a sign or voters that are not determined, within the rounding of float64"
    assert errors.doubts == [(sentence, Ties.remedy)]


@pytest.mark.parametrize(
    ("sure", "open_", "expected"), [(1, 1, 2.3), (2, 1, 0.1), (-1, 1, 2.3), (-2, 1, 0.2), (0, 0, 0.2)]
)
def test_a_majority_is_one_where_doubtful_entries_cannot_turn_it(sure: int, open_: int, expected: float) -> None:
    """So many entries are surely elected + (or −), one more may go either way: 1 and −1 with errors of 1/8 by mass are
    nothing up to 1/2, an even vote beyond doubt; 2 and −1 are 1 ± 3/4, which may be one or not."""
    sign = np.sign(sure)
    X = [1.0, *[3.0 * sign] * abs(sure), *[2.0] * open_]
    Y = [-1.0, *[1.0 * sign] * abs(sure), *[-1.0] * open_]
    E = [[[0.1, *[0.0] * abs(sure), *[0.375] * open_]], [[0.2, *[0.0] * abs(sure), *[0.375] * open_]]]
    errors, _ = carried(Ties(1.0), [[X], [Y]], E, level=0.5)
    assert errors.entry[0, 0] == pytest.approx(expected)


def test_a_sum_that_counts_as_zero_is_no_part_of_the_majority() -> None:
    """2 and −1.9375 are 1/16, 1 and −1 nothing, up to 1/2 both: no majority, so − in both, off by what has that."""
    errors, after = carried(Ties(1.0), [[[1.0, 2.0]], [[-1.0, -1.9375]]], [[[0.1, 0.05]], [[0.2, 0.05]]], level=0.5)
    assert after.tolist() == [[-1.0, -1.9375]]
    assert errors.entry[0].tolist() == pytest.approx([0.2, 0.05])
    assert not errors.doubts


@pytest.mark.parametrize(("scope", "expected"), [("tensor", [0.1, 0.2]), ("model", [0.1, 0.1])])
def test_the_majority_is_the_layers_or_the_models(scope: str, expected: list[float]) -> None:
    """+ twice in the first layer, − once in the second: of the model it is +."""
    layers = [[[[1.0, 2.0, 2.0]], [[-1.0, 1.0, 1.0]]], [[[1.0, -2.0]], [[-1.0, -2.0]]]]
    stacks = [stack_of(M, [0.0, 0.0]) for M in layers]
    given = [errors_of(np.where(np.arange(n) == 0, [[[0.1]], [[0.2]]], 0.0)) for n in (3, 2)]
    ties = Ties(1.0, elect="count", scope=scope)
    found = ties.propagate(given, stacks, ties(stacks))
    assert [e.entry[0, 0] for e in found] == expected


@pytest.mark.parametrize(("scope", "expected"), [("tensor", [0.1, 2.3]), ("model", [2.3, 2.3])])
def test_what_is_in_doubt_in_one_layer_may_turn_the_majority_of_the_model(scope: str, expected: list[float]) -> None:
    """The first layer elects + once, the second may elect + or −."""
    layers = [[[[1.0, 3.0]], [[-1.0, 1.0]]], [[[1.0, 2.0]], [[-1.0, -1.0]]]]
    stacks = [stack_of(M, [0.5, 0.5]) for M in layers]
    given = [errors_of([[[0.1, e]], [[0.2, e]]]) for e in (0.0, 0.375)]
    ties = Ties(1.0, scope=scope)
    found = ties.propagate(given, stacks, ties(stacks))
    assert [float(e.entry[0, 0]) for e in found] == pytest.approx(expected)


# 2 and −1.75 with errors of 1/4 and 1/8, weights; what may come out lies that far apart
OPEN: list[tuple[dict[str, Any], tuple[float, float], float]] = [
    ({"aggregate": "sum"}, (1.0, 0.5), 2.25 + 0.9375),
    ({"aggregate": "sum"}, (1.0, -0.5), 2.25 + 0.9375),
    ({"aggregate": "sum", "divisor": "weight"}, (1.0, -0.5), 2.25 + 0.9375),
    ({}, (1.0, 0.5), 2.25 + 0.9375),  # each alone
    ({}, (1.0, -0.5), 2.25),  # 2, and −1/2 · −1.75
    ({"divisor": "weight"}, (1.0, 0.5), 2.25 + 1.875),  # weights cancel
    ({"divisor": "weight"}, (-1.0, -0.5), 2.25 + 1.875),
    ({"divisor": "weight"}, (1.0, 0.0), 2.25 + 1.875),
    ({"divisor": "weight"}, (-1.0, 0.0), 2.25 + 1.875),
    ({"divisor": "weight"}, (1.0, -0.5), np.inf),  # shares that may add up to nothing
]


@pytest.mark.parametrize("case", range(len(OPEN)))
def test_an_open_entry_is_off_by_all_that_may_come_out(case: int) -> None:
    parameters, weights, jump = OPEN[case]
    M, E = [[[2.0, 3.0]], [[-1.75, 4.0]]], [[[0.25, 0.0]], [[0.125, 0.0]]]
    errors, _ = carried(Ties(1.0, **parameters), M, E, weights=weights)
    assert errors.entry[0].tolist() == [jump, 0.0]
    assert float(errors.delta) == jump
    assert len(errors.doubts) == 1


@pytest.mark.parametrize(
    ("weights", "elect", "open_"),
    [((1.0, 1.0), "mass", True), ((1.0, 0.0), "mass", False), ((2.0, 1.0), "mass", False), ((3.0, 1.0), "count", True),
     ((3.0, 0.0), "count", False)],
)  # fmt: skip
def test_weights_before_the_election_have_a_vote_and_without_one_a_task_has_none(
    weights: Any, elect: str, open_: bool
) -> None:
    """2 and −1.75 with errors of 1/4 and 1/8; signs are counted, 1 and −1, and the sign of ties is in doubt."""
    M, E = [[[2.0]], [[-1.75]]], [[[0.25]], [[0.125]]]
    ties = Ties(1.0, elect=elect, weight_order="before", divisor="weight")
    errors, _ = carried(ties, M, E, weights=weights, gauge_free=True)
    assert bool(errors.doubts) is open_


def test_a_negative_weight_turns_a_vote_before_the_election_and_not_after() -> None:
    """Signs of 2 and −1.75: of 1 and −1 both vote +, if weighed before."""
    M, E = [[[2.0]], [[-1.75]]], [[[0.25]], [[0.125]]]
    for order, open_ in (("before", False), ("after", True)):
        for elect in ("mass", "count"):
            ties = Ties(1.0, elect=elect, weight_order=order)
            errors, _ = carried(ties, M, E, weights=(1.0, -1.0), gauge_free=True)
            assert bool(errors.doubts) is open_
            assert errors.entry.item() == (0.1875 if order == "before" else 2.25)


def test_an_entry_no_larger_than_its_error_or_in_doubt_may_have_a_vote() -> None:
    """Of 3 and x only the 3 is sure: either 3 or the mean of both, all that may come out lies within 3 + its error."""
    for x, e, unsure, open_ in ((0.25, 0.25, False, True), (0.5, 0.25, False, False), (0.5, 0.25, True, True),
                                (1.0, 0.25, False, False), (0.0, 0.25, True, True), (0.0, 0.25, False, True),
                                (0.0, 0.0, True, False), (-0.25, 0.25, False, True)):  # fmt: skip
        there = np.asarray([[[False]], [[unsure]]])
        errors, _ = carried(Ties(1.0), [[[3.0]], [[x]]], [[[0.125]], [[e]]], unsure=there)
        assert bool(errors.doubts) is open_, (x, e, unsure)
        if open_:
            assert errors.entry.item() == pytest.approx(3.125 + (0.5 if x < 0 else max(e - x, 0.0)))


@pytest.mark.parametrize("order", ORDERS)
def test_up_to_the_largest_level_of_all_tasks_a_sum_is_nothing(order: str) -> None:
    """2 and −1.9375 are 1/16 ± 1/8, and thrice that weighed by 3: levels of 1/8 and 1/2, and of 3/2 then."""
    stack = stack_of([[[2.0, 4.0]], [[-1.9375, 4.0]]], [0.125, 0.5], (3.0, 3.0))
    ties = Ties(1.0, weight_order=order, aggregate="sum")
    errors = errors_of([[[0.0625, 0.0]], [[0.0625, 0.0]]])
    (errors,) = ties.propagate([errors], [stack], ties([stack]))
    assert not errors.doubts  # an even vote beyond doubt, and + by majority
    assert errors.entry.tolist() == [[3 * 0.0625, 0.0]]


@pytest.mark.parametrize(
    ("parameters", "weight", "factor"),
    [({}, -3.0, -3.0), ({"aggregate": "sum"}, -3.0, -3.0), ({"divisor": "weight"}, -3.0, 1.0),
     ({"divisor": "weight"}, 0.0, 0.0), ({"divisor": "weight", "aggregate": "sum"}, -3.0, -3.0),
     ({"aggregate": "sum"}, 0.0, 0.0)],
)  # fmt: skip
def test_one_task_that_keeps_all_is_itself_times_a_factor(parameters: Any, weight: float, factor: float) -> None:
    ties, L = Ties(1.0, **parameters), (np.ones((1, 1)), np.ones((2, 1)), np.ones(1), np.ones(1))
    errors, after = carried(ties, [[[2.0, -0.5]]], [[[0.25, 0.5]]], weights=[weight], factors=[L])
    assert after.tolist() == [[2.0 * factor, -0.5 * factor]]
    assert errors.entry.tolist() == [[0.25 * abs(factor), 0.5 * abs(factor)]]
    assert errors.factors[2].tolist() == [abs(factor)]  # not decomposed into entries
    assert margins_of(errors) == [("size of the sum relative to its terms", None, 1.0)]


@pytest.mark.parametrize(("density", "T", "sees"), [(1.0, 1, False), (0.5, 1, True), (1.0, 2, True), (0.5, 2, True)])
def test_only_one_task_that_keeps_all_needs_no_basis(density: float, T: int, sees: bool) -> None:
    assert Ties(density).sees(T) == (("left", "right") if sees else ())


def test_what_trimming_leaves_is_elected() -> None:
    """Of 4, 1, 3, 2 half stays, and 3 and 2 are off by 1/2: either is there, which is said once. 5 and −6 both stay."""
    M, E = [[[4.0, 1.0, 3.0, 2.0]], [[5.0, -6.0, 0.0, 0.0]]], [[[0.1, 0.1, 0.5, 0.5]], [[0.2, 0.3, 0.0, 0.0]]]
    errors, _ = carried(Ties(0.5, keep="exact"), M, E)
    assert errors.entry[0, :2].tolist() == pytest.approx([0.15, 0.3])
    assert (errors.entry[0, 2:] >= [3.5, 2.5]).all()
    assert doubts_of(errors) == [
        "trim: task 0: 2 entries lie at the threshold, within the rounding of float64",
    ]
    assert margins_of(errors) == [
        ("relative gap between the last entry kept and the first one cut", 0, round(1 / 3, 12)),
        ("relative gap between the last entry kept and the first one cut", 2, 1.0),
        ("smallest relative majority of a decided entry", None, 1.0),
    ]


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_counts_are_no_values_whatever_counts_as_zero(scale: float) -> None:
    """Majorities of whole numbers, where sums of values count as zero from 1/20 of the scale on."""
    M, E = scale * np.asarray([[[1.0, 2, 2]], [[-1, 1, 1]]]), scale * np.asarray([[[0.2, 0, 0]], [[0.1, 0, 0]]])
    stage = Ties(1.0, elect="count")
    errors, _ = carried(stage, M, E, 0.05 * scale)
    assert float(errors.entry[0, 0]) >= moved(stage, M, E)[0, 0] - 1e-9 * scale > 0


@pytest.mark.parametrize(("sign", "zero_sign"), [(1.0, "majority"), (-1.0, "positive")])
@pytest.mark.parametrize("aggregate", ["mean", "sum"])
def test_a_sum_that_counts_as_zero_takes_the_sign_of_zeros_and_their_errors(
    sign: float, zero_sign: str, aggregate: str
) -> None:
    """2 and −1.9375 sum to no more than the level: the side that zeros go to is that of −1 and −1.9375."""
    M, E = sign * np.asarray([[[1.0, 2]], [[-1, -1.9375]]]), np.asarray([[[0.1, 0.04]], [[0.2, 0.05]]])
    errors, after = carried(Ties(1.0, zero_sign=zero_sign, aggregate=aggregate), M, E, 0.5)
    np.testing.assert_allclose(after, sign * np.asarray([[-1.0, -1.9375]]))
    assert float(errors.entry[0, 1]) == pytest.approx(0.05, rel=1e-6)
