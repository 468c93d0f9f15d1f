"""What errors of tasks are after TSV, of diagonal ones by hand."""

from typing import Any

import numpy as np
import pytest
from examples import stack_of

import coremerge_ref as cm
from coremerge_ref.core.stack import Stack
from coremerge_ref.perturbation.carried import Errors, Level

D = 6 * 2.0**-23  # what float32's arithmetic and its SVD make of a matrix, relative to its norm
WEIGHTS = (1.0, -2.0)
# w_t M_t: diag(4, 2, 0, 0) and −diag(0, 0, 3, 1)
TASKS = np.asarray([np.diag([4.0, 2.0, 0.0, 0.0]), np.diag([0.0, 0.0, 1.5, 0.5])])
TURN = np.asarray([20**0.5 / 12, 10**0.5 / 8])  # √(σ_1² + σ_2²) / (σ_1² − σ_2²)
G = np.asarray([0.6, 0.8, 0.0, 0.0])
SKEW = np.asarray([4 * np.outer(np.eye(4)[0], np.eye(4)[0]), 1.5 * np.outer(G, np.eye(4)[1])])
SMALL = 0.4**0.5  # the smaller singular value of [e_1, 0.6 e_1 + 0.8 e_2]; the other one is twice that
TOTAL = 5**0.5


def stack(M: Any = TASKS, weights: Any = WEIGHTS, level: Any = (1e-6, 1e-6)) -> Stack:
    return stack_of(M, np.asarray(level), weights)


def errors_of(
    delta: float, name: str = "input", rank: Any = (2, 2), entry: Any = np.inf, q: int = 4, **given: Any
) -> Errors:
    """Of norm δ of both tasks, and so δ and 2 δ with weights, of norm √5 δ."""
    of_entries = np.full((2, q, q), entry, dtype=float)
    level = Level(name, "float64", 2.0**-23, 1.0)
    made = Errors(
        level, (9, 9), np.full(2, delta), of_entries, np.asarray(rank), (0, 4), True, {}, 2.0**-52, lost=3, **given
    )  # fmt: skip
    made.columns = dict.fromkeys(("left", "right"), lambda: (9, np.inf))
    return made


def carried(errors: Errors, given: Stack, k: int | None = 1) -> Errors:
    tsv = cm.Tsv(k)
    found = tsv.carry(errors, given, tsv.apply(given))
    assert found is errors
    return found


def more(x: float) -> float:
    return x / (1 - 2 * x)


def test_subspaces_turn_and_values_move() -> None:
    """√5 of δ for the values, and on both sides 4, the largest one, times √Σ (δ_t τ_t)²."""
    errors, turn = carried(errors_of(0.01), stack()), more(0.01 * np.hypot(TURN[0], 2 * TURN[1]))
    assert float(errors.delta) == pytest.approx(0.01 * TOTAL + 2 * 4 * turn)
    assert (errors.entry == float(errors.delta)).all()
    assert errors.polar[:2] == pytest.approx((2 * turn, 0.01 * TOTAL))
    assert (errors.lost, errors.doubts, errors.factors, int(errors.rank)) == (3, [], None, 2)
    assert [(s.title, s.kept, s.values.tolist()) for s in errors.spectra] == [
        ("tsv: task 0: singular values of M_t", 1, [4, 2, 0, 0]),
        ("tsv: task 4: singular values of M_t", 1, [3, 1, 0, 0]),
        ("tsv: singular values of [P_1 … P_T], left", 2, [1, 1]),
        ("tsv: singular values of [P_1 … P_T], right", 2, [1, 1]),
    ]
    assert [s.cut for s in errors.spectra[:2]] == [1e-6, 2e-6]


def test_blocks_of_more_than_one_triplet_pair_left_and_right_vectors_up_to_their_error() -> None:
    """By 2 δ / (4 + 2) and 2 · 2 δ / (3 + 1); the norm of one error turns a block by δ / 2 and 2 δ / 1."""
    errors, turn = carried(errors_of(0.01), stack(), 2), more(0.01 * np.hypot(1 / 2, 2))
    assert float(errors.delta) == pytest.approx(0.01 * TOTAL + 2 * 4 * turn)
    assert errors.polar[:2] == pytest.approx((0.01 * np.hypot(2 / 6, 2 * 2 / 4) + 2 * turn, 0.01 * TOTAL))
    assert int(errors.rank) == 4


def test_arithmetic_adds_what_its_svds_do() -> None:
    """To δ of each task D √20 and D √10, and D √2 of each polar factor."""
    delta = np.asarray([1e-6 + D * 20**0.5, 2e-6 + D * 10**0.5])
    turn = np.hypot(*(delta * TURN)) + D * 2**0.5
    errors = carried(errors_of(1e-6, "compute", entry=0.0), stack())
    assert float(errors.delta) == pytest.approx(np.hypot(*delta) + 2 * 4 * turn, rel=1e-4)
    assert errors.polar[:2] == pytest.approx((2 * turn, np.hypot(*delta)), rel=1e-4)


@pytest.mark.parametrize("known", ["no", "yes", "divided"])
def test_columns_of_a_span_that_turns_little_move_as_a_square_matrix_does(known: str) -> None:
    """δ / 4 and 2 δ / 3 over √0.4 on the left; or 2 / (3 √0.4) times that where factors tell how the span turns."""
    errors = errors_of(0.01, rank=(1, 1), divided=known == "divided")
    errors.columns = dict.fromkeys(("left", "right"), lambda: (2, 1e-5))
    if known != "no":
        errors.factors = [(M, np.eye(4), np.ones(4), np.ones(4)) for M in SKEW]
    carried(errors, stack(SKEW))
    x = 0.01 * np.hypot(1 / 4, 2 / 3)
    left = x * 2 / (3 * SMALL) if known == "yes" else x / SMALL
    turn = left / (1 - 2 * x / SMALL), more(x)
    assert errors.polar[:2] == pytest.approx((sum(turn), 0.01 * TOTAL), rel=1e-5)
    assert float(errors.delta) == pytest.approx(0.01 * TOTAL + 4 * sum(turn), rel=1e-5)


@pytest.mark.parametrize("by", ["columns", "entries", "neither"])
def test_what_is_known_of_columns_or_entries_turns_vectors_by_less(by: str) -> None:
    """All that vectors meet is 1e-6: u_1 turns into u_2 by (σ_1 + σ_2) / (σ_1² − σ_2²), into two others by 1 / σ_1.

    And, of columns of the left, by 1 / σ_1 beyond; of those of the right no one moves.
    """
    errors = errors_of(1e-5, entry=[[[1e-6]], [[5e-7]]] if by == "entries" else np.inf, closed=True)
    if by == "columns":
        errors.factors = [(M, np.eye(4), np.full(4, b), np.zeros(4)) for M, b in zip(TASKS, (1e-6, 5e-7), strict=True)]
    if by == "neither":
        errors.factors = [(M, np.eye(4), np.full(4, 1.0), np.full(4, 1.0)) for M in TASKS]
    carried(errors, stack())
    within, beyond = np.asarray([(6 / 12) ** 2 + 2 / 16, (4 / 8) ** 2 + 2 / 9]), np.asarray([1 / 16, 1 / 9])
    left = np.sqrt((within + beyond * (by == "columns")).sum()) * 1e-6
    right = np.sqrt(within.sum()) * 1e-6
    if by == "neither":
        left = right = 1e-5 * np.hypot(TURN[0], 2 * TURN[1])
    assert errors.polar[:2] == pytest.approx((left + right, 1e-5 * TOTAL), rel=1e-3)
    assert float(errors.delta) == pytest.approx(1e-5 * TOTAL + 4 * (left + right), rel=1e-3)


@pytest.mark.parametrize("name", ["input", "compute"])
def test_rows_that_stay_orthonormal_turn_out_of_each_block_alone(name: str) -> None:
    """Of [e_1 f_1ᵀ, e_2 f_2ᵀ] with columns known to β (1, 3): left vectors stay, right ones turn by 3 β and by β."""
    N, beta = np.asarray([np.diag([1.0, 0.0]), np.diag([0.0, 1.0])]), 1e-8
    errors = errors_of(
        1e-7, name, rank=(1, 1), q=2, factors=[(M, np.eye(2), beta * np.asarray([1, 3]), np.zeros(2)) for M in N]
    )
    errors.orthonormal = N, np.ones(2), np.full(2, 1e-9)
    carried(errors, stack(N))
    if name == "input":
        assert errors.polar[:2] == pytest.approx((beta * 10**0.5, 1e-7 * TOTAL), rel=1e-3)
    else:
        delta = 1e-7 + D
        assert errors.polar[:2] == pytest.approx((2 * (delta * 2**0.5 + D * 2**0.5), delta * TOTAL), rel=1e-3)


def test_a_tie_leaves_nothing_but_the_norm() -> None:
    """Twice that of 4, 4 and of 3, 1."""
    errors = carried(errors_of(0.01), stack([np.diag([4.0, 4, 0, 0]), TASKS[1]]))
    assert float(errors.delta) == pytest.approx(2 * 42**0.5 + 0.01 * TOTAL)
    assert (errors.lost, errors.polar, errors.factors) == (6, None, None)  # nor are polar factors known
    assert errors.doubts[0][0].startswith("tsv: task 0: singular values 1 and 2 of M_t differ by 0.0e+00")
    assert errors.doubts[0][1] == "choose another rank, such as k = 1, with 0% between it and the next"
    errors = carried(errors_of(1.0), stack())  # 1 · 0.37 and 2 · 0.4, twice, at cuts: no first order
    assert float(errors.delta) == pytest.approx(2 * 30**0.5 + TOTAL)


@pytest.mark.parametrize(
    ("name", "given"),
    [("input", {}), ("input", {"divided": True}), ("compute", {"entry": 0.0})],
    ids=["in", "div", "co"],
)
def test_a_direction_that_tasks_share_is_one_column_of_a_result_known_by_its_columns(name: str, given: Any) -> None:
    """4 e_1 f_1ᵀ twice, known to 1e-15: columns e_1 / √2 turn by √2 / √2 · 1e-15 / 4 and values move by 1e-15."""
    M = np.asarray([np.diag([4.0, 0, 0, 0])] * 2)
    errors = carried(errors_of(1e-15, name, rank=(1, 1), **given), stack(M, (1.0, 1.0), [1e-15] * 2))
    assert (errors.lost, errors.polar, int(errors.rank)) == (3, None, 1)
    if name == "compute" or given:
        assert errors.factors is None
        return
    L, R, b, a = errors.factors()
    np.testing.assert_allclose(L @ R.T, M[0], atol=1e-12)
    np.testing.assert_allclose(np.abs(L), [[4 / 2**0.5] * 2, [0, 0], [0, 0], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(a, 1e-15 / 4, rtol=1e-6)
    np.testing.assert_allclose(b, 4 * 1e-15 / 4 + 1e-15, rtol=1e-6)


def test_blocks_of_such_a_result_stand_on_the_diagonal_and_know_their_entries() -> None:
    """diag(4, 2) in all tasks, whose entries are known to ever more: √2 of that in a column beside what vectors turn.

    b_i is σ_i times that turn, equal for both vectors of a block to first order, and the change of values.
    """
    M, own = np.asarray([np.diag([4.0, 2, 0, 0])] * 3), np.asarray([1e-17, 2e-17, 3e-17])
    level = Level("input", "float64", 2.0**-23, 1.0)
    entry = np.broadcast_to(own[:, None, None], (3, 4, 4))
    errors = Errors(
        level, (9, 9), np.full(3, 1e-15), entry, np.full(3, 2), (0, 4, 7), True, {}, 2.0**-52, closed=True,
        factors=[(X, np.eye(4), np.ones(4), np.ones(4)) for X in M],
    )  # fmt: skip
    errors.columns = dict.fromkeys(("left", "right"), lambda: (9, np.inf))
    tsv, given = cm.Tsv(2), stack(M, (1.0, 1.0, 1.0), [1e-15] * 3)
    tsv.carry(errors, given, tsv.apply(given))
    L, R, b, a = errors.factors()
    np.testing.assert_allclose(L @ R.T, M[0], atol=1e-12)
    assert a.shape == (6,)
    np.testing.assert_allclose(2 * b[1::2] - b[::2], 2**0.5 * own, rtol=1e-3)


@pytest.mark.parametrize("weight", [1.0, -2.0])
def test_one_task_that_is_not_cut_stays_itself(weight: float) -> None:
    """But for what counts as zero, and in arithmetic for its SVD, to and from."""
    M, w = np.asarray([np.diag([4.0, 2, 3e-7, 0]), TASKS[1]]), abs(weight)
    for given, rank in (((weight, 0.0), (3, 2)), ((weight, 1.0), (3, 0))):
        errors = carried(errors_of(0.01, rank=rank, entry=1e-3), stack(M, given), 3)
        assert float(errors.delta) == pytest.approx(0.01 * (w + given[1]) + w * 3e-7, rel=1e-9)
        np.testing.assert_allclose(errors.entry, 1e-3 * (w + given[1]) + w * 3e-7, rtol=1e-9)
        assert [m.what for m in errors.margins] == ["size of the sum relative to its terms"]
    exact = np.asarray([np.diag([4.0, 2, 0, 0]), TASKS[1]])
    errors = errors_of(0.01, factors=[(X, np.eye(4), np.ones(4), np.ones(4)) for X in exact])
    carried(errors, stack(exact, (weight, 0.0)), 2)
    assert float(errors.delta) == pytest.approx(0.01 * w, rel=1e-12)
    assert errors.factors is not None
    errors = carried(errors_of(1e-6, "compute", entry=0.0), stack(exact, (weight, 0.0)), 2)
    assert float(errors.delta) == pytest.approx(w * (1e-6 + 2 * D * 20**0.5), rel=1e-6)
    errors = carried(errors_of(0.01), stack(exact, (weight, 0.0)), 1)
    assert float(errors.delta) > 2 * w * 0.01  # of two directions one


def test_a_size_in_doubt_is_one_of_relative_ranks_alone() -> None:
    for k, weights, lost in ((None, WEIGHTS, 4), (2, WEIGHTS, 3), (None, (1.0, 0.0), 4), (2, (1.0, 0.0), 3)):
        errors = carried(errors_of(1e-3, size_doubt="the live size is 4 or 5"), stack(weights=weights), k)
        assert errors.lost == lost
        assert (float(errors.delta) > 2 * 20**0.5) == (lost == 4)
