"""What a search found: every trial, and the best."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
_SHOWN = 10  # trials in the text of a search


@dataclass(frozen=True)
class Tried:
    """One trial. score: on `fraction` of the data, 1 unless it was pruned; None where it failed, as `error` says.

    arm: what was searched, a row of the table; parameters: those that the trial set, by stage. weights: None for all 1.
    """

    number: int
    state: str
    arm: str
    method: str
    space: str
    parameters: Mapping[str, Mapping[str, Any]]
    alpha: float
    weights: tuple[float, ...] | None
    score: float | None
    fraction: float = 1.0
    seconds: float = 0.0
    error: str = ""

    @property
    def settings(self) -> str:
        """Parameters and weights as the command line has them."""
        said = [
            f"{stage}.{name}={value:.4g}" if isinstance(value, float) else f"{stage}.{name}={value}"
            for stage, values in self.parameters.items()
            for name, value in values.items()
        ]
        if self.weights is not None:
            said.append("weights " + ",".join(f"{weight:.3g}" for weight in self.weights))
        return " ".join(said)


@dataclass(frozen=True)
class Found:
    """A search. trials: in the order of their numbers. output: where the best was written; merged: it, of updates in
    memory. seed: of the search; study: its file.
    """

    trials: tuple[Tried, ...]
    minimize: bool = False
    seed: int = 0
    study: str | None = None
    output: str | None = None
    merged: Any = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def ranked(self) -> list[Tried]:
        """The trials that were scored on everything, best first, of equals the earlier."""
        scored = [trial for trial in self.trials if trial.state == COMPLETE and trial.score is not None]
        return sorted(scored, key=lambda trial: (1 if self.minimize else -1) * (trial.score or 0.0))

    @property
    def best(self) -> Tried:
        """The trial of the best score."""
        return self.ranked[0]

    def __str__(self) -> str:
        """The best trials as a table."""
        rows = [("trial", "score", "α", "method", "settings")]
        rows += [
            (str(t.number), f"{t.score:.6g}", f"{t.alpha:.4g}", f"{t.method}, {t.space}", t.settings)
            for t in self.ranked[:_SHOWN]
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "trials": [asdict(trial) for trial in self.trials],
            "best": asdict(self.best),
            "minimize": self.minimize,
            "seed": self.seed,
            "study": self.study,
            "output": self.output,
            "notes": list(self.notes),
        }
