"""What residuals of tasks, beside common directions along the axes, meet of errors, by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from coremerge_ref.methods._graded import Factors, Met
from coremerge_ref.methods._residuals import Residuals, residuals_moved
from coremerge_ref.methods._subspaces import Leading
from coremerge_ref.perturbation.carried import Errors, Level
from coremerge_ref.perturbation.theorems import multiplied, multiplied_span

# e_1 and e_2 of five are common, at 8 and 4, and e_3, e_4, e_5 with f_3, f_1, f_2 are left of task 0
RESIDUAL = np.zeros((5, 3))
RESIDUAL[[2, 3, 4], [2, 0, 1]] = 3, 2, 1
# U_cᵀ M_0 is (4, 2, 0) and (0, 0, 1), which C has as (1/2, 1/4, 0) and (0, 0, 1/4): columns f_3, f_1, f_2 of
# I − V Cᵀ are (0, −1/4, 1), (1/2, 0, 0), (−1/4, 1, 0)
M = np.vstack([[4.0, 2, 0], [0, 0, 1], RESIDUAL[2:]])
OWN = np.asarray([[0, 1 / 4, 1], [1 / 2, 0, 0], [1 / 4, 1, 0]])
OTHERS = np.asarray([[0, 1 / 4, 0], [1 / 2, 0, 0], [1 / 4, 0, 0]])  # and those of V Cᵀ alone
# the sum has 8, 4, 2; turns into the third, (8 · 7 + 2 · 2) / 60 and (4 · 1 + 2 · 4) / 12, times 2 / 8 and 2 / 4
OF_SUM = np.asarray([[9.0, 9, 2], [9, 9, 4], [7, 1, 9]])
FOLLOWED = np.asarray([1 / 2 * 1, 1 / 4 * 4, 1 / 4 * 2])  # of f_3, f_1 and f_2 in U_cᵀ M_0

ENTRIES = np.zeros((3, 5, 3))
ENTRIES[0, 2:] = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
ENTRIES[1, 2:] = [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
ENTRIES[2, 2:] = [[0, 0, 1], [0, 0, 0], [3, 0, 1]]
ENTRIES[:, :2] = 99.0  # nothing of which is left


def columns() -> list[Factors]:
    """One column each: L, R and their errors."""
    given: Any = [
        ([9, 9, 1, 2, 3], [1, 2, 3], 0.1, 0.2),
        ([9, 9, 2, 0, 0], [1, 0, 0], 0.3, 0.4),
        ([9, 9, 0, 1, 0], [0, 1, 0], 0.5, 0.6),
    ]
    return [(np.asarray([L]).T, np.asarray([R]).T, np.asarray([b]), np.asarray([a])) for L, R, b, a in given]


def errors_of(shape: Any = (9, 9), **given: Any) -> Errors:
    level, none = Level("input", "float64", 1e-7, 0.5), np.zeros((3, 5, 3))
    return Errors(level, shape, np.zeros(3), none, np.asarray([3] * 3), (0, 1, 2), True, {}, 0.0, closed=True, **given)


def residuals(
    errors: Errors, factors: Any = (), entries: Any = ENTRIES, k: int = 2, weights: Any = (1, 1, 1)
) -> Residuals:
    eye, S = np.eye(5), np.asarray([8.0, 4, 2])
    common = Leading(eye[:, :k], S[:k], np.eye(3)[:, :k], 0.0, np.zeros(k), k)
    met = Met(OF_SUM, np.full(3, 99.0), np.full(3, 99.0))
    return Residuals(errors, (eye[:, :3], S, np.eye(3)), common, met, list(factors), np.asarray(entries), weights)


def by_columns(w: Any = (1, 1, 1)) -> tuple[np.ndarray, np.ndarray]:
    """R_0 (I − V Cᵀ) = (1/2, 7/4, 5/2); R_1 and R_2 by V Cᵀ (1/2, 1/4, 0) and (0, 0, 1/4), in order of f_3, f_1, f_2.

    Each error of a column of L meets those, one of R, in columns of I − V Cᵀ, the entries of L.
    """
    sizes = [np.linalg.norm(OWN, axis=1), *[np.linalg.norm(OTHERS, axis=1)] * 2]
    right = np.asarray([[5 / 2, 1 / 2, 7 / 4], [0, 1 / 2, 1 / 4], [1 / 4, 0, 0]])
    left, within = np.zeros(3), np.zeros((3, 3))
    for x, h, (L, _, (b,), (a,)), r in zip(w, sizes, columns(), right, strict=True):
        left = left + abs(x) * (b * r + a * b * h)
        within = within + abs(x) * (b * r + a * b * h + a * L[2:] * h)
    return within, left


BY_ENTRIES = ENTRIES[0, 2:] @ OWN.T + ENTRIES[1:, 2:].sum(axis=0) @ OTHERS.T


def check(met: Met, within: Any, left: Any) -> None:
    np.testing.assert_allclose(met.within, within, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(met.left, left, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(met.right, 0, atol=1e-12)  # f_1, f_2 and f_3 are all


def test_entries_of_what_is_left_meet_a_task_less_what_common_directions_take_along() -> None:
    check(residuals(errors_of()).met(0, M, RESIDUAL), BY_ENTRIES + FOLLOWED, FOLLOWED)


def test_columns_do_so_too_and_the_better_of_both_counts() -> None:
    within, left = by_columns()
    unknown = np.full((3, 5, 3), np.inf)
    check(residuals(errors_of(), columns(), unknown).met(0, M, RESIDUAL), within + FOLLOWED, left + FOLLOWED)
    # of task 0 entries, of the others columns, where their entries are large: 3/10 · 1/2 of R, 4/10 · 2 and 0 of L
    found = residuals(errors_of(), columns(), ENTRIES * [[[1e-9]], [[1e9]], [[1e9]]]).met(0, M, RESIDUAL)
    h = 1 / 2  # of the second column
    others = 0.3 * h + (0.3 * 0.4 + 0.5 * 0.6) * h + np.asarray([0.4 * 2, 0.0]) * h
    np.testing.assert_allclose((found.within - FOLLOWED)[[0, 2], 1], others, rtol=1e-6)


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, -2, 0.5), (-3, 1, 1)])
def test_rows_that_stay_orthonormal_turn_by_weighted_errors_of_all(weights: Any) -> None:
    """N = 0, which no row turns along with, leaves what columns do."""
    errors = errors_of(factors=columns())
    errors.orthonormal = np.zeros((3, 5, 3)), np.ones(5), np.zeros(5)
    within, left = by_columns(weights)
    found = residuals(errors, entries=np.full((3, 5, 3), np.inf), weights=weights).met(0, M, RESIDUAL)
    check(found, within + FOLLOWED, left + FOLLOWED)


def test_where_nothing_is_common_a_residual_is_the_task_and_its_error_its_own() -> None:
    entries = np.where(np.arange(3)[:, None, None] == 0, ENTRIES, 9e9)
    found = residuals(errors_of(), entries=entries, k=0).met(0, RESIDUAL, RESIDUAL)
    np.testing.assert_allclose(found.within, ENTRIES[0, 2:][:, [2, 0, 1]])
    np.testing.assert_allclose(found.left, np.linalg.norm(np.full((2, 3), 99.0), axis=0))  # rows e_1 and e_2
    found = residuals(errors_of((3, 9)), entries=entries, k=0).met(0, RESIDUAL, RESIDUAL)
    assert (found.left == 0).all()


def test_as_many_vectors_as_rows_leave_nothing_beyond() -> None:
    met = residuals(errors_of((3, 9))).met(0, M, RESIDUAL)
    check(met, BY_ENTRIES + FOLLOWED, 0)


def graded(rng: np.random.Generator, ratio: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """L_t and R_t of two tasks of two columns, 7 × 6, of a sum with singular values 1e3, 1, `ratio`, 1e-3 `ratio`."""
    P, Q = (np.linalg.qr(rng.standard_normal((n, 4)))[0] for n in (7, 6))
    S, mixed = np.asarray([1e3, 1.0, ratio, 1e-3 * ratio]), np.linalg.qr(rng.standard_normal((4, 4)))[0]
    L, R = P * S**0.5 @ mixed, Q * S**0.5 @ mixed
    return [L[:, [0, 3]], L[:, [1, 2]]], [R[:, [0, 3]], R[:, [1, 2]]]


@pytest.mark.parametrize("ratio", [0.3, 0.05])
def test_residuals_move_by_what_common_directions_leave_of_what_multiplies_all_tasks(ratio: float) -> None:
    """R_t and R_t' = (I − U' U'ᵀ) (I + X) M_t (I + Y)ᵀ: less than a twentieth of what errors of M_t are."""
    rng, x, found, sizes = np.random.default_rng(6), 1e-3, np.zeros(2), np.zeros(2)
    L, R = graded(rng, ratio)
    tasks = [A @ B.T for A, B in zip(L, R, strict=True)]

    def left(M: list[np.ndarray]) -> list[np.ndarray]:
        U = np.linalg.svd(M[0] + M[1])[0][:, :2]
        return [X - U @ (U.T @ X) for X in M]

    before = left(tasks)
    for _ in range(300):
        X, Y = (E * x / np.linalg.norm(E) for E in (rng.standard_normal((7, 7)), rng.standard_normal((6, 6))))
        after = left([(np.eye(7) + X) @ M @ (np.eye(6) + Y).T for M in tasks])
        found = np.maximum(found, [np.linalg.norm(a - b) for a, b in zip(after, before, strict=True)])
        sizes = np.maximum(sizes, [np.linalg.norm(X @ M + M @ Y.T) for M in tasks])
    span, (pairing, relative) = multiplied_span(x, x, ratio), multiplied(x, x)
    common = Leading(np.eye(7, 2), np.ones(2), np.eye(6, 2), 0.0, np.zeros(2), 4, (span, pairing, relative))
    factors: Any = [(A, B, np.ones(2), np.ones(2)) for A, B in zip(L, R, strict=True)]
    norms = np.asarray([np.linalg.norm(X) for X in before])
    bound = residuals_moved(errors_of(), common, ratio, norms, factors)
    assert (found <= bound).all()
    assert (bound < 300 * found).all()
    assert (found < sizes / 20).all()
    assert (
        residuals_moved(errors_of(), replace(common, multiplied=(np.inf,) * 3), ratio, norms, factors).min() == np.inf
    )
