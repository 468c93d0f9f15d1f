"""What errors make of SCE's merge, by hand: one row of few entries, each known up to an error, in full space."""

import math
from typing import Any

import numpy as np
import pytest
from examples import stack_of

import coremerge_ref as cm
from coremerge_ref.core.stack import Stack
from coremerge_ref.perturbation.carried import Errors, Level

e = 1e-6  # so small that errors count to first order
CLOSE = 1e-4


def explained(
    M: Any, E: Any, level: float = 0.0, weights: tuple[float, ...] = (), *, name: str = "input",
    eps: float = 1e-16, unit: float = 1e-16, gauge_free: bool = False, doubt: str = "", **stage: Any,
) -> Errors:  # fmt: skip
    """The errors of SCE with these parameters; M (T, d), entries known up to E, which broadcasts against them."""
    M = np.asarray(M, dtype=float)[:, None, :]
    T, p, q = M.shape
    entry = np.array(np.broadcast_to(np.asarray(E, dtype=float), (T, q)))[:, None, :]
    delta = np.asarray([math.hypot(*row.ravel()) for row in entry])
    before = stack_of(M, np.full(T, level), weights or (1.0,) * T)
    errors = Errors(
        Level(name, "float64", eps, 1.0), (p, q), delta, entry, np.full(T, 1), tuple(range(T)), gauge_free, {}, unit,
        size_doubt=doubt,
    )  # fmt: skip
    return cm.Sce(**stage).carry(errors, before, cm.Sce(**stage).apply(before))


def moved(M: Any, E: Any, level: float = 0.0, **stage: Any) -> np.ndarray:
    """How far merged entries (N, d) move where inputs move by their errors one way, the other, half as far or not."""
    M = np.asarray(M, dtype=float)
    signs = np.random.default_rng(0).choice([-1, 0, 1, 0.5], (300, *M.shape))
    batch = np.concatenate([M[None], M + signs * E]).swapaxes(0, 1)[:, :, None, :]  # (T, N, 1, d)
    rows, cols = np.ones(301), np.full(301, float(M.shape[1]))
    T = len(M)
    stack = Stack(batch, np.full((T, 301), level), rows, cols, (1.0,) * T, tuple(range(T)), ("",) * 301)
    found = cm.Sce(**stage).apply(stack).M[:, 0, :]
    return np.asarray(np.abs(found - found[0]))


def texts(errors: Errors) -> str:
    return " ".join(text for text, _ in errors.doubts)


# of 3 and 1, energies 9 and 1: shares 0.9 and 0.1, v = 2.8. An error e of M_t moves its energy by 2 |M_t| e, so shares
# by (2 |M_t| e + share 2 |M_t| e) / 10 and the other by share 2 |M_t| e / 10, and v by Σ δc_t |M_t − v| more
FIRST_ORDER = {
    "of the larger": ([e, 0], 0.9 * e + (6 + 5.4) / 10 * e * 0.2 + 0.6 / 10 * e * 1.8),
    "of the smaller": ([0, e], 0.1 * e + 1.8 / 10 * e * 0.2 + (2 + 0.2) / 10 * e * 1.8),
    "of both": ([e, e], e + (6 + 7.2) / 10 * e * 0.2 + (2 + 0.8) / 10 * e * 1.8),
}


@pytest.mark.parametrize("scale", [1.0, -1e-3, 1e200, -1e-200])
@pytest.mark.parametrize("case", FIRST_ORDER)
def test_a_mean_moves_with_its_entries_and_with_their_shares_of_the_energy(case: str, scale: float) -> None:
    E, expected = FIRST_ORDER[case]
    found = explained(scale * np.asarray([[3.0], [1.0]]), abs(scale) * np.asarray(E)[:, None])
    assert found.entry.item() == pytest.approx(abs(scale) * expected, rel=CLOSE)
    assert float(found.delta) == pytest.approx(abs(scale) * expected, rel=CLOSE)
    assert not found.doubts
    assert found.undecided is not None
    assert not found.undecided.any()


def test_errors_of_other_entries_move_the_shares_alone() -> None:
    """Energies 25 and 1; (3, 4) moves its own by at most 2 · 5 e. The second entry is that of the first task alone."""
    found, v = explained([[3, 4], [1, 0]], [[0, e], [0, 0]]), 76 / 26
    shares = (10 + 10 * 25 / 26) / 26 * e, (10 / 26) / 26 * e
    np.testing.assert_allclose(found.entry, [[shares[0] * (3 - v) + shares[1] * (v - 1), e]], rtol=CLOSE)


def test_errors_are_those_of_entries_times_their_weights() -> None:
    M, E, w = np.asarray([[3.0, 1.0], [2.0, 5.0]]), np.asarray([[1e-3, 0.0], [2e-3, 1e-3]]), (2.0, -0.5)
    found = explained(M, E, 1e-2, w)
    expected = explained(M * np.asarray(w)[:, None], E * np.abs(w)[:, None], 1e-2)
    np.testing.assert_allclose(found.entry, expected.entry, rtol=1e-12)
    assert float(found.delta) == pytest.approx(float(expected.delta))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_minority_has_no_part(sign: int) -> None:
    found = explained(sign * np.asarray([[3.0, 1.0], [-1.0, 1.0]]), [[e, 0], [0, 0]])
    share = (2 * 10**0.5 * (1 + 10 / 12) / 12 + 2 * 10**0.5 * (2 / 12) / 12) * e
    assert found.entry[0, 0] == pytest.approx(e, rel=CLOSE)
    assert found.entry[0, 1] <= share * 1e-3  # both are 1, whatever their shares
    assert min(m.value for m in found.margins) == pytest.approx(0.5)  # 3 − 1 of 4


def test_arithmetic_is_off_by_its_sums_and_by_energies() -> None:
    """T + 4 units of every |M_t|, whose mean is 2.8; energies 9 and 1 by eps of themselves."""
    sums = explained([[3], [1]], 0.0, name="compute", eps=1e-12, unit=e)
    assert float(sums.delta) == pytest.approx(6 * e * 2.8, rel=CLOSE)
    energies = explained([[3], [1]], 0.0, name="compute", eps=e)
    assert float(energies.delta) == pytest.approx((9 + 9) / 10 * e * 0.2 + (1 + 1) / 10 * e * 1.8, rel=CLOSE)
    assert float(explained([[3], [1]], 0.0, eps=e, unit=e).delta) == 0.0  # rounded inputs bring no more


@pytest.mark.parametrize(
    "stage", [{}, {"density": 0.5}, {"density": 0.8}, {"floor": 0.05}, {"density": 0.7, "floor": 0.8}], ids=str
)
def test_no_error_moves_an_entry_by_more_than_is_said(stage: dict[str, float]) -> None:
    for seed in range(20):
        rng, level, error = np.random.default_rng(seed), 0.1 * (seed % 2), (1e-3, 0.03, 0.2, 0.6, 2.0)[seed % 5]
        M = np.round(rng.standard_normal((int(rng.integers(2, 4)), 4)), 1)
        E = error * rng.random(M.shape) * (rng.random(M.shape) < 0.7)
        found, changes = explained(M, E, level, **stage), moved(M, E, level, **stage)
        assert (changes <= found.entry[0] * (1 + 1e-9) + 1e-14).all()
        assert (np.linalg.norm(changes, axis=1) <= float(found.delta) * (1 + 1e-9) + 1e-14).all()


def test_below_the_floor_all_tasks_have_equal_parts() -> None:
    found = explained([[0.3], [0.1]], [[0.01], [0.02]], floor=0.5)
    assert found.entry.item() == pytest.approx(0.5 * 0.01 + 0.5 * 0.02)
    assert not found.doubts
    alone = explained([[0.3, 0.2], [0.1, 0.0]], [[0.01, 0.02], [0.0, 0.0]], floor=0.8)
    np.testing.assert_allclose(alone.entry, [[0.5 * 0.01, 0.5 * 0.02 / 0.8]])  # halves, over the floor at least


def test_at_the_floor_shares_may_be_equal_or_not() -> None:
    """Squares sum to 0.1. Of 0.3 and 0.1 any mean is possible."""
    found = explained([[0.3], [0.1]], 1e-3, floor=0.1)
    assert "at the floor" in texts(found)
    assert moved([[0.3], [0.1]], 1e-3, floor=0.1).max() > 0.08
    assert found.entry.item() >= 0.1
    for floor in (0.0985, 0.1015):  # squares may be off by 2 · 0.3 e + 2 · 0.1 e and by e², 0.0008 in all
        assert not explained([[0.3], [0.1]], 1e-3, floor=floor).doubts


def test_the_floor_is_one_of_mean_squares_of_all_live_entries() -> None:
    """0.3² + 0.1² in two entries: 0.05 each."""
    M = [[0.3, 0.0], [0.1, 0.0]]
    assert "at the floor" in texts(explained(M, [1e-3, 0.0], floor=0.05))
    assert not explained(M, [1e-3, 0.0], floor=0.1).doubts


def test_where_the_size_is_in_doubt_so_is_a_floor() -> None:
    assert not explained([[3], [1]], e, doubt="the size").doubts
    found = explained([[3], [1]], e, doubt="the size", floor=0.5)
    assert "the size" in texts(found)
    assert "at the floor" in texts(found)
    assert found.entry.item() >= 1  # shares 0.9 and 0.1 or any


def test_at_the_floor_of_shares_the_sum_alone_moves() -> None:
    """Energies 9 and 2; the second entry is 2/11 of 1 over the floor 1/2, and (1, 1) moves its energy by 2 √2 e."""
    found = explained([[3, 0], [1, 1]], [[0, 0], [0, e]], floor=0.5)
    change = 2 * 2**0.5 * e * (1 + 2 / 11) / 11
    assert found.entry[0, 1] == pytest.approx((2 / 11 * e + change) / 0.5, rel=CLOSE)


def test_shares_below_the_floor_bring_little_where_signs_are_open() -> None:
    """Energies 1.01, 1.01 and 100: two entries of 0.1 have shares 1.01 / 102.02 of it, over the floor 1/2."""
    M = [[1, 0.1], [1, -0.1], [10, 0]]
    found = explained(M, [[0, e], [0, e], [0, 0]], floor=0.5)
    share = 1.01 / 102.02 / 0.5
    assert found.entry[0, 1] == pytest.approx(2 * share * 0.1, rel=1e-3)
    assert "1 of 2 entries" in texts(found)
    whole = explained(M, [[0, e], [0, e], [0, 0]])  # without a floor either is the whole entry
    assert whole.entry[0, 1] == pytest.approx(0.2, rel=1e-3)


@pytest.mark.parametrize("gauge_free", [False, True])
def test_sums_of_zero_are_positive_where_signs_are_the_inputs_own(gauge_free: bool) -> None:
    """1 and −1 sum to what counts as zero: 1 is left, or −1 where the frame has no sign."""
    found = explained([[1], [-1]], e, 0.1, gauge_free=gauge_free)
    assert found.entry.item() == pytest.approx(2.0 if gauge_free else e, rel=CLOSE)
    assert bool(found.doubts) is gauge_free


@pytest.mark.parametrize("second", [-0.85, -1.15])
def test_the_sign_is_that_of_sums_beyond_the_level(second: float) -> None:
    found = explained([[1.0], [second]], [[e], [e]], 0.1)
    assert not found.doubts
    assert found.entry.item() == pytest.approx(e, rel=CLOSE)  # of the one that is left
    assert found.margins[0].value == pytest.approx(0.15 / (1 - second))


@pytest.mark.parametrize("second", [-0.95, -1.05])
def test_the_sign_of_sums_that_count_as_zero_without_being_so_is_open(second: float) -> None:
    found = explained([[1.0], [second]], [[e], [e]], 0.1)
    assert "1 of 1 entries" in texts(found)
    assert found.entry.item() == pytest.approx(1 - second, rel=CLOSE)  # one or the other


def test_entries_at_the_level_may_be_there_or_not() -> None:
    """3 and 0.1, which counts as zero or not: the mean is 3, or nearly."""
    found = explained([[3.0], [0.1]], 0.01, 0.1)
    assert "1 of 1 entries" in texts(found)
    assert found.entry.item() >= moved([[3.0], [0.1]], 0.01, 0.1).max() > 0.011
    clear = explained([[3.0], [0.2]], [[e], [e]], 0.1)
    assert not clear.doubts
    assert clear.entry.item() == pytest.approx(float(explained([[3.0], [0.2]], e).delta))


def gap(errors: Errors) -> float:
    return next(m.value for m in errors.margins if "variance" in m.what)


@pytest.mark.parametrize("scale", [1.0, 1e-170, 1e170])
def test_the_margin_of_selection_is_that_of_variances(scale: float) -> None:
    """Of (3, 0), (0, 2) and (1, 1): 9/2, 2 and 0. Half of those that vary is one."""
    found = explained(scale * np.asarray([[3.0, 0.0, 1.0], [0.0, 2.0, 1.0]]), 0.0, density=0.5)
    assert gap(found) == pytest.approx(5 / 9)
    assert not found.doubts


@pytest.mark.parametrize(("apart", "open_"), [(0.9 * e, True), (2.1 * e, False)])
@pytest.mark.parametrize("task", [0, 1])
def test_of_two_variances_that_errors_may_swap_either_entry_is_selected(task: int, apart: float, open_: bool) -> None:
    """An error e of 3 against 0 swaps it with 3 − e; bounds add that of the mean to that of the entry, 2 e in all."""
    M = np.asarray([[3.0, 0.0, 1.0], [0.0, 3.0 - apart, 1.0]])
    E = np.asarray([[e, 0, 0], [0, 0, 0]]) if task == 0 else np.asarray([[0, 0, 0], [0, e, 0]])
    found = explained(M, E, density=0.5)
    assert ("2 entries lie where variances" in texts(found)) is open_
    expected = [3, 3, 0] if open_ else [e if task == 0 else 0, 0, 0]
    np.testing.assert_allclose(found.entry[0], expected, rtol=1e-5, atol=1e-14)
    if open_:
        np.testing.assert_allclose(moved(M, E, density=0.5).max(axis=0), [3, 3, 0], rtol=1e-5)


def test_where_errors_decide_how_many_vary_the_last_is_selected_or_not() -> None:
    """Deviations 2, 1.5 and 0.1 at the level: two thirds of 2 or 3 entries are 1 or 2."""
    M, E = [[4, 0, 0.2], [0, 3, 0]], [[0, 0, 0.01], [0, 0, 0]]
    found = explained(M, E, 0.1, density=0.67)
    assert "1 entries lie where variances" in texts(found)
    np.testing.assert_allclose(found.entry, [[0, 3, 0]], atol=1e-14)
    np.testing.assert_allclose(moved(M, E, 0.1, density=0.67).max(axis=0), [0, 3, 0], atol=1e-14)
    for third in (0.16, 0.24):
        M[0][2] = third
        assert not explained(M, E, 0.1, density=0.67).doubts


def test_what_arithmetic_takes_for_equal_may_vary_where_errors_exceed_the_level() -> None:
    """5.04 and 5 deviate by 0.02, but for errors of 0.3: two thirds of 2 or 3 entries that vary are 1 or 2."""
    M, E = [[4, 0, 5.04], [0, 3, 5]], [[0, 0, 0.3], [0, 0, 0]]
    found = explained(M, E, 0.1, density=0.67, name="compute")
    assert "1 entries lie where variances" in texts(found)
    assert found.entry[0, 1] >= 3


@pytest.mark.parametrize(("error", "open_"), [(0.4, False), (4.0, True)])
def test_what_may_vary_at_the_level_varies_by_no_more_than_its_square(error: float, open_: bool) -> None:
    """Deviations 2, 1.5 and 1, the last at the level and 1.2 or 3 with its error: one is selected, the first."""
    found = explained([[4, 3, 2], [0, 0, 0]], [[0, 0, error], [0, 0, 0]], 1.0, density=0.5)
    assert ("variances are no longer selected" in texts(found)) is open_


@pytest.mark.parametrize(("apart", "open_"), [(5.9 * e, True), (6.1 * e, False)])
def test_deviations_that_arithmetic_makes_are_off_by_eps_of_the_mean(apart: float, open_: bool) -> None:
    """(3, 1) and (2, 0) deviate by 1 from means 2 and 1: variances, twice 1, are off by 2 · 2 · 2 eps and 2 · 2 eps,
    and where the second is 2 − x the difference is 2 x."""
    found = explained([[3, 2 - apart, 0], [1, 0, 0]], 0.0, density=0.5, name="compute", eps=e)
    assert ("2 entries lie where variances" in texts(found)) is open_


def test_of_one_task_nothing_is_selected_whatever_the_errors() -> None:
    found = explained([[3, 1, 2]], 0.5, density=0.5)
    assert float(found.delta) == 0.0
    assert not found.doubts


def test_what_is_surely_not_selected_brings_no_energy() -> None:
    """Variances 2, 0.5 and 0 of (3, 1), (1, 2) and (5, 5): one is selected, energies 9 and 1."""
    found = explained([[3, 1, 5], [1, 2, 5]], [[e, 0.01, 0.01], [0, 0.01, 0.01]], density=0.5)
    np.testing.assert_allclose(found.entry, [[FIRST_ORDER["of the larger"][1], 0, 0]], rtol=CLOSE)


def test_what_may_be_selected_brings_its_energy() -> None:
    """(4, 1) and (0, 3) differ by nearly as much: either is selected, with energies 16 and 1, or 0 and 9."""
    M, E = [[4.0, 0.0], [1.0, 3.0 - 2.0**-12]], 2.0**-10
    found = explained(M, E, density=0.5)
    assert (moved(M, E, density=0.5) <= found.entry[0]).all()
    assert found.entry[0, 0] >= 3.8


@pytest.mark.parametrize("floor", [0.05, 0.18, 0.25, 0.3, 0.8])
def test_a_share_that_errors_carry_across_the_floor_moves_its_entry(floor: float) -> None:
    """Shares 0.69 and 0.31: of a lone voter the mean is the entry above the floor, and c X / floor below it."""
    M, E = [[2, 0], [1, 0.9]], [[0.1, 0], [0, 0]]
    found = explained(M, E, floor=floor)
    assert (moved(M, E, floor=floor).max(axis=0) <= found.entry[0] + 1e-12).all()


def test_errors_as_large_as_the_energy_move_what_their_shares_bring() -> None:
    M, E = [[1, 10], [1, 0]], [[0, 9.9], [0.1, 0]]
    assert (moved(M, E).max(axis=0) <= explained(M, E).entry[0] + 1e-12).all()


def test_a_share_just_above_the_floor_is_told_of_rounded_inputs() -> None:
    """Energies 4 and 1, shares 0.8 and 0.2: half an eps up and down carries the second below 0.1999."""

    def pair(a: float, b: float, dtype: Any = np.float16) -> Any:
        one = np.ones((1, 1), dtype)
        return [(one, np.asarray([[2 * a, 0]], dtype)), (one, np.asarray([[0, b]], dtype))]

    bound, half = cm.explain(pair(1, 1), cm.Sce(floor=0.1999), "full").input_bound, 2.0**-11
    one, other = (
        np.asarray(cm.merge(pair(*x, np.float64), cm.Sce(floor=0.1999), "full").to_dense())
        for x in ((1, 1), (1 + half, 1 - half))
    )
    assert np.linalg.norm(one - other) <= bound.relative * np.linalg.norm(one)
