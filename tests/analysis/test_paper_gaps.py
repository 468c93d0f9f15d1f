"""What makes the paper's spaces differ for TSV, CART and Iso-C, one cause at a time, in a dense computation of its own.

96 x 80, four tasks of rank 4. Null vectors in or out, sizes relative to the space or absolute, in full space, KnOTS
(with the singular values kept, and divided out as in the paper) and core space.
"""

import numpy as np
import pytest

from coremerge_ref.testing import THRESHOLD, ratio

TASKS, RANK, M, N = 4, 4, 96, 80
RANDOM = np.random.default_rng(0)
B = RANDOM.standard_normal((TASKS, M, RANK))
A = RANDOM.standard_normal((TASKS, RANK, N))
D = B @ A  # (T, m, n)

SPACES = ("full", "knots", "core")


def svd(X, null):
    """Thin SVD (P, s, Qh); without null vectors where they stay out."""
    P, s, Qh = np.linalg.svd(X, full_matrices=False)
    live = s > (-1 if null else 1e-9 * s[0])
    return P[:, live], s[live], Qh[live]


def polar(X, null):
    P, _, Qh = svd(X, null)
    return P @ Qh


def tsv(W, size, null):
    k = min(W.shape[1:]) // TASKS if size == "relative" else RANK
    parts = [svd(X, null) for X in W]
    U = polar(np.concatenate([P[:, :k] for P, _, _ in parts], axis=1), null)
    V = polar(np.concatenate([Qh[:k].T for _, _, Qh in parts], axis=1), null)
    return U @ np.diag(np.concatenate([s[:k] for _, s, _ in parts])) @ V.T


def iso(W, size, null):
    P, s, Qh = svd(W.sum(0), null)
    count = min(W.shape[1:]) if size == "relative" else TASKS * RANK
    return s.sum() / count * P @ Qh


def cart(W, size, null):
    k = int(np.ceil(0.08 * min(W.shape[1:]))) if size == "relative" else RANK
    mean = W.mean(0)
    parts = [svd(X - mean, null) for X in W]
    return mean + sum((P[:, :k] * s[:k]) @ Qh[:k] for P, s, Qh in parts)


def merge(method, space, size, null, divided=False):
    """The merged m x n matrix."""
    if space == "full":
        return method(D, size, null)
    if space == "core":
        U, V = np.linalg.qr(np.concatenate([*B], axis=1))[0], np.linalg.qr(np.concatenate([*A], axis=0).T)[0]
        return U @ method(U.T @ D @ V, size, null) @ V.T
    U, s, _ = svd(np.concatenate([*D], axis=1), null=False)  # the stack [ΔW_1 … ΔW_T] has rank R = 16
    if divided:
        return (U * s) @ method((U / s).T @ D, size, null)
    return U @ method(U.T @ D, size, null)


def same(actual, expected):
    scale = np.sum(np.linalg.norm(B, axis=(1, 2)) * np.linalg.norm(A, axis=(1, 2)))
    return ratio(actual, expected, scale, np.finfo(float).eps) < THRESHOLD


def distance(actual, expected):
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", [tsv, iso, cart])
def test_absolute_sizes_without_null_vectors_give_one_update(method, space):
    assert same(merge(method, space, "absolute", null=False), merge(method, "full", "absolute", null=False))


@pytest.mark.parametrize("space", ["knots", "core"])
@pytest.mark.parametrize("size", ["absolute", "relative"])
@pytest.mark.parametrize("method", [tsv, iso])
def test_the_small_spaces_have_no_null_vectors_and_relative_is_absolute_there(method, size, space):
    in_full_space = merge(method, "full", "absolute", null=False)
    assert same(merge(method, space, size, null=True), in_full_space)


def test_tsv_differs_in_full_space_by_null_vectors_alone():
    expected = merge(tsv, "core", "relative", null=False)
    assert same(merge(tsv, "full", "relative", null=False), expected)
    assert 0.6 < distance(merge(tsv, "full", "relative", null=True), expected) < 0.64


def test_iso_differs_in_full_space_by_null_vectors_and_a_factor_that_the_scale_absorbs():
    expected = merge(iso, "core", "relative", null=False)
    assert same(merge(iso, "full", "relative", null=False), expected * (TASKS * RANK / N))
    with_null = merge(iso, "full", "relative", null=True)
    best_scale = np.vdot(with_null, expected) / np.vdot(with_null, with_null)
    assert 0.85 < distance(best_scale * with_null, expected) < 0.95  # √(1 − 16/80) = 0.894 of its energy is null


def test_what_null_vectors_add_to_iso_is_arbitrary():
    """Other singular vectors of zero, an SVD as good, and another answer: by twice what null vectors add."""
    P, s, Qh = svd(D.sum(0), null=True)
    Q2 = np.concatenate([Qh[: TASKS * RANK], -Qh[TASKS * RANK :]])
    assert same(P * s @ Q2, D.sum(0))
    one, other = s.mean() * P @ Qh, s.mean() * P @ Q2
    assert distance(other, one) > 1.7  # 2 √(64/80) = 1.789


@pytest.mark.parametrize("space", SPACES)
def test_cart_differs_by_its_rank_and_not_by_null_vectors(space):
    one_rank = merge(cart, "full", "absolute", null=False)
    assert same(merge(cart, space, "absolute", null=True), one_rank)
    assert same(merge(cart, space, "relative", null=True), merge(cart, space, "relative", null=False))
    assert distance(merge(cart, space, "relative", null=True), one_rank) > 0.4  # rank 7 of 80 or 2 of 16, not 4


@pytest.mark.parametrize("method", [tsv, iso, cart])
def test_knots_differs_by_dividing_the_singular_values_out(method):
    expected = merge(method, "full", "absolute", null=False)
    assert same(merge(method, "knots", "absolute", null=False), expected)
    assert distance(merge(method, "knots", "absolute", null=False, divided=True), expected) > 0.1
