"""What errors of factors do to blocks of orthonormal rows, beside errors that are made."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.core.stages import Stage
from coremerge_ref.methods._graded import Through, first_order, times
from coremerge_ref.methods._orthonormal import met_by_rows
from coremerge_ref.perturbation.carried import Errors, Level

STEP = 1e-7
Pairs = list[tuple[np.ndarray, np.ndarray]]


def pairs(m: int, n: int, ranks: tuple[int, ...], decades: float, seed: int) -> Pairs:
    """Factors B_t (m, r_t) and A_t (r_t, n), columns of B_t graded."""
    rng = np.random.default_rng(seed)
    return [
        (rng.standard_normal((m, r)) * 10.0 ** -np.linspace(0, decades, r), rng.standard_normal((r, n))) for r in ranks
    ]


@dataclass
class Blocks:
    """U Σ [N_1 … N_T] = [B_1 A_1 … B_T A_T], rows of the N_t side by side orthonormal."""

    U: np.ndarray
    S: np.ndarray
    N: np.ndarray


def blocks(factors: Pairs, like: Blocks | None = None) -> Blocks:
    """Those of factors, with the rows turned to be as near to those of `like` as their span lets them."""
    U, S, V = np.linalg.svd(np.concatenate([B @ A for B, A in factors], axis=1), full_matrices=False)
    live = int(np.sum(S > 1e-13 * S[0])) if like is None else len(like.S)
    V = V[:live]
    if like is not None:
        P, _, Q = np.linalg.svd(V @ np.concatenate(list(like.N), axis=1).T)
        V = (P @ Q).T @ V
    return Blocks(U[:, :live], S[:live], np.stack(np.split(V, len(factors), axis=1)))


def moved(factors: Pairs, rng: np.random.Generator) -> Pairs:
    """Every column of B_t and row of A_t moved by STEP of its norm."""

    def one(X: np.ndarray, axis: int) -> np.ndarray:
        E = rng.standard_normal(X.shape)
        return X + STEP * E / np.linalg.norm(E, axis=axis, keepdims=True) * np.linalg.norm(X, axis=axis, keepdims=True)

    return [(one(B, 0), one(A, 1)) for B, A in factors]


def errors_of(factors: Pairs, given: Blocks) -> Errors:
    """What is known of such a move: columns, and with them how far every row turns at most."""
    made, rows = [], np.zeros(len(given.S))
    for B, A in factors:
        L, R, b, a = given.U.T @ B, A.T, STEP * np.linalg.norm(B, axis=0), STEP * np.linalg.norm(A, axis=1)
        made.append((L, R, b, a))
        rows = rows + np.abs(L) @ a + b @ np.linalg.norm(R, axis=0) + b @ a
    out, T = rows / given.S, len(factors)
    errors = Errors(
        Level("input", "float32", STEP, 1.0),
        (len(factors[0][0]), given.N.shape[2]),
        np.full(T, np.linalg.norm(out)),
        np.broadcast_to(out[:, None], given.N.shape),
        np.asarray([len(A) for _, A in factors]),
        tuple(range(T)),
        False,
        {},
        unit=2.0**-52,
        factors=made,
    )
    errors.orthonormal = given.N, 1 / given.S, out
    return errors


def alone(c: np.ndarray, given: Blocks) -> list[Through]:
    """H_t = c_t I."""
    return [times(float(x), given.N.shape[2]) for x in c]


CASES = {
    "as many rows as columns of factors": (9, 7, (2, 3), 0.0),
    "and graded": (9, 7, (2, 3), 3.0),
    "fewer rows": (4, 6, (2, 2, 2), 0.0),
    "fewer rows, and graded": (4, 6, (2, 2, 2), 2.0),
    "one task": (5, 8, (3,), 1.0),
}


@pytest.mark.parametrize("whole", [False, True], ids=["one block", "their sum"])
@pytest.mark.parametrize("case", CASES)
def test_no_error_that_is_made_is_larger_and_some_are_near(case: str, whole: bool) -> None:
    factors, rng = pairs(*CASES[case], seed=5), np.random.default_rng(6)
    given = blocks(factors)
    c = np.linspace(1.0, 0.5, len(factors)) * (whole or np.arange(len(factors)) == 0)
    X = np.tensordot(c, given.N, 1)
    P, S, Qh = np.linalg.svd(X, full_matrices=False)
    bound, most = met_by_rows(errors_of(factors, given), (P, S, Qh), alone(c, given)), 0.0
    for _ in range(300):
        E = np.tensordot(c, blocks(moved(factors, rng), given).N, 1) - X
        within, left, right = np.abs(P.T @ E @ Qh.T), E @ Qh.T - P @ (P.T @ E @ Qh.T), E.T @ P - Qh.T @ (Qh @ E.T @ P)
        found = within, np.linalg.norm(left, axis=0), np.linalg.norm(right, axis=0)
        for x, y in zip(found, (bound.within, bound.left, bound.right), strict=True):
            assert (x <= y + 1e-12).all(), (x, y)
            most = max(most, float(np.max(x / (y + 1e-12))))
    assert most > 0.05  # a few terms at random are not all at their worst


def test_a_block_that_is_nearly_all_of_the_rows_turns_by_what_the_others_let_it() -> None:
    """All singular values of it are 1 but for what the others hold, and gaps between them are as small."""
    (B, A), (C, D) = pairs(4, 6, (4, 2), 0.0, seed=2)
    factors = [(B, A), (1e-3 * C, D)]
    given, c = blocks(factors), np.asarray([1.0, 0.0])
    P, S, Qh = np.linalg.svd(given.N[0], full_matrices=False)
    assert S[0] - S[3] < 1e-5
    turn = first_order(met_by_rows(errors_of(factors, given), (P, S, Qh), alone(c, given)), (P, S, Qh), 3).left
    assert (turn < 1e3 * STEP).all(), turn  # 1e5 times as far, if all that is known were its norm


def test_nothing_is_known_by_rows_where_no_factors_are_left() -> None:
    factors = pairs(4, 6, (2, 2), 0.0, seed=3)
    given = blocks(factors)
    errors = errors_of(factors, given)
    errors.factors = None
    found = met_by_rows(errors, np.linalg.svd(given.N[0], full_matrices=False), alone(np.asarray([1.0, 0.0]), given))
    assert np.isinf(found.within).all()


@pytest.mark.parametrize("method", [cm.Drm(rank_cut=0.5), cm.Tsv(k=1)], ids=["drm", "tsv"])
def test_equal_singular_values_are_ill_posed_however_small_the_errors_of_rows(method: Stage) -> None:
    """One task in KnOTS without singular values: its rows are an orthogonal matrix, exact, and no basis is its own."""
    rng = np.random.default_rng(4)
    B, A = rng.standard_normal((6, 4)), rng.standard_normal((4, 4))
    e = cm.explain([cm.LowRankUpdate(B, A)], method, cm.Knots(scaled=False))
    assert e.input_bound.verdict == "ill-posed", e


PAIR = np.asarray([[[0.6, 0.0], [0.0, 1.0]], [[0.8, 0.0], [0.0, 0.0]]])  # rows (0.6, 0, 0.8, 0) and (0, 1, 0, 0)
EYE: tuple[np.ndarray, np.ndarray, np.ndarray] = (np.eye(2), np.ones(2), np.eye(2))


def pair_of(b: Any, out: Any = (0.0, 0.0), unit: float = 2.0**-52) -> Errors:
    """Of the pair times diag(2, 5), columns of the left factors known up to b."""
    factors = [
        (np.diag([2.0, 5.0]) @ N, np.eye(2), np.asarray(x, dtype=float), np.zeros(2))
        for N, x in zip(PAIR, b, strict=True)
    ]
    errors = Errors(
        Level("input", "float32", STEP, 1.0), (9, 9), np.zeros(2), np.zeros((2, 2, 2)), np.ones(2), (0, 1), False, {},
        unit, factors=factors,
    )  # fmt: skip
    errors.orthonormal = PAIR, np.asarray([1 / 2, 1 / 5]), np.asarray(out)
    return errors


def test_one_block_by_hand() -> None:
    """Z = N_1: I − N_1ᵀ N_1 = diag(0.64, 0), of the other block −N_2ᵀ N_1 = −diag(0.48, 0); rows over 2 and 5."""
    through = alone(np.asarray([1.0, 0.0]), Blocks(np.eye(2), np.ones(2), PAIR))
    errors = pair_of([[3e-8, 9e-8], [5e-8, 9e-8]])
    first = 0.64 * 3e-8 + 0.48 * 5e-8
    found = met_by_rows(errors, EYE, through)
    np.testing.assert_allclose(found.within, [[first / 2, 0], [first / 5, 0]])
    assert (found.left == 0).all()  # all vectors are there
    assert (found.right == 0).all()
    found = met_by_rows(errors, EYE, through, np.asarray([[1.0, 1.0], [0.0, 1.0]]))  # both over 2 and 5 first
    np.testing.assert_allclose(found.within, [[first * np.hypot(1 / 2, 1 / 5), 0], [first / 5, 0]])


def test_part_of_one_block_by_hand() -> None:
    """H_1 = diag(1/2, 1), Z = N_1 H_1 = diag(0.3, 1): H_1 − N_1ᵀ Z = diag(0.32, 0), and −N_2ᵀ Z = −diag(0.24, 0)."""
    x, none = np.asarray([[1.0], [0.0]]), np.zeros((2, 0))
    found = met_by_rows(pair_of([[3e-8, 9e-8], [5e-8, 9e-8]]), EYE, [(1.0, x, x / 2), (0.0, none, none)])
    first = 0.32 * 3e-8 + 0.24 * 5e-8
    np.testing.assert_allclose(found.within, [[first / 2, 0], [first / 5, 0]], atol=1e-20)


@pytest.mark.parametrize(("unit", "times"), [(2.0**-52, 1.0), (STEP, 16.0)])
def test_second_order_terms_are_twice_the_square_of_what_rows_turn(unit: float, times: float) -> None:
    """2 · (3² + 4²) e-8 for all of the H_t: 2 I and I − x yᵀ, of norms 2 and 1 + 5 · 2; and 8 eps of two rows of N."""
    x, y, none = np.asarray([[3.0], [4.0]]), np.asarray([[2.0], [0.0]]), np.zeros((2, 0))
    errors = pair_of([[0, 0], [0, 0]], (3e-4, 4e-4), unit)
    found = met_by_rows(errors, EYE, [(-2.0, none, none), (1.0, x, y)])
    for part in (found.within, found.left, found.right):
        np.testing.assert_allclose(part, 2 * 25e-8 * (2 + 1 + 5 * 2) * times)


@pytest.mark.parametrize("place", ["inverse", "b", "L"])
@pytest.mark.parametrize("huge", [1e101, np.inf])
def test_products_that_might_overflow_are_not_known(place: str, huge: float) -> None:
    errors, through = pair_of([[1e-8, 0], [0, 0]]), alone(np.ones(2), Blocks(np.eye(2), np.ones(2), PAIR))
    if place == "inverse":
        errors.orthonormal = PAIR, np.asarray([1.0, huge]), np.zeros(2)
    else:
        L, R, b, a = errors.factors[1]
        errors.factors[1] = (L, R, np.full(2, huge), a) if place == "b" else (np.full((2, 2), huge), R, b, a)
    assert np.isinf(met_by_rows(errors, EYE, through).within).all()
