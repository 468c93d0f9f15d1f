"""Checks of what a method claims of itself, and of what no merge may depend on."""

from dataclasses import replace
from unittest import SkipTest

import numpy as np

from coremerge_ref.core.spaces import Core, Full, Knots
from coremerge_ref.core.stages import ORTHOGONAL, SIGNED_PERMUTATION, TRANSFORM, Stage
from coremerge_ref.testing.builders import orthonormal
from coremerge_ref.testing.checks.samples import (
    RECIPE,
    apply,
    assert_close,
    draws,
    factored,
    kappa_alone,
    kappa_merged,
    matrices,
    merged,
    size,
    with_masks,
)
from coremerge_ref.testing.checks.table import check

RANK = sum(RECIPE.ranks)
LOSSLESS = {
    "core": Core(), "Tucker basis": Core("tucker"), "knots": Knots(), "transposed": Knots(transposed=True),
    "full": Full(),
}  # fmt: skip


def _signed_permutation(rng: np.random.Generator, k: int) -> np.ndarray:
    return np.eye(k)[rng.permutation(k)] * rng.choice([-1.0, 1.0], size=k)


@check
def check_commutes_as_claimed(stage: Stage) -> None:
    """E 𝓜({M_t}) F = 𝓜({E M_t F}) for random E, F of the kind that `equivariance` names; masks move along."""
    if stage.equivariance not in (ORTHOGONAL, SIGNED_PERMUTATION):
        raise SkipTest("it claims nothing")
    rng, M = np.random.default_rng(2), matrices()
    masks = np.asarray(rng.random(M.shape) < 0.7)
    for _ in range(4):
        if stage.equivariance == ORTHOGONAL:
            E, F = (orthonormal(rng, k, k) for k in M.shape[-2:])
        else:
            E, F = (_signed_permutation(rng, k) for k in M.shape[-2:])
        still, moved = with_masks(stage, masks), with_masks(stage, (abs(E) @ masks @ abs(F)) > 0.5)
        assert_close(
            apply(moved, E @ M @ F), E @ apply(still, M) @ F, size(M), kappa_alone(still, M),
            f"it claims to commute with {stage.equivariance} changes of basis, and does not",
        )  # fmt: skip


@check
def check_dead_directions_do_not_matter(stage: Stage) -> None:
    """Zero rows and columns beyond the live size, which spaces pad with, change nothing and stay zero."""
    M, rng = matrices(), np.random.default_rng(3)
    p, q = M.shape[-2:]
    padded = np.zeros((len(M), p + 2, q + 3))
    padded[:, :p, :q] = M
    masks = np.asarray(rng.random(padded.shape) < 0.7)
    expected = np.zeros((*apply(stage, M).shape[:-2], p + 2, q + 3))
    small = with_masks(stage, masks[:, :p, :q])
    expected[..., :p, :q] = apply(small, M)
    actual = apply(with_masks(stage, masks), padded, live=(p, q))
    what = "zero rows and columns beyond the live size change the result"
    assert_close(actual, expected, size(M), kappa_alone(small, M), what)


def size_free(stage: Stage) -> bool:
    """Whether live sizes leave the result as it is: that of the core, and larger ones with nothing in the rest."""
    M = matrices()
    U, V = (np.linalg.svd(X)[0][:, :RANK] for X in (np.hstack(list(M)), np.hstack(list(np.swapaxes(M, 1, 2)))))
    core = U.T @ M @ V  # (T, RANK, RANK)
    small = apply(stage, core)
    for more in (1, 2, 3, 7, 20):
        large = apply(stage, np.pad(core, [(0, 0), (0, more), (0, more)]))[..., :RANK, :RANK]
        if np.linalg.norm(large - small) > 1e-6 * np.linalg.norm(small):
            return False
    return True


@check
def check_lossless_spaces_agree(stage: Stage) -> None:
    """An orthogonally equivariant method whose numbers refer to no size gives one ΔW in every lossless space."""
    if stage.equivariance != ORTHOGONAL or not size_free(stage):
        raise SkipTest("its result may depend on the space")
    M = matrices()
    amplified = kappa_merged(stage, M)
    found = {label: merged(stage, space=space) for label, space in LOSSLESS.items()}
    for label, matrix in found.items():
        assert_close(matrix, found["core"], size(M), amplified, f"spaces core and {label} differ")


@check
def check_one_task(stage: Stage) -> None:
    """One task alone is merged, in every space, with a finite result."""
    for label, space in LOSSLESS.items():
        found = merged(_unmasked(stage), factored(matrices()[:1]), space=space)
        assert np.isfinite(found).all(), f"one task in {label} space: the result is not finite"


@check
def check_duplicates_are_stable(stage: Stage) -> None:
    """Of tasks that are equal, rounding in the inputs moves the result no more than in proportion."""
    M = np.stack([matrices()[0]] * 3)
    plain, rng = _unmasked(stage), np.random.default_rng(4)
    noisy = M * (1 + 4 * np.finfo(np.float64).eps * rng.standard_normal(M.shape))
    amplified = kappa_alone(plain, M)
    assert_close(apply(plain, noisy), apply(plain, M), size(M), amplified, "rounding in equal tasks moves the result")


@check
def check_zero_tasks(stage: Stage) -> None:
    """All tasks zero, or of rank 0, give zero; one zero task among others gives a finite result."""
    plain, M = _unmasked(stage), matrices()
    for label, space in LOSSLESS.items():
        assert not merged(plain, factored(0 * M), space=space).any(), f"zero tasks in {label} space give something"
        one = merged(plain, factored(np.concatenate([M[:2], 0 * M[2:]])), space=space)
        assert np.isfinite(one).all(), f"a zero task among others in {label} space: the result is not finite"
        empty = [(B[:, :0], A[:0]) for B, A in [(M[0], np.eye(M.shape[-1]))] * 2]
        assert not merged(plain, empty, space=space).any(), f"tasks of rank 0 in {label} space give something"


@check
def check_scaling(stage: Stage) -> None:
    """𝓜({c M_t}) = c 𝓜({M_t}) for c > 0, however small or large."""
    M, plain = matrices(), _unmasked(stage)
    amplified = kappa_alone(plain, M)
    for c in (2.0**-40, 3.0, 1e20, 1e-20):
        actual = apply(plain, c * M) / c
        assert_close(
            actual, apply(plain, M), size(M), amplified, f"tasks times {c:g} do not give the result times that"
        )


def _unmasked(stage: Stage) -> Stage:
    """The stage drawing its own masks."""
    return replace(stage, masks=None) if draws(stage) else stage  # type: ignore[type-var]


@check
def check_weights(stage: Stage) -> None:
    """Weights of 1 are none; they may be a list, a tuple or an array, and make a finite result or one clear error."""
    plain, M = _unmasked(stage), matrices()
    given = factored(M)
    expected = merged(plain, given)
    for ones in ([1, 1, 1], (1.0, 1.0, 1.0), np.ones(3)):
        np.testing.assert_array_equal(merged(plain, given, weights=ones), expected, "weights of 1 change the result")
    assert np.isfinite(merged(plain, given, weights=[0.5, 2.0, 0.25])).all(), "positive weights: not finite"
    if stage.kind != TRANSFORM:
        doubled = merged(plain, given, weights=[2.0, 2.0, 2.0])
        assert np.isfinite(doubled).all(), "weights of 2: not finite"
