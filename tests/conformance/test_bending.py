"""How questions are bent: the best factors of a rank, and scalings taken for what they are not."""

import numpy as np
import pytest

from coremerge_ref.conformance import bending, cases

CASE = cases("ta/core/hetero")[0]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_leading_factors_are_the_best_of_their_rank(k: int, turned: bool) -> None:
    """Of a diagonal its largest entries; no more factors than there are rows and columns, whatever is asked."""
    X = np.zeros((4, 3))
    X[[0, 1, 2], [2, 0, 1]] = 5.0, 1.0, 3.0
    best = np.where(np.abs(X) >= (5, 3, 1)[min(k, 3) - 1], X, 0)
    left, right = bending.leading_factors(X.T if turned else X, k)
    assert left.shape[1] == right.shape[0] == min(k, 3)
    np.testing.assert_allclose(left @ right, best.T if turned else best, atol=1e-14)


def test_leading_factors_of_a_batch_are_each_layers_own() -> None:
    X = np.stack([np.diag([1.0, 2.0]), np.diag([4.0, 3.0])])
    left, right = bending.leading_factors(X, 1)
    np.testing.assert_allclose(left @ right, [np.diag([0, 2.0]), np.diag([4.0, 0])], atol=1e-14)


def test_updates_are_cut_to_a_rank_where_one_has_more() -> None:
    ranks = [B.shape[-1] for B, _, _ in CASE.updates]
    assert len(set(ranks)) > 1
    assert bending.capped(max(ranks))(CASE) is None
    cut = bending.capped(1)(CASE)
    for (B, A, s), (given, other, scale) in zip(cut.updates, CASE.updates, strict=True):
        whole = given.astype(float) @ other.astype(float)
        assert (B.shape[1], A.shape[0], s) == (1, 1, scale)
        values = np.linalg.svd(whole, compute_uv=False)
        assert np.linalg.norm(whole - B @ A) == pytest.approx(np.linalg.norm(values[1:]), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scaling-ignored", 1),
        ("scaling-twice", 36),
        ("scaling-inverted", -1 / 6),
        ("scaling-root", -(6**0.5)),
        ("rslora-for-lora", -12),
        ("lora-for-rslora", -3),
        ("alpha-for-alpha-over-r", -24),
        ("alpha-over-r-twice", -1.5),
    ],
)
def test_a_scaling_of_minus_six_at_rank_four_is_taken_for_another(name: str, expected: float) -> None:
    assert bending.SCALINGS[name](-6.0, 4) == pytest.approx(expected)
    bent = bending.scalings(bending.SCALINGS[name])(CASE)
    for (B, A, s), (given, other, scale) in zip(bent.updates, CASE.updates, strict=True):
        assert B is given
        assert A is other
        assert s == bending.SCALINGS[name](scale, B.shape[-1])
    assert bending.SCALINGS["scaling-inverted"](0.0, 4) == 0
