"""TSV, CART, Iso-C, Iso-CTS and DRM against dense formulas, in every space."""

from collections.abc import Callable

import numpy as np
import pytest
from backends import BACKENDS, EPS, Backend
from examples import by_definition, matrices, stack_of

import coremerge_ref as cm
from benchmarks import dense as published
from coremerge_ref.conformance.definition import merged as defined
from coremerge_ref.core import linalg
from coremerge_ref.methods.drm import gaps
from coremerge_ref.testing import THRESHOLD, Factors, Recipe, dense, ratio, sensitivity, size

NUMPY = BACKENDS["numpy"]
FACTORS = Recipe(6, 5, (2, 2), scales=(1.0, -2.0), seed=21).build()
SPACES = {
    "full": cm.Full(),
    "knots": cm.Knots(),
    "knots-transposed": cm.Knots(transposed=True),
    "core": cm.Core(),
    "tucker": cm.Core("tucker"),
}
# live sizes of each space for FACTORS, of rank 4 in all
SMALLER = {"full": 5, "knots": 4, "knots-transposed": 4, "core": 4, "tucker": 4}


ZERO = 1e-9  # far above rounding and far below the spectra here


def agrees(backend: Backend, method: object, space: object, formula: Callable[[np.ndarray], np.ndarray]) -> object:
    def direct(factors: list[Factors]) -> np.ndarray:
        return formula(dense(factors))

    found = cm.merge(backend.updates(FACTORS), method, space=space)
    kappa = sensitivity(direct, FACTORS)
    assert kappa < 1e4
    assert ratio(backend.dense(found), direct(FACTORS), size(FACTORS), EPS["float64"], kappa) <= THRESHOLD
    return found


@pytest.mark.parametrize("space", SPACES)
def test_absolute_settings_are_the_same_in_every_space(space: str) -> None:
    for method, formula in (
        (cm.Tsv(1), lambda W: published.tsv(W, 1, ZERO)),
        (cm.Tsv(2), lambda W: published.tsv(W, 2, ZERO)),
        (cm.Tsv(9), lambda W: published.tsv(W, 2, ZERO)),
        (cm.Cart(1), lambda W: published.cart(W, k=1, zero=ZERO)),
        (cm.Cart(2, coefficient=-2.5), lambda W: published.cart(W, coefficient=-2.5, k=2, zero=ZERO)),
        ("iso", lambda W: published.iso(W, ZERO)),
        ([cm.Tsv(1), "iso"], lambda W: published.iso(published.tsv(W, 1, ZERO)[None], ZERO, published.largest_norm(W))),
    ):
        agrees(NUMPY, method, SPACES[space], formula)


@pytest.mark.parametrize("space", SPACES)
def test_relative_settings_are_of_the_live_size(space: str) -> None:
    d = SMALLER[space]
    found = agrees(NUMPY, "tsv", SPACES[space], lambda W: published.tsv(W, d // 2, ZERO))
    assert float(found.info["k"]) == d // 2
    for fraction in (0.04, 0.3, 0.5, 1.0):
        for rounding, k in (("ceil", int(np.ceil(fraction * d))), ("floor", max(1, int(fraction * d)))):
            stage = cm.Cart(fraction=fraction, rounding=rounding)
            found = agrees(NUMPY, stage, SPACES[space], lambda W, k=k: published.cart(W, k=k, zero=ZERO))
            assert float(found.info["k"]) == k
    for fraction in (0.4, 0.8, 1.0):
        stage = cm.IsoCts(fraction)
        agrees(NUMPY, stage, SPACES[space], lambda W, f=fraction: published.iso_cts(W, d, f, ZERO))


@pytest.mark.parametrize("space", ["full", "core"])
@pytest.mark.parametrize("method", ["iso_cts", "drm", "tsv", "cart"])
def test_defaults_on_every_library(backend: Backend, space: str, method: str) -> None:
    """The same as NumPy's answer, which the tests above compare with formulas."""
    if backend.name == "jax" and space == "full":
        pytest.skip("compiled for nothing new")
    there = cm.merge(NUMPY.updates(FACTORS), method, space=space).to_dense()
    here = backend.dense(cm.merge(backend.updates(FACTORS), method, space=space))
    assert ratio(here, there, size(FACTORS), EPS["float64"], kappa=20) <= THRESHOLD


@pytest.mark.parametrize("rounding", ["round", "floor"])
def test_iso_cts_counts(rounding: str) -> None:
    """d = 10, T = 4, 0.8: the rest is 2, so round(0.5) = 0 each (half to even); 0.4: 6, round(1.5) = 2, or 1."""
    ten, three = np.asarray(10.0), np.asarray(3.0)
    assert cm.IsoCts(0.8, rounding).counts(ten, 4) == (10, 0)
    assert cm.IsoCts(0.4, rounding).counts(ten, 4) == ((2, 2) if rounding == "round" else (6, 1))
    assert cm.IsoCts(0.01, rounding).counts(three, 2) == ((0, 2) if rounding == "round" else (1, 1))  # 3 − 4 is none
    common, each = cm.IsoCts(0.01, rounding).counts(np.array([3.0, 10.0]), 2)  # live sizes of two layers
    assert (common.tolist(), each.tolist()) == (([0, 0], [2, 5]) if rounding == "round" else ([1, 0], [1, 5]))


def test_iso_over_the_size_takes_null_vectors_in() -> None:
    """Full rank: σ̄ over min(m, n); rank-deficient: the mean over zeros too, which only "size" does."""
    W = np.diag([4.0, 2.0, 0.0])[None]
    by_size = cm.merge(matrices(NUMPY, W), ["ta", cm.Iso("size")], space="full").to_dense()
    np.testing.assert_allclose(np.linalg.svd(by_size, compute_uv=False), [2.0, 2.0, 2.0], rtol=1e-14)
    by_rank = cm.merge(matrices(NUMPY, W), "iso", space="full")
    np.testing.assert_allclose(by_rank.to_dense(), np.diag([3.0, 3.0, 0.0]), atol=1e-14)
    assert float(by_rank.info["support"]) == 2
    assert cm.Iso("size").equivariance != cm.Iso().equivariance == "orthogonal"


def test_iso_of_each_layer_of_a_batch(backend: Backend) -> None:
    updates = matrices(backend, [[np.diag([4.0, 2.0]), np.diag([10.0, 50.0])]])
    for support in ("rank", "size"):
        found = backend.dense(cm.merge(updates, ["ta", cm.Iso(support)], space="full"))
        assert ratio(found, [3 * np.eye(2), 30 * np.eye(2)], 50.0, EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("space", [*SPACES.values(), cm.Knots(scaled=False)], ids=str)
def test_iso_after_a_sum_that_cancels_has_no_support(space: object) -> None:
    """ΔW + 0.3 ΔW − 1.3 ΔW is rounding, of size 1e10 · eps here."""
    B, A, _ = Recipe(6, 5, (2,), scales=(1e10,), seed=3).build()[0]
    updates = [cm.LowRankUpdate(1e10 * B, A, s) for s in (1.0, 0.3, -1.3)]
    assert float(cm.merge(updates, "iso", space).info["support"]) == 0


def test_iso_of_nothing_has_no_support() -> None:
    assert float(cm.merge(matrices(NUMPY, np.zeros((1, 3, 2))), "iso", space="full").info["support"]) == 0


@pytest.mark.parametrize(("coefficient", "expected"), [(0.5, 1.0), (-3.0, 3.0)])
def test_rounding_of_cart_grows_with_its_coefficient(coefficient: float, expected: float) -> None:
    stack = stack_of(np.ones((2, 3, 4)), np.array([0.5, 1.0]) * 1e-15)
    assert float(cm.Cart(k=1, coefficient=coefficient).apply(stack).rounding_level) == expected * 1e-15


def test_iso_of_what_cancels_is_zero(backend: Backend) -> None:
    """ΔW − ΔW: what rounding leaves is no direction, whatever came out."""
    factors = Recipe(6, 5, (2, 2), kind="cancelling", seed=3).build()
    for space in SPACES.values() if backend is NUMPY else (cm.Core(),):
        found = backend.dense(cm.merge(backend.updates(factors), "iso", space=space))
        np.testing.assert_array_equal(found, np.zeros((6, 5)))


def test_tsv_of_orthogonal_tasks_is_their_sum(backend: Backend) -> None:
    """Tasks that share no direction are left as they are: the polar factors change nothing."""
    e, f = np.eye(6), np.eye(5)
    factors = [(e[:, :2] * [2.0, 1.0], f[:2], 1.0), (e[:, 4:] * [3.0, 0.5], f[3:], 1.0)]
    for k in (2, 4):
        found = backend.dense(cm.merge(backend.updates(factors), cm.Tsv(k)))
        assert ratio(found, dense(factors).sum(0), 5.0, EPS["float64"]) <= THRESHOLD


def test_tsv_of_duplicates_halves_nothing(backend: Backend) -> None:
    """Û = [P, P] has polar factor [P, P] / √2, so two copies give (S + S) / 2 = the update itself."""
    factors = Recipe(6, 5, (2, 2), kind="duplicated", seed=3).build()
    found = backend.dense(cm.merge(backend.updates(factors), cm.Tsv(2)))
    assert ratio(found, dense(factors)[0], size(factors), EPS["float64"], kappa=10) <= THRESHOLD


def test_tsv_of_more_tasks_than_directions() -> None:
    """⌊min/T⌋ = 0, where one triplet of each is taken and info says so; a zero layer helps nobody."""
    factors = Recipe(3, 3, (1,) * 5, seed=3).build()
    found = cm.merge(NUMPY.updates(factors), "tsv")
    assert (float(found.info["k"]), bool(found.info["k_raised"])) == (1, True)
    one = cm.merge(NUMPY.updates(factors), cm.Tsv(1)).to_dense()
    np.testing.assert_array_equal(found.to_dense(), one)
    assert np.any(one)
    assert not cm.merge(NUMPY.updates(factors[:3]), "tsv").info["k_raised"]


def test_relative_rank_is_integer_arithmetic() -> None:
    """⌊49/49⌋ = 1, where int(49 · (1/49)) = 0."""
    assert int(49 * (1 / 49)) == 0
    factors = Recipe(49, 49, (1,) * 49, seed=3).build()
    assert float(cm.merge(NUMPY.updates(factors), "tsv", space="full").info["k"]) == 1


@pytest.mark.parametrize("method", ["tsv", "cart", "iso_cts"])
def test_weights_come_before_the_stage(method: str) -> None:
    found = cm.merge(NUMPY.updates(FACTORS), method, weights=(0.5, -3))
    weighted = [(B, A, s * w) for (B, A, s), w in zip(FACTORS, (0.5, -3), strict=True)]
    expected = cm.merge(NUMPY.updates(weighted), method, space=cm.Core())
    assert ratio(found.to_dense(), expected.to_dense(), 3 * size(FACTORS), EPS["float64"], 100) <= THRESHOLD


# drm


@pytest.mark.parametrize("drop", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("rank_cut", [0.01, 0.3])
@pytest.mark.parametrize("direction", ["horizontal", "vertical"])
def test_drm_entry_by_entry(drop: float, rank_cut: float, direction: str) -> None:
    stage = cm.Drm(direction, drop, rank_cut)
    expected = by_definition(
        dense(FACTORS), "drm", (2.0, -0.5), **{k: v for k, v in stage.parameters.items() if k != "weights"}
    )
    found = cm.merge(NUMPY.updates(FACTORS), stage, space="full", weights=(2.0, -0.5))
    assert ratio(found.to_dense(), expected, 2 * size(FACTORS), EPS["float64"], kappa=20) <= THRESHOLD


def test_drm_keeps_all_of_equal_entries_however_well_each_is_known() -> None:
    """Renormalized rows of a task of rank 1 are all one vector: entries tie at the cut, rows 1e5 apart in size."""
    factors = Recipe(9, 4, (1, 3), scales=(2.0, 0.5), seed=65536).build()
    found = cm.merge(NUMPY.updates(factors), "drm", space="full").to_dense()
    assert ratio(found, defined(factors, "drm", {}, "full"), size(factors), EPS["float64"], kappa=100) <= THRESHOLD


def test_drm_keeps_equal_entries_of_directions_that_are_hardly_known() -> None:
    """All entries of both right vectors are ±1/2, but the left ones are known to 1e-10: they still tie at the cut."""
    V = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0]]) / 2
    U = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 2)))[0]
    factors = [(U * [1.0, 1 - 1e-6], V, 1.0)]
    for drop in (0.25, 0.5, 0.75):
        found = cm.merge(NUMPY.updates(factors), cm.Drm(drop=drop), space="full").to_dense()
        assert ratio(found, dense(factors)[0], size(factors), EPS["float64"], kappa=10) <= THRESHOLD


def test_drm_has_weights_of_its_own() -> None:
    own = cm.merge(NUMPY.updates(FACTORS), cm.Drm(weights=(2.0, -0.5)), space="full")
    expected = by_definition(dense(FACTORS), "drm", (2.0, -0.5))
    assert ratio(own.to_dense(), expected, 2 * size(FACTORS), EPS["float64"], kappa=20) <= THRESHOLD


@pytest.mark.parametrize("direction", ["horizontal", "vertical"])
def test_drm_leaves_the_sizes_of_the_space_as_they_are(direction: str) -> None:
    """Iso over the size of a 3 × 2 space, from both sides: σ̄ is over min(3, 2) values."""
    W = np.array([[[4.0, 0.0], [0.0, 2.0], [0.0, 0.0]]])
    found = cm.merge(matrices(NUMPY, W), [cm.Drm(direction, drop=0.0), cm.Iso("size")], space="full")
    assert (found.info["rows"], found.info["cols"]) == (3, 2)
    assert ratio(np.linalg.svd(found.to_dense(), compute_uv=False), [3.0, 3.0], 4.0, EPS["float64"]) <= THRESHOLD


def test_drm_cuts_singular_values_up_to_the_fraction() -> None:
    """Half of the largest is cut at 1/2, and not just below it."""
    updates = matrices(NUMPY, np.diag([2.0, 1.0])[None])
    assert float(cm.merge(updates, cm.Drm(rank_cut=0.5), space="full").info["rank"]) == 1
    assert float(cm.merge(updates, cm.Drm(rank_cut=0.49), space="full").info["rank"]) == 2
    assert float(cm.merge(updates, cm.Drm(rank_cut=0), space="full").info["rank"]) == 2


def test_drm_elects_for_each_layer() -> None:
    """Where the tasks cancel, the majority of the layer decides: + for the first, − for the second."""
    X, Y = np.array([[1.0, 2.0, 3.0, -1.0]]), np.array([[1.0, 2.0, 3.0, 1.0]])
    found = cm.merge(matrices(NUMPY, [[X, -X], [Y, -Y]]), cm.Drm(drop=0.0), space="full").to_dense()
    assert ratio(found, [[[1, 2, 3, 1]], [[-1, -2, -3, -1]]], 4.0, EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize(
    ("S", "k", "kept", "error"),
    [
        ([5.0, 3.0, 1.0], 1, [5], 0.5 / 2),
        ([5.0, 3.0, 1.0], 2, [5, 3], 0.5 / 2),
        ([5.0, 3.0, 1.0], 3, [5, 3, 1], 0.5 / 1),
        ([5.0, 3.0, 1.0], 9, [5, 3, 1], 0.5 / 1),
        ([5.0, 3.0, 0.5], 9, [5, 3, 0], 0.5 / 3),  # what is noise is neither kept nor dropped
        ([5.0, 3.0, 3.0], 2, [5, 3], 1.0),  # any direction of the pair would do
        ([0.5, 0.25, 0.0], 2, [0, 0], 0.0),  # nothing is kept, and that is certain
        ([5.0, 3.0, 1.0], 0, [0], 0.0),
    ],
)
def test_leading_triplets_by_hand(backend: Backend, S: list[float], k: int, kept: list[float], error: float) -> None:
    """A rounding level of 1/2 turns directions by 1/2 over the distance to the first that was dropped."""
    eye, count = backend.array(np.eye(3)), backend.array(float(k))
    M = backend.array(np.diag(S))
    found = linalg.leading(M, (eye, backend.array(S), eye), count, backend.array(0.5))
    mask = np.diag([float(s > 0) for s in kept] + [0.0] * (3 - len(kept)))
    assert backend.host(found.S).tolist() == kept
    for X in (found.P, found.Q):
        np.testing.assert_array_equal(backend.host(X), mask[:, : len(kept)])
    assert float(found.error) == error
    np.testing.assert_array_equal(backend.host(found.product()), np.diag(kept + [0.0] * (3 - len(kept))))


def test_leading_triplets_of_a_batch_have_one_shape(backend: Backend) -> None:
    """How many are taken is no shape where layers differ in it."""
    eye, M = backend.array([np.eye(2)] * 2), backend.array([np.diag([5.0, 3.0])] * 2)
    S = backend.array([[5.0, 3.0]] * 2)
    found = linalg.leading(M, (eye, S, eye), backend.array([1.0, 2.0]), backend.array([0.5, 0.5]))
    np.testing.assert_array_equal(backend.host(found.S), [[5.0, 0.0], [5.0, 3.0]])


NEAR = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1e-9]])  # its left vector: the second axis but for 1e-9
LAYERS = {
    "tsv": (cm.Tsv(k=2), [np.diag([0.0, 1.0, 0.0]), NEAR], [1, 1]),
    "iso_cts": (cm.IsoCts(0.5), [np.diag([10.0, 1.0, 0.0]), NEAR + np.diag([10.0, 0.0, 0.0])], [22 / 3] * 3),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("place", [0, 1])
def test_how_well_directions_are_known_is_each_layers_own(name: str, place: int) -> None:
    """Two directions 1e-9 apart are two, beside a layer whose second and third direction are known to 1e-7 only."""
    method, tasks, expected = LAYERS[name]
    vague = [np.diag([10.0, 1.0, 1 - 1e-9]), np.diag([10.0, 0.0, 0.0])]
    batch = [[W, V] if place == 0 else [V, W] for W, V in zip(tasks, vague, strict=True)]
    found = cm.merge(matrices(NUMPY, batch), method, space="full").to_dense()[place]
    S = np.linalg.svd(found, compute_uv=False)[: len(expected)]
    assert ratio(S, expected, 10.0, EPS["float64"], kappa=1e9) <= THRESHOLD


def test_gaps_by_hand(backend: Backend) -> None:
    """To the nearest neighbour, 0 standing after the last; equal values have the least number for a gap."""
    np.testing.assert_array_equal(
        backend.host(gaps(backend.array([[5.0, 3.0, 2.5], [9.0, 8.75, 0.25]]))), [[2, 0.5, 0.5], [0.25, 0.25, 0.25]]
    )
    np.testing.assert_array_equal(backend.host(gaps(backend.array([2.0, 2.0, 0.0]))), [2.0**-1022] * 3)


def test_drm_of_a_zero_task_is_no_nan(backend: Backend) -> None:
    factors = Recipe(6, 5, (2, 2), kind="zero", seed=3).build()
    found = backend.dense(cm.merge(backend.updates(factors), cm.Drm(drop=0.0), space="full"))
    assert ratio(found, dense(factors)[0], size(factors), EPS["float64"], kappa=10) <= THRESHOLD


# the definition in 60 digits


@pytest.mark.parametrize(
    ("method", "params", "space", "basis"),
    [
        ("tsv", {}, "core", "paper"),
        ("cart+iso", {"cart": {"fraction": 0.5, "coefficient": 2.0}}, "knots", "paper"),
        ("iso_cts", {"iso_cts": {"common_fraction": 0.4}}, "core", "tucker"),
        ("ties", {"ties": {"density": 0.4}}, "core", "paper"),
        ("ties+iso", {"ties": {"density": 0.6, "keep": "exact", "elect": "count"}}, "core", "tucker"),
        ("drm", {"drm": {"direction": "vertical"}}, "core", "paper"),
        ("dare+tsv", {"dare": {"drop": 0.3, "rescale": "l1"}}, "knots", "paper"),
        ("trim+iso", {"trim": {"density": 0.5}}, "core", "paper"),
    ],
)
def test_definition(method: str, params: dict, space: str, basis: str) -> None:
    factors = Recipe(6, 5, (1, 2, 2), scales=(1.0, -2.0, 0.5), seed=5).build()
    weights = (1.0, 0.5, -2.0)
    masks = None
    if "dare" in method:
        p, q = {"core": (5, 5), "knots": (5, 5)}[space]
        masks = np.random.default_rng(0).random((3, p, q)) > 0.3
    pipeline = cm.Pipeline.parse(
        method, {**params, **({"dare": {**params["dare"], "masks": masks}} if masks is not None else {})}
    )
    where = cm.Core(basis) if space == "core" else space
    found = cm.merge(NUMPY.updates(factors), pipeline, where, scale=0.5, weights=weights).to_dense()
    expected = defined(factors, method, params, space, basis=basis, weights=weights, masks=masks, scale=0.5)
    assert ratio(found, expected, size(factors), EPS["float64"], kappa=100) <= THRESHOLD


@pytest.mark.parametrize("method", ["tsv", "cart", "iso", "iso_cts", "ties"])
@pytest.mark.parametrize("kind", ["duplicated", "zero"])
def test_definition_of_degenerate_input(method: str, kind: str) -> None:
    factors = Recipe(5, 5, (2, 2, 2), scales=(1.0, -2.0, 0.5), kind=kind, seed=6).build()
    found = cm.merge(NUMPY.updates(factors), method).to_dense()
    assert ratio(found, defined(factors, method), size(factors), EPS["float64"], kappa=100) <= THRESHOLD


@pytest.mark.parametrize("method", ["ta", "ties", "iso"])
def test_definition_of_unscaled_knots(method: str) -> None:
    """KnOTS as the paper's code has it: the singular values divided out before merging.

    DRM, TSV and CART are not here: all singular values of such a stack are 1, so that their cuts are undefined.
    """
    factors = Recipe(6, 5, (2, 2), scales=(1.0, -2.0), seed=6).build()
    found = cm.merge(NUMPY.updates(factors), method, cm.Knots(scaled=False)).to_dense()
    expected = defined(factors, method, {}, "knots", scaled=False)
    assert ratio(found, expected, size(factors), EPS["float64"], kappa=100) <= THRESHOLD
