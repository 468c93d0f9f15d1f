"""Cholesky-QR2 gives X back in an orthonormal frame, and knows when it cannot."""

from typing import Any

import cupy_double
import numpy as np
import pytest
from backends import CARD, EPS, Backend, available
from cupy_double.linalg import LEFTOVERS

import coremerge_ref as cm
from coremerge_ref.core.linalg import orthonormal
from coremerge_ref.testing import THRESHOLD, ratio


def gaussian(*shape: int) -> np.ndarray:
    return np.random.default_rng(8).standard_normal(shape)


X = gaussian(9, 4)
ORTHONORMAL = np.linalg.qr(X)[0]


def of_condition(kappa: float, rows: int = 9, columns: int = 4) -> np.ndarray:
    left, right = (np.linalg.qr(gaussian(k, columns))[0] for k in (rows, columns))
    return (left * np.geomspace(1, 1 / kappa, columns)) @ right.T


@pytest.mark.parametrize("kappa", [1.0, 2.0, 30.0, 1e3])
@pytest.mark.parametrize("units", [(1.0, 1.0), (1e-9, 1e9), (1e100, 1e-100)])
def test_cholesky_qr2_is_orthonormal_and_multiplies_back(
    backend: Backend, kappa: float, units: tuple[float, float]
) -> None:
    """Columns however different in size."""
    unit = np.repeat(units, (2, 3))
    given = of_condition(kappa, 99, 5) * unit
    found = orthonormal.cholesky_qr2([backend.array(given)])[0]
    assert found is not None
    Q, Z, C, norms = (backend.host(array) for array in found[:4])
    assert ratio(norms / unit, np.linalg.norm(given / unit, axis=0), 1.0, EPS["float64"]) <= THRESHOLD
    U = Q @ Z
    assert ratio(U.T @ U, np.eye(5), 1.0, EPS["float64"]) <= THRESHOLD
    assert ratio((U @ C) / unit, given / unit, 1.0, EPS["float64"]) <= THRESHOLD


def test_a_small_stack_is_its_frame_times_its_coordinates_as_explain_counts_on() -> None:
    """A badly conditioned one is off by a hundred eps of a column, or is not taken; half its rows and 8 eps count."""
    rng, taken = np.random.default_rng(0), 0
    for _ in range(300):
        X = of_condition(float(10 ** rng.uniform(2, 4.5)), 8, 7) * rng.uniform(0.1, 1, 7)
        found = orthonormal.cholesky_qr2([X])[0]
        if found is not None:
            taken += 1
            off = np.linalg.norm(X - found.Q @ found.Z @ found.C, axis=0) / np.linalg.norm(X, axis=0)
            assert off.max() <= (8 / 2 + 8) * EPS["float64"]
    assert 20 < taken < 280


@pytest.mark.parametrize("size", [1, 4, 7])
def test_one_pass_is_enough_for_what_is_nearly_orthonormal(backend: Backend, size: int) -> None:
    given = backend.array(3 * np.linalg.qr(gaussian(9, size))[0])
    Q, Z, C, *_ = orthonormal.cholesky_qr2([given])[0]  # type: ignore[misc]
    assert Q is given
    assert ratio(backend.host(Z) @ backend.host(C), np.eye(size), 1.0, EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize(("least", "once"), [(0.3, True), (0.15, False)])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_one_pass_is_enough_up_to_twice_the_least_condition(
    backend: Backend, least: float, once: bool, batch: tuple[int, ...]
) -> None:
    """‖X‖ ‖X⁺‖ in Frobenius norms is R for orthonormal columns, here 1.65 R or 3 R, of 9 rows and R = 4 columns."""
    left, right = np.linalg.qr(gaussian(9, 4))[0], np.linalg.qr(gaussian(4, 4))[0]
    given = (left * [1.0, 1.0, 1.0, least]) @ right
    excess = np.linalg.norm(given) * np.linalg.norm(np.linalg.pinv(given)) / 4
    assert (excess <= 2) == once
    assert excess < 2 * 9 / 4
    X = backend.array(np.broadcast_to(given, (*batch, 9, 4)))
    Q, *_ = orthonormal.cholesky_qr2([X])[0]  # type: ignore[misc]
    assert (Q is X) == once


def test_cholesky_qr2_is_taken_where_it_is_proven_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert orthonormal.cholesky_qr2([of_condition(30.0)])[0] is not None
    monkeypatch.setattr(orthonormal, "_proven", lambda *_: False)
    assert orthonormal.cholesky_qr2([of_condition(30.0)])[0] is None


def test_one_pass_is_not_enough_for_what_is_far_from_orthonormal(backend: Backend) -> None:
    """After the first pass the columns are orthonormal to about eps · 1e6, and the second mends the rest."""
    given = of_condition(1e3)
    Q, *_ = orthonormal.cholesky_qr2([backend.array(given)])[0]  # type: ignore[misc]
    once = backend.host(Q)
    assert 100 * EPS["float64"] < np.linalg.norm(once.T @ once - np.eye(4)) < 1e-6


DEPENDENT = X @ np.diag([1.0, 1.0, 1.0, 0.0])
REFUSED: dict[str, Any] = {
    "wide": X[:3],
    "dependent": DEPENDENT + X[:, :1] * [[0, 0, 0, 1]],
    "zero": 0 * X,
    "ill-conditioned": of_condition(1e7),
    "squares that underflow": 1e-155 * X,
    "squares that overflow": 1e160 * X,
}


@pytest.mark.parametrize("name", REFUSED)
def test_cholesky_qr2_refuses_what_it_cannot_prove(backend: Backend, name: str) -> None:
    assert orthonormal.cholesky_qr2([backend.array(REFUSED[name])])[0] is None


@pytest.mark.parametrize("name", ["dependent", "ill-conditioned"])
def test_one_bad_layer_of_a_batch_is_missing(backend: Backend, name: str) -> None:
    """All are, where the library raises for the batch and does not say for which."""
    assert orthonormal.cholesky_qr2([backend.array([X, X])])[0].missing == []  # type: ignore[union-attr]
    for place, batch in ((1, [X, REFUSED[name]]), (0, [REFUSED[name], X]), (1, [ORTHONORMAL, REFUSED[name]])):
        found = orthonormal.cholesky_qr2([backend.array(batch)])[0]
        assert found is None or found.missing == [place]
        assert found is not None or backend.name.startswith(("numpy", "strict"))
        if found is not None:
            frame = (backend.host(found.Q) @ backend.host(found.Z))[1 - place]
            assert ratio(frame.T @ frame, np.eye(4), 2.0, EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("kappa", [1.0, 30.0])
@pytest.mark.parametrize("batch", [(3,), (1, 3)])
def test_a_layer_whose_squares_underflow_is_missing_alone(backend: Backend, kappa: float, batch: tuple) -> None:
    """By one pass and by two."""
    good = of_condition(kappa)
    layers = np.stack([good, 1e-155 * good, 2 * good])
    found = orthonormal.cholesky_qr2([backend.array(layers.reshape(*batch, 9, 4))])[0]
    assert found is not None
    assert found.missing == [1]
    U, C = (backend.host(X).reshape(3, -1, 4) for X in (found.Q @ found.Z, found.C))
    for i in (0, 2):
        assert ratio(U[i].T @ U[i], np.eye(4), 2.0, EPS["float64"]) <= THRESHOLD
        assert ratio(U[i] @ C[i], layers[i], float(np.linalg.norm(layers[i])), EPS["float64"]) <= THRESHOLD


def test_columns_are_proven_down_to_where_their_squares_keep_all_digits(backend: Backend) -> None:
    """The smallest normal number over eps is 2^-970."""
    for exponent, proven in ((-485, True), (-486, False)):
        for unit in ([2.0**exponent, 1.0], [1.0, 2.0**exponent]):
            found = orthonormal.cholesky_qr2([backend.array(np.eye(3, 2) * unit)])[0]
            assert (found is not None) == proven


def test_square_stacks_are_tall_enough(backend: Backend) -> None:
    assert orthonormal.cholesky_qr2([backend.array(of_condition(3.0, 4, 4))])[0] is not None


def test_values_that_cannot_be_looked_at_are_left_alone() -> None:
    jax = pytest.importorskip("jax")
    seen = []
    jax.jit(lambda given: seen.append(orthonormal.cholesky_qr2([given])[0]) or given)(X)
    assert seen == [None]


@pytest.mark.skipif(CARD, reason="a card leaves what it leaves")
@pytest.mark.parametrize("leftover", LEFTOVERS)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_cholesky_that_fails_without_a_word_is_found_out(leftover: str, batch: tuple[int, ...]) -> None:
    """CuPy never raises; two tasks with one equal column are enough to fail, at the last pivot or before."""
    for equal in ((0, 1), (0, 2), (1, 2), (2, 3), (0, 3)):
        given = np.linalg.qr(gaussian(9, 4))[0]
        given[:, equal[1]] = given[:, equal[0]]
        stack = available("cupy").array(np.broadcast_to(given, (*batch, 9, 4)))
        with cupy_double.settings.changed(leftover=leftover):
            assert orthonormal.cholesky_qr2([stack])[0] is None


@pytest.mark.skipif(CARD, reason="a card leaves what it leaves")
@pytest.mark.parametrize("leftover", LEFTOVERS)
def test_no_leftover_reaches_a_merge(leftover: str) -> None:
    """Random rank-deficient stacks: equal columns, equal adapters, zero columns, columns in the span of the others."""
    rng = np.random.default_rng(3)
    for kind in range(12):
        stacks = [rng.standard_normal((9, 6)) for _ in range(2)]
        for X in stacks:
            i, j = rng.permutation(6)[:2]
            X[:, i] = (X[:, j], 0 * X[:, j], X[:, j] - X[:, i - 1], np.rint(4 * X[:, j]))[kind % 4]
        factors = [(stacks[0][:, c], stacks[1].T[c, :], 1.0) for c in (slice(0, 2), slice(2, 6))]
        with cupy_double.settings.changed(leftover=leftover):
            for method in ("ta+iso", "tsv"):
                right = cm.merge(available("numpy").updates(factors), method).to_dense()
                merged = available("cupy").dense(cm.merge(available("cupy").updates(factors), method))
                assert ratio(merged, right, float(np.linalg.norm(right)), EPS["float64"], 100) <= THRESHOLD


@pytest.mark.parametrize("column", range(3))
def test_a_wrong_frame_is_not_proven(backend: Backend, column: int) -> None:
    """Wrong by 1e-10 of one column, in one layer; the columns' sizes differ by 1e20."""
    unit = np.array([1.0, 1e-10, 1e10])
    good, bad = (gaussian(9, 3) for _ in range(2))
    bad[:, column] *= 1 + 1e-10
    C = backend.array([np.diag(1 / unit)] * 2)
    given, scale = backend.array([good / unit] * 2), backend.array([unit] * 2)
    for batch, proven in (([good, good], [1, 1]), ([good, bad], [1, 0]), ([bad, good], [0, 1])):
        found = orthonormal._proven(given, scale, backend.array(batch), C)
        assert [int(flag) for flag in (found[0], found[1])] == proven


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [2, 5])
@pytest.mark.parametrize("batch", [(), (3,), (3, 1)])
def test_a_factor_of_a_gram_matrix_is_one_to_thirty_units_of_rounding(
    dtype: str, size: int, batch: tuple[int, ...]
) -> None:
    """30 eps R: what is below the diagonal of L stands twice in L Lᵀ."""
    for share, holds in ((0.95, True), (1.05, False), (np.nan, False)):
        L = np.eye(size)
        L[1, 0] = share * 30 * EPS[dtype] * size / 2**0.5
        given = [available("numpy").array(np.broadcast_to(X, (*batch, size, size)), dtype) for X in (L, np.eye(size))]
        np.testing.assert_array_equal(orthonormal._is_factor(*given), np.full(batch, holds))


@pytest.mark.parametrize(("rows", "units"), [(3, 9.5), (9, 12.5), (400, 90.0)])
@pytest.mark.parametrize("batch", [(), (4,), (4, 1)])
def test_a_frame_is_proven_to_a_few_units_of_rounding(rows: int, units: float, batch: tuple[int, ...]) -> None:
    """Half the rows and 8 eps, or 30 eps R, R = 3, on four vectors: cos j, cos 2j, cos 3j, cos 4j at column j."""
    for column in range(3):
        seen = float(np.sqrt(sum(np.cos(k * column) ** 2 for k in (1, 2, 3, 4))))
        for share, proven in ((0.85, True), (1.15, False)):  # of numbers a few units above 1
            C = np.eye(3)
            C[column, column] += share * units * EPS["float64"] / seen
            for unit in (1.0, 2.0**40):  # of all columns: what counts is how far each is off at norm 1
                X, Q = np.eye(rows, 3) * unit, np.eye(rows, 3)
                given = [np.broadcast_to(part, (*batch, *part.shape)) for part in (X, Q, C * unit)]
                found = orthonormal._proven(given[0], np.full((*batch, 3), 1 / unit), *given[1:])
                np.testing.assert_array_equal(found, np.full(batch, proven))


@pytest.mark.parametrize(("entry", "holds"), [(1.0, True), (2.0, True), (2.1, False), (np.nan, False)])
def test_small_is_up_to_the_bound_in_each_layer(backend: Backend, entry: float, holds: bool) -> None:
    for layer in range(2):
        error = np.zeros((2, 3, 2))
        error[layer, 1, 1] = entry
        found = orthonormal._small(backend.array(error), 2.0)
        assert (bool(found[layer]), bool(found[1 - layer])) == (holds, True)
