"""Turns of singular vectors beside matrices that are perturbed."""

import numpy as np
import pytest

from coremerge_ref.perturbation.turning import Turn, mixed, owned, turning
from coremerge_ref.testing import orthonormal

H = 1e-9
S = np.asarray([3.0, 1.0, 0.9, 1e-3])


def frames(seed: int, m: int = 7, n: int = 6) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return orthonormal(rng, m, len(S)), orthonormal(rng, n, len(S)), rng


def turned(U: np.ndarray, V: np.ndarray, E: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """|K| (n, n) and how far each left vector leaves the span of all (n), per H, as H E is added to U diag(S) Vᵀ."""
    P = np.linalg.svd(U * S @ V.T + H * E, full_matrices=False)[0][:, : len(S)]
    K = U.T @ P
    out = np.linalg.norm(P - U @ K, axis=0) / H
    K = np.abs(K / H)
    np.fill_diagonal(K, 0.0)
    return K, out


@pytest.mark.parametrize("seed", range(20))
def test_no_error_of_a_norm_turns_further(seed: int) -> None:
    U, V, rng = frames(seed)
    E = rng.standard_normal((7, 6))
    turn = turning(S, np.linalg.norm(E) * H)
    K, out = turned(U, V, E)
    assert (K <= turn.inside / H * (1 + 1e-4) + 1e-4).all()
    assert np.linalg.norm(K) <= turn.most / H * (1 + 1e-4)
    assert (out <= turn.outside / H * (1 + 1e-4)).all()
    assert (np.linalg.norm(K, axis=0) <= turn.widest / H * (1 + 1e-4)).all()


@pytest.mark.parametrize("seed", range(20))
def test_errors_as_graded_as_the_values_turn_small_ones_little(seed: int) -> None:
    """One part as small as σ_i on v_i, another within the span and as small as σ_i on u_i."""
    U, V, rng = frames(seed)
    one, other = rng.standard_normal((7, 4)) * S, S[:, None] * rng.standard_normal((4, 6))
    E = one @ V.T + U @ other
    own, within = np.linalg.norm(one, axis=0), np.linalg.norm(other, axis=1)
    turn = turning(S, np.asarray(H * np.linalg.norm(E)), H * own, H * within)
    K, out = turned(U, V, E)
    assert (K <= turn.inside / H * (1 + 1e-4) + 1e-4).all()
    assert (out <= turn.outside / H * (1 + 1e-4) + 1e-4).all()
    assert turn.outside[-1] / H < 10  # where the norm alone lets it turn by a thousand
    assert turning(S, np.asarray(H * np.linalg.norm(E))).outside[-1] / H > 1000


@pytest.mark.parametrize("unit", [1.0, 2.0**600, 2.0**-600])
@pytest.mark.parametrize("copies", [1, -1, 0.01])
def test_copies_that_part_turn_a_small_vector_by_the_square_of_what_parts_them(copies: float, unit: float) -> None:
    """Two columns along e_1, one of 1 along e_2, and errors of the first along e_2 + e_3, 0.1 in all: e_2 turns to e_3
    by a hundredth, where its own column is off by 1e-4 only."""
    size, b = 1e-4, np.asarray([1000.0, 1000.0 * copies, 1.0])
    X = np.zeros((4, 3))
    X[0, :2], X[1, 2] = b[:2], 1.0
    P, values, _ = np.linalg.svd(X, full_matrices=False)
    E = np.zeros((4, 3))
    E[1:3, 0], E[1:3, 1] = size * b[0] / 2**0.5, -size * b[1] / 2**0.5
    moved = np.linalg.svd(X + E)[0][:, 1]
    coordinates, norms = [(P[:, :2].T @ X)[:, at] for at in ([0], [1, 2])], [np.abs(b[at]) for at in ([0], [1, 2])]
    scaled = [unit * C for C in coordinates], [unit * x for x in norms], unit * values[:2]
    own = owned(size, *scaled, np.asarray(unit * size * np.linalg.norm(b))) / unit
    out = np.linalg.norm(moved - P[:, :2] @ (P[:, :2].T @ moved))
    first = size * b[2]  # of the small column's own error, and no copy's
    assert (first < out / 1.5) == (abs(copies) == 1)
    assert out <= own[1]
    # V⊥ is (c, −1, 0) / √(1 + c²)
    assert own[1] == pytest.approx(first + (size * b[0]) ** 2 * 2 * copies**2 / (1 + copies**2), rel=1e-9)


def test_where_columns_are_independent_each_vector_meets_its_own_errors_alone() -> None:
    b = [np.asarray([1000.0]), np.asarray([1.0])]
    own = owned(
        1e-4, [np.asarray([[1000.0], [0.0]]), np.asarray([[0.0], [1.0]])], b, np.asarray([1e3, 1.0]), np.asarray(0.1)
    )
    np.testing.assert_allclose(own, [0.1, 1e-4])


def test_no_vector_turns_further_than_to_the_other_side_and_none_into_itself() -> None:
    turn = turning(np.asarray([1.0, 1.0]), np.asarray(0.1))
    assert turn.inside.tolist() == [[0.0, 2.0], [2.0, 0.0]]
    assert np.isinf(turn.most)


def test_what_a_turn_makes_of_entries_is_at_most_either_bound() -> None:
    turn = turning(np.asarray([2.0, 1.0]), np.asarray(0.01))
    M = np.asarray([[1.0, 0.0], [3.0, 4.0]])
    C = 5**0.5 / 3 * 0.01
    np.testing.assert_allclose(mixed(turn, M), C * np.asarray([[3.0, 4.0], [1.0, 0.0]]))


def test_many_at_once_turn_as_each_alone() -> None:
    values, errors = np.stack([S, 2 * S]), np.asarray([0.01, 0.03])
    together = turning(values, errors)
    for i, (one, error) in enumerate(zip(values, errors, strict=True)):
        for part, alone in zip(together, turning(one, error), strict=True):
            np.testing.assert_allclose(part[i], alone)


@pytest.mark.parametrize("c", [1.0, 2.0**600, 2.0**-600])
def test_rows_mix_by_their_own_turns_or_all_rows_by_the_widest_whatever_their_size(c: float) -> None:
    """A row that turns by 0.3 into one of 3 and 4, and by 0.4 into one of 4 and −3: 0.9 + 1.6 and 1.2 + 1.2 of it, and
    no more than half of 5, the length of either column."""
    inside = np.array([[0.0, 0.3, 0.4], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    turn = Turn(inside, np.array([0.5, 0.0, 0.0]), np.asarray(1.0), np.zeros(3))
    M = c * np.array([[0.0, 0.0], [3.0, 4.0], [4.0, -3.0]])
    np.testing.assert_allclose(mixed(turn, M) / c, [[2.5, 2.4], [0, 0], [0, 0]], rtol=1e-15)
    narrow = turn._replace(widest=np.array([0.4, 0.0, 0.0]))
    np.testing.assert_allclose(
        mixed(narrow, np.stack([M, 2 * M])) / c, [[[2, 2], [0, 0], [0, 0]], [[4, 4], [0, 0], [0, 0]]]
    )
    assert mixed(turn, 0 * M).tolist() == [[0, 0]] * 3


def test_two_values_of_zero_turn_by_no_more_than_to_the_other_side_and_not_by_no_number() -> None:
    found = turning(np.asarray([2.0, 0.0, 0.0]), np.asarray(1e-3), np.full(3, 1e-3), np.zeros(3))
    assert found.inside[1, 2] == found.inside[2, 1] == 2.0
    assert found.inside[0, 1] == pytest.approx(1e-3 / 2)
    assert not np.isnan(found.widest).any()
