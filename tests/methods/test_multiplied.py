"""What errors of factors multiply a matrix by, by hand and beside pseudo-inverses."""

from typing import Any

import numpy as np
import pytest

from coremerge_ref.methods._multiplied import Factors, beside, multipliers, relatively, shares
from coremerge_ref.perturbation.carried import Errors, Level
from coremerge_ref.perturbation.theorems import multiplied, multiplied_span
from coremerge_ref.testing import orthonormal


def errors_of(**given: Any) -> Errors:
    level, none = Level("input", "float64", 1e-7, 0.5), np.zeros((2, 5, 5))
    return Errors(level, (9, 9), np.zeros(2), none, np.asarray([3] * 2), (0, 1), True, {}, 2.0**-52, **given)


def along_axes(L: Any, R: Any, b: Any, a: Any) -> Factors:
    """Columns along the axes of five dimensions, of these lengths and errors."""
    return np.eye(5, len(L)) * L, np.eye(5, len(R)) * R, np.asarray(b, dtype=float), np.asarray(a, dtype=float)


def test_columns_at_right_angles_are_multiplied_by_the_largest_relative_error_and_the_root_of_their_number() -> None:
    """However small single ones are: 2e-3 of the first and 3e-3 of the second, 1e-2 of the third on the other side."""
    given = along_axes([1, 1e-9, 1], [1e5, 1, 10], [2e-3, 3e-12, 0], [1, 0, 0.1])
    assert multipliers(errors_of(), given) == pytest.approx((3e-3 * 3**0.5, 1e-2 * 3**0.5))


def test_columns_that_nearly_depend_on_each_other_by_more() -> None:
    """e_1 and (e_1 + h e_2) / √(1 + h²): the smaller singular value is √(1 − 1 / √(1 + h²))."""
    h = 1e-2
    L, eye = np.eye(5, 2), np.eye(5, 2)
    L[:, 1] = np.asarray([1, h, 0, 0, 0])
    least = np.sqrt(1 - 1 / np.sqrt(1 + h * h))
    found = multipliers(errors_of(), (L, eye, np.full(2, 1e-6), np.zeros(2)))
    assert found == (pytest.approx(1e-6 * 2**0.5 / least), 0.0)


def test_columns_of_which_nothing_is_there_count_for_nothing() -> None:
    given = along_axes([1, 0, 1], [1, 1, 1], [1e-3, 0, 1e-3], [1e-3, 1.0, 1e-3])
    assert multipliers(errors_of(), given) == pytest.approx((1e-3 * 2**0.5, 1e-3 * 2**0.5))
    nothing = along_axes([0, 0], [1, 1], [0, 0], [1, 1])
    assert multipliers(errors_of(), nothing) == (0.0, 0.0)


@pytest.mark.parametrize(
    "given",
    [
        None,
        along_axes([1, 0], [1, 1], [0, 1e-9], [0, 0]),  # a column that is zero, and its error is not
        (np.ones((5, 2)), np.eye(5, 2), np.full(2, 1e-9), np.full(2, 1e-9)),  # twice the same
        (np.ones((2, 3)), np.eye(3), np.full(3, 1e-9), np.zeros(3)),  # more than there are rows
    ],
)
def test_what_is_no_product_is_not_multiplied(given: Any) -> None:
    assert multipliers(errors_of(), given)[0] == np.inf
    assert multipliers(errors_of(divided=True), along_axes([1], [1], [0], [0])) == (np.inf, np.inf)


def test_errors_of_columns_are_no_more_than_these_multipliers_make_of_them() -> None:
    """‖E L⁺‖ of random errors with columns of their bound, and of those all along one vector, s b: their mean square
    over all signs s is that of all rows of N⁺, at least 1 / σ_3², so that the largest is no less than 1 / √3 of it."""
    rng = np.random.default_rng(0)
    L = orthonormal(rng, 7, 3) @ np.asarray([[1.0, 1, 1], [0, 0.5, 1], [0, 0, 0.2]]) * [1.0, 1e-3, 1e-6]
    b, inverse = 1e-4 * np.linalg.norm(L, axis=0), np.linalg.pinv(L, rcond=1e-14)
    bound = multipliers(errors_of(), (L, np.eye(7, 3), b, np.zeros(3)))[0]
    most = 0.0
    for signs in np.ndindex(2, 2, 2):
        E = np.outer(np.eye(7)[0], b * (1 - 2 * np.asarray(signs)))
        most = max(most, float(np.linalg.norm(E @ inverse)))
    for _ in range(100):
        E = rng.standard_normal((7, 3))
        most = max(most, float(np.linalg.norm(b * E / np.linalg.norm(E, axis=0) @ inverse)))
    assert bound / 3**0.5 * (1 - 1e-9) <= most <= bound


def test_a_tasks_share_of_all_is_no_more_than_its_columns_over_the_smallest_singular_value() -> None:
    rng = np.random.default_rng(1)
    tasks = [(rng.standard_normal((6, r)), rng.standard_normal((8, r)) * size) for r, size in ((2, 1.0), (3, 1e-3))]
    whole = np.linalg.pinv(sum(L @ R.T for L, R in tasks), rcond=1e-9)
    found = shares(errors_of(), [(L, R, np.ones(L.shape[1]), np.ones(L.shape[1])) for L, R in tasks])
    for one, (L, R) in zip(found, tasks, strict=True):
        exact = float(np.linalg.norm(whole @ L @ R.T, 2))
        assert exact <= one <= 10 * exact


def test_small_values_move_by_a_share_of_themselves() -> None:
    S = np.asarray([1.0, 1e-3, 0.0])
    assert relatively(S, 1e-9, 0.1, np.inf) == 0.1
    assert relatively(S, 1e-9, 0.1, 0.2) == pytest.approx([0.1, 2e-4 + 2e-10, 2e-10], rel=1e-9, abs=0)
    assert relatively(S, 1e-9, 0.1, 0.2, 1e-6) == pytest.approx([0.1, 2.01e-4 + 2e-10, 1e-6 + 2e-10], rel=1e-9, abs=0)


# ---- an error beside what multiplies -----------------------------------------------------------------------------
def test_an_error_beside_meets_values_that_have_moved_already() -> None:
    """4 and 1 have moved to 2 and 1.5 at worst, which couple by √(2² + 1.5²) / (2² − 1.5²) = 10/7; both may move."""
    span, pairing, relative = beside((0.1, 0.2, 0.5), 4.0, 1.0, 0.01)
    turn = 2 * 0.01 * 10 / 7
    more = turn / (1 - 2 * turn)
    assert span == pytest.approx(0.1 + more)
    assert pairing == pytest.approx(0.2 + 0.01 / 2 / (1 - 2 * turn))
    assert relative == pytest.approx(0.5 + 0.01 / 4)
    assert beside((0.1, 0.2, 0.5), 4.0, 1.0, 0.0) == (0.1, 0.2, 0.5)


@pytest.mark.parametrize(
    ("relative", "apart"), [(0.7, 0.01), (1.5, 0.01), (0.5, 0.1), (np.inf, 0.01)]
)  # values may meet, or vanish; a turn above a quarter; nothing is known
def test_where_values_may_meet_nothing_is_known(relative: float, apart: float) -> None:
    assert beside((0.1, 0.2, relative), 4.0, 1.0, apart) == (np.inf, np.inf, np.inf)


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_both_together_move_spans_and_values_by_no_more(seed: int, k: int) -> None:
    """Of (I + X) M (I + Y)ᵀ + F, M of rank 4 and of spectra over five decades: X, Y and F at random, and each turning
    the last vectors that are kept into the first that are not, or along themselves. What a cut leaves of rank 4 is F
    alone. Values move by all that is allowed; spans by the larger of x and y, two thirds of their sum, and by half of
    what is allowed to F for values that move towards each other, each less where the ratio of values counts twice."""
    rng = np.random.default_rng(seed)
    S = np.asarray([1.0, 1e-2, 2e-4, 1e-5])
    P, Q = orthonormal(rng, 8, 4), orthonormal(rng, 6, 4)
    M, x, y, f = (P * S) @ Q.T, 1e-3, 2e-3, 1e-7 if k == 4 else 1e-5
    after = float(S[k]) if k < 4 else 0.0
    bounds = multiplied_span(x, y, after / S[k - 1]), *multiplied(x, y)
    span, pairing, relative = beside(bounds, float(S[k - 1]), after, f)
    most = np.zeros(3)
    beyond = [np.linalg.svd(Z)[0][:, 4] for Z in (P, Q)]
    others = [P[:, k], Q[:, k]] if k < 4 else beyond
    p, q = P[:, k - 1], Q[:, k - 1]
    ways = [(*others, np.outer(others[0], q)), (p, q, np.outer(p, q))]
    for trial in range(60):
        X, Y, F = (rng.standard_normal(shape) for shape in ((8, 8), (6, 6), (8, 6)))
        if trial < 4:
            a, b, F = ways[trial // 2]
            X, Y = np.outer(a, p), np.outer(b, q) * (1 - 2 * (trial % 2))
        X, Y, F = (Z * (size / np.linalg.norm(Z)) for Z, size in ((X, x), (Y, y), (F, f)))
        U, s, Vh = np.linalg.svd((np.eye(8) + X) @ M @ (np.eye(6) + Y).T + F)
        U, V = U[:, :k], Vh[:k].T
        turned = max(np.linalg.norm(P[:, :k] - U @ (U.T @ P[:, :k])), np.linalg.norm(Q[:, :k] - V @ (V.T @ Q[:, :k])))
        paired = np.linalg.norm(P[:, :k].T @ U @ V.T @ Q[:, :k] - np.eye(k))
        most = np.maximum(most, [turned, paired, np.max(np.abs(s[:k] / S[:k] - 1))])
    assert (most <= np.asarray([span, pairing, relative]) * (1 + 1e-9)).all()  # of rounding beside 1e-5
    assert most[0] >= 0.4 * span
    assert most[2] >= 0.99 * relative
