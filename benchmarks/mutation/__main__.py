"""Mutation testing: changes the code one thing at a time, runs the tests that call it, and writes docs/mutation.md.

    python -m benchmarks.mutation [--sample N --seed S] [--again] [--budget S] [--variants N] [--report] [NAME ...]

Without --sample every mutant is run, which takes hours; with it a random sample, stratified by module, whose score
stands for all within the interval that is given. NAME is a package or a module (`core`, `adapters.plan`). Interrupted,
it goes on where it was. --again runs survivors once more, after tests were added; --budget and --variants say how many
tests a mutant meets. --report runs nothing. Why a survivor may live stands in reasons.toml. Fails below the goals, on a
survivor without a reason, and on mutants that were not run.
"""

import argparse
import json
from collections import Counter

from benchmarks.mutation import page, results, running, scoring
from benchmarks.mutation.mutants import WORK, make_tree


def main() -> None:
    """Runs mutants, writes the page, and exits with 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these packages or modules")
    parser.add_argument("--sample", type=int, metavar="N", help="so many mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the draw")
    parser.add_argument("--again", action="store_true", help="run survivors once more")
    parser.add_argument("--budget", type=float, default=3.0, metavar="S", help="processor seconds of tests")
    parser.add_argument("--variants", type=int, default=4, metavar="N", help="parametrizations of each test, at most")
    parser.add_argument("--report", action="store_true", help="run nothing, only write the page")
    args = parser.parse_args()
    if not args.report:
        mutants = make_tree()
        named = [m for m in mutants if not args.names or any(f"{m.module}.".startswith(f"{n}.") for n in args.names)]
        if not named:
            parser.error(f"expected packages or modules with mutants, got {' '.join(args.names)}")
        drawn = scoring.draw(named, args.sample or len(named), args.seed)
        draw = " ".join([f"seed {args.seed}" if args.sample else "all", *args.names])
        counts = Counter(mutant.package for mutant in mutants)
        WORK.joinpath("counts.json").write_text(json.dumps(counts), encoding="utf-8")
        last = {key: pair[1] for key, pair in results.first_and_last(results.read()).items()}
        todo = []
        for mutant in drawn:
            known = last.get((draw, mutant.name))
            valid = known is not None and known.digest == mutant.digest
            if not valid or (args.again and known is not None and known.status == "survived"):
                todo.append(mutant)
        print(f"{len(mutants)} mutants, {len(drawn)} drawn, {len(todo)} to run", flush=True)
        if todo:
            running.run(todo, draw, args.budget, args.variants)
    raise SystemExit(page.write(args.budget, args.variants))


if __name__ == "__main__":
    main()
