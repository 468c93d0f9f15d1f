"""Cases drawn at random, expected values from the definition: nothing that could be tuned to a fixed list."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import count, islice

import numpy as np

from .configs import PRINCIPAL, SPACES, VARIANTS, params_for
from .questions import Case, draw, static_size, with_answer

CONFIGS = {**PRINCIPAL, **VARIANTS}
SIZES, TASKS = 7, 4  # the largest size and number of tasks drawn: the definition is exact, not quick
Update = tuple[np.ndarray, np.ndarray, float]


def fresh_seed() -> int:
    """A seed that nobody knows beforehand."""
    return secrets.randbelow(2**31)


def generate(
    seed: int, n: int, *, shapes: Sequence[tuple[int, int]] | None = None, ranks: Sequence[int] = (0, 1, 2, 3)
) -> list[Case]:
    """``n`` cases of any method and space, the same for the same arguments, with expected values.

    shapes: the (m, n) to draw from, any up to 7 × 7 where None. ranks: of the one to four tasks. Tasks are sometimes
    copies or negatives of others, sometimes small integers, scaled by powers of two. Needs mpmath (the extra
    "conformance"); 50 ms a case at these sizes, with the cube of the size above.
    """
    drawn = (one(seed, index, shapes, ranks) for index in count())
    return list(islice((case for case in drawn if case is not None), n))


def one(seed: int, index: int, shapes: Sequence[tuple[int, int]] | None, ranks: Sequence[int]) -> Case | None:
    """The case of that index; None where its answer cannot be judged."""
    from .solving import solve

    rng = np.random.default_rng([seed, index])
    updates = drawn_updates(rng, shapes, ranks)
    config, space = str(rng.choice(list(CONFIGS))), str(rng.choice(SPACES))
    name = f"{config}/{space}/seed-{seed}-{index}"
    params, masks = params_for(CONFIGS[config], len(updates)), None
    if "mean" in params and abs(sum(params["mean"]["weights"])) < 0.1:
        params["mean"]["weights"] = [1.0] * len(updates)
    if "dare" in params:
        masks = draw(name, (len(updates), *static_size(updates, space)), params["dare"]["drop"])
    case = Case(name, "generated", config, CONFIGS[config][0], space, updates, params, masks)
    expected, record = solve(case, exact_entries=False)
    return with_answer(case, expected, record) if record["asked"] else None


def drawn_updates(
    rng: np.random.Generator, shapes: Sequence[tuple[int, int]] | None, ranks: Sequence[int]
) -> list[Update]:
    """One to four tasks (B (m, r), A (r, n), scale)."""
    m, n = rng.integers(1, SIZES + 1, 2) if shapes is None else shapes[int(rng.integers(len(shapes)))]
    updates: list[Update] = []
    for _ in range(int(rng.integers(1, TASKS + 1))):
        r = int(rng.choice(ranks))
        b, a = rng.standard_normal((m, r)), rng.standard_normal((r, n))
        if updates and rng.random() < 0.2:
            b, a = updates[-1][0] * rng.choice([1.0, -1.0, 2.0]), updates[-1][1].copy()
        if rng.random() < 0.3:
            b, a = np.round(b), np.round(a)
        updates.append((b, a * 2.0 ** rng.integers(-3, 4), float(rng.choice([1.0, 0.5, 3.0]))))
    return updates
