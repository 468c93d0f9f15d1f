"""SVDs of a batch by products and small SVDs: as good as the library's, proven, and given up for single matrices."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from backends import EPS, Backend, available

from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.linalg import jacobi, svds
from coremerge_ref.testing import THRESHOLD, ratio


def matrices(m: int, n: int, sigma: Any, layers: int = 2, seed: int = 0) -> list[np.ndarray]:
    """P (L, m, k), S (k,), Qh (L, k, n): the parts of matrices of these singular values, by construction."""
    rng, k = np.random.default_rng(seed), min(m, n)
    P, Q = (np.linalg.qr(rng.standard_normal((layers, size, k)))[0] for size in (m, n))
    return [P, np.asarray(sigma), np.swapaxes(Q, -1, -2)]


def product(P: np.ndarray, S: np.ndarray, Qh: np.ndarray) -> np.ndarray:
    return (P * S) @ Qh


def residuals(X: np.ndarray, P: np.ndarray, S: np.ndarray, Qh: np.ndarray, eps: float) -> list[float]:
    """LAPACK's own tests of an SVD, as ratios."""
    eye = np.broadcast_to(np.eye(S.shape[-1]), (len(X), S.shape[-1], S.shape[-1]))
    gram_p, gram_q = np.swapaxes(P, -1, -2) @ P, Qh @ np.swapaxes(Qh, -1, -2)
    one = float(np.sqrt(S.shape[-1]))
    with np.errstate(under="ignore"):
        size, back = np.linalg.norm(X, axis=(1, 2)), (P * S[:, None, :]) @ Qh
        worst = [ratio(back[i], X[i], float(size[i]), eps, 1.0) for i in range(len(X))]
    return [*worst, *(ratio(g, e, one, eps, 1.0) for gram in (gram_p, gram_q) for g, e in zip(gram, eye, strict=True))]


SHAPES = [(33, 33), (34, 60), (64, 64), (65, 70), (96, 96), (128, 128), (16, 100), (1, 40)]


@pytest.mark.parametrize("kappa", [1.0, 30.0, 1e6])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_an_svd_to_rounding(shape: tuple[int, int], kappa: float) -> None:
    X = product(*matrices(*shape, np.geomspace(1, 1 / kappa, min(shape))))
    *parts, missing = jacobi.thin_svd(X, True)
    assert not missing
    assert max(residuals(X, *parts, EPS["float64"])) <= THRESHOLD
    S = np.linalg.svd(X, compute_uv=False)
    assert ratio(parts[1], S, float(np.linalg.norm(S[:, :1])), EPS["float64"], 1.0) <= THRESHOLD
    assert (np.diff(parts[1], axis=-1) <= 0).all()


@pytest.mark.parametrize("kappa", [3.0, 1e3, 1e6])
def test_singular_vectors_are_as_accurate_as_the_svds(kappa: float) -> None:
    """Of the size of a core space: no further off, beside the gap, than twice the library's."""
    P, S, Qh = matrices(96, 96, np.geomspace(1, 1 / kappa, 96))
    X = product(P, S, Qh)
    errors = []
    for found, _, other, *_ in (np.linalg.svd(X), jacobi.thin_svd(X, True)):
        turned = np.sqrt(np.sum((np.abs(np.swapaxes(P, -1, -2) @ found) - np.eye(96)) ** 2, axis=(-2, -1)))
        mirrored = np.sqrt(np.sum((np.abs(Qh @ np.swapaxes(other, -1, -2)) - np.eye(96)) ** 2, axis=(-2, -1)))
        errors.append(max(*turned, *mirrored))
    assert errors[1] <= 2 * errors[0]


HARD = {
    "one value": np.ones(40),
    "two values": np.repeat([2.0, 1.0], 20),
    "a cluster": 1 + 1e-13 * np.arange(40.0),
    "near pairs": np.repeat(np.geomspace(1, 1e-3, 20), 2) * np.tile([1.0, 1 + 1e-10], 20),
    "graded": np.geomspace(1, 1e-12, 40),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_spectra(backend: Backend, name: str) -> None:
    X = product(*matrices(40, 40, HARD[name]))
    P, S, Qh, missing = jacobi.thin_svd(backend.array(X), True)
    assert not missing
    assert max(residuals(X, *map(backend.host, (P, S, Qh)), EPS["float64"])) <= THRESHOLD


@pytest.mark.parametrize("unit", [1e-290, 1e-150, 1e150, 1e300])
def test_any_scale(unit: float) -> None:
    X = product(*matrices(40, 40, np.geomspace(1, 0.1, 40)))
    P, S, Qh, missing = jacobi.thin_svd(unit * X, True)
    assert not missing
    assert max(residuals(X, P, S / unit, Qh, EPS["float64"])) <= THRESHOLD


def test_float32(backend: Backend) -> None:
    X = product(*matrices(40, 50, np.geomspace(1, 1e-2, 40))).astype(np.float32)
    P, S, Qh, missing = jacobi.thin_svd(backend.array(X, "float32"), True)
    assert not missing
    assert max(residuals(X, *map(backend.host, (P, S, Qh)), EPS["float32"])) <= THRESHOLD


@pytest.mark.parametrize("rank", [0, 1, 3])
@pytest.mark.parametrize("n", [36, 40])
def test_rows_that_are_exactly_zero(backend: Backend, rank: int, n: int) -> None:
    """A diagonal matrix, which no turn mixes: what is nothing is divided by nothing."""
    X = np.zeros((2, 36, n))
    X[:, range(rank), range(rank)] = np.array([4.0, 2.0, 1.0])[:rank]
    P, S, Qh, missing = jacobi.thin_svd(backend.array(X), False)
    assert not missing
    np.testing.assert_array_equal(backend.host(S)[:, rank:], 0.0)
    np.testing.assert_array_equal(np.abs(backend.host(Qh)), X > 0)
    np.testing.assert_array_equal(np.abs(backend.host(P))[..., :rank], (X > 0)[:, :, :rank])


@pytest.mark.parametrize("blocks", [2, 4, 6, 10])
def test_in_a_tournament_each_two_meet_once_and_the_first_of_them_is_always_first(blocks: int) -> None:
    """Who is first in a pair: an order of all of them, in which each is before so many others."""
    places, met = list(range(blocks)), []
    moves = jacobi._moves(blocks)
    for move in moves:
        assert sorted(move) == list(range(blocks))
        places = [places[i] for i in move]
        met += list(zip(places[::2], places[1::2], strict=True))
    assert len(moves) == blocks - 1
    assert sorted(map(sorted, met)) == [[i, j] for i in range(blocks) for j in range(i + 1, blocks)]
    wins = [sum(first == block for first, _ in met) for block in range(blocks)]
    assert sorted(wins) == list(range(blocks))
    assert places == list(range(blocks))  # the next sweep begins as this one did


def test_rows_that_are_added_are_longer_than_any_other_and_apart_from_them(backend: Backend) -> None:
    """1 + 2 ‖X‖ of unit vectors of their own, ‖X‖ = 5 in the first layer and 1/2 in the second."""
    X = np.array([[[3.0, 0.0, 0.0], [0.0, 0.0, 4.0]], [[0.0, 0.5, 0.0], [0.0, 0.0, 0.0]]])
    found = backend.host(jacobi._padded(backend.array(X), 2))
    expected = np.zeros((2, 4, 5))
    expected[:, :2, :3] = X
    expected[0, 2:, 3:], expected[1, 2:, 3:] = 11 * np.eye(2), 2 * np.eye(2)
    np.testing.assert_array_equal(found, expected)
    given = backend.array(X)
    assert jacobi._padded(given, 0) is given


@pytest.mark.parametrize("leftover", ["nan", "zero", "lapack", "tail", "untouched"])
@pytest.mark.parametrize("bad", ["zero", "dependent", "a zero row", "NaN"])
def test_what_does_not_prove_itself_is_said_and_the_others_are_right(leftover: str, bad: str) -> None:
    from cupy_double import settings

    good = product(*matrices(36, 36, np.geomspace(1, 0.1, 36), layers=3))
    X = good.copy()
    X[1] = {"zero": 0 * X[1], "dependent": X[1] * (np.arange(36) < 20), "a zero row": X[1], "NaN": np.nan}[bad]
    if bad == "a zero row":
        X[1, 5] = 0.0
    double = available("cupy")
    with settings.changed(leftover=leftover):
        *_, without = jacobi.thin_svd(double.array(X), False)
        *parts, missing = jacobi.thin_svd(double.array(X), True)
    assert missing == [1]
    assert without == ([1] if bad == "NaN" else [])
    found = [double.host(part)[[0, 2]] for part in parts]
    assert max(residuals(good[[0, 2]], *found, EPS["float64"])) <= THRESHOLD


@pytest.mark.parametrize("rank", [0, 1, 9, 35])
@pytest.mark.parametrize("shape", [(36, 36), (33, 50), (96, 96)])
def test_null_vectors_are_zero_where_nobody_asks_for_them(shape: tuple[int, int], rank: int) -> None:
    """All else is as in the library's: the range, the singular values, an orthonormal P."""
    k = min(shape)
    rank = min(rank, k - 1)
    X = product(*matrices(*shape, np.geomspace(1, 1e-3, k) * (np.arange(k) < rank)))
    P, S, Qh, missing = jacobi.thin_svd(X, False)
    assert not missing
    assert not Qh[:, rank:].any()
    for i in range(len(X)):
        size = float(np.linalg.norm(X[i])) or 1.0
        assert ratio((P[i] * S[i]) @ Qh[i], X[i], size, EPS["float64"], 1.0) <= THRESHOLD
        assert ratio(P[i].T @ P[i], np.eye(k), float(k**0.5), EPS["float64"], 1.0) <= THRESHOLD
        live = Qh[i, :rank]
        assert ratio(live @ live.T, np.eye(rank), float(k**0.5), EPS["float64"], 1.0) <= THRESHOLD
    assert (
        ratio(S, np.linalg.svd(X, compute_uv=False), float(np.linalg.norm(S)) or 1.0, EPS["float64"], 1.0) <= THRESHOLD
    )


@pytest.mark.parametrize("shape", [(36, 36), (40, 33), (33, 50)])
def test_the_library_takes_the_others_and_those_alone(shape: tuple[int, int]) -> None:
    import cupy_double

    double, k = available("cupy"), min(shape)
    X = product(*matrices(*shape, np.geomspace(1, 0.1, k), layers=6)).reshape(2, 3, *shape)
    X[1, 0], X[0, 2] = 0.0, product(*matrices(*shape, np.arange(k) < 9))[0]
    with cupy_double.counting() as ledger:
        P, S, Qh = (double.host(part) for part in linalg.svd(double.array(X), null_vectors=True))
    assert ledger.loops.total() == 2, ledger.loops
    eye = np.eye(k)
    for i, j in np.ndindex(2, 3):
        size = float(np.linalg.norm(X[i, j])) or 1.0
        assert ratio((P[i, j] * S[i, j]) @ Qh[i, j], X[i, j], size, EPS["float64"], 1.0) <= THRESHOLD
        for rows in (P[i, j].T, Qh[i, j]):
            assert ratio(rows @ rows.T, eye, float(k**0.5), EPS["float64"], 1.0) <= THRESHOLD
    with cupy_double.counting() as ledger:
        linalg.svd(double.array(X))
    assert not ledger.loops


def decomposed(m: int, n: int) -> list[np.ndarray]:
    """Two layers of P (m, m), S (m,), Qh (m, n) of whole numbers: P S Qh is exact."""
    P, Qh, S = np.eye(m)[::-1], np.eye(m, n), np.arange(m, 0.0, -1.0)
    return [np.stack([part] * 2) for part in (P, S, Qh)]


@pytest.mark.parametrize(("n", "dtype"), [(3, "float64"), (4, "float32"), (9, "float64")])
@pytest.mark.parametrize(("units", "proven"), [(0.0, True), (3.9, True), (4.1, False), (np.nan, False)])
def test_what_is_proven_is_within_four_units_of_rounding(n: int, dtype: str, units: float, proven: bool) -> None:
    """4 eps √n of X's norm, of how orthonormal P is, and Qh where it is live: in the second layer of two."""
    backend, off = available("numpy"), units * EPS[dtype] * np.sqrt(n)
    parts = decomposed(3, n)
    X, live = (parts[0] * parts[1][:, None, :]) @ parts[2], np.ones((2, 3), bool)
    size = float(np.linalg.norm(X[1]))

    def is_proven(X: Any, P: Any, S: Any, Qh: Any, live: Any = live) -> list[bool]:
        given = (backend.array(part, dtype) for part in (X, P, S, Qh))
        return [bool(flag) for flag in jacobi._is_proven(*given, live)]

    # one entry that was zero: no rounding meets it, in whatever dtype
    for k, size_of_one in enumerate((size, 1.0, 1.0)):
        changed = [X.copy(), parts[0].copy(), parts[2].copy()]
        place = {0: (1, 0, 0), 1: (1, 0, 0), 2: (1, 2, 1)}[k]
        changed[k][place] += off * size_of_one * ((1.0, 1 / 2**0.5, 1 / 2**0.5)[k])
        if k:  # P and Qh are judged by their Gram matrices, in which it stands twice; what they multiply to is adapted
            changed[0] = (changed[1] * parts[1][:, None, :]) @ changed[2]
        assert is_proven(changed[0], changed[1], parts[1], changed[2]) == [True, proven]
    # rows that are not live are to be zero, and are no rows of an orthonormal matrix then
    dead = live.copy()
    dead[1, 2] = False
    assert is_proven(X, *parts, dead) == [True, False]
    zero = [part.copy() for part in parts]
    zero[2][1, 2] = 0.0
    less = (zero[0] * zero[1][:, None, :]) @ zero[2]
    assert (is_proven(less, *zero, dead), is_proven(less, *zero)) == ([True, True], [True, False])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("excess", "proven"), [(0.0, True), (2.0**-20, False)])
def test_four_units_of_rounding_themselves_are_proven(dtype: str, excess: float, proven: bool) -> None:
    """Squares of powers of 2, n = 8: an entry of 8 eps stands twice in a Gram matrix, 2 · 8² = 4² · 8; and ‖X‖² = 2
    allows one of 16 eps in X, 16² = 4² · 8 · 2."""
    backend, off = available("numpy"), (1 + excess) * EPS[dtype]
    P, S, Qh = decomposed(3, 8)
    S[:] = 1.0, 1.0, 0.0
    for k, place in enumerate(((1, 0, 0), (1, 0, 0), (1, 2, 1))):
        parts = [(P * S[:, None, :]) @ Qh, P.copy(), Qh.copy()]
        parts[k][place] += off * (8 if k else 16)
        if k:
            parts[0] = (parts[1] * S[:, None, :]) @ parts[2]
        given = [backend.array(part, dtype) for part in (*parts[:2], S, parts[2])]
        assert jacobi._is_proven(*given, np.ones((2, 3), bool)).tolist() == [True, proven]


def test_rows_are_made_orthonormal_in_three_steps_the_small_after_the_large(backend: Backend) -> None:
    """A row alone goes by x (3 − x²) / 2, the square root's iteration; a second one by what it has of the first."""
    x = Fraction(1, 2)
    for _ in range(3):
        x = x * (3 - x**2) / 2
    found = backend.host(jacobi._orthonormalized(backend.array([[[0.5, 0.0]], [[0.0, -0.5]]])))
    assert ratio(found, np.array([[[1.0, 0.0]], [[0.0, -1.0]]]) * float(x), 1.0, EPS["float64"]) <= THRESHOLD
    leaning = [[1.0, 0.0, 0.0], [2.0**-20, 1.0, 0.0], [2.0**-20, -(2.0**-20), 1.0]]
    first, *others = backend.host(jacobi._orthonormalized(backend.array([leaning])))[0]
    np.testing.assert_array_equal(first, leaning[0])
    assert ratio(np.stack(others), np.eye(3)[1:], 1.0, EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_is_four_units_of_the_norm_or_64_of_the_largest(dtype: str) -> None:
    """Whichever is less, in each layer: ‖X‖ = 5 beside σ_1 = 4, or beside σ_1 = 0.25."""
    X = np.zeros((2, 3, 4))
    X[:, 0, :2] = 3.0, 4.0
    S = available("numpy").array([[4.0, 3.0, 0.0], [0.25, 0.0, 9.0]], dtype)
    found = jacobi._rounding(available("numpy").array(X, dtype), S)
    np.testing.assert_array_equal(found / EPS[dtype], [4 * 5, 64 * 0.25])


@pytest.mark.parametrize("shape", [(40, 40), (3, 20, 20), (1, 40, 40)])
def test_single_and_small_matrices_are_the_librarys(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jacobi, "thin_svd", None)
    monkeypatch.setattr(arrays, "loops_over_batches", lambda _: True)
    assert linalg.svd(np.ones(shape))[1].shape[-1] == min(shape[-2:])


def test_batches_of_matrices_that_a_gpu_has_room_for_are_decomposed_side_by_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two or more, longer than 32 and no wider than 512, as wide ones; where loops are slow, and where it succeeds."""
    seen: list[Any] = []
    outcome: list[Any] = [None]

    def thin_svd(X: Any, null_vectors: bool) -> Any:
        seen.append((X.shape, null_vectors))
        if outcome[0] is not None:
            raise outcome[0]
        return (None, None, None, list(range(len(X))))  # of which nothing is proven

    monkeypatch.setattr(jacobi, "thin_svd", thin_svd)
    monkeypatch.setattr(svds, "_one_by_one", lambda X: ("the library", X.shape))
    for loops in (True, False):
        monkeypatch.setattr(arrays, "loops_over_batches", lambda _, loops=loops: loops)
        for shape, wide in (
            ((2, 33, 33), (2, 33, 33)),
            ((2, 33, 1), (2, 1, 33)),
            ((1, 2, 1, 33), (2, 1, 33)),
            ((2, 3, 512, 513), (6, 512, 513)),
            ((2, 513, 512), (2, 512, 513)),
            ((2, 513, 513), None),
            ((2, 32, 32), None),
            ((2, 32, 1), None),
            ((2, 33, 0), None),
            ((2, 0, 33), None),
            ((1, 33, 33), None),
            ((33, 33), None),
            ((0, 33, 33), None),
        ):
            for null_vectors, error in (
                (False, None),
                (True, ValueError()),
                (True, RuntimeError()),
                (False, ArithmeticError()),
            ):
                seen.clear()
                outcome[0] = error
                assert linalg.svd(np.empty(shape), null_vectors) == ("the library", shape)  # type: ignore[comparison-overlap]
                assert seen == ([(wide, null_vectors)] if loops and wide else [])
    monkeypatch.setattr(arrays, "loops_over_batches", lambda _: True)
    outcome[0] = MemoryError()
    with pytest.raises(MemoryError):
        linalg.svd(np.empty((2, 33, 33)))
