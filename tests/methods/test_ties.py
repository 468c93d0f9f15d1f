"""TIES against examples worked out by hand, the definition in 60 digits and one vector over the whole model."""

import itertools

import numpy as np
import pytest
from backends import BACKENDS, EPS, Backend
from examples import by_definition, flat, matrices, rows, stack_of

import coremerge_ref as cm
from coremerge_ref.testing import THRESHOLD, ratio

NUMPY = BACKENDS["numpy"]
X, Y = [1.0, -2.0, -3.0], [-1.0, 1.0, -1.0]


@pytest.mark.parametrize(("zero_sign", "expected"), [("majority", [-1, -2, -2]), ("positive", [1, -2, -2])])
def test_where_the_sum_is_zero(backend: Backend, zero_sign: str, expected: list[float]) -> None:
    """[1, −2, −3] and [−1, 1, −1] untrimmed: the paper's code gives −1 in front, PEFT +1."""
    assert flat(backend, rows(backend, X, Y), cm.Ties(density=1, zero_sign=zero_sign)) == expected


def test_no_majority_either_is_negative(backend: Backend) -> None:
    assert flat(backend, rows(backend, [1, 2, -2], [-1, 0, 0]), cm.Ties(density=1)) == [-1, 2, -2]


def test_election_by_mass_or_by_count(backend: Backend) -> None:
    updates = rows(backend, [5.0, 1.0], [-1.0, 1.0], [-2.0, 1.0])
    assert flat(backend, updates, cm.Ties(density=1, elect="mass")) == [5.0, 1.0]
    assert flat(backend, updates, cm.Ties(density=1, elect="count")) == [-1.5, 1.0]


def test_mean_counts_the_agreeing_nonzero_entries(backend: Backend) -> None:
    updates = rows(backend, [4.0, 0.0, 3.0], [2.0, -6.0, 0.0], [-1.0, 0.0, 0.0])
    assert flat(backend, updates, cm.Ties(density=1)) == [3.0, -6.0, 3.0]
    assert flat(backend, updates, cm.Ties(density=1, aggregate="sum")) == [6.0, -6.0, 3.0]


def test_weights_after_and_before_the_election(backend: Backend) -> None:
    updates = rows(backend, [3.0, 1.0], [-2.0, 2.0])
    weights = (1.0, 2.0)
    # after: + is elected (3 > 2), so 1·3 / 1; before: −4 outweighs 3, so 2·(−2) / 1 (count) or / 2 (weight)
    for order, divisor, expected in (
        ("after", "count", [3.0, 2.5]),
        ("after", "weight", [3.0, 5 / 3]),
        ("before", "count", [-4.0, 2.5]),
        ("before", "weight", [-2.0, 5 / 3]),
    ):
        method = cm.Ties(density=1, weights=weights, weight_order=order, divisor=divisor)
        assert flat(backend, updates, method) == pytest.approx(expected, rel=1e-15)
        bare = cm.Ties(density=1, weight_order=order, divisor=divisor)
        assert flat(backend, updates, bare, weights=weights) == pytest.approx(expected, rel=1e-15)


def test_negative_weights(backend: Backend) -> None:
    updates = rows(backend, [3.0, 1.0], [2.0, 2.0])
    assert flat(backend, updates, cm.Ties(density=1, weights=(-1, 1))) == [-0.5, 0.5]
    assert flat(backend, updates, cm.Ties(density=1, weights=(-1, 1), weight_order="before")) == [-3.0, 2.0]


def test_weights_that_cancel_divide_by_one() -> None:
    updates = rows(NUMPY, [3.0, 1.0], [2.0, 2.0])
    assert flat(NUMPY, updates, cm.Ties(density=1, weights=(-1, 1), divisor="weight")) == [-1.0, 1.0]


CHOICES = {
    "density": (0.25, 1.0),
    "keep": ("threshold", "exact"),
    "elect": ("mass", "count"),
    "zero_sign": ("majority", "positive"),
    "aggregate": ("mean", "sum"),
    "weight_order": ("after", "before"),
    "divisor": ("count", "weight"),
}


@pytest.mark.parametrize("values", list(itertools.product(*CHOICES.values())), ids=str)
def test_every_choice_together(values: tuple) -> None:
    """All 128 combinations on integers, ties and zero sums among them: exact."""
    parameters = dict(zip(CHOICES, values, strict=True))
    tau = np.random.default_rng(5).integers(-3, 4, (3, 12)).astype(float)
    tau[:, 11] = [7.0, -7.0, 0.0]  # a zero sum that survives trimming
    weights = (1.0, -0.5, 2.0)
    expected = by_definition(tau.reshape(3, 3, 4), "ties", weights, **parameters).ravel()
    found = flat(NUMPY, matrices(NUMPY, tau.reshape(3, 3, 4)), cm.Ties(**parameters, weights=weights))
    np.testing.assert_allclose(found, expected, rtol=4 * EPS["float64"], atol=0)


def test_paper_defaults_on_random_matrices(backend: Backend) -> None:
    W = np.random.default_rng(6).standard_normal((2, 6, 5))
    found = backend.dense(cm.merge(matrices(backend, W), "ties", space="full"))
    assert ratio(found, by_definition(W, "ties"), float(np.linalg.norm(W)), EPS["float64"]) <= THRESHOLD


@pytest.mark.parametrize("keep", ["threshold", "exact"])
@pytest.mark.parametrize("elect", ["mass", "count"])
def test_scope_model_is_one_vector(keep: str, elect: str) -> None:
    """TIES of the whole model: one threshold a task, and one majority for zero sums, over all layers concatenated."""
    rng = np.random.default_rng(7)
    layers = {
        f"l{i}": rng.integers(-4, 5, (3, *shape)).astype(float) for i, shape in enumerate([(3, 4), (2, 5), (3, 4)])
    }
    parameters, weights = {"density": 0.4, "keep": keep, "elect": elect}, (1.0, 2.0, 0.5)
    together = np.concatenate([W.reshape(3, 1, -1) for W in layers.values()], axis=2)
    expected = by_definition(together, "ties", weights, **parameters)[0]
    method = cm.Ties(**parameters, weights=weights, scope="model")
    grouped = cm.merge_adapters({name: matrices(NUMPY, W) for name, W in layers.items()}, method, space="full")
    # exact keeps the lowest index first among equals: the order of the model's vector, here equal shapes together
    if keep == "threshold":
        found = np.concatenate([u.to_dense().ravel() for u in grouped.values()])
        np.testing.assert_allclose(found, expected, rtol=1e-15)
    else:
        assert sum(np.count_nonzero(u.to_dense()) for u in grouped.values()) > 0


def test_scope_model_of_one_layer_is_scope_tensor(backend: Backend) -> None:
    W = np.random.default_rng(8).standard_normal((2, 6, 5))
    updates = matrices(backend, W)
    one, other = (cm.merge(updates, cm.Ties(scope=scope), space="full") for scope in ("tensor", "model"))
    np.testing.assert_array_equal(backend.dense(one), backend.dense(other))


def test_scope_model_differs_from_scope_tensor() -> None:
    rng = np.random.default_rng(9)
    layers = {
        "a": matrices(NUMPY, rng.standard_normal((2, 4, 4))),
        "b": matrices(NUMPY, 50 * rng.standard_normal((2, 4, 4))),
    }
    of_model = cm.merge_adapters(layers, cm.Ties(scope="model"), space="full")
    assert np.count_nonzero(of_model["a"].to_dense()) == 0
    assert np.count_nonzero(cm.merge_adapters(layers, cm.Ties(), space="full")["a"].to_dense()) > 0


def test_rounding_has_no_vote() -> None:
    """An entry that is rounding of what it was computed from counts as zero: 0.1 + 0.2 − 0.3 here, for [1, 1, −1]·…"""
    updates = [
        cm.LowRankUpdate(np.array([[0.1, 0.2, -0.3]]), np.array([[1.0, 2.0], [1.0, 0.0], [1.0, 0.0]])),
        cm.LowRankUpdate(np.array([[-1.0]]), np.array([[1e-3, -1.0]])),
    ]
    assert updates[0].to_dense()[0, 0] != 0
    assert flat(NUMPY, updates, cm.Ties(density=1)) == pytest.approx([-1e-3, 0.6], rel=1e-12)


def test_the_majority_is_that_of_the_layer() -> None:
    """Where the tasks cancel, + in the first layer of a batch and − in the second; over the model there is none: −."""
    X, Y = np.array([[1.0, 2.0, 3.0, -1.0]]), np.array([[1.0, 2.0, 3.0, 1.0]])
    batch = matrices(NUMPY, [[X, -X], [Y, -Y]])
    for scope, last in (("tensor", 1), ("model", -1)):
        found = cm.merge(batch, cm.Ties(1.0, scope=scope), space="full").to_dense()
        np.testing.assert_array_equal(found, [[[1, 2, 3, last]], [[-1, -2, -3, -1]]])


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        ("density", 1.5, "a number above 0 and at most 1"),
        ("keep", "all", "one of threshold, exact"),
        ("scope", "layer", "one of tensor, model"),
        ("elect", "size", "one of mass, count"),
        ("zero_sign", "negative", "one of majority, positive"),
        ("aggregate", "median", "one of mean, sum"),
        ("weight_order", "never", "one of after, before"),
        ("divisor", "all", "one of count, weight"),
    ],
)
def test_refused(parameter: str, value: object, expected: str) -> None:
    with pytest.raises(cm.ParameterError) as error:
        cm.Ties(**{parameter: value})
    assert str(error.value) == f"ties.{parameter}: expected {expected}, got {value!r}"


def test_what_depends_on_parameters() -> None:
    assert (cm.Ties().whole_model, cm.Ties(scope="model").whole_model) == (False, True)
    assert cm.Ties().expected_failures == {}
    assert cm.Ties(elect="count").expected_failures == {"check_commutes_as_claimed": "an even vote has no sign"}


@pytest.mark.parametrize(("order", "expected"), [("after", [0.5, -1.75]), ("before", [-1.75, -1.75])])
def test_up_to_the_largest_level_of_all_tasks_a_sum_has_no_sign(order: str, expected: list[float]) -> None:
    """2 − 1.75 counts as zero up to 1/2, the level of the first; weighed by 1/4 and 1 the sum −1.25 is above 1/4."""
    stack = stack_of([[[2.0, -4.0]], [[-1.75, -1.0]]], [0.5, 0.25], (0.25, 1.0))
    merged = cm.Ties(1.0, zero_sign="positive", weight_order=order, elect="mass")([stack])[0]
    assert merged.M.tolist() == [[expected[0], (-4 / 4 - 1) / 2]]
    assert float(merged.rounding_level) == 0.25


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize(
    ("weights", "aggregate", "divisor", "level"),
    [
        ((0.001, 0.001), "mean", "weight", 0.25),  # the mean is of size 1, and so is what rounding leaves
        ((0.001, 0.003), "mean", "weight", 0.25),  # entries of one task alone are as it has them
        ((0.001, 0.003), "mean", "count", 0.00075),
        ((0.001, 0.003), "sum", "weight", 0.00075),
        ((2.0, 0.0), "mean", "weight", 0.125),  # and no entry of the other's
    ],
)
def test_what_counts_as_zero_is_divided_by_what_entries_are(
    order: str, weights: tuple[float, float], aggregate: str, divisor: str, level: float
) -> None:
    stack = stack_of([[[4.0, 0.0], [2.0, -3.0]], [[0.0, 8.0], [6.0, 5.0]]], [0.125, 0.25], weights)
    ties = cm.Ties(density=1.0, weight_order=order, aggregate=aggregate, divisor=divisor)
    (merged,) = ties([stack])
    assert float(merged.rounding_level) == pytest.approx(level, rel=1e-15)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6])
def test_iso_after_ties_that_divides_by_weights_sees_no_size_of_theirs(scale: float) -> None:
    """A matrix of rank 4: no rounding of its counts as a fifth direction, however small the weights are."""
    rng = np.random.default_rng(0)
    pairs = [(rng.standard_normal((9, 4)), rng.standard_normal((4, 20)))]
    update = cm.merge(pairs, [cm.Ties(density=1.0, divisor="weight"), cm.Iso()], "full", weights=[scale])
    assert update.info["support"] == 4
