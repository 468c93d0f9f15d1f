"""The loop of `python -m benchmarks.fuzz.medium` and `.large`: trials from a first seed on, and what is broken."""

import argparse
import os
import traceback
import warnings
from collections import Counter
from collections.abc import Callable

from benchmarks.fuzz.trials import Trial

Findings = list[tuple[str, str]]  # kinds, and a sentence of each


def asked(description: str | None) -> range:
    """The seeds that the command line asks for, the first of which it prints."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--seed", type=int, help="the first seed; drawn anew otherwise")
    options = parser.parse_args()
    first = int.from_bytes(os.urandom(4), "little") if options.seed is None else options.seed
    print(f"{options.trials} trials from seed {first}", flush=True)
    return range(first, first + options.trials)


def run(draw: Callable[[int], Trial], findings: Callable[[Trial], Findings], description: str | None) -> int:
    """Runs trials as the command line asks for them, and prints what is broken; 1 where something is."""
    seeds = asked(description)
    warnings.simplefilter("error")  # a warning of NumPy's is a crash
    counts: Counter[str] = Counter()
    for seed in seeds:
        trial = draw(seed)
        try:
            broken = findings(trial)
        except Exception as error:  # a crash is a finding
            broken = [("crash", "".join(traceback.format_exception_only(error)).strip())]
        for kind, sentence in broken:
            counts[kind] += 1
            print(f"{kind}: {sentence}; {trial}", flush=True)
    print(", ".join(f"{n} {kind}" for kind, n in counts.items()) or "nothing broken")
    return int(bool(counts))
