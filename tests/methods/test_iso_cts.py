"""What errors of tasks are after Iso-CTS, of matrices along the axes by hand."""

from typing import Any

import numpy as np
import pytest
from along_axes import TASKS, WEIGHTS, carried, errors_of, more, stack

E1, E2, E3 = np.eye(3)
F1, F2, F3 = np.eye(3)
# e_1 is common; (8 e_1 + 2 e_3) f_1ᵀ leaves 2 e_3 f_1ᵀ, and e_2 f_2ᵀ − 2 e_3 f_1ᵀ itself
SKEW = np.asarray([np.outer(8 * E1 + 2 * E3, F1), -np.outer(E2, F2) / 2 + np.outer(E3, F1)])


def test_common_directions_turn_by_their_gap_and_those_of_the_rest_with_them() -> None:
    """Σ δ_t = 3e-3. Turns of 8 and 4 beside 2 are c; residuals move by δ_t + 3e-3 · 8 c_1 and 3e-3 · 4 c_2.

    All sides are orthonormal and σ̄ = 15 / 4; values move by half of √2 · 3e-3 and both, two common ones turn by
    2 · 3e-3 / (8 + 4) against each other.
    """
    errors, c = errors_of([1e-3, 1e-3]), np.asarray([68**0.5 / 60, 20**0.5 / 12])
    off = np.asarray([1e-3 + 3e-3 * 8 * c[0], 2e-3 + 3e-3 * 4 * c[1]])
    turn = more(np.hypot(np.hypot(3e-3 * c[1], off[0] / 2), off[1]))
    values = (2**0.5 * 3e-3 + off.sum()) / 2
    assert carried(errors, stack(), common_fraction=0.5) == pytest.approx(3.75 * 3e-3 / 6 + values + 2 * 3.75 * turn)
    assert (errors.lost, errors.doubts, int(errors.rank), errors.polar) == (3, [], 4, None)
    assert [(s.title, s.kept, s.values.tolist()) for s in errors.spectra] == [
        ("iso_cts: singular values of Σ M_t", 2, [8, 4, 2, 1]),
        ("iso_cts: task 0: singular values of the residual of M_t", 1, [2, 0, 0, 0]),
        ("iso_cts: task 4: singular values of the residual of M_t", 1, [1, 0, 0, 0]),
        ("iso_cts: singular values of [P_1 … P_T], left", 4, [1, 1, 1, 1]),
        ("iso_cts: singular values of [P_1 … P_T], right", 4, [1, 1, 1, 1]),
    ]
    level = 2e-15  # of the second task, and of the sum; residuals know 1e-15 as well as U_c, 2e-15 / (4 − 2), lets them
    cuts = level, 1e-15 + 1e-15 * 68**0.5, 2e-15 + 1e-15 * 17**0.5
    assert [s.cut for s in errors.spectra[:3]] == pytest.approx(cuts)


def test_arithmetic_adds_what_its_svds_do() -> None:
    """D of the norm of each task to its error, and D √4 to polar factors of four columns."""
    D = 6 * 2.0**-23
    errors, c = errors_of([1e-9, 1e-9], eps=2.0**-23), np.asarray([68**0.5 / 60, 20**0.5 / 12])
    delta = np.asarray([1e-9 + D * 68**0.5, 2e-9 + D * 17**0.5])
    every = delta.sum()
    off = delta + every * np.asarray([8, 4]) * c
    turn = np.hypot(np.hypot(every * c[1], off[0] / 2), off[1]) + 2 * D
    values = (2**0.5 * every + off.sum()) / 2
    assert carried(errors, stack(), common_fraction=0.5) == pytest.approx(
        3.75 * every / 6 + values + 2 * 3.75 * turn, rel=1e-3
    )


@pytest.mark.parametrize("skew", [False, True])
def test_all_that_is_left_on_one_side_turns_as_the_span_of_all_tasks_does(skew: bool) -> None:
    """diag(8, 4, 2): the residual of the first is all that is left beside e_1 and e_2 on the left.

    On the right so is, of a task of rank 1, its one row: it turns by δ / √68, and in arithmetic by D √68 / 2 more.
    """
    D = 6 * 2.0**-23
    if not skew:
        M = np.asarray([np.diag([8.0, 0, 2, 0]), -np.diag([0, 2.0, 0, 0])])
        errors, c = errors_of([1e-3, 1e-3], (2, 1)), np.asarray([68**0.5 / 60, 20**0.5 / 12])
        off = np.asarray([1e-3 + 3e-3 * 8 * c[0], 2e-3 + 3e-3 * 4 * c[1]])
        left, right = np.hypot(3e-3 * c[1], np.hypot(3e-3 * c[1], 5**0.5 * 1e-3 / 2)), np.hypot(3e-3 * c[1], off[0] / 2)
        assert np.hypot(3e-3 * c[1], 5**0.5 * 1e-3 / 2) < off[0] / 2
        values, mean = (2**0.5 * 3e-3 + off[0]) / 3**0.5, 14 / 3
        # three columns of three that all span: square, which is no better where they are orthonormal
        assert carried(errors, stack(M), common_fraction=0.5) == pytest.approx(
            mean * (3e-3 / 6 + more(left) + more(right)) + values
        )
        return
    for eps, size, tolerance, order in (
        (2.0**-52, 1e-3, 1e-7, 1),
        (2.0**-52, 1e-3, 1e-7, -1),
        (2.0**-23, 1e-9, 1e-3, 1),
    ):
        own, c = D * (eps > 1e-10), 65**0.5 / 63
        errors = errors_of([size, size], (1, 2)[::order], eps=eps, q=3)
        delta = np.asarray([size + own * 68**0.5, 2 * size + own * 5**0.5])
        every = delta.sum()
        off, last = delta + every * np.asarray([8 * c, 0.0]), 5**0.5 / 3  # 2 beside 1
        alone = min(delta[0] / 68**0.5 + own * 68**0.5 / 2, off[0] / 2)
        left = np.linalg.norm([every * c, off[0] / 2, off[1] * last]) + own * 3**0.5
        right = (np.linalg.norm([every * c, alone, off[1] * last]) + own * 3**0.5) / 3**0.5  # f_1 three times
        values = (every + off.sum()) / 3**0.5
        found = carried(errors, stack(SKEW[::order], WEIGHTS[::order]), common_fraction=0.34)
        assert found == pytest.approx(4 * (more(left) + more(right)) + values, rel=tolerance)
        assert int(errors.rank) == 1


def test_where_no_direction_is_common_each_task_gives_its_own_without_a_turn() -> None:
    """Pairs of 8 and 2 and of 4 and 1: 2 δ / 10 and 2 δ / 5 between both sides, δ / 2 and δ / 1 out of their spans."""
    errors = errors_of([1e-3, 1e-3])
    turn, pairing, values = more(np.hypot(1e-3 / 2, 2e-3)), np.hypot(1e-3 / 5, 2 * 2e-3 / 5), 2**0.5 * 3e-3 / 2
    found = carried(errors, stack(), common_fraction=0.01)
    assert found == pytest.approx(3.75 * (pairing + 2 * turn) + values)
    assert [s.kept for s in errors.spectra] == [0, 2, 2, 4, 4]


def test_a_tie_leaves_nothing_but_the_norms() -> None:
    """4, 4 of which one is common: twice the norms of the sum and of all tasks; no gap tells what is left then."""
    M = np.asarray([np.diag([8.0, 0, 4, 0]), -np.diag([0, 2.0, 0, 0.5])])
    errors = errors_of([1e-3, 1e-3])
    assert carried(errors, stack(M), common_fraction=0.5) == pytest.approx(2 * (97**0.5 + 97**0.5) + 3e-3)
    assert errors.doubts[0][0].startswith("iso_cts: singular values 2 and 3 of Σ M_t differ by 0.0e+00")
    assert errors.doubts[0][1] == "choose another common_fraction"
    assert errors.polar is None


def test_nothing_is_made_of_nothing() -> None:
    errors = errors_of([1e-3, 1e-3], (1, 1))
    assert carried(errors, stack(0 * TASKS, level=1.0)) == pytest.approx(3e-3)
    assert int(errors.rank) == 2
    errors = errors_of([1.0, 1.0], (2, 2), "input")  # might there be something, twice the norms
    assert carried(errors, stack(TASKS / 100, level=0.5)) == pytest.approx(3 + 4 * 85**0.5 / 100)


@pytest.mark.parametrize(("size", "doubts"), [(0.02, 0), (0.2, 1)])
def test_a_direction_no_larger_than_its_error_is_in_doubt(size: float, doubts: int) -> None:
    M = np.asarray([np.diag([8.0, 0, 0, 0]), -np.diag([0, 2.0, 0, 0.5])])
    errors = errors_of([size, size], (1, 2))
    carried(errors, stack(M), common_fraction=0.5)
    said = [s for s, _ in errors.doubts if "a direction is kept whose singular value is no larger than its error" in s]
    assert len(said) == doubts
    assert not doubts or said[0].startswith("iso_cts: a direction")


def test_a_size_in_doubt_leaves_nothing_but_the_norms() -> None:
    for fraction in (0.5, 1.0):
        errors = errors_of([1e-3, 1e-3], size_doubt="the live size is 4 or 5")
        found = carried(errors, stack(), common_fraction=fraction)
        assert found == pytest.approx(2 * (85**0.5 + 85**0.5) + 3e-3)
        assert errors.doubts[0][0].startswith("iso_cts: the live size is 4 or 5")


def test_nothing_is_left_to_be_in_doubt_beside_all_directions() -> None:
    """Of two tasks of rank 1, both of whose directions are common; the size alone is in doubt."""
    M = np.asarray([np.diag([8.0, 0, 0, 0]), -np.diag([0, 2.0, 0, 0])])
    errors = errors_of([1e-3, 1e-3], (1, 1), "input", size_doubt="the live size is 4 or 5")
    carried(errors, stack(M), common_fraction=0.5)
    assert len(errors.doubts) == 1


# w_t M_t: diag(0, 0, 2, 0) and diag(8, 4, −1, 3), whose sum has 8 and 4 in common, 3 and 1 beside them
FINER = np.asarray([np.diag([0, 0, 2.0, 0]), np.diag([-4, -2, 0.5, -1.5])])


@pytest.mark.parametrize("by", ["entries", "columns", "rows", "the norm"])
def test_what_is_known_of_entries_columns_or_rows_turns_all_by_less(by: str) -> None:
    """All errors that vectors meet are β and 2 β, 3 β of the sum, whose u_i turns into u_j by 3 β / (σ_i − σ_j).

    By σ_j / σ_i of that, `into` in all, it takes U_cᵀ M_2 along, but for which (β, β, 2 β, 2 β) are left of each row of
    the second residual. Its e_4 turns by (3 + 1) 2 β / (9 − 1) into e_3, and f_4 into f_1 and f_2 by a third of what
    they meet; e_3 of the first by β / 2 into e_4, and f_3 into all three others. What U_c turns by stands beside both.
    """
    beta, delta, s = 1e-9, 1e-8, 3e-8
    given: Any = {"entries": {"closed": True}, "columns": {}}.get(by, {"divided": True})
    errors = errors_of([delta, delta], (1, 4), "input", **given)
    if by == "entries":
        errors.entry = np.full((2, 4, 4), beta)
    else:
        errors.factors = [(M, np.eye(4), np.full(4, beta), np.zeros(4)) for M in FINER]
    if by == "rows":
        errors.orthonormal = np.zeros((2, 4, 4)), np.ones(4), np.zeros(4)
    found = carried(errors, stack(FINER, (1.0, -2.0)), common_fraction=0.5)
    assert errors.doubts == []
    c = np.asarray([73**0.5 / 55, 5 / 7])
    off = delta, 2 * delta + s * 4 * c[1]
    alone = delta / 2  # the one row of the first task
    if by == "the norm":
        values, pairing = 2**0.5 * s + sum(off), 2 * s / 12
        left = right = np.linalg.norm([s * c[1], alone, off[1] * 10**0.5 / 8])
    else:
        values, pairing = 9 * beta, 2**0.5 * 6 * beta / 12
        beyond = 3 * beta * np.asarray([1 / 8, 1 / 4]) * (by == "columns")
        turned = np.linalg.norm([3 * beta / 5, 3 * beta / 7, 3 * beta / 1, 3 * beta / 3])
        common = np.hypot(turned, np.linalg.norm(beyond))
        into = 3 * beta * np.asarray([np.hypot(3 / 40, 1 / 56), np.hypot(3 / 4, 1 / 12)])
        left = np.linalg.norm([common, np.hypot(beta / 2, common), np.hypot(beta, common)])
        last = [beta, (beta + 8 * into[0]) / 3, (beta + 4 * into[1]) / 3]
        right = np.linalg.norm([turned, 3**0.5 * beta / 2, *last])
    mean = 17 / 4
    assert found == pytest.approx(mean * (pairing + left + right) + values / 2, rel=1e-4)
