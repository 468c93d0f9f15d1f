"""Why a survivor may live: it does what the function does. reasons.toml, keyed by function and kind of change."""

import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutation.results import Result

FILE = Path(__file__).with_name("reasons.toml")


@dataclass(frozen=True)
class Reason:
    """`mutants` of the function, at most, may survive a change of this kind."""

    function: str
    kind: str
    mutants: int
    reason: str


def read(file: Path = FILE) -> list[Reason]:
    """All reasons."""
    return [Reason(**entry) for entry in tomllib.loads(file.read_text(encoding="utf-8")).get("reasons", [])]


def explain(survivors: Iterable[Result], reasons: Iterable[Reason]) -> dict[str, str]:
    """The reason of each mutant that has one, by its name."""
    known = {(reason.function, reason.kind): reason for reason in reasons}
    used: Counter[tuple[str, str]] = Counter()
    explained = {}
    for survivor in sorted({entry.mutant: entry for entry in survivors}.values(), key=lambda entry: entry.mutant):
        key = survivor.function, survivor.kind
        if key in known and used[key] < known[key].mutants:
            used[key] += 1
            explained[survivor.mutant] = known[key].reason
    return explained
