"""Mutation testing of the numerical core: mutmut in a copy of the tree, then docs/mutation.md. `make mutants` runs it.

    python -m benchmarks.mutation [--fresh] [--again] [--tests REGEX] [--report] [--jobs N] [MODULE ...]

Interrupted, it goes on where it was. A MODULE (`linalg`, `stages.ties`) is run from its start, and no other. --again
runs surviving mutants once more, after tests were added. --tests limits which tests may kill: a survivor costs all of
them, so rounds are quicker, first with quick tests, then --again with slow or with new ones. --fresh forgets all
results; --report only writes the page from what has been run so far. Why a survivor may live stands in
mutation_reasons.toml. Fails below 95 % killed, on a survivor without a reason, and on mutants that were not run.
"""

import argparse
import contextlib
import datetime
import filecmp
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "mutants"
PAGE = ROOT / "docs" / "mutation.md"
REASONS = Path(__file__).with_name("mutation_reasons.toml")
COPIED = ("coremerge_ref", "tests", "pyproject.toml", "benchmarks/mutation_plugin.py")
GOAL = 0.95
COLUMNS = ("killed", "timeout", "survived", "not run")
PACKAGES = ("mutmut", "numpy", "hypothesis", "pytest")

HEAD = """# Mutation testing of the numerical core

Do the tests notice when the numerical core is wrong? mutmut changes one thing at a time (a comparison, a constant, an
argument, a text) and runs the tests that reach it. A mutant is *killed* where a test fails, and counts as killed where
the tests no longer end (*timeout*). One that no test reaches has *survived*. Score: killed and timeouts, of those run.
The goal is {goal:.0f} %.

The tests run on NumPy and array-api-strict here. Nearly all tests on torch are left out, and all on JAX, because
mutants are tried in forked processes, which JAX does not survive. Hypothesis draws 5 examples where CI draws 40. Both
make the score rather too low. Which modules and tests take part is in `[tool.mutmut]` of `pyproject.toml`. No mutant
is left out for being a text.

```text
make mutants
```

writes this page, and fails below 95 %. A survivor costs all its tests, so `--tests` and `--again` split the work into
rounds (`python -m benchmarks.mutation --help`), which is how the result below came about: quick tests first, then
survivors again with those that were added for them, an hour and a half on two cores in all. It is not part of CI.
"""


@dataclass(frozen=True)
class Mutant:
    """One mutant: mutmut's name for it, and killed, timeout, survived or not run."""

    name: str
    status: str

    @property
    def module(self) -> str:
        """The module within the package, as `stages.ties`."""
        return self._parts[0]

    @property
    def function(self) -> str:
        """The function or method that was changed, as `frames.Frames.encode`."""
        return ".".join(self._parts)

    @property
    def _parts(self) -> tuple[str, str]:
        module, _, mangled = self.name.partition("__mutmut_")[0].removeprefix("coremerge_ref.").rpartition(".")
        separator = "\u01c1"
        return module, mangled[2:].replace(separator, ".")


def synchronize(source: Path, target: Path) -> None:
    """Makes `target` what `source` is, touching only what differs: mutmut goes by times of modification."""
    if source.is_file():
        if not target.exists() or not filecmp.cmp(source, target, shallow=False):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        return
    target.mkdir(parents=True, exist_ok=True)
    kept = {path.name for path in source.iterdir() if path.name != "__pycache__"}
    for path in target.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in sorted(kept):
        synchronize(source / name, target / name)


def status(code: int | None) -> str:
    """What a test run's exit code, as mutmut records it, says of the mutant."""
    from mutmut.stats import status_by_exit_code

    if code == -9:  # mutmut's second signal, to what did not end at the first
        return "timeout"
    words = {
        "killed": "killed",
        "segfault": "killed",
        "timeout": "timeout",
        "survived": "survived",
        "no tests": "survived",
    }
    return words.get(status_by_exit_code[code], "not run")


def mutants(work: Path) -> list[Mutant]:
    """All mutants that mutmut made below `work`."""
    found = []
    for path in sorted((work / "mutants").rglob("*.py.meta")):
        codes = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        found += [Mutant(name, status(code)) for name, code in codes.items()]
    return found


def change(diff: str) -> str:
    """The changed lines of a unified diff of one function, as `old → new` in one line."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++", "@@"))]
    old, new = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return f"{old} → {new}"


def survivors(found: Iterable[Mutant], work: Path) -> list[str]:
    """`function: old → new` of each survivor: unlike mutmut's numbers, the same after changes elsewhere."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    with contextlib.chdir(work):
        return [f"{m.function}: {change(get_diff_for_mutant(m.name))}" for m in found if m.status == "survived"]


def table(found: list[Mutant]) -> list[str]:
    """One row a module, and one for all."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant in found:
        counts[f"`{mutant.module}`"][mutant.status] += 1
    rows = [*sorted(counts.items()), ("all", sum(counts.values(), Counter()))]
    lines = [f"| module | mutants | {' | '.join(COLUMNS)} | score |", "| --- |" + " ---: |" * (len(COLUMNS) + 2)]
    for name, count in rows:
        cells = [str(count.total()), *(str(count[column]) for column in COLUMNS), score(count)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def share(count: Counter[str]) -> float | None:
    """Killed and timeouts, of those run; None where none was."""
    run = count.total() - count["not run"]
    return (count["killed"] + count["timeout"]) / run if run else None


def score(count: Counter[str]) -> str:
    """`share`, rounded down: 94.99 % is not 95 %."""
    value = share(count)
    return "–" if value is None else f"{int(value * 1000) / 10:.1f} %"


def quoted(text: str) -> str:
    """Code in Markdown, also where it holds backticks."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def page(found: list[Mutant], living: list[str], reasons: dict[str, str]) -> str:
    """docs/mutation.md: the table, and the survivors below their reason."""
    count = Counter(mutant.status for mutant in found)
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    made = f"{datetime.date.today()}, Python {platform.python_version()}, {versions}."
    lines = [HEAD.format(goal=100 * GOAL), "## Result\n", made + "\n", *table(found), ""]
    if count["not run"]:
        lines.append(f"**{count['not run']} of {count.total()} mutants were not run**; no score counts them.\n")
    lines.append("## Survivors, and why they may live\n")
    grouped = defaultdict(list)
    for change_made in living:
        grouped[reasons.get(change_made, "**No reason known: a gap in the tests.**")].append(change_made)
    for reason, changes in sorted(grouped.items()):
        lines += [
            f"{reason}\n",
            *(f"- {quoted(c)}{f' ({n} times)' * (n > 1)}" for c, n in sorted(Counter(changes).items())),
            "",
        ]
    if not grouped:
        lines.append("None.\n")
    return "\n".join(lines)


def main() -> None:
    """Runs mutmut, writes the page, and exits with 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="only these, and from their start")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--again", action="store_true", help="run surviving mutants once more")
    parser.add_argument("--tests", metavar="REGEX", default="", help="only tests whose name it finds")
    parser.add_argument("--report", action="store_true", help="run nothing, only write the page")
    parser.add_argument("--jobs", type=int, default=2, help="mutants tested at the same time")
    args = parser.parse_args()
    if args.fresh:
        shutil.rmtree(WORK, ignore_errors=True)
    if not args.report:
        for name in COPIED:
            synchronize(ROOT / name, WORK / name)
        shutil.rmtree(WORK / "mutants" / "tests", ignore_errors=True)  # mutmut copies them, but deletes none
        names = [f"coremerge_ref.{module}.*" for module in args.modules]
        if args.again:
            names += [mutant.name for mutant in mutants(WORK) if mutant.status == "survived"]
        mutmut = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", str(args.jobs)]
        environment = {"HYPOTHESIS_PROFILE": "mutants", "MUTANT_TESTS": args.tests} | os.environ
        subprocess.run([*mutmut, *names], cwd=WORK, check=True, env=environment)
    found = mutants(WORK)
    if not found:
        raise SystemExit(f"{WORK}: expected mutmut's results, found none; run this without --report first")
    living = survivors(found, WORK)
    entries = tomllib.loads(REASONS.read_text(encoding="utf-8"))["reasons"]
    reasons = {text: entry["reason"] for entry in entries for text in living if re.search(entry["pattern"], text)}
    PAGE.write_text(page(found, living, reasons), encoding="utf-8")
    count = Counter(mutant.status for mutant in found)
    unexplained = sorted(set(living) - set(reasons))
    print(f"{PAGE}: {count.total()} mutants, {score(count)} killed, {count['not run']} not run")
    for text in unexplained:
        print(f"survived without a reason: {text}")
    for entry in entries if not count["not run"] else ():
        if entry["reason"] not in reasons.values():
            print(f"a reason for nothing: {entry['reason']}")
    if unexplained or count["not run"] or (share(count) or 0.0) < GOAL:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
