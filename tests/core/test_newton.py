"""Polar factors by products: right to rounding, and given only where the matrix is of full rank beyond doubt."""

from typing import Any

import numpy as np
import pytest
from backends import EPS, Backend, available

import coremerge_ref as cm
from coremerge_ref.core import arrays, linalg
from coremerge_ref.core.linalg import newton
from coremerge_ref.testing import THRESHOLD, ratio


def with_spectrum(m: int, n: int, sigma: Any, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A matrix of these singular values, and its polar factor by construction."""
    rng = np.random.default_rng(seed)
    P, Q = (np.linalg.qr(rng.standard_normal((size, min(m, n))))[0] for size in (m, n))
    return (P * np.asarray(sigma)) @ Q.T, P @ Q.T


def factor(backend: Backend, X: Any, level: Any = 0.0, relative: bool = True, dtype: str = "float64") -> Any:
    levels = np.broadcast_to(level, np.shape(X)[:-2])
    found = newton.polar_factors([backend.array(X, dtype)], backend.array(levels, dtype), relative)
    return None if found is None or found[0][1] else backend.host(found[0][0])


@pytest.mark.parametrize("kappa", [1.0, 1.5, 30.0, 300.0])
@pytest.mark.parametrize("shape", [(6, 6), (9, 5), (5, 9), (7, 1)])
@pytest.mark.parametrize("unit", [1.0, 1e-100, 1e100])
def test_polar_factor_is_right_to_rounding(backend: Backend, shape: tuple[int, int], kappa: float, unit: float) -> None:
    X, right = with_spectrum(*shape, np.geomspace(1, 1 / kappa, min(shape)))
    found = factor(backend, unit * X)
    assert ratio(found, right, float(np.linalg.norm(right)), EPS["float64"], kappa) <= THRESHOLD


@pytest.mark.parametrize("kappa", [1.5, 30.0, 300.0])
def test_it_is_as_accurate_as_the_svd(kappa: float) -> None:
    """Of the size of a core space: within the same bound, and no further off than twice the SVD's factor."""
    X, right = with_spectrum(96, 96, np.geomspace(1, 1 / kappa, 96))
    P, _, Qh = np.linalg.svd(X)
    found = factor(available("numpy"), X)
    assert ratio(found, right, float(np.linalg.norm(right)), EPS["float64"], kappa) <= THRESHOLD
    assert np.linalg.norm(found - right) <= 2 * np.linalg.norm(P @ Qh - right)


def test_float32(backend: Backend) -> None:
    X, right = with_spectrum(9, 5, np.geomspace(1, 1 / 30, 5))
    found = factor(backend, X, dtype="float32")
    assert ratio(found, right, float(np.linalg.norm(right)), EPS["float32"], 30.0) <= THRESHOLD


REFUSED = {
    "dependent": with_spectrum(9, 4, [3.0, 2.0, 1.0, 0.0])[0],
    "nearly dependent": with_spectrum(9, 4, [3.0, 2.0, 1.0, 1e-9])[0],
    "zero": np.zeros((9, 4)),
    "a zero column": np.eye(9, 4) * [1.0, 1.0, 0.0, 1.0],
    "NaN": np.full((9, 4), np.nan),
    "infinite": np.full((9, 4), np.inf),
    "empty": np.zeros((9, 0)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_of_full_rank_beyond_doubt_is_refused(backend: Backend, name: str) -> None:
    assert factor(backend, REFUSED[name]) is None


@pytest.mark.parametrize("unit", [1e-200, 1e-161, 1e-155, 1e-150])
def test_squares_that_underflow_are_no_proof(unit: float) -> None:
    """Nothing, or the right factor: digits that are lost in XᵀX turn no singular vector in silence."""
    X, right = with_spectrum(9, 5, np.geomspace(1, 1 / 30, 5))
    found = factor(available("numpy"), unit * X)
    assert found is None or ratio(found, right, float(np.linalg.norm(right)), EPS["float64"], 30.0) <= THRESHOLD


@pytest.mark.parametrize(("dtype", "lost"), [("float64", -970), ("float32", -103)])
def test_squares_are_proof_only_above_what_keeps_its_digits(dtype: str, lost: int) -> None:
    """The smallest normal number over eps, 2^lost: of (x, x; x, −x) what is looked at is x², whatever its shape."""
    for k, proven in ((0, False), (1, True), (-1, False)):
        x = 2.0 ** ((lost + k) / 2)
        for X in (x * np.array([[1.0, 1.0], [1.0, -1.0]]), x * np.array([[1.0, 1.0], [1.0, -1.0], [0.0, 0.0]]).T):
            assert (factor(available("numpy"), X, dtype=dtype) is not None) == proven


@pytest.mark.parametrize("name", ["dependent", "NaN"])
def test_one_such_layer_is_named_and_the_others_are_given(backend: Backend, name: str) -> None:
    good, right = with_spectrum(9, 4, [3.0, 2.0, 1.0, 0.5])
    bad, levels = REFUSED[name], backend.array(np.zeros(3))
    both = [backend.array(X) for X in ([good, bad, good], [bad, good, good])]
    found = newton.polar_factors(both, levels, relative=True)
    assert found is not None
    assert [missing for _, missing in found] == [[1], [0]]
    for factors, place in zip(found, (2, 1), strict=True):
        np.testing.assert_allclose(backend.host(factors[0])[place], right, atol=THRESHOLD * EPS["float64"])


@pytest.mark.parametrize("shapes", [[(6, 4)], [(4, 6)], [(6, 4), (4, 6)], [(6, 4), (9, 5), (3, 7)]])
def test_matrices_of_several_shapes_in_one_call(
    backend: Backend, shapes: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of two layers, each as it was given; those that are of one shape, once upright, go side by side."""
    walked, seen = newton._walked, []

    def counted(X: Any, *others: Any) -> Any:
        seen.append(tuple(X.shape))
        return walked(X, *others)

    monkeypatch.setattr(newton, "_walked", counted)
    made = [
        [with_spectrum(*shape, [3.0, 2.0, 1.0, 0.5, 0.4][: min(shape)], seed=s) for s in (1, 2)] for shape in shapes
    ]
    given = [backend.array(np.stack([X for X, _ in layers])) for layers in made]
    found = newton.polar_factors(given, backend.array(np.zeros(2)), relative=True)
    assert found is not None
    for layers, (P, missing) in zip(made, found, strict=True):
        assert missing == []
        right = np.stack([P for _, P in layers])
        assert ratio(backend.host(P), right, float(np.linalg.norm(right)), EPS["float64"], 8.0) <= THRESHOLD
    upright = [(max(shape), min(shape)) for shape in shapes]
    assert seen == ([(len(shapes), 2, *upright[0])] if len({*upright}) == 1 else [(1, 2, *shape) for shape in upright])


@pytest.mark.parametrize("dimensions", [(3,), (1, 3)])
def test_the_library_decomposes_such_layers_and_those_alone(dimensions: tuple[int, ...]) -> None:
    import cupy_double

    double = available("cupy")
    X, right = with_spectrum(40, 36, np.linspace(1, 2, 36))
    rng = np.random.default_rng(1)
    P, Q = (np.linalg.qr(rng.standard_normal((size, 5)))[0] for size in (40, 36))
    low, other = (P * [5.0, 4.0, 3.0, 2.0, 1.0]) @ Q.T, P @ Q.T
    batch = double.array(np.stack([X, low, X]).reshape(*dimensions, 40, 36))
    cut = double.array(np.full(dimensions, 1e-12))
    with cupy_double.counting() as ledger:
        relative = linalg.polar(batch, cut)
        above, count = linalg.polar_above(batch, cut)
    assert ledger.loops.total() == 2, ledger.loops
    for found in (relative, above):
        for P, expected in zip(double.host(found).reshape(3, 40, 36), (right, other, right), strict=True):
            assert ratio(P, expected, float(np.linalg.norm(expected)), EPS["float64"], 2.0) <= THRESHOLD
    assert double.host(count).ravel().tolist() == [36, 5, 36]


@pytest.mark.parametrize(("relative", "unit"), [(True, 1.0), (False, 5.0)])
def test_singular_values_are_above_the_level_beyond_doubt(relative: bool, unit: float) -> None:
    """A level that the smallest σ does not exceed is never passed; a level far below it is."""
    sigma = np.array([1.0, 0.5, 0.1])
    X, _ = with_spectrum(6, 3, unit * sigma)
    for level in (0.1, 0.2, 1.0):
        assert factor(available("numpy"), X, level * (1 if relative else unit), relative) is None
    for level in (0.0, 1e-12, 2.0**-26):
        assert factor(available("numpy"), X, level * (1 if relative else unit), relative) is not None


LEAST = (1 - 0.75) ** 0.5 * (8 / 15) ** 10  # by its definition: ten steps multiply no σ by more than 15 / 8 each


@pytest.mark.parametrize(("relative", "unit"), [(True, 1.0), (True, 5.0), (False, 1.0), (False, 5.0)])
@pytest.mark.parametrize("shape", [(4, 4), (6, 3)])
def test_the_level_may_come_as_near_as_ten_steps_reach(relative: bool, unit: float, shape: tuple[int, int]) -> None:
    """Orthonormal columns times a unit, which are scaled to σ = √2."""
    most = LEAST / 2**0.5 * (1.0 if relative else unit)
    for level, proven in ((1 - 1e-9, True), (1 + 1e-9, False)):
        for X in (unit * np.eye(*shape), unit * np.eye(*shape).T):
            assert (factor(available("numpy"), X, level * most, relative) is not None) == proven


@pytest.mark.parametrize(("relative", "unit"), [(True, 1.0), (True, 5.0), (False, 5.0)])
def test_at_that_level_itself_there_is_doubt(relative: bool, unit: float) -> None:
    """unit · I, divided by u = unit / √2 as σ may be up to √2."""
    most = LEAST * (2**-0.5 if relative else (unit**2 / 2) ** 0.5)
    for level, proven in ((most, False), (np.nextafter(most, 0.0), True)):
        assert (factor(available("numpy"), unit * np.eye(4), level, relative) is not None) == proven


@pytest.mark.parametrize("shape", [(4, 4), (9, 4)])
@pytest.mark.parametrize(("share", "proven"), [(0.75, True), (1.25, False)])
def test_what_has_not_arrived_is_not_proven(
    shape: tuple[int, int], share: float, proven: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step after the tenth, which takes a defect e to 5 e³ / 8 nearly: 8 eps n is what rounding may leave of it."""
    monkeypatch.setattr(newton, "_MORE", 1)
    e = (8 / 5 * share * 8 * EPS["float64"] * 4) ** (1 / 3)
    low, high = 0.0, 0.5
    for _ in range(60):
        middle = sigma = (low + high) / 2
        for _ in range(10):
            sigma = sigma * (15 - 10 * sigma**2 + 3 * sigma**4) / 8
        low, high = (middle, high) if 1 - sigma**2 > e else (low, middle)
    X = np.eye(*shape) * [1.0, 1.0, 1.0, low / 2**0.5]
    assert (factor(available("numpy"), np.stack([X, X])) is not None) == proven


@pytest.mark.parametrize(("defect", "proven"), [(0.5, True), (0.74, True), (0.76, False), (0.95, False)])
def test_ten_steps_are_to_lead_near(defect: float, proven: bool) -> None:
    """diag(1, s) is scaled to (√2, √2 s), where ten steps take √2 s to a σ with 1 − σ² of this size, and 1 to 1."""

    def after(s: float) -> float:
        sigma = 2**0.5 * s
        for _ in range(10):
            sigma = sigma * (15 - 10 * sigma**2 + 3 * sigma**4) / 8
        return 1 - sigma**2

    low, high = 0.0, 0.1
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if after(middle) > defect else (low, middle)
    for X in (np.diag([1.0, low]), np.diag([low, 1.0])):
        assert (factor(available("numpy"), X) is not None) == proven


def test_derivatives_are_left_to_the_svd() -> None:
    torch = pytest.importorskip("torch")
    X = torch.eye(3, dtype=torch.float64, requires_grad=True)
    assert newton.polar_factors([X], torch.zeros((), dtype=torch.float64), relative=True) is None


@pytest.mark.parametrize("method", ["tsv", "iso", "tsv+iso", "cart+iso", "iso_cts"])
@pytest.mark.parametrize("kind", ["full", "duplicated", "a batch of both"])
def test_merges_are_the_same_either_way(
    backend: Backend, method: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Switched on for every library; no merge in JAX comes here by itself."""
    if backend.name == "jax" and (method, kind) != ("tsv+iso", "a batch of both"):
        pytest.skip("compiled for nothing new")
    rng = np.random.default_rng(1)
    full = [(rng.standard_normal((9, 2)), rng.standard_normal((2, 8))) for _ in range(3)]
    twice = [full[0], full[0], full[1]]
    layers = {"full": [full], "duplicated": [twice], "a batch of both": [full, twice]}[kind]
    merged = {}
    for products in (False, True):
        monkeypatch.setattr(arrays, "loops_over_batches", lambda _, products=products: products)
        given = {str(i): backend.updates([(B, A, 1.0) for B, A in layer]) for i, layer in enumerate(layers)}
        merged[products] = [backend.dense(u) for u in cm.merge_adapters(given, method).values()]
    for found, right in zip(merged[True], merged[False], strict=True):
        assert ratio(found, right, float(np.linalg.norm(right)), EPS["float64"], 100) <= THRESHOLD


@pytest.mark.parametrize("unit", [1e-100, 1.0, 1e100])
def test_cuts_are_relative_for_products_as_for_the_svd(unit: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """σ = 4, 2, 1 times a unit, cut at a level of 0.3 σ_1 or 0.3 units; far below them all there are products alone."""
    X, right = with_spectrum(6, 3, [4.0, 2.0, 1.0])
    P, _, Qh = np.linalg.svd(X, full_matrices=False)
    for products in (False, True):
        monkeypatch.setattr(arrays, "loops_over_batches", lambda _, products=products: products)
        if not products:
            monkeypatch.setattr(newton, "polar_factors", None)
        for level, kept in ((0.3, 2), (0.2, 3), (0.6, 1)):
            found = linalg.polar(unit * X, np.asarray(level))
            assert ratio(found, P[:, :kept] @ Qh[:kept], 2.0, EPS["float64"], 4.0) <= THRESHOLD
            above, count = linalg.polar_above(unit * X, np.asarray(unit * 4 * level))
            assert ratio(above, P[:, :kept] @ Qh[:kept], 2.0, EPS["float64"], 4.0) <= THRESHOLD
            assert float(count) == kept
        monkeypatch.undo()
    monkeypatch.setattr(arrays, "loops_over_batches", lambda _: True)
    monkeypatch.setattr(np.linalg, "svd", None)
    for found in (linalg.polar(unit * X, np.asarray(1e-9)), linalg.polar_above(unit * X, np.asarray(unit * 1e-9))[0]):
        assert ratio(found, right, 2.0, EPS["float64"], 4.0) <= THRESHOLD


@pytest.mark.parametrize("name", ["numpy", "cupy", "torch", "torch-cuda", "jax"])
def test_products_where_decompositions_of_a_batch_are_slow(name: str) -> None:
    array = available(name).array(np.eye(3))
    assert arrays.loops_over_batches(array) == (name in ("cupy", "torch-cuda"))
    found = linalg.polar(array, available(name).array(1e-12))
    np.testing.assert_allclose(available(name).host(found), np.eye(3), atol=4 * EPS["float64"])
