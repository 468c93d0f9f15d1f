"""Trimming: which entries stay."""

import numpy as np
import pytest
from backends import BACKENDS, Backend
from examples import by_definition, flat, matrices, rows, stack_of

import coremerge_ref as cm
from coremerge_ref.core.stack import Stack
from coremerge_ref.methods._entries import largest

NUMPY = BACKENDS["numpy"]


def trimmed(values: np.ndarray, density: float, keep: str = "threshold") -> np.ndarray:
    """A vector as the definition trims it."""
    return by_definition([values[None, :]], "trim", density=density, keep=keep)[0]


LADDER = [float(i) * (-1) ** i for i in range(1, 11)]


@pytest.mark.parametrize(("keep", "kept"), [("threshold", 3), ("exact", 2)])
def test_a_fifth_of_ten(backend: Backend, keep: str, kept: int) -> None:
    """d = 10, density 0.2: the paper's code and the original keep 3, PEFT and mergekit 2."""
    found = flat(backend, rows(backend, LADDER), cm.Pipeline([cm.Trim(0.2, keep)]))
    assert found == [0.0] * (10 - kept) + LADDER[10 - kept :]


@pytest.mark.parametrize(("keep", "expected"), [("threshold", [1, -1] * 5), ("exact", [1, -1] + [0] * 8)])
def test_all_equal(backend: Backend, keep: str, expected: list[float]) -> None:
    """Equal magnitudes: the threshold keeps all 10, exact the lowest indices."""
    assert flat(backend, rows(backend, [1, -1] * 5), [cm.Trim(0.2, keep)]) == expected


@pytest.mark.parametrize("keep", ["threshold", "exact"])
@pytest.mark.parametrize("density", [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0, 1])
def test_any_density(keep: str, density: float) -> None:
    values = np.random.default_rng(1).standard_normal(12)
    expected = trimmed(values, density, keep)
    found = flat(NUMPY, rows(NUMPY, values), [cm.Trim(density, keep)])
    np.testing.assert_array_equal(found, expected)


def test_float_products_are_those_of_float64() -> None:
    """100 · 0.29 is 28.999… in float64, so 28 are kept, as in the codes it stands for."""
    found = flat(NUMPY, rows(NUMPY, np.arange(1.0, 101.0)), [cm.Trim(0.29, "exact")])
    assert np.count_nonzero(found) == 28 == int(100 * 0.29)


def test_magnitudes_within_rounding_of_the_cut_are_equal() -> None:
    """0.1 + 0.2 and 0.3 differ by rounding alone: both stay."""
    updates = [cm.LowRankUpdate(np.array([[0.1, 0.2]]), np.array([[1.0, 0.0, 5.0, 0.001], [1.0, 1.5, 5.0, 0.0]]))]
    found = flat(NUMPY, updates, [cm.Trim(0.3)])
    assert np.flatnonzero(found).tolist() == [0, 1, 2]


@pytest.mark.parametrize("distance", [0.5, 0.51])
def test_entries_are_intervals_as_wide_as_their_slack(backend: Backend, distance: float) -> None:
    """K = 1 and the cut is at 2: an entry with a slack of 1/2 is equal to it up to a distance of 1/2."""
    magnitude = backend.array([[1.0, 2 - distance, 2.0, 5.0]])
    slack = backend.array([[0.5]])
    kept = largest(magnitude, backend.array([4.0]), 0.25, "threshold", slack)
    assert backend.host(kept).tolist() == [[False, distance == 0.5, True, True]]


def test_all_of_all_are_kept(backend: Backend) -> None:
    d = backend.array([3.0])
    for keep in ("threshold", "exact"):
        kept = largest(backend.array([[0.0, 0.0, 1.0]]), d, 1.0, keep, backend.array([[0.0]]))
        assert backend.host(kept).tolist() == [[True] * 3]


def test_density_is_of_live_entries_in_core_space(backend: Backend) -> None:
    """Rank 1 duplicated: the live core is 1 × 1, so even a tiny density keeps its one entry."""
    if backend.name == "jax":
        pytest.skip("shapes met nowhere else: much compiling for what the other libraries show")
    b, a = np.array([[3.0], [4.0]]), np.array([[0.0, 2.0, 0.0]])
    updates = [cm.LowRankUpdate(backend.array(b), backend.array(a))] * 3
    for keep, expected in (("threshold", 3 * b @ a), ("exact", 0 * b @ a)):
        merged = cm.merge(updates, [cm.Trim(0.5, keep)], space="core")
        np.testing.assert_allclose(backend.dense(merged), expected, atol=1e-14)


@pytest.mark.parametrize("keep", ["threshold", "exact"])
def test_each_layer_of_a_batch_by_itself(backend: Backend, keep: str) -> None:
    W = np.random.default_rng(2).standard_normal((2, 6, 5)) * [[[1.0]], [[100.0]]]
    found = backend.dense(cm.merge(matrices(backend, [W]), [cm.Trim(0.3, keep)], space="full"))
    np.testing.assert_array_equal(found, [trimmed(X.ravel(), 0.3, keep).reshape(6, 5) for X in W])


def test_scope_model_trims_over_all_layers(backend: Backend) -> None:
    """One threshold for the concatenation of all layers, for each task; layers of two shapes, one lacking a task."""
    rng = np.random.default_rng(3)
    q, k, v = rng.standard_normal((2, 6, 5)), rng.standard_normal((2, 6, 5)) * 3, rng.standard_normal((1, 2, 4)) * 2
    layers = {"q": matrices(backend, q), "v": [*matrices(backend, v), None], "k": matrices(backend, k)}
    first = trimmed(np.concatenate([q[0].ravel(), v[0].ravel(), k[0].ravel()]), 0.3)
    second = trimmed(np.concatenate([q[1].ravel(), k[1].ravel()]), 0.3)
    merged = cm.merge_adapters(layers, [cm.Trim(0.3, scope="model")], space="full")
    assert list(merged) == ["q", "v", "k"]
    np.testing.assert_array_equal(backend.dense(merged["q"]), (first[:30] + second[:30]).reshape(6, 5))
    np.testing.assert_array_equal(backend.dense(merged["v"]), first[30:38].reshape(2, 4))
    np.testing.assert_array_equal(backend.dense(merged["k"]), (first[38:] + second[30:]).reshape(6, 5))


@pytest.mark.parametrize("keep", ["threshold", "exact"])
def test_a_model_of_one_layer_is_that_layer(keep: str) -> None:
    values = np.random.default_rng(4).permutation(np.repeat(np.arange(1.0, 8.0), 2))  # ties at every cut
    for shape in ((7, 2), (1, 14)):
        updates = matrices(NUMPY, [values.reshape(shape)])
        found = flat(NUMPY, updates, [cm.Trim(0.25, keep, "model")])
        np.testing.assert_array_equal(found, trimmed(values, 0.25, keep))


def test_over_a_model_magnitudes_are_equal_within_the_rounding_of_their_layer() -> None:
    """Ten entries, of which 3 and one more stay. 2.375 is exact and the fourth largest, 2.5 being 2.125 at least in a
    layer whose level is 3/4: equal to it, as is 2.25, but not 1.5. The layers of the batch differ in it."""
    exact = stack_of([[[8.0, 2.375], [0.5, 0.25]]], [0.0], (1.0,))
    batch = Stack(
        np.asarray([[[[7.0, 0.125, 6.0]], [[2.5, 2.25, 1.5]]]]), np.asarray([[0.0, 0.75]]), np.asarray([1.0, 1.0]),
        np.asarray([3.0, 3.0]), (1.0,), (0,), ("a", "b"),
    )  # fmt: skip
    found = cm.Trim(0.3, scope="model")([exact, batch])
    assert found[0].M.tolist() == [[[8.0, 2.375], [0.0, 0.0]]]
    assert found[1].M.tolist() == [[[[7.0, 0.0, 6.0]], [[2.5, 2.25, 0.0]]]]
    found = cm.Trim(0.3, "exact", "model")([exact, batch])
    assert found[0].M.tolist() == [[[8.0, 0.0], [0.0, 0.0]]]
    assert found[1].M.tolist() == [[[[7.0, 0.0, 6.0]], [[0.0, 0.0, 0.0]]]]


def test_each_layer_of_a_batch_has_its_level() -> None:
    """Two stay, and 2.75 where it is equal to 3 up to 1/4."""
    batch = Stack(
        np.asarray([[[[4.0, 3.0, 2.75, 0.25]], [[4.0, 3.0, 2.75, 0.25]]]]), np.asarray([[0.25, 0.125]]),
        np.asarray([1.0, 1.0]), np.asarray([4.0, 4.0]), (1.0,), (0,), ("a", "b"),
    )  # fmt: skip
    found = cm.Trim(0.25)([batch])[0]
    assert found.M.tolist() == [[[[4.0, 3.0, 2.75, 0.0]], [[4.0, 3.0, 0.0, 0.0]]]]
