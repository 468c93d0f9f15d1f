"""What a run found: results, counts, groups, JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .invalid import Reaction
from .provenance import Provenance
from .questions import Case
from .text import TRACE, clean

FORMAT = "coremerge-conformance-report-1"
UNKNOWN = "not a known mistake"


@dataclass
class Result:
    """``ratio``: error in units of the case's tolerance; ``relative``: ‖error‖ / ‖expected‖, infinite where there is
    no answer to compare. ``diagnosis``: the known mistake that gives this output,
    or why the answer was refused, the same whatever else failed. ``mistakes``: ids of all known ones that give it.
    ``cause``: the one that explains most of the run's failures, or the diagnosis; what failures are grouped by.
    ``expected_failure``: the reason given for expecting the failure, or empty. ``traceback``, ``printed``: of a
    function that raised, and what it printed where it ran in a process of its own."""

    case: Case
    verdict: str
    ratio: float = 0.0
    diagnosis: str = ""
    expected_failure: str = ""
    mistakes: tuple[str, ...] = ()
    cause: str = ""
    relative: float = float("inf")
    traceback: str = ""
    printed: str = ""

    @property
    def ok(self) -> bool:
        """Neither failed nor broke, unless that was expected."""
        return self.verdict not in ("fail", "error") or bool(self.expected_failure)

    @property
    def group(self) -> str:
        """What failures are grouped by: the cause, without the particulars of one case."""
        return self.cause or self.diagnosis or UNKNOWN

    def as_dict(self) -> dict[str, Any]:
        """For JSON: infinite errors are None, text is bounded and printable."""
        return {
            "case": clean(self.case.name), "verdict": self.verdict, "ratio": _finite(self.ratio),
            "relative_error": _finite(self.relative), "diagnosis": clean(self.diagnosis), "cause": clean(self.cause),
            "mistakes": [clean(m) for m in self.mistakes], "expected_failure": clean(self.expected_failure),
            "traceback": clean(self.traceback, TRACE, lines=True), "printed": clean(self.printed, TRACE, lines=True),
        }  # fmt: skip


def _finite(x: float) -> float | None:
    return float(x) if abs(x) < float("inf") else None


@dataclass
class Report:
    """All results of a run. ``stale``: expected failures that no longer fail. ``missing``: cases of the kit that no
    output was given for, where outputs come as a file. ``invalid``: what was done with invalid input, judged apart."""

    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0
    stale: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    provenance: Provenance = field(default_factory=Provenance)
    allow_partial: bool = False
    invalid: list[Reaction] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """No unexpected failure or error, no stale expectation, nothing left out, and at least one case answered."""
        whole = self.allow_partial or not self.missing
        answered = any(r.verdict != "unsupported" for r in self.results)
        return all(r.ok for r in self.results) and answered and whole and not self.stale

    @property
    def counts(self) -> dict[str, int]:
        """Verdict -> number of cases."""
        return dict(Counter(r.verdict for r in self.results))

    @property
    def failures(self) -> list[Result]:
        """Failed and broken cases, expected ones included."""
        return [r for r in self.results if r.verdict in ("fail", "error")]

    def diagnoses(self) -> dict[str, int]:
        """Cause -> number of failing cases, most frequent first."""
        return dict(Counter(r.group for r in self.failures).most_common())

    def expect(self, expected: Mapping[str, str] | None) -> None:
        """Mark the failures that are expected, and the expectations that are stale."""
        from .expected import reason, stale

        for result in self.failures:
            result.expected_failure = reason(expected, result.case.name)
        self.stale = stale(expected, self.results)

    def grid(self) -> dict[str, dict[str, dict[str, int]]]:
        """Method -> space -> verdict -> number of cases, in the order asked."""
        out: dict[str, dict[str, dict[str, int]]] = {}
        for r in self.results:
            cell = out.setdefault(r.case.method, {}).setdefault(r.case.space, {})
            cell[r.verdict] = cell.get(r.verdict, 0) + 1
        return out

    def groups(self) -> dict[str, list[Result]]:
        """Cause -> its failing cases, the worst relative error first; most frequent cause first."""
        return {
            cause: sorted((r for r in self.failures if r.group == cause), key=lambda r: -r.relative)
            for cause in self.diagnoses()
        }

    def to_json(self) -> str:
        """The report as JSON text, of the schema ``report.schema.json``."""
        whole = {
            "format": FORMAT,
            "ok": self.ok,
            "provenance": self.provenance.as_dict(),
            "counts": self.counts,
            "grid": self.grid(),
            "stale": [clean(s) for s in self.stale],
            "missing": self.missing,
            "seconds": round(self.seconds, 3),
            "invalid": [r.as_dict() for r in self.invalid],
            "results": [r.as_dict() for r in self.results],
        }
        return json.dumps(whole, indent=1, allow_nan=False)

    def badge(self) -> str:
        """The JSON of an endpoint badge (shields.io): right answers of all that were given."""
        right = sum(r.verdict in ("pass", "ambiguous") for r in self.results)
        answered = sum(r.verdict != "unsupported" for r in self.results)
        message = f"{right} of {answered} cases" + (f", {self.provenance.precision}" if answered else "")
        colour = "brightgreen" if self.ok else "red"
        return json.dumps({"schemaVersion": 1, "label": "core space merging", "message": message, "color": colour})

    def summary(self) -> str:
        """The first screen: counts, the grid of methods and spaces, failures by their causes."""
        from .screen import summary

        return summary(self)

    def table(self, every: bool = False) -> str:
        """One line for each failing result, or for all with ``every``."""
        from .screen import table

        return table(self.results if every else self.failures)


def schema() -> dict[str, Any]:
    """JSON Schema of a report."""
    loaded: dict[str, Any] = json.loads((Path(__file__).parent / "report.schema.json").read_text())
    return loaded
