"""What a theorem asks and what it says the answers are to each other, on updates that are known."""

from typing import Any

import numpy as np
import pytest

from coremerge_ref.conformance import claims
from coremerge_ref.conformance.claims import METHODS, THEOREMS, Claim, Draw, Params, question
from coremerge_ref.conformance.configs import SPACES
from coremerge_ref.conformance.questions import Case

SEEDS = range(20)
THEOREM = {theorem.name: theorem for theorem in THEOREMS}
UPDATES = [
    (np.array([[1.0, 2], [0, 1], [3, 0]]), np.array([[1.0, 0, 2, 0], [0, 1, 0, 1]]), 2.0),
    (np.array([[0.0], [1], [1]]), np.array([[1.0, 1, 0, 0]]), -1.0),
    (np.array([[2.0], [0], [1]]), np.array([[0.0, 0, 1, 3]]), 0.5),
]
DELTAS = [s * B @ A for B, A, s in UPDATES]


def claim(name: str, method: str = "ta", space: str = "core", seed: int = 0, tasks: int = 3) -> Claim:
    return THEOREM[name].claim(Draw(method, space, UPDATES[:tasks], np.random.default_rng(seed)))


def deltas(case: Case) -> list[np.ndarray]:
    return [s * B @ A for B, A, s in case.updates]


def same(case: Case, expected: list[np.ndarray]) -> None:
    assert len(case.updates) == len(expected)
    for found, right in zip(deltas(case), expected, strict=True):
        np.testing.assert_allclose(found, right, atol=1e-12)


def weights_of(case: Case) -> Any:
    return next((p["weights"] for p in case.params.values() if "weights" in p), None)


# ---- questions ---------------------------------------------------------------------------------------------------
def test_a_question_has_weights_of_one_where_none_are_given_and_a_stage_has_any() -> None:
    given: Params = {"ta": {}, "iso": {"support": "rank"}}
    case = question(UPDATES, "ta+iso", "knots", given)
    assert (case.name, case.method, case.space, case.config) == ("ta+iso/knots", "ta+iso", "knots", "ta+iso")
    assert case.params == {"ta": {"weights": [1.0] * 3}, "iso": {"support": "rank"}}
    assert question(UPDATES, "mean", "full", {"mean": {"weights": [1.0, 2, 3]}}).params["mean"]["weights"] == [1, 2, 3]
    case.params["iso"]["support"] = "size"
    assert given["iso"]["support"] == "rank"


def test_the_same_method_is_asked_of_other_updates() -> None:
    draw = Draw("tsv", "core", UPDATES, np.random.default_rng(0))
    case = draw.ask(UPDATES[:1])
    assert (case.method, case.space, case.params) == ("tsv", "core", {"tsv": {"k": 2}})
    other = draw.ask(UPDATES, {"tsv": {"k": 9}}, "full")
    assert (other.method, other.space, other.params) == ("tsv", "full", {"tsv": {"k": 9}})


def test_what_is_expected_is_turned_scaled_and_transposed() -> None:
    case, X = question(UPDATES, "ta", "full", {"ta": {}}), np.arange(6.0).reshape(2, 3)
    E, F = np.array([[0.0, 1], [1, 0]]), np.diag([1.0, -1, 1])
    assert Claim(case).expected(X).tolist() == X.tolist()
    assert Claim(case, left=E).expected(X).tolist() == (E @ X).tolist()
    assert Claim(case, right=F, factor=2.0).expected(X).tolist() == (2 * X @ F).tolist()
    assert Claim(case, left=F, right=E, factor=-1.0, transposed=True).expected(X).tolist() == (-F @ X.T @ E).tolist()


# ---- theorem by theorem ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", claims.IDENTITY)
def test_one_task_comes_back(method: str) -> None:
    found = claim("lossless", method, tasks=3)
    same(found.first, DELTAS[:1])
    np.testing.assert_array_equal(found.known, DELTAS[0])
    assert (found.second, found.factor, found.transposed) == (None, 1, False)
    assert {k: v for k, v in found.first.params[method].items() if k != "weights"} == claims.IDENTITY[method][method]


def test_copies_sum_to_so_many_in_task_arithmetic_alone() -> None:
    counts = set()
    for seed in SEEDS:
        found = claim("copies", "ta", seed=seed)
        count = len(found.first.updates)
        counts.add(count)
        same(found.first, [DELTAS[0]] * count)
        np.testing.assert_array_equal(found.known, DELTAS[0])
        assert found.factor == count
        assert claim("copies", "ties", seed=seed).factor == 1
    assert counts == {2, 3, 4}


def test_linear_merges_are_weighted_sums() -> None:
    seen = set()
    for seed in SEEDS:
        found = claim("linear", "ta", seed=seed)
        weights = weights_of(found.first)
        seen |= {4 * w for w in weights}
        np.testing.assert_allclose(found.known, sum(w * X for w, X in zip(weights, DELTAS, strict=True)))
        mean = claim("linear", "mean", seed=seed)
        raised = weights_of(mean.first)
        assert raised == [weights[0] + 24, *weights[1:]]
        expected = sum(w * X for w, X in zip(raised, DELTAS, strict=True)) / sum(raised)
        np.testing.assert_allclose(mean.known, expected)
    assert seen <= set(range(-8, 9))
    assert {-8, 8} <= seen


@pytest.mark.parametrize(
    ("method", "space", "shears"),
    [
        ("ta", "core", True),
        ("tsv", "full", True),
        ("ties", "core", False),
        ("ties", "full", True),
        ("drm", "core", False),
    ],
)
def test_another_factorization_is_the_same_update(method: str, space: str, shears: bool) -> None:
    """With shears where entries in core do not count, and the scale in B."""
    sheared = moved = 0
    for seed in SEEDS:
        found = claim("refactoring", method, space, seed)
        same(found.first, DELTAS)
        same(found.second, DELTAS)
        assert found.factor == 1
        for (B, _, s), (given, _, scale) in zip(found.first.updates, UPDATES, strict=True):
            assert s == 1
            columns = [(B[:, [j]] == sign * scale * given).all(0).any() for j in range(B.shape[1]) for sign in (1, -1)]
            sheared += sum(columns) < B.shape[1]
            moved += not np.array_equal(B, scale * given)
    assert moved
    assert bool(sheared) is shears


@pytest.mark.parametrize("r", [1, 2, 4])
def test_a_unimodular_matrix_has_an_exact_inverse(r: int) -> None:
    for seed in SEEDS:
        for shears in (True, False):
            G, inverse = claims._unimodular(np.random.default_rng(seed), r, shears)
            assert (G @ inverse).tolist() == np.eye(r).tolist()
            assert np.array_equal(G, np.round(G))
            assert np.sort(np.abs(G).ravel())[-1] == (2 if shears and r > 1 else 1)


def test_tasks_in_another_order_keep_their_weights() -> None:
    orders = set()
    for seed in SEEDS:
        found = claim("order", "ties", "full", seed)
        weights = weights_of(found.second)
        assert weights == [1.0, 1.25, 1.5]
        same(found.second, DELTAS)
        order = tuple(weights.index(w) for w in weights_of(found.first))
        orders.add(order)
        same(found.first, [DELTAS[t] for t in order])
        assert weights_of(claim("order", "tsv", seed=seed).first) is None
        assert claim("order", "ties", seed=seed).first.params["ties"]["density"] == METHODS["ties"]["ties"]["density"]
    assert len(orders) == 6


@pytest.mark.parametrize(
    ("method", "space", "left", "right"),
    [
        ("ta", "full", True, True),
        ("ties", "full", False, False),
        ("ties", "knots", True, False),
        ("drm", "core", True, True),
        ("tsv", "knots", True, True),
    ],
)
def test_what_turns_the_updates_turns_the_merge(method: str, space: str, left: bool, right: bool) -> None:
    """Rotations where the method or the space allows them, signed permutations elsewhere."""
    for seed in SEEDS:
        found = claim("turns", method, space, seed)
        same(found.second, DELTAS)
        same(found.first, [found.left @ X @ found.right for X in DELTAS])
        for turn, size, free in ((found.left, 3, left), (found.right, 4, right)):
            np.testing.assert_allclose(turn.T @ turn, np.eye(size), atol=1e-14)
            axes = np.count_nonzero(np.abs(turn) > 1e-9) == size
            assert axes is not free
    permuted = [claims._turn(np.random.default_rng(seed), 3, False) for seed in SEEDS]
    assert len({np.abs(turn).tobytes() for turn in permuted}) > 3
    assert {turn.sum() for turn in permuted} == {-3, -1, 1, 3}


def test_a_scale_of_any_sign_and_size_scales_the_merge() -> None:
    factors = [claim("scale", seed=seed).factor for seed in range(60)]
    assert {np.sign(x) for x in factors} == {-1, 1}
    exponents = {float(np.log2(abs(x))) for x in factors}
    assert all(x == round(x) and abs(x) <= 50 for x in exponents)
    assert min(exponents) < -30 < 30 < max(exponents)
    found = claim("scale", seed=3)
    same(found.second, DELTAS)
    for (B, A, s), (given, other, scale) in zip(found.first.updates, UPDATES, strict=True):
        assert B is given
        assert A is other
        assert s == found.factor * scale


def test_a_task_of_zeros_comes_last_with_rows_of_its_own() -> None:
    found = claim("zero task", "tsv")
    same(found.second, DELTAS)
    same(found.first, [*DELTAS, np.zeros((3, 4))])
    B, A, s = found.first.updates[-1]
    assert not B.any()
    assert B.shape == (3, 2)
    assert A.tolist() == UPDATES[0][1][:, ::-1].tolist()
    assert s == 2
    assert found.factor == 1


@pytest.mark.parametrize(("method", "factor"), [("ta", 2), ("ties", 2), ("drm", 2), ("ta+iso", 2), ("mean", 1)])
def test_twice_the_weights_are_twice_the_merge_and_the_same_mean(method: str, factor: float) -> None:
    found = claim("weights", method)
    assert (weights_of(found.first), weights_of(found.second)) == ([2.0, 2.5, 3.0], [1.0, 1.25, 1.5])
    assert found.factor == factor
    same(found.first, DELTAS)
    same(found.second, DELTAS)


@pytest.mark.parametrize("space", SPACES)
def test_another_space_is_asked_beside_each(space: str) -> None:
    pairs = {(found.first.space, found.second.space) for found in (claim("spaces", "ta", space, s) for s in SEEDS)}
    assert pairs == {(space, other) for other in SPACES if other != space}


def test_transposed_updates_keep_their_scale_with_b() -> None:
    found = claim("transposition")
    same(found.second, DELTAS)
    same(found.first, [X.T for X in DELTAS])
    assert (found.transposed, found.factor) == (True, 1)
    for (B, A, s), (given, other, scale) in zip(found.first.updates, UPDATES, strict=True):
        assert (B.tolist(), A.tolist(), s) == (other.T.tolist(), (scale * given.T).tolist(), 1)


def test_theorems_hold_where_they_are_said_to() -> None:
    spectral = {(m, s) for m in ("ta", "mean", "tsv", "cart", "ta+iso", "tsv+iso") for s in SPACES}
    identity = {(m, s) for m in ("ta", "mean", "tsv", "cart", "ties") for s in SPACES}
    every = {(m, s) for m in METHODS for s in SPACES}
    held = {t.name: {pair for pair in every if t.holds(*pair)} for t in THEOREMS}
    assert held["lossless"] == held["copies"] == identity
    assert held["spaces"] == spectral
    assert held["order"] == held["scale"] == every
    assert {t.name for t in THEOREMS if t.alike} == {"lossless", "copies"}
