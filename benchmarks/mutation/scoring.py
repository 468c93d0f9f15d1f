"""Random samples of the mutants, stratified by module, and what they say of all: scores with Wilson's 95 % interval."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from scipy.stats import binomtest

from benchmarks.mutation.mutants import Mutant


def draw(mutants: Sequence[Mutant], size: int, seed: int) -> list[Mutant]:
    """`size` of them in random order, each module's share rounded by largest remainders (equal ones at random)."""
    strata: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in sorted(mutants, key=lambda mutant: mutant.name):
        strata[mutant.module].append(mutant)
    size = min(size, len(mutants))
    shares = {module: size * len(members) / len(mutants) for module, members in strata.items()}
    counts = {module: int(share) for module, share in shares.items()}
    rng = random.Random(seed)
    order = sorted(strata)
    rng.shuffle(order)
    order.sort(key=lambda module: counts[module] - shares[module])
    for module in order[: size - sum(counts.values())]:
        counts[module] += 1
    drawn = [m for module in sorted(strata) for m in rng.sample(strata[module], counts[module])]
    rng.shuffle(drawn)
    return drawn


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    interval = binomtest(successes, trials).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def score(counts: Counter[str]) -> tuple[int, int]:
    """Killed and timeouts, and of how many: equivalent mutants are none."""
    dead = counts["killed"] + counts["timeout"]
    return dead, dead + counts["survived"]
