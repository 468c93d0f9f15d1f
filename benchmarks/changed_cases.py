"""What changed in the conformance kit's questions and answers since an earlier commit: writes docs/changed_cases.md.

``git worktree add /tmp/before COMMIT; python -m benchmarks.changed_cases /tmp/before COMMIT``
"""

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).parents[1] / "docs" / "changed_cases.md"
DUMP = """
import hashlib, json, sys
from coremerge_ref.conformance import cases
facts = {}
for case in cases():
    inputs = [x.tobytes() for b, a, s in case.updates for x in (b, a)]
    question = [case.method, case.space, case.params, [s for _, _, s in case.updates], None if case.masks is None else
                case.masks.tobytes().hex()]
    digest = hashlib.sha256(b"".join(inputs) + json.dumps(question, sort_keys=True).encode()).hexdigest()
    facts[case.name] = {"question": digest, "expected": [float(x).hex() for x in case.expected.ravel()],
                        "tolerance": case.tolerance, "reasons": list(case.reasons)}
json.dump(facts, sys.stdout)
"""
Facts = Mapping[str, Mapping[str, Any]]


def facts_of(checkout: Path) -> Facts:
    """The kit's cases as the code of a checkout has them."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", DUMP], env=environment, capture_output=True, text=True, check=True
    )
    facts: Facts = json.loads(done.stdout)
    return facts


def distance(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """‖before − after‖ / ‖after‖."""
    x, y = (np.array([float.fromhex(v) for v in facts["expected"]]) for facts in (before, after))
    top = max(np.abs(x).max(initial=0.0), np.abs(y).max(initial=0.0)) or 1.0
    size = float(np.linalg.norm(y / top))
    return float(np.linalg.norm((x - y) / top)) / size if size else float(np.any(x != y))


def rows(before: Facts, after: Facts) -> dict[str, list[tuple[str, str]]]:
    """Heading -> (case, what changed)."""
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in after.keys() & before.keys():
        old, new = before[name], after[name]
        if old["question"] != new["question"]:
            groups["Another question under the same name"].append((name, "inputs, parameters or masks"))
            continue
        off = distance(old, new)
        if off * np.linalg.norm([float.fromhex(v) for v in new["expected"]]) > old["tolerance"] + new["tolerance"]:
            one = ", one of several right answers" if new["reasons"] else ""
            groups["Another expected value"].append((name, f"{off:.2g}{one}"))
        if bool(old["reasons"]) != bool(new["reasons"]):
            heading = "No longer determined" if new["reasons"] else "Now determined"
            groups[heading].append((name, "; ".join(new["reasons"] or old["reasons"])))
    groups["No longer asked"] = [(name, "; ".join(before[name]["reasons"])) for name in before.keys() - after.keys()]
    return {heading: sorted(lines) for heading, lines in groups.items() if lines}


COLUMNS = {
    "Another expected value": "relative change", "Now determined": "why it was not", "No longer determined": "why",
    "Another question under the same name": "what", "No longer asked": "why it was not determined",
}  # fmt: skip


def page(before: Facts, after: Facts, commit: str) -> str:
    """The page."""
    groups, new = rows(before, after), after.keys() - before.keys()
    head = (
        "# Changed conformance cases\n\n"
        f"Cases of the kit whose expected answer is another than at commit {commit}: for comparing a report of then "
        f"with one of today.\nWritten by `python -m benchmarks.changed_cases`, "
        f"in float64. {len(before)} cases were asked then, {len(after)} are now, {len(new)} of them new. A case counts "
        "as changed where its\n"
        "inputs are the same and its expected value differs by more than both tolerances, or where "
        "an answer became determined or ceased to be.\n"
    )
    return head + "".join(table(heading, lines) for heading, lines in sorted(groups.items()))


def table(heading: str, lines: Iterable[tuple[str, str]]) -> str:
    """One heading and its cases."""
    body = [f"| `{name}` | {what} |" for name, what in lines]
    return "\n".join([f"\n## {heading} ({len(body)})\n", f"| case | {COLUMNS[heading]} |", "|---|---|", *body]) + "\n"


def main() -> None:
    """Writes the page, or the file given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path, help="a checkout of the earlier commit")
    parser.add_argument("commit", help="its name, for the page")
    parser.add_argument("-o", "--output", type=Path, default=PAGE)
    options = parser.parse_args()
    before, after = (facts_of(folder) for folder in (options.before.resolve(), Path(__file__).parents[1]))
    options.output.write_text(page(before, after, options.commit), encoding="utf-8")


if __name__ == "__main__":
    main()
