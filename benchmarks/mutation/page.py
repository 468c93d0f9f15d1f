"""docs/mutation.md, from the results."""

import datetime
import json
import platform
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from importlib.metadata import version

from benchmarks.mutation import reasons, results
from benchmarks.mutation.mutants import PACKAGES, ROOT, WORK
from benchmarks.mutation.results import Result
from benchmarks.mutation.scoring import score, wilson

PAGE = ROOT / "docs" / "mutation.md"
GOALS = dict.fromkeys(PACKAGES, 0.90) | {"core": 0.95, "perturbation": 0.95, "methods": 0.95}
UNKNOWN = "**No reason known: a gap in the tests, or in those that take part here.**"
TOOLS = ("mutmut", "numpy", "hypothesis", "pytest")

HEAD = """# Mutation testing

Do the tests notice when the code is wrong? mutmut makes mutants of it, each with one thing changed (a comparison, a
constant, an argument, a text), and the tests that call the changed function are run. A mutant is *killed* where a test
fails, and counts as killed where the tests no longer end (*timeout*); else it has *survived*, as has one that no test
reaches. Some are *equivalent*: what they do is what the function does, for the reason that stands below. Score: killed
and timeouts, of those that are not equivalent. The goal is 95 % in `core` and `methods`, 90 % in `analysis`,
`conformance` and `adapters`.

```text
make mutants
```

runs all of them, {total} mutants, which takes hours, writes this page and fails where a goal is missed. A random sample
stands for them:

```text
make mutants ARGS="--sample 400 --seed 1"
```

Each module has its share of the draw, and intervals are Wilson's for 95 %. Whether the tests of *today* are good is
what a sample says *at first*. Tests that were then written for its survivors make *after* better without saying
anything of the mutants that were not drawn; a fresh draw does. `--again` runs survivors once more: one that a test
kills which was there before counts as killed at first. Where the code changed in between, so does what a seed draws:
what it draws no more stays listed as it was, whatever tests there are now.

The scores are rather too low, since a mutant does not meet all tests. It meets those of its package's folder, those of
`core` and `methods` also each other's, the properties and those of `analysis`; on NumPy and array-api-strict, so that
what is done for JAX, torch or CuPy alone survives; none that start processes, and none marked slow. Of a test with
more than {few} parametrizations {variants} take part, and those that name the module, as a method; all tests of a
mutant together for about {budget:g} processor seconds. Hypothesis draws 5 examples where CI draws 40. No mutant is left
out for being a text. It is not part of CI.
"""


def percent(share: float) -> str:
    """Rounded down: 94.99 % is not 95 %."""
    return f"{int(share * 1000 + 1e-9) / 10:.1f} %"


def judged(pairs: Iterable[tuple[Result, Result]], place: int, explained: dict[str, str]) -> Counter[str]:
    """How many of each status, at first (0) or after (1)."""
    chosen = (pair[place] for pair in pairs)
    return Counter(
        "equivalent" if entry.status == "survived" and entry.mutant in explained else entry.status for entry in chosen
    )


def table(pairs: Sequence[tuple[Result, Result]], counts: dict[str, int], explained: dict[str, str]) -> list[str]:
    """One row a package: of so many mutants, how those drawn fared at first and after."""
    lines = [
        "| package | mutants | run | killed | timeout | survived | equivalent | at first | 95 % interval | after |",
        "| --- |" + " ---: |" * 9,
    ]
    by_package = {name: [pair for pair in pairs if pair[0].package == name] for name in PACKAGES}
    for name, members in by_package.items():
        if not members:
            continue
        first, after = (judged(members, place, explained) for place in (0, 1))
        cells = [str(counts[name]), str(len(members))]
        cells += [str(first[status]) for status in ("killed", "timeout", "survived", "equivalent")]
        low, high = wilson(*score(first))
        cells += [share(first), f"{100 * low:.1f} to {100 * high:.1f} %", share(after)]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines


def share(counts: Counter[str]) -> str:
    """The score as it is printed."""
    dead, run = score(counts)
    return percent(dead / run) if run else "–"


def quoted(text: str) -> str:
    """Code in Markdown, also where it holds backticks."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def living(pairs: Iterable[tuple[Result, Result]], explained: dict[str, str]) -> list[str]:
    """The survivors that are left, below their reasons."""
    grouped: dict[str, set[str]] = defaultdict(set)
    for _, last in pairs:
        if last.status == "survived":
            reason = explained.get(last.mutant, UNKNOWN)
            grouped[reason].add(f"- {quoted(f'{last.function}: {last.change}')}")
    lines = [line for reason, changes in sorted(grouped.items()) for line in (reason, "", *sorted(changes), "")]
    return lines or ["None.", ""]


def write(budget: float, variants: int) -> int:
    """Writes the page; 1 where a goal is missed or a survivor has no reason, 0 else."""
    pairs = results.first_and_last(results.read())
    if not pairs:
        raise SystemExit(f"{results.FILE}: expected results, found none; run this without --report first")
    counts = json.loads(WORK.joinpath("counts.json").read_text(encoding="utf-8"))
    explained = reasons.explain([last for _, last in pairs.values() if last.status == "survived"], reasons.read())
    tools = ", ".join(f"{name} {version(name)}" for name in TOOLS)
    total = f"{sum(counts.values()):,}"
    lines = [HEAD.format(total=total, budget=budget, variants=variants, few=3 * variants)]
    lines += ["## Result", "", f"{datetime.date.today()}, Python {platform.python_version()}, {tools}.", ""]
    code = 0
    for draw in dict.fromkeys(draw for draw, _ in pairs):
        members = [pair for key, pair in pairs.items() if key[0] == draw]
        lines += [f"### Draw: {draw}", "", *table(members, counts, explained), ""]
        for name in PACKAGES:
            dead, run = score(judged([pair for pair in members if pair[0].package == name], 1, explained))
            code |= dead < GOALS[name] * run
    left = [f"`{name}`" for name in PACKAGES if not any(first.package == name for first, _ in pairs.values())]
    lines += [f"Not run: {', '.join(left)}; nothing is known of them.", ""] if left else []
    lines += ["## Survivors, and why they may live", "", *living(pairs.values(), explained)]
    PAGE.write_text("\n".join(lines), encoding="utf-8")
    unexplained = {last for _, last in pairs.values() if last.status == "survived" and last.mutant not in explained}
    for entry in sorted(unexplained, key=lambda entry: entry.mutant):
        print(f"survived without a reason: {entry.function} [{entry.kind}]: {entry.change}")
    print(f"{PAGE}: {len(pairs)} mutants of {total} run, {len(unexplained)} survivors without a reason")
    return int(code or bool(unexplained))
