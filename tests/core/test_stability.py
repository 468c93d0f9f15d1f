"""Answers move by rounding when inputs do, also where the paper's definitions leave null vectors to decide.

Every input changes by 1e-15 relative, which is below what storing it did. A definition under which the answer then
changes by O(1) defines nothing; the core's definitions mask null directions, and its answers stay put.
"""

from typing import Any

import numpy as np
import pytest

import coremerge_ref as cm
from benchmarks import dense as published
from coremerge_ref.core.stages import STAGES
from coremerge_ref.testing import Recipe, dense

MOVED, STILL = 0.1, 1e-10
SPACES = {
    "full": cm.Full(),
    "knots": cm.Knots(),
    "knots-t": cm.Knots(transposed=True),
    "core": cm.Core(),
    "tucker": cm.Core("tucker"),
}
METHODS = [
    *STAGES,
    *("tsv+iso", "ties+iso", "dare+tsv"),
    *(cm.Tsv(2), cm.Cart(2), cm.Ties(density=1)),
]
RECIPES = {
    "deficient": Recipe(12, 10, (2, 3, 2), kind="deficient", seed=1),
    "duplicated": Recipe(12, 10, (2, 3, 2), kind="duplicated", seed=2),
    "vera": Recipe(12, 10, (3, 3, 3), kind="vera", seed=3),
    "zero": Recipe(12, 10, (2, 2, 2), kind="zero", seed=4),
    "hetero": Recipe(20, 16, (2, 4, 8), seed=5),
    "overfull": Recipe(6, 5, (3, 3, 3), seed=6),
}

Pairs = list[tuple[np.ndarray, np.ndarray]]


def nudged(pairs: Pairs, seed: int) -> Pairs:
    rng = np.random.default_rng(seed)
    return [tuple(X * (1 + 1e-15 * rng.standard_normal(X.shape)) for X in pair) for pair in pairs]  # type: ignore[misc]


def largest_move(merge: Any, pairs: Pairs) -> float:
    """The largest relative change of merge(pairs) under changes of 1e-15 relative of the inputs."""
    before = merge(pairs)
    return max(np.linalg.norm(merge(nudged(pairs, seed)) - before) / np.linalg.norm(before) for seed in range(3))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_every_answer_stays_put(method: Any, space: str, recipe: str) -> None:
    pairs = [(B, A) for B, A, _ in RECIPES[recipe].build()]
    move = largest_move(lambda p: cm.merge(p, method, SPACES[space]).to_dense(), pairs)
    assert move < STILL


# name: method, space, updates, how far the paper's definition moves (order of magnitude)
FACTS = {
    "full Iso-C": ("iso", "full", Recipe(24, 20, (2, 2, 2), seed=11)),
    "full TSV": ("tsv", "full", Recipe(24, 20, (2, 2, 2), seed=12)),
    "core TSV of ranks 2, 4, 8": ("tsv", "core", Recipe(24, 20, (2, 4, 8), seed=13)),
    "core Iso-C with a duplicated adapter": ("iso", "core", Recipe(24, 20, (3, 3, 3), kind="duplicated", seed=14)),
    "core Iso-C of VeRA": ("iso", "core", Recipe(24, 20, (3, 3, 3), kind="vera", seed=15)),
    "core TSV of VeRA": ("tsv", "core", Recipe(24, 20, (3, 3, 3), kind="vera", seed=16)),
}


@pytest.mark.parametrize("fact", FACTS)
def test_the_papers_definition_moves_and_ours_does_not(fact: str) -> None:
    method, space, recipe = FACTS[fact]
    pairs = [(B, A) for B, A, _ in recipe.build()]
    assert largest_move(lambda p: published.merged(p, method, space), pairs) > MOVED
    assert largest_move(lambda p: cm.merge(p, method, space).to_dense(), pairs) < 1e-12


@pytest.mark.parametrize("method", ["tsv", "iso"])
def test_on_generic_input_both_definitions_are_one(method: str) -> None:
    """Equal ranks, R below m and n: nothing to mask, so the core gives the paper's answer."""
    pairs = [(B, A) for B, A, _ in Recipe(24, 20, (3, 3, 3), seed=17).build()]
    ours = cm.merge(pairs, method).to_dense()
    theirs = published.merged(pairs, method, "core, optimized")
    assert np.linalg.norm(ours - theirs) <= 1e-12 * np.linalg.norm(theirs)


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_cuts_are_relative_to_the_input(unit: float) -> None:
    """No absolute threshold anywhere: the same merge at any size, in every space."""
    factors = Recipe(12, 10, (2, 3, 2), kind="duplicated", seed=2).build()
    for method in (name for name, stage in STAGES.items() if "check_scaling" not in stage().expected_failures):
        for space in SPACES.values():
            one = cm.merge([(B, A) for B, A, _ in factors], method, space).to_dense()
            found = cm.merge([(unit * B, A) for B, A, _ in factors], method, space).to_dense()
            assert np.linalg.norm(found / unit - one) <= 1e-12 * np.linalg.norm(dense(factors))
