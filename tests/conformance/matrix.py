"""Write docs/mistakes.md, the matrix mistake × method: ``python tests/conformance/matrix.py``."""

import os
import sys
from collections import Counter
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices of ten rows: threads only get in each other's way

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from doubles import Double
from planted import FURTHER, NAMED

from coremerge_ref import conformance
from coremerge_ref.conformance.asking import CHANGED, STATE
from coremerge_ref.conformance.diagnosis import NULL
from coremerge_ref.conformance.mistakes import MISTAKES, SINGLE_PRECISION

STAGES = ("ta", "mean", "trim", "ties", "dare", "tsv", "cart", "iso", "iso_cts", "drm")
TOLD = {*MISTAKES, *NULL.values(), SINGLE_PRECISION, CHANGED, STATE, "result transposed (A and B swapped)"}


def group(case):
    """The stage a case is about: the merge, or the transform or post that stands beside a plain sum."""
    names = case.method.split("+")
    rest = [n for n in names if n not in ("ta", "mean")]
    return rest[0] if rest else names[0]


def line(mistake, cases, totals):
    """One row: failing cases per stage, the families that catch it first, what the diagnosis says."""
    with np.errstate(all="ignore"):
        report = conformance.run(Double(mistake), cases=cases)
    failed = Counter(group(r.case) for r in report.failures)
    families = [f for f, _ in Counter(r.case.family for r in report.failures).most_common(3)]
    named = next((d for d in report.diagnoses() if d in TOLD), "")
    # a chance agreement on a few cases names nothing
    named = named if report.diagnoses().get(named, 0) >= len(report.failures) / 6 else ""
    cells = [str(failed[s]) if failed[s] else "·" for s in STAGES]
    return f"| {mistake} | {' | '.join(cells)} | {len(report.failures)} | {', '.join(families)} | {named} |"


def main():
    cases = conformance.cases()
    totals = Counter(group(c) for c in cases)
    out = [
        "# Mistakes the conformance kit catches",
        "",
        "Written by `python tests/conformance/matrix.py`. A test double makes one mistake at a",
        f"time; a cell is the number of cases of that stage that fail, of {len(cases)} in all. The",
        "last column is the mistake that the diagnosis names most often; empty where it names none in a sixth of the",
        "failures.",
        "",
        f"| mistake | {' | '.join(f'{s} ({totals[s]})' for s in STAGES)} | all | most in | diagnosis |",
        "|---" * (len(STAGES) + 4) + "|",
    ]
    for title, mistakes in (("listed or seen in other implementations", NAMED), ("further", FURTHER)):
        out.append(f"| **{title}** |" + " |" * (len(STAGES) + 3))
        for mistake in mistakes:
            out.append(line(mistake, cases, totals))
            print(out[-1], flush=True)
    path = Path(__file__).parents[2] / "docs" / "mistakes.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
