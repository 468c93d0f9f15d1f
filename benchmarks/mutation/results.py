"""What each mutant met, one line of JSON each below build/mutants, so that a run that was stopped goes on."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from benchmarks.mutation.mutants import WORK, Mutant

FILE = WORK / "results.jsonl"


@dataclass(frozen=True)
class Result:
    """How one mutant fared: killed, timeout or survived, in the draw that it was of ("all" for none)."""

    draw: str
    mutant: str
    digest: str
    package: str
    function: str
    kind: str
    change: str
    status: str
    killer: str | None
    tests: int
    seconds: float


def result(mutant: Mutant, draw: str, status: str, killer: str | None, tests: int, seconds: float) -> Result:
    """Of a mutant just run."""
    package, function, kind, change = mutant.package, mutant.function, mutant.kind, mutant.change
    return Result(draw, mutant.name, mutant.digest, package, function, kind, change, status, killer, tests, seconds)


def read(file: Path = FILE) -> list[Result]:
    """All that were noted, the oldest first."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [Result(**json.loads(line)) for line in lines]


def note(entry: Result, file: Path = FILE) -> None:
    """Adds one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")


def remember(draw: str, tests: Iterable[str]) -> None:
    """Notes which tests there are when a draw is first run."""
    file = WORK / "tests" / f"{draw}.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(sorted({test.partition("[")[0] for test in tests})), encoding="utf-8")


@cache
def remembered(draw: str) -> set[str]:
    """Those tests, without parameters."""
    file = WORK / "tests" / f"{draw}.json"
    return set(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else set()


def first_and_last(
    entries: Iterable[Result], known: Callable[[str], set[str]] = remembered
) -> dict[tuple[str, str], tuple[Result, Result]]:
    """Of each draw and mutant: the first result, and the last; what a `known` test kills is killed at first."""
    pairs: dict[tuple[str, str], tuple[Result, Result]] = {}
    for entry in entries:
        key = entry.draw, entry.mutant
        there = entry.killer is not None and entry.killer.partition("[")[0] in known(entry.draw)
        pairs[key] = pairs[key][0] if key in pairs and not there else entry, entry
    return pairs
