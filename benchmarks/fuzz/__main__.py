"""python -m benchmarks.fuzz [--trials N] [--seed S]: exit 1 where a promise is broken, with seeds to run it again."""

import argparse
import os
import sys
import traceback
import warnings
from collections import Counter

from benchmarks.fuzz.certificates import certified
from benchmarks.fuzz.judging import findings
from benchmarks.fuzz.models import Model, modelled
from benchmarks.fuzz.names import named
from benchmarks.fuzz.trials import DEPENDENT, draw

SHOWN, EVERY = 50, 500  # findings of each kind; trials between two lines that say how far it is
# every which trial is certified, has a model of several layers beside it, and an update that compare must not name
CERTIFIED, MODELLED, NAMED = 4, 4, 100


def main() -> int:
    """Runs the trials and prints what is broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--seed", type=int, help="the first seed; drawn anew otherwise")
    parser.add_argument("--quick", action="store_true", help="look for no worst case, which takes most of the time")
    options = parser.parse_args()
    first = DEPENDENT + int.from_bytes(os.urandom(4), "little") if options.seed is None else options.seed
    counts: Counter[str] = Counter()
    print(f"{options.trials} trials from seed {first}")
    warnings.simplefilter("error")  # a warning of NumPy's is a crash
    for seed in range(first, first + options.trials):
        if seed > first and (seed - first) % EVERY == 0:
            print(f"{seed - first} trials: {_told(counts)}", flush=True)
        trial = draw(seed)
        try:
            broken = findings(trial, options.quick)
            broken += certified(trial) if seed % CERTIFIED == 0 else []
            broken += modelled(Model(seed)) if seed % MODELLED == 0 else []
            broken += named(trial) if seed % NAMED == 0 else []
        except Exception as error:  # a crash is a finding
            broken = [("crash", "".join(traceback.format_exception_only(error)).strip())]
        for kind, sentence in broken:
            counts[kind] += 1
            if counts[kind] <= SHOWN:
                print(f"{kind}: {sentence}; {trial}", flush=True)
    print(_told(counts))
    return int(bool(counts))


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in counts.items()) or "nothing broken"


if __name__ == "__main__":
    sys.exit(main())
