"""DARE: which entries are dropped, and by how much the rest grows."""

import numpy as np
import pytest
from backends import BACKENDS, EPS, Backend
from examples import flat, matrices, rows, stack_of
from said import parts

import coremerge_ref as cm
from coremerge_ref.core import arrays
from coremerge_ref.testing import THRESHOLD, ratio

NUMPY = BACKENDS["numpy"]
X, Y = [1.0, -2.0, 4.0], [3.0, 5.0, -1.0]
MASKS = np.array([[[True, False, True]], [[False, True, True]]])


@pytest.mark.parametrize(
    ("rescale", "expected"), [("inverse", [2, 10, 6]), ("none", [1, 5, 3]), ("l1", [1.4, 7.5, 4.1])]
)
def test_masks_by_hand(backend: Backend, rescale: str, expected: list[float]) -> None:
    """l1: ‖X‖₁ = 7 over the kept 5, ‖Y‖₁ = 9 over the kept 6."""
    for masks in (MASKS, backend.array(MASKS.astype(float)) > 0):
        found = flat(backend, rows(backend, X, Y), cm.Dare(0.5, masks=masks, rescale=rescale))
        assert found == pytest.approx(expected, rel=1e-15)


def test_l1_of_nothing_kept_is_nothing(backend: Backend) -> None:
    masks = MASKS & [[[False]], [[True]]]
    assert flat(backend, rows(backend, X, Y), cm.Dare(0.5, masks=masks, rescale="l1")) == [0.0, 7.5, -1.5]


@pytest.mark.parametrize(("rescale", "expected"), [("inverse", [2, 4]), ("none", [1, 2]), ("l1", [1.4, 2])])
def test_rounding_grows_with_the_entries(rescale: str, expected: list[float]) -> None:
    """Of X 5 of 7 are kept, of Y nothing, so that nothing is rescaled by l1."""
    stack = stack_of([[X], [Y]], [0.1, 0.2])
    found = cm.Dare(0.5, masks=MASKS & [[[True]], [[False]]], rescale=rescale).apply(stack)
    assert ratio(10 * found.rounding_level, expected, 2.0, EPS["float64"]) <= THRESHOLD


def test_l1_of_rounding_kept_rescales_nothing() -> None:
    """Where all that was kept is rounding, its norm is no measure of anything."""
    stack = stack_of([[[1.0, 1e-17, 0.0]], [Y]], [1e-16, 1e-16])
    masks = np.array([[[False, True, True]], [[True, True, True]]])
    found = cm.Dare(0.5, masks=masks, rescale="l1").apply(stack)
    np.testing.assert_array_equal(found.M, [[[0.0, 0.0, 0.0]], [Y]])
    np.testing.assert_array_equal(found.rounding_level, stack.rounding_level)


@pytest.mark.parametrize("masks", [MASKS.astype(float), [[[True]]], np.full((2, 1, 3), np.nan), "mask"])
def test_masks_are_boolean_arrays(masks: object) -> None:
    with pytest.raises(cm.ParameterError, match=r"dare.masks: expected a boolean array \(T, …, p, q\)"):
        cm.Dare(0.5, masks=masks)


def test_drop_zero_is_the_identity(backend: Backend) -> None:
    assert flat(backend, rows(backend, X, Y), cm.Dare(0)) == [4.0, 3.0, 3.0]


def test_seeded_masks_are_the_documented_ones(backend: Backend) -> None:
    W = np.random.default_rng(1).standard_normal((2, 6, 5))
    found = backend.dense(cm.merge(matrices(backend, W), cm.Dare(0.3, seed=4), space="full"))
    kept = np.stack([(arrays.uniform_numbers(4, "", t, (6, 5)) >= 0.3) for t in range(2)])
    np.testing.assert_allclose(found, (kept * W / 0.7).sum(0), rtol=1e-14)


def test_masks_are_keyed_by_layer_name(backend: Backend) -> None:
    """In a batch as by itself: names key the masks, and "0", "1", … where none are given."""
    W = np.random.default_rng(1).standard_normal((1, 2, 6, 5))
    for names, expected in ((["q", "k"], ("q", "k")), (None, ("0", "1"))):
        found = backend.dense(cm.merge(matrices(backend, W), cm.Dare(0.5), space="full", names=names))
        for i, name in enumerate(expected):
            np.testing.assert_array_equal(found[i] != 0, (arrays.uniform_numbers(0, name, 0, (6, 5)) >= 0.5))


def test_one_layer_may_have_a_name() -> None:
    W = np.random.default_rng(1).standard_normal((1, 6, 5))
    found = cm.merge(matrices(NUMPY, W), cm.Dare(0.5), space="full", names=["q"]).to_dense()
    np.testing.assert_array_equal(found != 0, (arrays.uniform_numbers(0, "q", 0, (6, 5)) >= 0.5))


def test_a_missing_task_changes_no_other_mask() -> None:
    W = np.random.default_rng(1).standard_normal((2, 6, 5))
    x, y = matrices(NUMPY, W)
    both = [
        cm.merge([None, y], cm.Dare(0.5), space="full").to_dense(),
        cm.merge([x, y], cm.Dare(0.5), space="full").to_dense(),
    ]
    kept = arrays.uniform_numbers(0, "", 1, (6, 5)) >= 0.5
    np.testing.assert_allclose(both[0], 2 * kept * W[1], rtol=1e-15)
    np.testing.assert_allclose(
        both[1] - 2 * (arrays.uniform_numbers(0, "", 0, (6, 5)) >= 0.5) * W[0], both[0], atol=1e-14
    )


def test_masks_of_core_space_have_its_static_shape() -> None:
    b, a = np.ones((6, 2)), np.ones((2, 5))
    with pytest.raises(
        cm.ShapeError, match=parts("dare.masks: expected boolean (2, 4, 4) … (T, …, p, q) … got (2, 6, 5)")
    ):
        cm.merge([(b, a)] * 2, cm.Dare(masks=np.ones((2, 6, 5), dtype=bool)))
    merged = cm.merge([(b, a)] * 2, cm.Dare(0.5, masks=np.ones((2, 4, 4), dtype=bool)))
    np.testing.assert_allclose(merged.to_dense(), 4 * b @ a, rtol=1e-13)


def test_twice_is_once_and_once_more() -> None:
    """Merging again with the same stage gives the same: nothing is kept or masked in place."""
    updates, stage = rows(NUMPY, X, Y), cm.Dare(0.5, seed=3)
    first = flat(NUMPY, updates, [stage, "ties"])
    assert flat(NUMPY, updates, [stage, "ties"]) == first
