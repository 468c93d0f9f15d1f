"""Which ill-posed verdicts on rounded inputs do not show: merges as people have them (benchmarks.fuzz.medium), whose
inputs are rounded up or down at random.

    python -m benchmarks.fuzz.verdicts [--trials N] [--seed S]

Prints, by the sentence that explain gives, how many of the verdicts came with merges that moved by more than a
thousandth, and the first seeds of those that did not. A bound is a worst case, which random changes need not meet: what
is printed is where to look for verdicts that are false, and fails nothing.
"""

import re
from collections import defaultdict
from dataclasses import replace

import coremerge_ref as cm
from benchmarks.fuzz.judging import SENSITIVE, distance, moved_by, norm, rounding_at_random
from benchmarks.fuzz.medium import draw, explained, merged
from benchmarks.fuzz.running import asked
from benchmarks.fuzz.trials import Trial

MOVES, SEEDS = 6, 3


def moved(trial: Trial) -> tuple[str, bool] | None:
    """The reason of an ill-posed verdict on the inputs, without its numbers, and whether the merge moves as they are
    rounded; None for any other verdict."""
    try:
        base = merged(trial, trial.updates)
    except cm.CoreMergeError:
        return None
    bound, size = explained(trial).input_bound, norm(base)
    if bound.verdict != "ill-posed" or size == 0:
        return None
    sentence = re.sub(r"\d[\d.e+-]*", "#", bound.discontinuity.split(", within the rounding")[0])
    changed = (moved_by(trial, change) for change in rounding_at_random(trial, bound.eps, MOVES))
    changes = (distance(merged(trial, [cm.LowRankUpdate(*one) for one in factors]), base) for factors in changed)
    return sentence, any(change > SENSITIVE * size for change in changes)


def main() -> None:
    """Draws trials, and prints what becomes of the ill-posed ones."""
    found: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for seed in asked(__doc__):
        verdict = moved(replace(draw(seed), precision="float64"))
        if verdict is not None:
            found[verdict[0]].append((seed, verdict[1]))
    for sentence, trials in sorted(found.items(), key=lambda pair: -len(pair[1])):
        still = [seed for seed, shown in trials if not shown]
        seeds = f", such as {' '.join(map(str, still[:SEEDS]))}" if still else ""
        print(f"{len(trials)} ill-posed, {len(still)} of which did not move{seeds}: {sentence}")


if __name__ == "__main__":
    main()
