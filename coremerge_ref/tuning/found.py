"""What a search found: every trial, and the best."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from coremerge_ref.tuning.baselines import BASE, Baseline, beaten_by, verdict

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
_SHOWN = 10  # trials in the text of a search
HEADINGS = ("trial", "score", "α", "method", "settings")


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
    memory. seed: of the search; study: its file; alphas: its range. baselines: what the best should beat.
    """

    trials: tuple[Tried, ...]
    minimize: bool = False
    seed: int = 0
    study: str | None = None
    output: str | None = None
    merged: Any = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    alphas: tuple[float, float] | None = None
    baselines: tuple[Baseline, ...] = ()

    @property
    def ranked(self) -> list[Tried]:
        """The trials that were scored on everything, best first, of equals the earlier."""
        scored = [trial for trial in self.trials if trial.state == COMPLETE and trial.score is not None]
        return sorted(scored, key=lambda trial: (1 if self.minimize else -1) * (trial.score or 0.0))

    @property
    def best(self) -> Tried:
        """The trial of the best score."""
        return self.ranked[0]

    @property
    def at_the_end(self) -> bool:
        """Whether the best α is within a tenth of an end of the range, so that a better one may lie beyond."""
        low, high = self.alphas or (0.0, float("inf"))
        return low < high and not low * 1.1 < self.best.alpha < high / 1.1

    @property
    def beaten_by(self) -> tuple[Baseline, ...]:
        """The baselines that no merge beats, the best of them first."""
        return beaten_by(self.best.score or 0.0, self.baselines, self.minimize)

    @property
    def verdict(self) -> str:
        """Whether merging helped, in one sentence; "" without baselines."""
        return verdict(self.best.score or 0.0, self.baselines, self.minimize)

    def rows(self) -> list[tuple[str, ...]]:
        """The cells of a table: trial, score, α, method and settings of the best, and the baselines among them."""
        scored = [
            (t.score or 0.0, (str(t.number), f"{t.score:.6g}", f"{t.alpha:.4g}", f"{t.method}, {t.space}", t.settings))
            for t in self.ranked[:_SHOWN]
        ]
        scored += [
            (b.score, ("–", f"{b.score:.6g}", "0" if b.name == BASE else "–", b.label, ""))
            for b in self.baselines
            if b.score is not None
        ]
        return [row for _, row in sorted(scored, key=lambda pair: pair[0] if self.minimize else -pair[0])]

    def __str__(self) -> str:
        """The rows under their headings."""
        rows = [HEADINGS, *self.rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "trials": [asdict(trial) for trial in self.trials],
            "best": asdict(self.best),
            "at_the_end": self.at_the_end,
            "baselines": [asdict(baseline) for baseline in self.baselines],
            "beaten_by": [baseline.name for baseline in self.beaten_by],
            "minimize": self.minimize,
            "seed": self.seed,
            "study": self.study,
            "output": self.output,
            "notes": list(self.notes),
        }
