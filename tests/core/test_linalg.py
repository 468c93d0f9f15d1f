"""Decompositions, norms and the one place where a number is judged to be zero."""

from typing import Any

import numpy as np
import pytest
from backends import EPS, Backend, available

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.linalg import svds
from coremerge_ref.core.linalg.mending import mended
from coremerge_ref.errors import NonFiniteError
from coremerge_ref.testing import THRESHOLD, orthonormal, ratio


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (1, 6), (6, 1), (2, 7, 3), (2, 3, 7)])
def test_svd_is_thin_descending_and_multiplies_back(backend: Backend, shape: tuple[int, ...]) -> None:
    X = np.random.default_rng(0).standard_normal(shape)
    P, S, Qh = (backend.host(part) for part in linalg.svd(backend.array(X)))
    k = min(shape[-2:])
    assert (P.shape, S.shape, Qh.shape) == ((*shape[:-1], k), (*shape[:-2], k), (*shape[:-2], k, shape[-1]))
    assert np.all(np.diff(S, axis=-1) <= 0)
    eps, size = EPS["float64"], float(np.linalg.norm(X))
    assert ratio((P * S[..., None, :]) @ Qh, X, size, eps) <= THRESHOLD
    eye = np.broadcast_to(np.eye(k), (*shape[:-2], k, k))
    assert ratio(np.swapaxes(P, -1, -2) @ P, eye, 1.0, eps) <= THRESHOLD
    assert ratio(Qh @ np.swapaxes(Qh, -1, -2), eye, 1.0, eps) <= THRESHOLD


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (2, 4, 4)])
def test_svd_goes_through_the_transpose_where_lapack_does_not_converge(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    X = np.random.default_rng(5).standard_normal(shape)
    expected = np.linalg.svd(X, compute_uv=False)
    right, refused = np.linalg.svd, []

    def stubborn(Y: np.ndarray, **options: bool) -> object:
        if not refused:
            refused.append(Y.shape)
            raise np.linalg.LinAlgError("SVD did not converge")
        assert Y.shape == refused[0][:-2] + refused[0][:-3:-1]
        return right(Y, **options)

    monkeypatch.setattr(np.linalg, "svd", stubborn)
    P, S, Qh = linalg.svd(X)
    assert refused
    assert ratio(S, expected, float(np.linalg.norm(X)), EPS["float64"]) <= THRESHOLD
    assert ratio((P * S[..., None, :]) @ Qh, X, float(np.linalg.norm(X)), EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("name", ["numpy", "cupy", "jax"])
def test_svd_goes_through_the_transpose_where_it_gives_nan(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries that never raise: CuPy, JAX."""
    backend = available(name)
    X = backend.array(np.random.default_rng(5).standard_normal((5, 3)))
    plain, seen = svds._plain_svd, []

    def silent(Y: Any) -> Any:
        seen.append(Y.shape)
        return plain(Y * float("nan") if len(seen) == 1 and name != "numpy" else Y)

    monkeypatch.setattr(svds, "_plain_svd", silent)
    P, S, Qh = (backend.host(part) for part in linalg.svd(X))
    assert seen == ([(5, 3)] if name == "numpy" else [(5, 3), (3, 5)])
    assert ratio((P * S) @ Qh, backend.host(X), float(np.linalg.norm(backend.host(X))), EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (2, 3, 5), (2, 5, 3), (4, 5, 3), (5, 3, 4)])
def test_the_library_is_given_tall_matrices(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Square ones as they are."""
    X, right, seen = np.random.default_rng(5).standard_normal(shape), np.linalg.svd, []

    def watched(Y: np.ndarray, **options: bool) -> object:
        seen.append(Y)
        return right(Y, **options)

    monkeypatch.setattr(np.linalg, "svd", watched)
    linalg.svd(X)
    (given,) = seen
    np.testing.assert_array_equal(given, np.swapaxes(X, -1, -2) if shape[-2] < shape[-1] else X)


def test_where_a_look_would_wait_the_library_is_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU's returns from what is not finite."""
    asked = []
    monkeypatch.setattr(np.linalg, "svd", lambda X, full_matrices: asked.append(full_matrices) or (X, X[0], X))
    given = np.full((2, 2), np.nan)
    for loops in (True, False):
        monkeypatch.setattr(arrays, "loops_over_batches", lambda X, loops=loops: loops and X is given)
        if loops:
            assert svds._plain_svd(given)[0] is given
        else:
            with pytest.raises(NonFiniteError, match=r"^svd: expected finite numbers"):
                svds._plain_svd(given)
    assert asked == [False]


def test_svd_that_never_converges_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(Y: np.ndarray, **options: bool) -> object:
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(np.linalg, "svd", refuses)
    with pytest.raises(np.linalg.LinAlgError, match="did not converge"):
        linalg.svd(np.eye(3))


@pytest.mark.parametrize(("m", "r", "n"), [(9, 3, 7), (4, 6, 9), (9, 6, 4), (3, 5, 3), (1, 2, 5)])
def test_product_svd_is_that_of_the_product(backend: Backend, m: int, r: int, n: int) -> None:
    rng = np.random.default_rng(1)
    B, A = rng.standard_normal((m, r)), rng.standard_normal((r, n))
    P, S, Qh = (backend.host(part) for part in linalg.product_svd(backend.array(B), backend.array(A)))
    size = float(np.linalg.norm(B) * np.linalg.norm(A))
    assert ratio((P * S) @ Qh, B @ A, size, EPS["float64"]) <= THRESHOLD
    expected = np.linalg.svd(B @ A, compute_uv=False)
    assert ratio(S[: len(expected)], expected[: len(S)], size, EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("r", [2, 5])
def test_vectors_of_a_product_span_the_long_factor_however_badly_conditioned_the_short_one_is(
    backend: Backend, r: int
) -> None:
    """A square factor of condition 1e6 gives a product of the same column, or row, space as the long one's, to
    rounding: an SVD of the product itself finds the last of them up to 1e6 eps."""
    rng = np.random.default_rng(r)
    long, square = orthonormal(rng, 9, r), orthonormal(rng, r, r) * np.logspace(0, -6, r) @ orthonormal(rng, r, r)
    P, _, _ = linalg.product_svd(backend.array(long), backend.array(square))
    _, _, Qh = linalg.product_svd(backend.array(square), backend.array(np.ascontiguousarray(long.T)))
    for X in (backend.host(P), backend.host(Qh).T):
        assert np.linalg.norm(X - long @ (long.T @ X)) < THRESHOLD * EPS["float64"]


def test_rows_of_a_graded_product_are_as_good_as_products_of_rows(backend: Backend) -> None:
    """Where one row of B is 10⁴ times as large as its product, which the other rows are not to pay for."""
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.standard_normal((9, 2)))[0].T
    A = np.stack([q[0], q[0] + 1e-4 * q[1]])  # (2, 9), nearly dependent rows
    B = np.array([[1.0, 0.0], [-1e4, 1e4], [0.5, 0.5]])  # (3, 2)
    exact = B.astype(np.longdouble) @ A.astype(np.longdouble)
    error = {}
    for graded in (True, False):
        P, S, Qh = (backend.host(part) for part in linalg.product_svd(backend.array(B), backend.array(A), graded))
        error[graded] = np.linalg.norm(((P * S) @ Qh - exact)[[0, 2]].astype(float)) / EPS["float64"]
    assert error[True] < THRESHOLD
    if str(backend) == "numpy":  # by another way to its QRs a library may do better
        assert error[False] > 100


@pytest.mark.parametrize("kind", ["proven", "dependent", "one layer underflows"])
@pytest.mark.parametrize("graded", [None, False, True])
def test_factors_of_a_product_are_made_orthonormal_first(
    kind: str, graded: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both of them, or A's alone: by the library, or by products where it is slow and these prove themselves."""
    rng = np.random.default_rng(3)
    B, A = rng.standard_normal((2, 7, 3)), rng.standard_normal((2, 3, 5))
    if kind == "dependent":
        B[:, :, 2], A[:, 2] = B[:, :, 0], A[:, 0]
    elif kind == "one layer underflows":
        B[1], A[1] = 1e-155 * B[1], 1e-155 * A[1]
    decompose, triangulate, seen = np.linalg.svd, np.linalg.qr, []

    def qr(X: Any, **options: Any) -> Any:
        seen.append(("qr", X.shape))
        return triangulate(X, **options)

    def svd(X: Any, **options: Any) -> Any:
        seen.append(("svd", X.shape))
        return decompose(X, **options)

    monkeypatch.setattr(np.linalg, "qr", qr)
    monkeypatch.setattr(np.linalg, "svd", svd)
    for loops in (False, True):
        seen.clear()
        monkeypatch.setattr(arrays, "loops_over_batches", lambda X, loops=loops: loops and X.shape[-1] == 3)
        P, S, Qh = linalg.product_svd(B, A) if graded is None else linalg.product_svd(B, A, graded)
        layers = {"proven": 0, "dependent": 2, "one layer underflows": 1}[kind] if loops else 2
        made = [("qr", (layers, size, 3)) for size in ((5,) if graded else (7, 5)) if layers]
        assert seen == [*made, ("svd", (2, 7, 3) if graded else (2, 3, 3))]
        assert (P.shape, S.shape, Qh.shape) == ((2, 7, 3), (2, 3), (2, 3, 5))
        for i in range(1 if kind == "one layer underflows" else 2):
            size = float(np.linalg.norm(B[i]) * np.linalg.norm(A[i]))
            assert ratio((P[i] * S[i]) @ Qh[i], B[i] @ A[i], size, EPS["float64"]) <= THRESHOLD
        for X in (P, np.swapaxes(Qh, -1, -2)):
            gram = np.swapaxes(X, -1, -2) @ X
            assert ratio(gram, np.stack([np.eye(3)] * 2), 1.0, EPS["float64"]) <= THRESHOLD


def test_a_product_of_no_rank_has_as_many_triplets_as_any() -> None:
    P, S, Qh = linalg.product_svd(np.zeros((2, 4, 0)), np.zeros((2, 0, 3)))
    assert (P.shape, S.shape, Qh.shape) == ((2, 4, 3), (2, 3), (2, 3, 3))
    assert not np.any(S)


def test_norm_of_known_numbers(backend: Backend) -> None:
    assert backend.host(linalg.norm(backend.array([[3.0, 0.0], [0.0, -4.0]]))) == 5.0
    np.testing.assert_array_equal(backend.host(linalg.norm(backend.array([[[0.0]], [[-2.0]]]))), [0.0, 2.0])


def test_the_largest_magnitude_of_each_layer(backend: Backend) -> None:
    """Whatever its sign; NaN where there is one."""
    layers = np.array([[[-3.0, 1.0], [2.0, 0.0]], [[0.5, 0.0], [0.0, -0.25]], [[-1.0, -2.0], [-2.0, -1.0]]])
    np.testing.assert_array_equal(backend.host(linalg.largest(backend.array(layers))), [3.0, 0.5, 2.0])
    layers[1, 0, 1] = np.nan
    np.testing.assert_array_equal(backend.host(linalg.largest(backend.array(layers))), [3.0, np.nan, 2.0])
    assert float(linalg.largest(backend.array(layers[0]))) == 3.0


@pytest.mark.parametrize("unit", [1e-300, 1e-160, 1e160, 1e300])
def test_norm_neither_overflows_nor_underflows(backend: Backend, unit: float) -> None:
    assert backend.host(linalg.norm(backend.array([[3 * unit, 4 * unit]]))) == pytest.approx(5 * unit, rel=1e-15, abs=0)


def test_norm_of_each_layer_has_a_unit_of_its_own(backend: Backend) -> None:
    units = np.array([1e-300, 1e300, 1.0])
    found = backend.host(linalg.norm(backend.array(units[:, None, None] * [[[3.0, 4.0]]])))
    assert ratio(found / units, np.full(3, 5.0), 5.0, EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("shape", [(3, 0), (0, 3), (2, 3, 0)])
def test_norm_of_nothing_is_zero(backend: Backend, shape: tuple[int, ...]) -> None:
    found = backend.host(linalg.norm(backend.array(np.zeros(shape))))
    assert found.shape == shape[:-2]
    assert not np.any(found)


def test_polar_factor_of_full_rank_is_the_nearest_orthonormal(backend: Backend) -> None:
    rng = np.random.default_rng(2)
    Q, W, S = orthonormal(rng, 6, 3), orthonormal(rng, 3, 3), np.diag([3.0, 1.0, 0.5])
    found = backend.host(linalg.polar(backend.array(Q @ S @ W.T), backend.array(1e-12)))
    assert ratio(found, Q @ W.T, np.sqrt(3), EPS["float64"], kappa=6) <= THRESHOLD


def test_polar_factor_leaves_null_directions_out(backend: Backend) -> None:
    """[p, p] is p (1, 1): its polar factor is p (1, 1) / √2, and nothing where the input is zero."""
    p = np.array([[0.6], [0.8], [0.0]])
    found = backend.host(linalg.polar(backend.array(np.concatenate([p, p, 0 * p], axis=1)), backend.array(1e-12)))
    assert ratio(found, p @ [[np.sqrt(0.5), np.sqrt(0.5), 0.0]], 1.0, EPS["float64"]) <= THRESHOLD
    zero = backend.host(linalg.polar(backend.array(np.zeros((3, 2))), backend.array(1e-12)))
    np.testing.assert_array_equal(zero, np.zeros((3, 2)))


def test_polar_cut_is_relative_to_the_largest(backend: Backend) -> None:
    X = np.diag([1e-200, 1e-203])
    np.testing.assert_array_equal(
        backend.host(linalg.polar(backend.array(X), backend.array(1e-2))), np.diag([1.0, 0.0])
    )
    np.testing.assert_array_equal(backend.host(linalg.polar(backend.array(X), backend.array(1e-4))), np.eye(2))


def test_what_is_at_the_cut_is_not_above_it(backend: Backend) -> None:
    X, leading = backend.array([np.diag([2.0, 1.0]), np.diag([2.0, 1.5])]), np.diag([1.0, 0.0])
    factor, count = linalg.polar_above(X, backend.array([1.0, 1.0]))
    for found in (factor, linalg.polar(X, backend.array([0.5, 0.5]))):
        np.testing.assert_array_equal(backend.host(found), [leading, np.eye(2)])
    np.testing.assert_array_equal(backend.host(count), [1.0, 2.0])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_two_thresholds_are_multiples_of_eps(dtype: str) -> None:
    assert linalg.thresholds(dtype) == linalg.thresholds(np.dtype(dtype)) == (64 * EPS[dtype], 8 * EPS[dtype])


def test_rounding_level_is_that_of_the_rank_one_terms(backend: Backend) -> None:
    """8 eps Σ ‖b_i‖ ‖a_i‖, the same when a column is multiplied by 1e200 and its row divided."""
    found = [
        linalg.rounding_level(backend.array(b), backend.array(a), "float64")
        for b, a in (([3.0, 0.5], [2.0, 4.0]), ([3e200, 0.5], [2e-200, 4.0]))
    ]
    for level in found:
        assert ratio(backend.host(level), 64 * EPS["float64"], 64 * EPS["float64"], EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("grow", [1.0, 1e200])
def test_shares_of_rows_are_those_of_the_rank_one_terms(backend: Backend, grow: float) -> None:
    """Columns (3, 4, 0) of norm 5 beside 2, and (0, 0, 1) beside 6: the terms are 10 and 6, the rows' parts of them
    9/25 and 16/25 of 10, and 6. A column times 1e200 and its row over that change nothing."""
    X = backend.array([[3.0 * grow, 0.0], [4.0 * grow, 0.0], [0.0, 1.0]])
    own, other = backend.array([5.0 * grow, 1.0]), backend.array([2.0 / grow, 6.0])
    found = backend.host(linalg.shares(X, own, other))
    expected = np.sqrt([0.36 * 10 / 16, 0.64 * 10 / 16, 6 / 16])
    assert ratio(found, expected, 1.0, EPS["float64"]) <= THRESHOLD
    nothing = linalg.shares(0 * X, 0 * own, other)
    assert backend.host(nothing).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("seed", range(5))
def test_shares_bound_what_rounding_may_be_in_an_entry(seed: int) -> None:
    """Σ_k |b_ik| |a_kj| is at most √(ρ_i γ_j) Σ_k ‖b_k‖ ‖a_k‖, and the shares sum to 1."""
    rng = np.random.default_rng(seed)
    B, A = rng.standard_normal((7, 4)) * 10.0 ** rng.uniform(-3, 3, (7, 1)), rng.standard_normal((4, 9))
    b, a = np.linalg.norm(B, axis=0), np.linalg.norm(A, axis=1)
    rows, cols = linalg.shares(B, b, a), linalg.shares(A.T, a, b)
    assert (np.abs(B) @ np.abs(A) <= (b @ a) * np.outer(rows, cols) * (1 + 1e-12)).all()
    assert (rows @ rows, cols @ cols) == pytest.approx((1.0, 1.0), rel=1e-12)


def test_masked_columns_are_zero_and_stay(backend: Backend) -> None:
    X = backend.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    live = backend.array([1.0, 0.0, 1.0]) > 0
    np.testing.assert_array_equal(backend.host(linalg.masked(X, live)), [[1, 0, 3], [4, 0, 6]])


@pytest.mark.parametrize(("count", "expected"), [(0, [0, 0, 0]), (2, [1, 1, 0]), (3, [1, 1, 1]), (9, [1, 1, 1])])
def test_first_positions(backend: Backend, count: int, expected: list[int]) -> None:
    found = linalg.first(backend.array(float(count)), 3)
    assert [bool(found[i]) for i in range(3)] == expected


def test_first_positions_of_a_batch(backend: Backend) -> None:
    found = linalg.first(backend.array([1.0, 3.0, 0.0]), 3)
    assert [[bool(found[j, i]) for i in range(3)] for j in range(3)] == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize(("error", "expected"), [(0.0, 1e-10), (1e-9, 1e-9), (1.0, 2.0**-26)])
def test_cuts_never_eat_signal(backend: Backend, error: float, expected: float) -> None:
    assert backend.host(linalg.at_most_half_precision(backend.array(error), 1e-10)) == expected


@pytest.mark.parametrize(
    ("m", "n", "r", "size"), [(7, 5, 2, 2), (2, 6, 1, 1), (3, 5, 3, 3), (5, 3, 4, 3), (4, 4, 6, 4)]
)
def test_the_svd_of_a_product_has_no_more_triplets_than_its_rank(m: int, n: int, r: int, size: int) -> None:
    rng = np.random.default_rng(r)
    B, A = rng.normal(size=(m, r)), rng.normal(size=(r, n))
    P, S, Qh = linalg.product_svd(B, A)
    assert (P.shape, S.shape, Qh.shape) == ((m, size), (size,), (size, n))
    norm = float(np.linalg.norm(B @ A))
    assert ratio(((P * S) @ Qh).ravel(), (B @ A).ravel(), norm, EPS["float64"]) <= THRESHOLD
    assert ratio(S, np.linalg.svd(B @ A)[1][:size], norm, EPS["float64"]) <= THRESHOLD


def test_layers_that_are_missing_are_computed_again_and_those_alone(backend: Backend) -> None:
    """Of a batch (2, 3) the layers 1 and 5 in row-major order, with their levels, of which one stands for all."""
    X, levels = np.arange(24.0).reshape(2, 3, 2, 2), np.arange(6.0).reshape(2, 3)
    parts = [backend.array(np.zeros((2, 3, 2))), backend.array(np.zeros((2, 3)))]
    called: list[Any] = []

    def again(*given: Any) -> Any:
        called.append([backend.host(one) for one in given])
        return [given[0][..., 0], 10 * given[1] + given[2]]

    given = (backend.array(X), backend.array(levels), backend.array(0.5))
    assert mended(parts, [], again, *given) is parts
    assert not called
    rows, numbers = (backend.host(part) for part in mended(parts, [1, 5], again, *given))
    ((layers, each, one),) = called
    np.testing.assert_array_equal(layers, [X[0, 1], X[1, 2]])
    np.testing.assert_array_equal(each, [1.0, 5.0])
    np.testing.assert_array_equal(one, [0.5, 0.5])
    np.testing.assert_array_equal(numbers, [[0, 10.5, 0], [0, 0, 50.5]])
    expected = np.zeros((2, 3, 2))
    expected[0, 1], expected[1, 2] = (4, 6), (20, 22)
    np.testing.assert_array_equal(rows, expected)
    rows, numbers = (backend.host(part) for part in mended(parts, [0, 1, 2, 3, 4, 5], again, *given))
    assert [one.shape for one in called[-1]] == [(2, 3, 2, 2), (2, 3), ()]  # as they were given
    np.testing.assert_array_equal(rows, X[..., 0])
    np.testing.assert_array_equal(numbers, 10 * levels + 0.5)
    for count in (1, 3):
        with pytest.raises(ValueError, match="zip"):
            mended(parts, [1], lambda *given, count=count: (again(*given) * 2)[:count], *given)


@pytest.mark.parametrize(
    ("sigma", "k", "level", "taken", "error"),
    [
        ((5.0, 3.0, 1.0), 2, 0.5, 2, 0.25),  # 0.5 / (3 − 1)
        ((5.0, 3.0, 1.0), 1, 0.5, 1, 0.25),  # 0.5 / (5 − 3)
        ((5.0, 3.0, 1.0), 3, 0.5, 3, 0.5),  # nothing is left: 0.5 / 1
        ((5.0, 3.0, 1.0), 2, 1.0, 2, 1 / 3),  # what is at the level is none: 1 / 3
        ((5.0, 3.0, 1.0), 9, 2.0, 2, 2 / 3),
        ((5.0, 3.0, 3.0), 2, 0.5, 2, 1.0),  # nobody knows which
        ((5.0, 3.0, 1.0), 0, 0.5, 0, 0.0),  # of no span nothing turns
        ((5.0, 3.0, 1.0), 2, 9.0, 0, 0.0),
    ],
)
def test_leading_triplets_by_hand(
    backend: Backend, sigma: tuple[float, ...], k: int, level: float, taken: int, error: float
) -> None:
    """Of a diagonal matrix, alone and beside one of which all is taken, so that there are three columns then."""
    P, Qh, S = np.eye(4, 3), -np.eye(3, 5), np.array(sigma)
    M = (P * S) @ Qh
    found = linalg.leading(
        backend.array(M), tuple(backend.array(X) for X in (P, S, Qh)), backend.array(float(k)), backend.array(level)
    )
    columns = max(1, min(k, 3))
    live = np.arange(columns) < taken
    np.testing.assert_array_equal(backend.host(found.P), np.eye(4, columns) * live)
    np.testing.assert_array_equal(backend.host(found.Q), -np.eye(5, columns) * live)
    np.testing.assert_array_equal(backend.host(found.S), S[:columns] * live)
    np.testing.assert_array_equal(backend.host(found.product()), (P[:, :taken] * S[:taken]) @ Qh[:taken])
    assert ratio(backend.host(found.error), np.array(error), 1.0, EPS["float64"]) <= THRESHOLD
    assert found.core is None
    batch = [
        backend.array(np.stack([X, Y]))
        for X, Y in ((M, M), (P, P), (S, [4.0, 2.0, 1.5]), (Qh, Qh), (k, 5.0), (level, 0.75))
    ]
    several = linalg.leading(batch[0], (batch[1], batch[2], batch[3]), batch[4], batch[5])
    assert (several.P.shape, several.Q.shape) == ((2, 4, 3), (2, 5, 3))
    np.testing.assert_array_equal(backend.host(several.S), [S * (np.arange(3) < taken), [4.0, 2.0, 1.5]])
    assert ratio(backend.host(several.error), np.array([error, 0.5]), 1.0, EPS["float64"]) <= THRESHOLD


# derivatives, against finite differences: what is constant to automatic differentiation is put right by hand


def of_rank(torch: Any, m: int, n: int, rank: int, batch: tuple[int, ...] = ()) -> list[Any]:
    """L (…, m, rank) and R (…, rank, n) that ask for derivatives: whatever moves in them, the product keeps its rank.

    Singular values 4, 2, 1, of which the first `rank` are there.
    """
    rng = np.random.default_rng(m + 10 * n)
    P, Q = (np.linalg.qr(rng.standard_normal((*batch, size, rank)))[0] for size in (m, n))
    factors = (P * np.array([4.0, 2.0, 1.0])[:rank], np.swapaxes(Q, -1, -2))
    return [torch.tensor(np.ascontiguousarray(X), requires_grad=True) for X in factors]


@pytest.mark.parametrize(
    ("m", "n", "rank", "batch"), [(4, 3, 3, (2,)), (3, 4, 3, ()), (3, 3, 3, ()), (5, 4, 2, ()), (4, 5, 2, (2,))]
)
def test_derivatives_of_polar_factors_are_those_of_finite_differences(
    m: int, n: int, rank: int, batch: tuple[int, ...]
) -> None:
    torch = pytest.importorskip("torch")
    cut = torch.full(batch, 1e-8, dtype=torch.float64)

    def factors(L: Any, R: Any) -> Any:
        return linalg.polar(L @ R, cut), linalg.polar_above(L @ R, cut)[0]

    given = of_rank(torch, m, n, rank, batch)
    assert torch.autograd.gradcheck(factors, given, fast_mode=True)
    for one, plain in zip(factors(*given), factors(*(X.detach() for X in given)), strict=True):
        assert torch.equal(one, plain)  # the correction is zero
    factor, count = linalg.polar_above(torch.zeros(*batch, m, n) + torch.eye(m, n, dtype=torch.float64), cut + 0.5)
    assert torch.equal(factor, torch.eye(m, n, dtype=torch.float64).expand(*batch, m, n))
    assert torch.equal(count, torch.full(batch, float(min(m, n)), dtype=torch.float64))


@pytest.mark.parametrize(
    ("m", "n", "rank", "k"),
    [(4, 3, 3, 1), (3, 4, 3, 2), (3, 3, 3, 3), (5, 4, 2, 1), (4, 5, 2, 3), (5, 4, 3, [1, 2]), (4, 5, 3, [3, 1])],
)
def test_derivatives_of_leading_triplets_are_those_of_finite_differences(m: int, n: int, rank: int, k: Any) -> None:
    """Of the spans P Pᵀ and Q Qᵀ and of the product; single vectors turn within their span."""
    torch = pytest.importorskip("torch")
    count = torch.tensor(k, dtype=torch.float64)
    level = torch.full(count.shape, 1e-8, dtype=torch.float64)

    def triplets(L: Any, R: Any) -> Any:
        return linalg.leading(L @ R, linalg.svd(L @ R), count, level)

    def spans(L: Any, R: Any) -> Any:
        found = triplets(L, R)
        return found.P @ found.P.mT, found.Q @ found.Q.mT, found.product()

    factors = of_rank(torch, m, n, rank, tuple(count.shape))
    assert torch.autograd.gradcheck(spans, factors, fast_mode=True)
    with torch.no_grad():
        plain = triplets(*(X.detach() for X in factors))
    for name in ("P", "S", "Q", "error"):
        assert torch.equal(getattr(triplets(*factors), name), getattr(plain, name))
    assert torch.equal(triplets(*factors).core, torch.diag_embed(plain.S))
    assert plain.core is None


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_svd_of_what_is_not_finite_is_refused(dtype: str) -> None:
    """From this one LAPACK does not return."""
    X = np.asarray([[np.inf, 1, 2], [3, 4, 5], [1, 2, 3]], dtype=dtype)
    for given in (X, X.T, X[None], np.where(np.isinf(X), np.nan, X)):
        with pytest.raises(NonFiniteError, match="svd: expected finite numbers"):
            linalg.svd(given)
