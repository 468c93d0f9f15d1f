"""The perturbation formulas against matrices that are perturbed."""

import numpy as np
import pytest

from coremerge_ref.perturbation import theorems as formulas
from coremerge_ref.testing import orthonormal

H = 1e-7


def matrix(rng: np.random.Generator, S: list[float], m: int, n: int) -> np.ndarray:
    return orthonormal(rng, m, len(S)) * np.asarray(S) @ orthonormal(rng, n, len(S)).T


def moved(function: object, X: np.ndarray) -> float:
    """Norm of the derivative of a matrix function at X, largest singular value of its Jacobian."""
    J = []
    for place in range(X.size):
        E = np.zeros(X.size)
        E[place] = H
        E = E.reshape(X.shape)
        J.append(((function(X + E) - function(X - E)) / (2 * H)).ravel())
    return float(np.linalg.norm(np.stack(J), 2))


def truncated(X: np.ndarray, k: int = 2) -> np.ndarray:
    P, S, Qh = np.linalg.svd(X, full_matrices=False)
    return (P[:, :k] * S[:k]) @ Qh[:k]


def polar(X: np.ndarray) -> np.ndarray:
    P, _, Qh = np.linalg.svd(X, full_matrices=False)
    return P @ Qh


def projector(X: np.ndarray, k: int = 2) -> np.ndarray:
    P = np.linalg.svd(X, full_matrices=False)[0][:, :k]
    return P @ P.T


@pytest.mark.parametrize("gap", [0.5, 0.1, 0.01])
def test_the_condition_number_of_truncation_is_exact(gap: float) -> None:
    S = [2.0, 1.0, 1.0 - gap, 0.2]
    X = matrix(np.random.default_rng(1), S, 5, 4)
    assert moved(truncated, X) == pytest.approx(formulas.truncation(np.asarray(S), 2), rel=1e-5)
    assert formulas.truncation(np.asarray(S), 2) == pytest.approx(1 / gap)


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (3, 4)])
def test_the_condition_number_of_the_polar_factor_is_exact(shape: tuple[int, int]) -> None:
    S = [2.0, 0.9, 0.3]
    X = matrix(np.random.default_rng(2), S, *shape)
    assert moved(polar, X) == pytest.approx(formulas.polar(np.asarray(S), shape), rel=1e-5)


def test_singular_subspaces_turn_by_the_coupling() -> None:
    S = np.asarray([2.0, 1.0, 0.7, 0.2])
    X = matrix(np.random.default_rng(3), list(S), 4, 4)
    # the projector changes by √2 the turn, in two blocks
    assert moved(projector, X) == pytest.approx(2**0.5 * formulas.coupling(S[1], S[2]), rel=1e-5)
    assert formulas.turns(S, 2)[1] == formulas.coupling(S[1], S[2])


def test_coupling_lies_between_one_over_the_larger_and_one_over_the_distance() -> None:
    a, b = np.abs(np.random.default_rng(4).standard_normal((2, 100)))
    found = formulas.coupling(a, b)
    assert np.all(found <= 1 / np.abs(a - b))
    assert np.all(found >= 1 / np.maximum(a, b))
    assert formulas.coupling(1.0, 1.0) == np.inf
    assert formulas.coupling(3.0, 0.0) == pytest.approx(1 / 3)


def test_values_that_are_equal_are_coupled_without_bound_zeros_too() -> None:
    assert formulas.coupling(np.asarray([0.0, 2.0, 2.0]), np.asarray([0.0, 2.0, 0.0])).tolist() == [np.inf, np.inf, 0.5]


def test_values_near_a_level() -> None:
    values = np.asarray([0.0, 0.5, 2.0, 9.0, 10.5, 12.0])
    assert formulas.near(values, 10.0, 1.0).tolist() == [False, False, True, True, True, False]
    assert formulas.near(values, 10.0, 11.0).all()


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300, 0.0, np.inf])
def test_lengths_of_columns_and_of_rows_at_every_size(size: float) -> None:
    X = np.asarray([[3.0, 0.0], [4.0, 1.0]])
    with np.errstate(invalid="ignore"):
        X = np.where(X == 0, 0.0, X * size)
    np.testing.assert_allclose(formulas.lengths(X), [5 * size, size] if size else [0, 0])
    np.testing.assert_allclose(formulas.lengths(X, axis=1), [3 * size, 17**0.5 * size] if size else [0, 0])


def test_norm_does_not_overflow() -> None:
    assert formulas.norm(np.full(4, 1e200)) == pytest.approx(2e200)
    assert formulas.norm(np.zeros((0, 3))) == 0.0


@pytest.mark.parametrize(
    ("a", "b", "product"),
    [(0.0, np.inf, 0.0), (np.inf, 0.0, 0.0), (1.0, 3.0, 3.0), (3.0, 1.0, 3.0), (1.0, np.inf, np.inf), (0.0, 0.0, 0.0)],
)
def test_zero_times_infinity_is_zero(a: float, b: float, product: float) -> None:
    assert formulas.safely(a, b) == product
    np.testing.assert_array_equal(formulas.safely(np.asarray([a, 2.0]), np.asarray([b, 5.0])), [product, 10.0])


@pytest.mark.parametrize("size", [1, formulas.FEW, formulas.FEW + 1])
@pytest.mark.parametrize("value", [1e-300, 1e-120, 1.0, 1e120, 1e300])
def test_norm_of_few_entries_and_of_many_at_every_size(size: int, value: float) -> None:
    assert formulas.norm(np.full(size, value)) / value == pytest.approx(size**0.5, rel=1e-14)
    assert formulas.norm(np.full(size, np.inf)) == np.inf


@pytest.mark.parametrize(
    ("S", "k", "remedy"),
    [
        ([4.0, 3.0, 1.5, 1.4], 1, "choose another rank, such as k = 2, with 50% between it and the next"),
        ([4.0, 1.0, 0.5, 0.4], 1, "choose another rank, such as k = 2, with 50% between it and the next"),
        ([4.0, 1.0, 0.5, 0.4], 3, "choose another rank, such as k = 1, with 75% between it and the next"),
        ([4.0, 0.0, 0.0], 2, "choose another rank, such as k = 1, with 100% between it and the next"),
        ([4.0], 1, ""),
    ],
)
def test_another_rank_has_the_widest_gap_after_it(S: list[float], k: int, remedy: str) -> None:
    assert formulas.another_rank(np.asarray(S), k) == remedy


@pytest.mark.parametrize(
    ("S", "size", "condition"),
    [
        ([], (3, 3), 0.0),
        ([0.5], (1, 1), 2.0),
        ([0.5], (3, 3), 2.0),
        ([2.0, 0.5], (2, 2), 0.8),
        ([2.0, 0.5], (2, 3), 2.0),
        ([2.0, 0.5], (3, 2), 2.0),
        ([2.0, 0.0], (2, 3), np.inf),
    ],
)
def test_the_condition_number_of_polar_factors_by_hand(S: list[float], size: tuple[int, int], condition: float) -> None:
    assert formulas.polar(np.asarray(S), size) == condition


@pytest.mark.parametrize(
    ("S", "k", "condition"),
    [
        ([2.0, 1.0], 0, 1.0), ([2.0, 1.0], 2, 1.0), ([2.0, 0.0], 1, 1.0), ([2.0, 1.0], 1, 2.0),
        ([1.0, 1.0], 1, np.inf), ([3.0, 2.0, 1.0], 2, 2.0),
    ],
)  # fmt: skip
def test_the_condition_number_of_truncation_by_hand(S: list[float], k: int, condition: float) -> None:
    assert formulas.truncation(np.asarray(S), k) == condition


@pytest.mark.parametrize(("x", "factor"), [(0.0, 1.0), (0.125, 4 / 3), (0.25, 2.0), (3.0, 2.0)])
def test_second_order_terms_at_most_double(x: float, factor: float) -> None:
    assert formulas.beyond(x) == pytest.approx(factor)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (2, 4, 3), (3, 0)])
@pytest.mark.parametrize("size", [1.0, 1e-200, 1e200, 0.0])
def test_the_spectral_norm_is_no_less_than_the_largest_singular_value(shape: tuple[int, ...], size: float) -> None:
    X = np.random.default_rng(0).standard_normal(shape)
    found, exact = formulas.spectral(size * X), np.linalg.norm(X, 2, axis=(-2, -1)) if X.size else np.zeros(shape[:-2])
    assert (found >= size * exact).all()
    np.testing.assert_allclose(found, size * exact, rtol=1e-8, atol=0)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (2, 4, 3)])
def test_the_svd_is_the_transposes_where_lapack_does_not_converge(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a 96 × 71 matrix whose rows are graded over six decades, whose transpose has one."""
    X, right = np.random.default_rng(3).standard_normal(shape), np.linalg.svd
    expected = right(X, compute_uv=False)

    def stubborn(Y: np.ndarray, **options: bool) -> object:
        if Y.shape == X.shape:
            raise np.linalg.LinAlgError("SVD did not converge")
        return right(Y, **options)

    monkeypatch.setattr(np.linalg, "svd", stubborn)
    P, S, Qh = formulas.thin_svd(X)
    assert P.shape[-1] == Qh.shape[-2] == min(shape[-2:])
    np.testing.assert_allclose((P * S[..., None, :]) @ Qh, X, rtol=0, atol=1e-14)
    np.testing.assert_allclose(formulas.singular_values(X), expected, rtol=1e-13)


def pushed(size: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """I + X, ‖X‖ = size."""
    X = rng.standard_normal((n, n))
    return np.eye(n) + size * X / np.linalg.norm(X)


@pytest.mark.parametrize("decades", [0.0, 3.0, 10.0])
@pytest.mark.parametrize(("x", "y"), [(1e-3, 1e-3), (0.3, 0.0), (0.2, 0.6)])
def test_what_multiplies_a_matrix_moves_its_values_relatively_and_its_polar_factor_by_as_much(
    decades: float, x: float, y: float
) -> None:
    """However small the smallest value is; the polar factor of the three triplets, in rows and columns of six."""
    rng = np.random.default_rng(4)
    S, most, turned = 10.0 ** -np.linspace(0, decades, 3), 0.0, 0.0
    whole, relative = formulas.multiplied(x, y)
    for _ in range(200):
        P, Q, left, right = orthonormal(rng, 6, 3), orthonormal(rng, 6, 3), pushed(x, 6, rng), pushed(y, 6, rng)
        (U, C), (V, D) = np.linalg.qr(left @ P), np.linalg.qr(right @ Q)
        (G, H), size = (C * S, D), 10.0**-decades  # singular values of G Hᵀ, small ones from its inverse
        small = 1 / np.linalg.svd(np.linalg.inv(H).T @ np.linalg.inv(C) / S[:, None] * size, compute_uv=False)[0] * size
        large = np.linalg.svd(G @ H.T, compute_uv=False)[0]
        most = max(most, abs(small / S[-1] - 1), abs(large / S[0] - 1))
        if decades < 10:
            p, _, q = np.linalg.svd(G @ H.T)
            turned = max(turned, float(np.linalg.norm(U @ p @ q @ V.T - P @ Q.T)))
    assert relative / 20 < most <= relative
    if decades < 10:
        assert whole / 20 < turned <= whole


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.8])
def test_what_multiplies_a_matrix_turns_leading_spaces_by_the_relative_gap(ratio: float) -> None:
    """Of values 1e4, 1 and `ratio`, 1e-5 the first two; and by nothing but the gap where there is one."""
    rng, most, x = np.random.default_rng(5), 0.0, 0.01
    S = np.asarray([1e4, 1.0, ratio, 1e-5])
    bound = formulas.multiplied_span(x, x, ratio or 1e-5)
    for _ in range(300):
        M = pushed(x, 6, rng) @ matrix(rng, list(S), 6, 6)
        before = np.linalg.svd(M)[0][:, :2]
        after = np.linalg.svd(pushed(x, 6, rng) @ M @ pushed(x, 6, rng).T)[0][:, :2]
        sines = np.sqrt(np.maximum(1 - np.linalg.svd(before.T @ after, compute_uv=False) ** 2, 0))
        most = max(most, float(np.linalg.norm(sines)))
    assert bound / 20 < most
    assert most <= formulas.multiplied_span(x, x, (ratio or 1e-5) * 1.01 / 0.99)


def test_what_multiplies_a_matrix_moves_it_so_far_and_no_less_at_worst() -> None:
    """Along a singular value (1 + x) (1 + y) of it; and x e_2 e_1ᵀ turns both vectors of diag(1, 1e-9) by x, √2 x."""
    x, y, S = 0.2, 0.1, np.diag([1.0, 1e-9])
    grown = np.diag([1.0, 1 + x]) @ S @ np.diag([1.0, 1 + y])
    assert grown[1, 1] / S[1, 1] - 1 == pytest.approx(formulas.multiplied(x, y)[1])
    x = 1e-6
    turned = polar((np.eye(2) + x * np.outer([0, 1], [1, 0])) @ S) - polar(S)
    assert float(np.linalg.norm(turned)) == pytest.approx(formulas.multiplied(x, 0.0)[0], rel=1e-5, abs=0)


def test_what_multiplies_a_matrix_by_numbers() -> None:
    """ln 2 on the way to a half, √2 times; and (1 + ρ²) / (1 − ρ²) with the ratio 0.5 · 1.1 / 0.9 at the end."""
    assert formulas.multiplied(0.5, 0.0) == pytest.approx((2**0.5 * np.log(2), 0.5))
    assert formulas.multiplied(0.5, 0.5) == pytest.approx((8**0.5 * np.log(2), 1.25))
    assert formulas.multiplied(0.0, 0.0) == (0.0, 0.0)
    assert formulas.multiplied(1.0, 0.0) == formulas.multiplied(0.0, np.inf) == (np.inf, np.inf)
    widest = (0.5 * 1.1 / 0.9) ** 2
    for pair in ((0.1, 0.0), (0.0, 0.1)):
        assert formulas.multiplied_span(*pair, 0.5) == pytest.approx(-np.log(0.9) * (1 + widest) / (1 - widest))
    assert formulas.multiplied_span(0.1, 0.0, 0.9 / 1.1) == formulas.multiplied_span(1.0, 0.0, 0.0) == np.inf
    assert formulas.multiplied_span(0.0, 0.0, 0.99) == 0.0


@pytest.mark.parametrize("x", [0.1, 0.5, 0.9])
def test_polar_factors_move_by_no_more_than_the_logarithm(x: float) -> None:
    """Of 6 × 3 and 3 × 3 matrices, σ_3 = 1, by errors of norm x that lower it, and by others."""
    rng, S = np.random.default_rng(7), [3.0, 2.0, 1.0]
    for shape in ((6, 3), (3, 3)):
        most, M = 0.0, matrix(rng, S, *shape)
        P, _, Qh = np.linalg.svd(M)
        for i in range(200):
            E = rng.standard_normal(shape)
            if i % 2:
                E = 0.1 * E - np.outer(P[:, 2] + rng.standard_normal() * P[:, -1], Qh[2])
            most = max(most, float(np.linalg.norm(polar(M + x * E / np.linalg.norm(E)) - polar(M))))
        assert formulas.grown(x) / 20 < most <= formulas.grown(x)


def test_the_logarithm_by_numbers() -> None:
    assert [formulas.grown(x) for x in (0.0, 0.5, 1.0, 3.0)] == [0.0, pytest.approx(np.log(2)), np.inf, np.inf]


@pytest.mark.parametrize("shape", [(5, 20), (20, 5), (6, 6)])
@pytest.mark.parametrize("decades", [0.0, 2.0, 6.0, 12.0])
@pytest.mark.parametrize("size", [1.0, 1e-200, 1e200])
def test_one_singular_value_is_at_most_a_thousandth_too_small(
    shape: tuple[int, int], decades: float, size: float
) -> None:
    S = 10.0 ** -np.linspace(0, decades, min(shape))
    X = matrix(np.random.default_rng(8), list(S), *shape)
    for k in (1, 3, len(S)):
        exact = float(np.linalg.svd(X, compute_uv=False)[k - 1])
        assert exact * (1 - 1e-3) - 1e-14 <= formulas.value_at(size * X, k) / size <= exact + 1e-14  # an SVD rounds


def test_one_singular_value_takes_no_svd_where_its_gram_matrix_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formulas, "singular_values", lambda X: np.full(3, 7.0))
    assert formulas.value_at(np.diag([3.0, 2.0, 1.0]), 2) == pytest.approx(2.0)
    assert formulas.value_at(np.diag([3.0, 2.0, 1e-9]), 3) == 7.0
    assert formulas.value_at(np.zeros((3, 3)), 3) == 7.0
