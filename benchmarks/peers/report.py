"""docs/peers.md: what each implementation passes and fails, with the kit's diagnosis."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.peers.presets import is_preset
from coremerge_ref.conformance import Case, Report
from coremerge_ref.conformance.answers import host

HEAD = """# Other implementations under the conformance kit

How other packages that merge adapters answer the questions of the [kit](conformance.md), and this one beside them.
Made by `python -m benchmarks.peers`, which runs the installed packages themselves; do not edit. Needs
`pip install -e '.[peers]'`. Every case is asked in float64. A package is asked
for what it has: cases of methods and spaces that it lacks are *unsupported*. Where it has no option for a choice that
a case names (how many entries TIES keeps, what a zero sum elects), it answers its own way and the kit judges that: such
a failure is a difference of definition, and the last table of each says in how many of the failing cases
`coremerge_ref.preset` of that dialect gives the same matrix. What is a defect rather than a difference is in
[defects.md](defects.md).

*ambiguous*: the answer is not determined, and what is determined of it holds. *invalid input*: NaN, shapes that do not
match, parameters out of range; nothing is required there.
"""
VERDICTS = ("pass", "ambiguous", "fail", "error", "unsupported")


@dataclass
class Recorded:
    """An implementation that remembers its answers, by case name."""

    function: Callable[[Case], np.ndarray]
    answers: dict[str, np.ndarray] = field(default_factory=dict)

    def __call__(self, case: Case) -> np.ndarray:
        """The implementation's answer."""
        answer = self.function(case)
        self.answers[case.name] = host(answer).copy()
        return answer


def scoreboard(scores: Sequence[tuple[str, Report]]) -> str:
    """One line for each implementation, the most frequent causes of its failures last."""
    head = [*VERDICTS, "invalid input refused"]
    lines = ["## Scoreboard", "", "| implementation | " + " | ".join(head) + " | most failures |"]
    lines.append("|---|" + "---:|" * len(head) + "---|")
    for title, report in scores:
        causes = ", ".join(f"{_cell(cause)} ({count})" for cause, count in list(report.diagnoses().items())[:2])
        counts = " | ".join(str(report.counts.get(verdict, 0)) for verdict in VERDICTS)
        outcomes = Counter(reaction.outcome for reaction in report.invalid)
        asked = outcomes.total() - outcomes["unsupported"]
        lines.append(f"| {title} | {counts} | {outcomes['refused']} of {asked} | {causes} |")
    return "\n".join(lines) + "\n"


def section(title: str, what: str, report: Report, answers: dict[str, np.ndarray], dialect: str) -> str:
    """One implementation: counts by method, then failures by method and diagnosis with an example each."""
    lines = [f"## {title}", "", what, ""]
    by_method: dict[str, Counter[str]] = defaultdict(Counter)
    for result in report.results:
        by_method[result.case.method][result.verdict] += 1
    lines += ["| method | " + " | ".join(VERDICTS) + " |", "|---|" + "---:|" * len(VERDICTS)]
    answered = {method: counts for method, counts in by_method.items() if set(counts) != {"unsupported"}}
    for method, counts in answered.items():
        lines.append(f"| `{method}` | " + " | ".join(str(counts[verdict]) for verdict in VERDICTS) + " |")
    missing = [f"`{method}`" for method in by_method if method not in answered]
    lines += ["", f"It has no {', '.join(missing)}.", ""] if missing else [""]
    groups: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for result in report.failures:
        groups[(result.case.method, result.diagnosis or "not a known mistake")].append(result.case)
    if groups:
        lines += [f"| method | the kit's diagnosis | cases | equal to preset `{dialect}` | such as |"]
        lines += ["|---|---|---:|---:|---|"]
        for (method, text), cases in sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1]))):
            same = sum(is_preset(c, answers[c.name], dialect) for c in cases if c.name in answers)
            lines.append(f"| `{method}` | {_cell(text)} | {len(cases)} | {same} | `{cases[0].name}` |")
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:160]
