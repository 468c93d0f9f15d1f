"""What a run found: results, a table, JSON."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .questions import Case


@dataclass
class Result:
    """``ratio``: error in units of the case's tolerance. ``diagnosis``: the known mistake that gives this output,
    or why the answer was refused, the same whatever else failed. ``mistakes``: ids of all known ones that give it.
    ``cause``: the one that explains most of the run's failures, or the diagnosis; what failures are grouped by.
    ``expected_failure``: the reason given for expecting the failure, or empty."""

    case: Case
    verdict: str
    ratio: float = 0.0
    diagnosis: str = ""
    expected_failure: str = ""
    mistakes: tuple[str, ...] = ()
    cause: str = ""

    @property
    def ok(self) -> bool:
        """Neither failed nor broke, unless that was expected."""
        return self.verdict not in ("fail", "error") or bool(self.expected_failure)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        ratio = self.ratio if self.ratio < float("inf") else None
        return {"case": self.case.name, "verdict": self.verdict, "ratio": ratio, "diagnosis": self.diagnosis,
                "expected_failure": self.expected_failure}  # fmt: skip


@dataclass
class Report:
    """All results of a run."""

    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """No unexpected failure or error, and at least one case answered."""
        return all(r.ok for r in self.results) and any(r.verdict != "unsupported" for r in self.results)

    @property
    def counts(self) -> dict[str, int]:
        """Verdict -> number of cases."""
        return dict(Counter(r.verdict for r in self.results))

    @property
    def failures(self) -> list[Result]:
        """Failed and broken cases, expected ones included."""
        return [r for r in self.results if r.verdict in ("fail", "error")]

    def diagnoses(self) -> dict[str, int]:
        """Diagnosis -> number of failing cases, most frequent first."""
        return dict(Counter(r.diagnosis or "not a known mistake" for r in self.failures).most_common())

    def to_json(self) -> str:
        """The report as JSON text."""
        whole = {
            "ok": self.ok,
            "counts": self.counts,
            "seconds": round(self.seconds, 3),
            "results": [r.as_dict() for r in self.results],
        }
        return json.dumps(whole, indent=1)

    def summary(self) -> str:
        """Counts of verdicts and of diagnoses as text."""
        lines = [" · ".join(f"{n} {v}" for v, n in sorted(self.counts.items())) + f" · {self.seconds:.1f} s"]
        lines += [f"{n:5d} × {text}" for text, n in self.diagnoses().items()]
        return "\n".join(lines)

    def table(self, every: bool = False) -> Any:
        """A rich table of the failing results (all with ``every``)."""
        from rich.table import Table

        table = Table("case", "verdict", "ratio", "diagnosis", title=self.summary().split("\n")[0])
        for r in self.results if every else self.failures:
            note = f" (expected: {r.expected_failure})" if r.expected_failure else ""
            table.add_row(r.case.name, r.verdict, f"{r.ratio:.3g}", r.diagnosis + note)
        return table
