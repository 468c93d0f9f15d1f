"""Properties as plain functions of a merge, so that they can be asked of ours and of broken ones alike.

A merge is a function (updates, method, space, weights) → dense ΔW. A property asks it for one space, shape and kind and
raises AssertionError. No expected value comes from the code under test but for what a property equates.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import coremerge_ref as cm
from coremerge_ref.testing import THRESHOLD, Recipe, dense, orthonormal, ratio, sensitivity, size

Factors = list[tuple[np.ndarray, np.ndarray, float]]
Merge = Callable[[Factors, Any, Any, Sequence[float] | None], np.ndarray]

EPS = 2.0**-52
SPACES = {
    "core": cm.Core(), "tucker": cm.Core("tucker"), "knots": cm.Knots(), "knots transposed": cm.Knots(transposed=True),
    "full": cm.Full(),
}  # fmt: skip
MIRROR = {"knots": "knots transposed", "knots transposed": "knots"}
SHAPES = {"square": (7, 7), "tall": (9, 5), "wide": (5, 8), "one row": (1, 6)}
ORTHOGONAL = (cm.Tsv(k=2), cm.Cart(k=1, coefficient=1.5), cm.Iso(), "mean")


def ours(factors: Factors, method: Any, space: Any, weights: Sequence[float] | None = None) -> np.ndarray:
    """The merge under test."""
    return np.asarray(cm.merge([cm.LowRankUpdate(*f) for f in factors], method, space, weights=weights).to_dense())


def build(shape: str, kind: str, ranks: tuple[int, ...] = (2, 1, 3), seed: int = 3) -> Factors:
    """Three tasks of unequal ranks and scales."""
    m, n = SHAPES[shape]
    return Recipe(m=m, n=n, ranks=ranks, scales=(1.0, -0.5, 2.0), kind=kind, decades=0.5, seed=seed).build()


def close(actual: np.ndarray, expected: np.ndarray, factors: Factors, kappa: float = 1.0) -> None:
    """AssertionError unless they agree to rounding of what the factors are."""
    found = ratio(actual, expected, size(factors), EPS, kappa)
    assert found <= THRESHOLD, f"{found:.3g} times what rounding may do"


def kappa(method: Any, factors: Factors, weights: Sequence[float] | None = None) -> float:
    """How much more than the inputs the answer moves, measured in full space: once for all spaces and faults."""
    key = repr((method, weights, [(B.shape, B.tobytes(), A.shape, A.tobytes(), s) for B, A, s in factors]))
    if key not in _KAPPAS:
        _KAPPAS[key] = sensitivity(lambda f: ours(f, method, cm.Full(), weights), factors)
    return _KAPPAS[key]


_KAPPAS: dict[str, float] = {}


def tasks_come_back_one_by_one(merge: Merge, space: str, shape: str, kind: str) -> None:
    """Weights 1 for one task and 0 for the others: ΔW_t itself, whatever space (Theorem 1)."""
    factors = build(shape, kind)
    for t, W in enumerate(dense(factors)):
        close(merge(factors, "ta", SPACES[space], [float(i == t) for i in range(len(factors))]), W, factors)


def sums_are_sums(merge: Merge, space: str, shape: str, kind: str) -> None:
    """Σ w_t ΔW_t, and over Σ w_t (Theorem 3)."""
    factors, w = build(shape, kind), [0.5, -1.5, 2.0]
    total = np.einsum("t,tij->ij", w, dense(factors))
    close(merge(factors, "ta", SPACES[space], w), total, factors, 4.0)
    close(merge(factors, "mean", SPACES[space], w), total / sum(w), factors, 4.0)


def orthogonal_methods_agree_with_full_space(merge: Merge, space: str, shape: str, kind: str) -> None:
    """One ΔW in every space at absolute ranks (Theorem 5); full space takes no frame."""
    factors, w = build(shape, kind), [1.0, -0.7, 1.6]
    for method in ORTHOGONAL:
        there = ours(factors, method, cm.Full(), w)
        close(merge(factors, method, SPACES[space], w), there, factors, kappa(method, factors, w))


def weights_are_scalings(merge: Merge, space: str, shape: str, kind: str) -> None:
    """w_t beside s_t is w_t s_t."""
    factors, w = build(shape, kind), [1.0, -0.7, 1.6]
    scaled = [(B, A, x * s) for x, (B, A, s) in zip(w, factors, strict=True)]
    for method in (cm.Tsv(k=2), cm.Cart(k=1), "iso", "iso_cts"):
        there = ours(scaled, method, SPACES[space], None)
        close(merge(factors, method, SPACES[space], w), there, scaled, kappa(method, scaled))


def transposed_tasks_give_the_transposed_merge(merge: Merge, space: str, shape: str, kind: str) -> None:
    """A_tᵀ B_tᵀ in the mirrored space: for all that knows no left and right."""
    factors = build(shape, kind)
    mirrored = [(A.T, B.T, s) for B, A, s in factors]
    for method in (cm.Tsv(k=2), cm.Cart(k=1), "iso", "ta"):
        there = ours(mirrored, method, SPACES[MIRROR.get(space, space)], None).T
        close(merge(factors, method, SPACES[space], None), there, factors, kappa(method, factors))


def orthogonal_tasks_do_not_meet(merge: Merge, space: str, shape: str, kind: str) -> None:
    """Tasks in orthogonal rows and columns: TSV is the sum of their leading parts, each by its own SVD."""
    m, n = 12, 11
    rng = np.random.default_rng(5)
    P, Q, S = orthonormal(rng, m, 9), orthonormal(rng, n, 9), np.asarray([3.0, 1.5, 0.4])
    factors = [(P[:, i : i + 3] * S, Q[:, i : i + 3].T, 1.0) for i in (0, 3, 6)]
    two = sum((P[:, i : i + 2] * S[:2]) @ Q[:, i : i + 2].T for i in (0, 3, 6))
    close(merge(factors, cm.Tsv(k=2), SPACES[space], None), two, factors, 10.0)
    whole = np.full((9, 9), 0.0) + np.diag(np.full(9, S.mean()))
    close(merge(factors, "iso", SPACES[space], None), P @ whole @ Q.T, factors, 10.0)


def iso_cts_by_hand(merge: Merge, space: str, shape: str, kind: str) -> None:
    """Two tasks that share a left direction: one common direction, and each task's own, which lacks it on the left."""
    rng = np.random.default_rng(6)
    u, v = orthonormal(rng, 9, 3), orthonormal(rng, 8, 4)
    first = 3.0 * np.outer(u[:, 0], v[:, 0]) + np.outer(u[:, 1], v[:, 1])
    second = 2.0 * np.outer(u[:, 0], v[:, 2]) + np.outer(u[:, 2], v[:, 3])
    factors = [(W, np.eye(8), 1.0) for W in (first, second)]
    s = 13**0.5
    w = (3.0 * v[:, 0] + 2.0 * v[:, 2]) / s
    expected = (s + 2) / 3 * (np.outer(u[:, 0], w) + np.outer(u[:, 1], v[:, 1]) + np.outer(u[:, 2], v[:, 3]))
    # of 3 live directions in core space int(3 · 0.4) = 1 is common and 1 is left for each task
    close(merge(factors, cm.IsoCts(0.4), cm.Core("tucker"), None), expected, factors, 20.0)


def entries_by_hand(merge: Merge, space: str, shape: str, kind: str) -> None:
    """TIES, trimming, DARE and DRM on whole numbers in full space, worked on paper."""
    first, second = np.asarray([[4.0, -3.0, 2.0], [1.0, 6.0, -5.0]]), np.asarray([[1.0, 5.0, 3.0], [-2.0, 4.0, -6.0]])
    factors, full = [(W, np.eye(3), 1.0) for W in (first, second)], cm.Full()
    close(merge(factors[:1], cm.Trim(0.34, "exact"), full, None), np.asarray([[0, 0, 0], [0, 6.0, -5.0]]), factors)
    close(merge(factors[:1], cm.Trim(0.34), full, None), np.asarray([[4.0, 0, 0], [0, 6.0, -5.0]]), factors)
    # all entries: sums 5, 2, 5, −1, 10, −11; means of those that agree
    close(merge(factors, cm.Ties(1.0), full, None), np.asarray([[2.5, 5.0, 2.5], [-2.0, 5.0, -5.5]]), factors)
    three = [*factors[1:], *factors[1:], (10 * first, np.eye(3), 1.0)]  # two small ones outvote a large one
    both = np.asarray([[42 / 3, 5.0, 26 / 3], [-2.0, 68 / 3, -62 / 3]])
    close(merge(three, cm.Ties(1.0, elect="count"), full, None), both, three)
    masks = np.asarray([[[1, 0, 1], [0, 1, 0]], [[0, 1, 1], [1, 1, 0]]], dtype=bool)
    kept = (masks[0] * first + masks[1] * second) / 0.5
    close(merge(factors, cm.Pipeline([cm.Dare(0.5, masks=masks), cm.Ta()]), full, None), kept, factors)
    one = [(np.asarray([[2.0], [0.0]]), np.asarray([[3.0, -4.0]]), 1.0)]
    close(merge([*one, *one], cm.Drm(drop=0.0), full, None), one[0][0] @ one[0][1], one)


def copies_change_nothing(merge: Merge, space: str, shape: str, kind: str) -> None:
    """A task beside itself: its mean, its TSV and its TIES are the task."""
    factors = build(shape, "generic", (2, 2))[:1]
    W = dense(factors)[0]
    for method in ("mean", cm.Tsv(k=9), cm.Ties(1.0)):
        close(merge(factors * 2, method, SPACES[space], None), W, factors, 10.0)


PROPERTIES = (
    tasks_come_back_one_by_one, sums_are_sums, orthogonal_methods_agree_with_full_space, weights_are_scalings,
    transposed_tasks_give_the_transposed_merge, orthogonal_tasks_do_not_meet, iso_cts_by_hand, entries_by_hand,
    copies_change_nothing,
)  # fmt: skip
VARIES = (  # with shape and kind; the others bring their own tasks
    tasks_come_back_one_by_one, sums_are_sums, orthogonal_methods_agree_with_full_space, weights_are_scalings,
    transposed_tasks_give_the_transposed_merge,
)  # fmt: skip
