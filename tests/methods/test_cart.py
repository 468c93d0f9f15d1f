"""What errors of tasks are after CART, of diagonal ones by hand."""

from typing import Any

import numpy as np
import pytest
from examples import stack_of

import coremerge_ref as cm
from coremerge_ref.core.spaces import SPACES
from coremerge_ref.core.stack import Stack
from coremerge_ref.perturbation.carried import Errors, Level
from coremerge_ref.testing import THRESHOLD, ratio

D = 6 * 2.0**-23  # what float32's arithmetic and its SVD make of a matrix, relative to its norm
WEIGHTS = (1.0, -2.0, 0.5)
# w_t M_t: diag(9, 3), 0 and diag(0, 3); their mean: diag(3, 2); M_t − M̄: diag(6, 1), −diag(3, 2), diag(−3, 1)
TASKS = np.asarray([np.diag([9.0, 3.0]), np.zeros((2, 2)), np.diag([0.0, 6.0])])
DELTA = np.asarray([0.03, 0.03, 0.18])  # and 0.03, 0.06, 0.09 with weights
OWN = np.asarray([0.02 + 0.05, 0.04 + 0.04, 0.06 + 0.03])  # 2/3 of one's own, 1/3 of the others'


def stack() -> Stack:
    return stack_of(TASKS, np.full(3, 1e-6), WEIGHTS)


def errors_of(
    delta: Any = DELTA,
    name: str = "input",
    entry: Any = None,
    rank: Any = (2, 0, 1),
    eps: float = 2.0**-23,
    **given: Any,
) -> Errors:
    delta = np.asarray(delta)
    entry = np.full((len(delta), 2, 2), np.inf) if entry is None else np.asarray(entry)
    level = Level(name, "float64", eps, 1.0)
    return Errors(level, (9, 9), delta, entry, np.asarray(rank), (0, 4, 7), True, {}, 2.0**-52, lost=3, **given)


def carried(errors: Errors, given: Stack, **stage: Any) -> Errors:
    cart = cm.Cart(**stage)
    found = cart.carry(errors, given, cart.apply(given))
    assert found is errors
    return found


def test_each_deviation_moves_by_what_its_gap_makes_of_its_error() -> None:
    """σ_1 / (σ_1 − σ_2) is 6 / 5, 3 and 3 / 2; x of σ_1 to first order is x / (1 − 2 x). The mean moves by 0.18 / 3."""
    errors = carried(errors_of(), stack(), k=1, coefficient=-1.5)
    parts = [own * c / (1 - 2 * own * c / s) for own, c, s in zip(OWN, (1.2, 3, 1.5), (6, 3, 3), strict=True)]
    assert float(errors.delta) == pytest.approx(0.06 + 1.5 * sum(parts))
    assert (errors.entry == float(errors.delta)).all()
    assert (errors.lost, errors.doubts, errors.factors, int(errors.rank)) == (3, [], None, 2)
    assert [(s.title, s.kept, s.cut, s.values.tolist()) for s in errors.spectra] == [
        (f"cart: task {t}: singular values of M_t − M̄", 1, 2e-6, pytest.approx(values))
        for t, values in ((0, [6, 1]), (4, [3, 2]), (7, [3, 1]))
    ]
    assert [str(m) for m in errors.margins] == [
        f"cart: task {t}: relative gap at k = 1 of M_t − M̄ is {gap}" for t, gap in ((0, 0.83), (4, 0.33), (7, 0.67))
    ]
    assert [m.amplifies for m in errors.margins] == pytest.approx([1.2, 3, 1.5])


@pytest.mark.parametrize(("size", "lost", "doubts"), [(1.0, 0, 0), (1.5, 0, 0), (1.7, 1, 0), (6.0, 2, 0), (6.4, 2, 1)])
def test_which_directions_are_kept_is_in_doubt_where_errors_reach_over_the_gap(
    size: float, lost: int, doubts: int
) -> None:
    """Twice 0.08 of a gap of 1, the smallest, and 0.18 of 2."""
    errors = carried(errors_of(size * DELTA), stack(), k=1)
    assert (errors.lost - 3, len(errors.doubts)) == (lost, doubts)
    if doubts:
        assert errors.doubts[0][0].startswith(
            "cart: task 4: singular values 1 and 2 of M_t − M̄ differ by 3.3e-01 of the largest, within"
        )
        assert errors.doubts[0][1] == "choose another rank, such as k = 1, with 0% between it and the next"


@pytest.mark.parametrize("known", [True, False])
def test_what_multiplies_all_tasks_leaves_a_gap_that_an_error_reaches_over(known: bool) -> None:
    """diag(9, 1, 0, 0), diag(0, 0, 3, 0.9) and 0: deviations (6, 1, …), (3, 2, …) and (3, 1, …), each off by 2/3 of 0.6
    and 1/3 of 1.2.

    That is 2 · 0.8 of gaps of 5, 1 and 2. Columns are known to 0.02 of themselves, and all four times 2 = √4 together.
    """
    M = np.asarray([np.diag([9.0, 1.0, 0, 0]), np.diag([0, 0, 3.0, 0.9]), np.zeros((4, 4))])
    errors = errors_of([0.6] * 3, entry=np.full((3, 4, 4), np.inf), rank=(2, 2, 0))
    if known:
        errors.factors = [(X, np.eye(4), 0.02 * np.linalg.norm(X, axis=0), np.zeros(4)) for X in M]
    carried(errors, stack_of(M, np.full(3, 1e-9), np.ones(3)), k=1)
    assert (errors.lost, len(errors.doubts)) == ((3, 0) if known else (6, 1))
    if known:
        bound = 0.6  # of the mean
        for size, ratio in ((6, 1 / 6), (3, 2 / 3), (3, 1 / 3)):
            widest = (ratio * 1.04 / 0.96) ** 2
            turn = -np.log(0.96) * (1 + widest) / (1 - widest)
            bound += min(0.8 + 2 * 1.04 * size * turn, 2 * size + 0.8)
        assert float(errors.delta) == pytest.approx(bound, rel=1e-6)


def test_no_part_moves_by_more_than_all_of_it() -> None:
    """Twice its norm and the error: of 6, of 3 and of 3."""
    errors = carried(errors_of([9.0, 3.0, 18.0]), stack(), k=1, coefficient=2.0)
    own = 6 + 5, 4 + 6, 6 + 5  # of 9, 6, 9
    assert float(errors.delta) == pytest.approx(8 + 2 * sum(2 * s + x for s, x in zip((6, 3, 3), own, strict=True)))


def beside_nothing(M: np.ndarray, levels: Any) -> Stack:
    """M, −M and 0: of mean 0, so that they are their own deviations from it."""
    return stack_of([M, -M, 0 * M], levels, np.ones(3))


def test_equal_values_at_the_cut_are_in_doubt_without_any_error() -> None:
    given = beside_nothing(np.diag([2.0, 2.0, 1.0]), np.full(3, 1e-6))
    errors = errors_of(np.zeros(3), entry=np.zeros((3, 3, 3)), rank=(3, 3, 0))
    carried(errors, given, k=1)
    assert [sentence[:70] for sentence, _ in errors.doubts] == [
        f"cart: task {t}: singular values 1 and 2 of M_t − M̄ differ by 0.0e+00 of the"[:70] for t in (0, 4)
    ]
    assert "k = 2, with 50%" in errors.doubts[0][1]


def test_what_counts_as_zero_is_no_gap_and_lost() -> None:
    """Of ±diag(2, 1, 1e-7): cut at k = 2, and at 3, where nothing is but what counts as zero."""
    given = beside_nothing(np.diag([2.0, 1.0, 1e-7]), [1e-6, 1e-9, 1e-9])
    of = {"entry": np.full((3, 3, 3), 1e-2), "rank": (3, 3, 0)}
    errors = carried(errors_of([1e-3, 3e-3, 0.0], **of), given, k=2, coefficient=-4.0)
    x, y, z = 5e-3 / 3, 7e-3 / 3, 4e-3 / 3  # two thirds of one's own; the next value is no value of 2 − 1e-7
    assert float(errors.delta) == pytest.approx(z + 4 * (x / (1 - x) + y / (1 - y) + z), rel=1e-6)
    assert [(s.kept, s.cut, m.value) for s, m in zip(errors.spectra, errors.margins, strict=True)] == [
        (2, 1e-6, pytest.approx(0.5)), (2, 1e-6, pytest.approx(0.5)), (0, 1e-6, 1.0),
    ]  # fmt: skip
    errors = carried(errors_of([1e-3, 3e-3, 0.0], **of), given, k=3, coefficient=-4.0)
    assert float(errors.delta) == pytest.approx(z + 4 * 2 * 1e-7, abs=1e-12)
    assert errors.entry[0, 0] == pytest.approx(z + 8e-7)  # no more than the norm
    assert [m.value for m in errors.margins if "gap" in m.what] == [1.0, 1.0, 1.0]
    assert not errors.doubts
    small = {"entry": np.full((3, 3, 3), 1e-5), "rank": (3, 3, 0)}
    errors = carried(errors_of([1e-3, 3e-3, 0.0], **small), given, k=3, coefficient=-4.0)
    np.testing.assert_allclose(errors.entry, 1e-5 + 8e-7)


def test_deviations_of_which_nothing_is_cut_sum_to_zero_but_for_rounding() -> None:
    """Of diag(2, 1) each SVD is off by D √5, to and from its triplets."""
    M, delta = np.diag([2.0, 1.0]), [1e-3, 3e-3, 0.0]
    given = beside_nothing(M, np.full(3, 1e-6))
    errors = carried(errors_of(delta, rank=(1, 1, 0)), given, k=2, coefficient=-4.0)
    assert float(errors.delta) == pytest.approx(4e-3 / 3)
    assert any("size of the sum" in m.what for m in errors.margins)
    made = [(M, np.eye(2), np.full(2, 0.1), np.full(2, 0.2))] * 3
    errors = carried(errors_of(delta, rank=(1, 1, 0), factors=made), given, k=2)
    np.testing.assert_allclose(errors.factors[2], 0.1 / 3)
    errors = carried(errors_of(delta, "compute", rank=(1, 1, 0)), given, k=2, coefficient=-4.0)
    own = 2 * D * 5**0.5
    assert float(errors.delta) == pytest.approx(4e-3 / 3 + 4 * 2 * own, rel=1e-6)
    errors = carried(errors_of(delta, "compute", entry=np.zeros((3, 2, 2)), rank=(1, 1, 0)), given, k=2)
    np.testing.assert_allclose(errors.entry, 2 * own, rtol=1e-6)
    # of rank 2 to be cut to 1, the mean is not all
    errors = carried(errors_of(delta, rank=(1, 1, 0)), given, k=1)
    assert float(errors.delta) > 4e-3
    one = stack_of([M * [1, 0], 0 * M, 0 * M], np.full(3, 1e-6), np.ones(3))
    errors = carried(errors_of(delta, rank=(1, 0, 0)), one, k=1)
    assert float(errors.delta) == pytest.approx(4e-3 / 3)


@pytest.mark.parametrize("level", ["input", "compute"])
def test_of_two_tasks_nothing_is_decided(level: str) -> None:
    """Parts of opposite deviations cancel: the mean is left, though singular values at the cut are equal."""
    given = stack_of([np.diag([2.0, 2.0, 1.0]), np.diag([0.0, 0.0, 5.0])], np.full(2, 1e-6), (1.0, -0.5))
    for stage in ({"k": 1, "coefficient": -4.0}, {}):
        errors = errors_of([1e-3, 3e-3], level, rank=(3, 1), size_doubt="the live size is 2 or 3")
        errors.entry = np.full((2, 3, 3), np.inf)
        carried(errors, given, **stage)
        assert float(errors.delta) == pytest.approx(1e-3 / 2 + 3e-3 / 4, rel=1e-4)
        assert (errors.doubts, errors.spectra) == ([], [])


@pytest.mark.parametrize("space", [name for name, space in SPACES.items() if space.lossless])
@pytest.mark.parametrize("weights", [None, (0.5, -2.0)])
def test_cart_of_two_tasks_says_that_it_is_their_mean(space: str, weights: Any) -> None:
    rng = np.random.default_rng(7)
    updates = [cm.LowRankUpdate(rng.standard_normal((9, 3)), rng.standard_normal((3, 8))) for _ in range(2)]
    made = [w * u.B @ u.A for w, u in zip(weights or (1.0, 1.0), updates, strict=True)]
    scale = sum(float(np.linalg.norm(X)) for X in made)
    for stage in (cm.Cart(k=1, coefficient=3.0), cm.Cart(fraction=0.5), cm.Cart(k=2, coefficient=-1.0)):
        merged = cm.merge(updates, stage, space, weights=weights)
        assert ratio(merged.to_dense(), sum(made) / 2, scale, 2.0**-52) <= THRESHOLD
        assert bool(merged.info["cancelled"])
    assert "cancelled" not in cm.merge([*updates, updates[0]], "cart", space).info


def test_arithmetic_adds_what_its_svds_do_to_each_task() -> None:
    """√90 and √9 of w_t M_t."""
    own = D * np.asarray([90**0.5, 0, 9**0.5])
    errors = carried(errors_of(1e-6 * DELTA, "compute"), stack(), k=1)
    delta = 1e-6 * np.asarray([0.03, 0.06, 0.09]) + own
    each = delta / 3 + delta.sum() / 3
    assert float(errors.delta) == pytest.approx(delta.sum() / 3 + float(each @ [1.2, 3, 1.5]), rel=1e-4)


def test_a_coefficient_of_zero_leaves_the_mean() -> None:
    errors = carried(errors_of(), stack(), k=1, coefficient=0.0)
    assert float(errors.delta) == pytest.approx(0.06)
    assert (len(errors.margins), errors.spectra) == (1, [])
    made = [(M, np.eye(2), np.full(2, 0.1), np.full(2, 0.2)) for M in TASKS]
    errors = carried(errors_of(factors=made), stack(), k=1, coefficient=0.0)
    b = errors.factors[2]
    np.testing.assert_allclose(b, np.repeat([0.1 / 3, 0.2 / 3, 0.05 / 3], 2))


@pytest.mark.parametrize(("stage", "doubts"), [({}, 1), ({"k": 1}, 0)])
def test_a_size_in_doubt_may_take_or_leave_any_part(stage: Any, doubts: int) -> None:
    errors = carried(errors_of(size_doubt="the live size is 2 or 3"), stack(), **stage)
    assert len(errors.doubts) == doubts
    if doubts:  # twice the norm of each deviation
        assert float(errors.delta) == pytest.approx(0.06 + 2 * (37**0.5 + 13**0.5 + 10**0.5) + OWN.sum())
    errors = carried(errors_of(size_doubt="the live size is 2 or 3"), stack(), fraction=1.0)  # as k = 2, of rank 2
    assert float(errors.delta) > 20


@pytest.mark.parametrize("by", ["columns", "entries", "the norm"])
def test_columns_of_the_result_are_those_of_the_mean_and_of_all_parts(by: str) -> None:
    """Errors b of the columns of all w_t M_t, 3e-8 (1, 2), are 4/3 of that in each deviation, and all that it has.

    u_1 turns by (σ_1 E_21 + σ_2 E_12) / (σ_1² − σ_2²) within, E_21 ≤ b_1 and E_12 ≤ b_2, and by b_1 / σ_1 beyond; v_1
    by (σ_1 E_12 + σ_2 E_21) / (σ_1² − σ_2²). Entries as large say that nothing lies beyond. Or all by a norm of 4e-9.
    """
    w, size, delta = np.abs(WEIGHTS), 1.0 if by == "entries" else 3e-8, 3e-9 if by == "the norm" else 3e-7
    made: Any = [(M, np.eye(2), np.asarray([1, 2]) * size / x, np.zeros(2)) for M, x in zip(TASKS, w, strict=True)]
    entry = np.multiply.outer(3e-8 / w, [[1, 2], [1, 2]]) if by == "entries" else None
    stage: Any = {"k": 1, "coefficient": -2.0}
    errors = carried(errors_of(delta / w, entry=entry, factors=made, closed=True), stack(), **stage)
    L, R, b, a = errors.factors()
    np.testing.assert_allclose(L[:, :6] @ R[:, :6].T, np.diag([3.0, 2.0]))
    np.testing.assert_allclose(np.abs(L[0, 6:] * R[0, 6:]), [2 * 6, 2 * 3, 2 * 3])  # columns have no sign
    np.testing.assert_allclose(b[:6], [size / 3, 2 * size / 3] * 3)
    assert (a[:6] == 0).all()
    for i, (x, y) in enumerate(((6, 1), (3, 2), (3, 1))):
        left, right, within = (4e-8 * x + 8e-8 * y) / (x * x - y * y), (8e-8 * x + 4e-8 * y) / (x * x - y * y), 4e-8
        if by == "columns":
            left = np.hypot(left, 4e-8 / x)
        elif by == "the norm":
            left, within = 4e-9 * np.hypot(x, y) / (x * x - y * y), 4e-9
            right = left
        assert b[6 + i] == pytest.approx(2 * (x * left + within), rel=1e-4)
        assert a[6 + i] == pytest.approx(right, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "given", "stage"),
    [
        ("compute", {}, {"k": 1}),
        ("input", {"divided": True}, {"k": 1}),
        ("input", {"size_doubt": "the live size is 2 or 3"}, {}),
        ("input", {"factors": None}, {"k": 1}),
    ],
)
def test_nothing_is_known_of_columns_of_the_result(name: str, given: Any, stage: Any) -> None:
    """Of arithmetic, of what was divided, of a part of unknown size, and where nothing was."""
    made = [(M, np.eye(2), np.full(2, 0.1), np.full(2, 0.2)) for M in TASKS]
    assert carried(errors_of(name=name, **{"factors": made, **given}), stack(), **stage).factors is None


def test_what_counts_as_zero_in_any_task_counts_so_in_all_deviations() -> None:
    """Deviations of diag(2, 0.3), diag(0, 0.3) and 0 are diag(4, 0.3), diag(-2, 0.3) and -diag(2, 0.6) over 3."""
    given = stack_of([np.diag([2.0, 0.3]), np.diag([0.0, 0.3]), np.zeros((2, 2))], [0.15, 1e-9, 1e-9], np.ones(3))
    np.testing.assert_allclose(cm.Cart(k=2).apply(given).M, np.diag([2 / 3, 0.2 - 0.2]), atol=1e-12)
