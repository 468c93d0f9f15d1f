"""What errors of factors come to, on factors where all can be said by hand, and of layers of very different sizes."""

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.analysis.explain.entering import with_rest
from coremerge_ref.analysis.explain.terms import Factors, terms_of
from coremerge_ref.perturbation.carried import Level
from coremerge_ref.testing import Recipe


def factors(*blocks: np.ndarray) -> Factors:
    """Coordinates of each task, and the norms of their columns."""
    return list(blocks), [np.hypot.reduce(X, axis=-2) for X in blocks]


def test_the_terms_of_diagonal_factors() -> None:
    """‖L‖₂ = 4, ‖R‖₂ = 1, column norms (3, 4) and (1, 1); the second task has the smaller 2 Σ ‖b_i‖ ‖a_i‖."""
    left = factors(np.diag([3.0, 4.0]), np.array([[2.0], [0.0]]))
    right = factors(np.eye(2), np.array([[0.0], [5.0]]))
    found = terms_of(left, right, False, False)
    np.testing.assert_allclose(found.sizes, [3 + 4, 2 * 5])
    np.testing.assert_allclose(found.whole, [5 * 1 + 4 * 2**0.5, 2 * 5 + 2 * 5], rtol=1e-8)
    np.testing.assert_array_equal(found.within, [[[3, 0], [0, 4]], [[0, 10], [0, 0]]])
    of_left, of_right = found.sides
    # |R_t| b_t for every row, |L_t| a_t for every column
    np.testing.assert_array_equal(np.broadcast_to(of_left, (2, 2, 2)), [[[3, 4], [3, 4]], [[0, 10], [0, 10]]])
    np.testing.assert_array_equal(np.broadcast_to(of_right, (2, 2, 2)), [[[3, 3], [4, 4]], [[10, 10], [0, 0]]])
    assert found.ranks.tolist() == [2, 1]


def test_a_task_without_columns_or_of_zeros_has_no_terms() -> None:
    left = factors(np.zeros((2, 0)), np.zeros((2, 1)), np.ones((2, 1)))
    right = factors(np.zeros((3, 0)), np.ones((3, 1)), np.zeros((3, 1)))
    found = terms_of(left, right, False, False)
    for terms in (found.whole, found.sizes, found.within, found.ranks):
        assert not np.any(terms)


SIZES = (2.0**-600, 1.0, 2.0**500)  # the squares of the first underflow


def test_layers_of_one_batch_have_the_terms_that_each_has_alone() -> None:
    rng = np.random.default_rng(0)
    L, R = rng.standard_normal((3, 4, 2)), rng.standard_normal((3, 5, 2))
    L *= np.reshape(SIZES, (3, 1, 1))
    together = terms_of(factors(L), factors(R), False, False)
    for i, size in enumerate(SIZES):
        alone = terms_of(factors(L[i]), factors(R[i]), False, False)
        np.testing.assert_array_equal(together.whole[:, i], alone.whole)
        np.testing.assert_array_equal(together.sizes[:, i], alone.sizes)
        spectral = np.linalg.norm(L[i] / size, 2) * size, np.linalg.norm(R[i], 2)
        b, a = np.linalg.norm(L[i] / size, axis=0) * size, np.linalg.norm(R[i], axis=0)
        one_side = np.linalg.norm(b / size) * size * spectral[1] + spectral[0] * np.linalg.norm(a)
        np.testing.assert_allclose(alone.whole, [min(2 * float(b @ a), one_side)], rtol=1e-8)


@pytest.mark.parametrize("method", ["ta", "ties", "tsv+iso"])
@pytest.mark.parametrize("space", ["core", "full"])
def test_layers_of_very_different_sizes_are_explained_as_each_alone(method: str, space: str) -> None:
    layers = {}
    for i, size in enumerate(SIZES):
        layers[f"l{i}"] = [(size * s * B, A) for B, A, s in Recipe(m=7, n=6, ranks=(2, 2), seed=3 + i).build()]
    together = cm.explain(layers, method, space)
    for name, pairs in layers.items():
        alone = cm.explain({name: pairs}, method, space)[name]
        for mine, own in ((together[name].bound, alone.bound), (together[name].input_bound, alone.input_bound)):
            assert mine.verdict == own.verdict
            assert mine.relative == pytest.approx(own.relative, rel=1e-6, abs=0)


@pytest.mark.parametrize("space", [cm.Core("tucker"), cm.Knots(), cm.Knots(transposed=True)], ids=str)
@pytest.mark.parametrize("by_rows", [False, True])
def test_what_columns_cancel_is_in_no_frame_but_its_errors_are_in_the_bound(
    space: cm.Core | cm.Knots, by_rows: bool
) -> None:
    """b_2 = −b_1 / 2: of a_1 = (0, −1) and a_2 = (−1, −2) only a_1 − a_2 / 2 = (1/2, 0) is in ΔW."""
    B, A = np.asarray([[-2.0, 1], [-1, 0.5], [-2, 1], [1, -0.5], [2, -1]]), np.asarray([[0.0, -1], [-1, -2]])
    if by_rows:
        B, A = A.T, B.T
    B, A = B.astype(np.float16), A.astype(np.float16)
    bound, exact = cm.explain([(B, A)], "cart", space).input_bound, B.astype(float) @ A.astype(float)
    assert bound.relative < 0.2
    rng, half, moved = np.random.default_rng(0), 2.0**-11, 0.0
    for _ in range(200):
        X, Y = (Z.astype(float) * (1 + half * rng.choice([-1, 1], Z.shape)) for Z in (B, A))
        moved = max(moved, float(np.linalg.norm(X @ Y - exact)))
    assert moved <= bound.relative * np.linalg.norm(exact)
    assert moved > bound.relative * np.linalg.norm(exact) / 10


def test_a_task_whose_columns_cancel_leaves_bounds_of_others_as_they_are() -> None:
    """Two columns at an angle of 1e-4, as two rows are, make singular values 1e-8 apart, and errors move neither by
    much, in Tucker's bases as in any; the other task's rows are multiples of each other, and its weight 0."""
    rng = np.random.default_rng(3)
    near = np.asarray([[1.0, 1.0], [0.0, 1e-4]])
    B, A = rng.standard_normal((7, 2)) @ near, near.T @ rng.standard_normal((2, 9))
    row = rng.standard_normal((1, 9))
    pairs = [(B, A), (rng.standard_normal((7, 2)), np.concatenate([row, 3 * row]))]
    found = [cm.explain(pairs, "mean+iso", space, weights=[1.0, 0.0]) for space in (cm.Core("tucker"), "core")]
    assert found[0].input_bound.condition == pytest.approx(found[1].input_bound.condition, rel=1e-3)
    assert found[0].input_bound.condition < 1e-3 * found[0].bound.condition


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4)])
def test_what_is_beside_factors_may_be_any_error_of_its_norm(shape: tuple[int, int]) -> None:
    """E = E_L Rᵀ + L E_Rᵀ for columns of E_L and E_R within their bounds."""
    rng = np.random.default_rng(0)
    given = rng.standard_normal((shape[0], 2)), rng.standard_normal((shape[1], 2)), np.ones(2), np.ones(2)
    L, R, b, a = with_rest(*given, 0.5)
    for part, own in zip((L, R, b, a), given, strict=True):
        np.testing.assert_array_equal(part[..., :2], own)
    E = rng.standard_normal(shape)
    E *= 0.5 / np.linalg.norm(E)
    L, R, b, a = L[:, 2:], R[:, 2:], b[2:], a[2:]
    X, Y = E @ np.linalg.pinv(R.T), (np.linalg.pinv(L) @ E).T
    np.testing.assert_allclose(X @ R.T + L @ Y.T, E)
    assert (np.linalg.norm(X, axis=0) <= b).all()
    assert (np.linalg.norm(Y, axis=0) <= a).all()
    assert len(b) == min(shape)
    assert with_rest(*given, 0.0) == given


@pytest.mark.parametrize("share", [1.0, 0.99999, 0.6])
def test_what_coordinates_do_not_hold_is_what_pythagoras_leaves(share: float) -> None:
    """Coordinates `share` of a column of norm 2, whole ones of a row of norm 3."""
    left, right = ([np.asarray([[2.0 * share]])], [np.asarray([2.0])]), factors(np.asarray([[3.0]]))
    np.testing.assert_allclose(terms_of(left, right, False, False).beyond, [6 * (1 - share**2) ** 0.5], rtol=1e-6)


# ---- errors of one level -----------------------------------------------------------------------------------------
# ‖b‖ ‖a‖ is 6 of the first task, 3 and 4 of the second, none of the third
LEFT = factors(np.array([[2.0], [0.0]]), np.diag([3.0, 4.0]), np.zeros((2, 1)))
RIGHT = factors(np.array([[0.0], [3.0], [0.0]]), np.eye(3, 2), np.ones((3, 1)))


@pytest.mark.parametrize("identities", [(False, False), (True, True), (True, False)])
def test_what_underflows_is_one_smallest_number_a_term_and_entry(identities: tuple[bool, bool]) -> None:
    """Of r terms each may lose one, and so may their sum; where there is none nothing is lost."""
    level = Level("compute", "float64", 0.0, 1.0, tiny=2.0**-30)
    delta, entry, apart = terms_of(LEFT, RIGHT, *identities).errors(level, identities, ())
    np.testing.assert_allclose(apart, delta, rtol=1e-15)
    np.testing.assert_allclose(entry, 2.0**-30 * np.array([2, 3, 0])[:, None, None] * np.ones((3, 2, 3)), rtol=1e-15)
    np.testing.assert_allclose(delta, 2.0**-30 * np.array([2, 3, 0]) * 6**0.5, rtol=1e-15)


@pytest.mark.parametrize("g", [2.0**-10, 0.5])
def test_rounded_inputs_are_off_entry_by_entry_where_there_is_no_frame(g: float) -> None:
    """(L + δL) (R + δR)ᵀ − L Rᵀ ≤ (2 g + g²) |L| |R|ᵀ."""
    level = Level("input", "float16", 2 * g, 0.5)
    found = terms_of(LEFT, RIGHT, True, True)
    delta, entry, _ = found.errors(level, (True, True), ())
    np.testing.assert_allclose(entry, np.minimum((2 * g + g * g) * found.within, delta[:, None, None]), rtol=1e-14)
    np.testing.assert_allclose(delta, (2 * g + g * g) * np.array([6, 5, 0]), rtol=1e-8)


def test_beside_errors_of_factors_products_round_as_sums_of_as_many_terms_and_lose_what_no_frame_holds() -> None:
    """One term and two, of norms 6 and 5; of the first 4/5 are in the frame, and 3/5 of 6 are not, known up to g."""
    level = Level("compute", "float32", 2.0**-23, 100.0, inner=3.0)
    apart = terms_of(LEFT, RIGHT, False, False).errors(level, (False, False), ())[2]
    np.testing.assert_allclose(apart, 2.0**-23 * np.asarray([1.5 * 6, 2 * 5, 0]), rtol=1e-12, atol=0)
    partly = [0.8 * LEFT[0][0], *LEFT[0][1:]], LEFT[1]
    apart = terms_of(partly, RIGHT, False, False).errors(level, (False, False), ())[2]
    np.testing.assert_allclose(apart[0], 2.0**-23 * (1.5 * 4.8 + 100 * 3.6), rtol=1e-12, atol=0)


def test_what_is_found_for_all_layers_is_each_ones_own_copy() -> None:
    level = Level("input", "float16", 2.0**-10, 0.5)
    found = terms_of(LEFT, RIGHT, False, False)
    one, other = found.errors(level, (False, False), ()), found.errors(level, (False, False), ())
    one[0][:] = one[1][:] = -1
    assert (other[0] >= 0).all()
    assert (other[1] >= 0).all()
    assert (found.errors(level, (False, False), ())[0] >= 0).all()
    assert found.errors(Level("input", "float16", 2.0**-9, 0.5), (False, False), ())[0][0] > other[0][0]
