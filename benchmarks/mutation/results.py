"""What each mutant met, one line of JSON each below build/mutants, so that a run that was stopped goes on."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
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


def first_and_last(entries: Iterable[Result]) -> dict[tuple[str, str], tuple[Result, Result]]:
    """Of each draw and mutant: the first result, and the last."""
    pairs: dict[tuple[str, str], tuple[Result, Result]] = {}
    for entry in entries:
        key = entry.draw, entry.mutant
        pairs[key] = pairs[key][0] if key in pairs else entry, entry
    return pairs
