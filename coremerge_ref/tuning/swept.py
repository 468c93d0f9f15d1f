"""What a sweep found: the score of each α, of the base model, and of each adapter alone."""

from dataclasses import asdict, dataclass, field
from typing import Any

from coremerge_ref.tuning.baselines import BASE, Baseline, beaten_by, verdict


@dataclass(frozen=True)
class Trial:
    """One α, its score, and the seconds that the evaluation took."""

    alpha: float
    score: float
    seconds: float


@dataclass(frozen=True)
class Sweep:
    """What was tried, in the order of α. merged: the best, scaled, of updates in memory; output: where it was written.

    scale: what the adapter had been merged at: α multiplies it. baselines: what the best should beat.
    """

    trials: tuple[Trial, ...]
    minimize: bool = False
    scale: float = 1.0
    output: str | None = None
    merged: Any = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    baselines: tuple[Baseline, ...] = ()

    @property
    def best(self) -> Trial:
        """The trial of the best score; of equals the one of the smallest α."""
        return (min if self.minimize else max)(self.trials, key=lambda trial: trial.score)

    @property
    def alpha(self) -> float:
        """The α of the best score."""
        return self.best.alpha

    @property
    def score(self) -> float:
        """The best score."""
        return self.best.score

    @property
    def at_the_end(self) -> bool:
        """Whether the best is the smallest or largest α tried, so that a better one may lie beyond."""
        return len(self.trials) > 1 and self.best in (self.trials[0], self.trials[-1])

    @property
    def beaten_by(self) -> tuple[Baseline, ...]:
        """The baselines that no α beats, the best of them first."""
        return beaten_by(self.score, self.baselines, self.minimize)

    @property
    def verdict(self) -> str:
        """Whether merging helped, in one sentence; "" without baselines."""
        return verdict(self.score, self.baselines, self.minimize)

    def rows(self) -> list[tuple[str, str, str]]:
        """The cells of a table: α, score and what it is of; the best marked."""
        base = [b for b in self.baselines if b.name == BASE and b.score is not None]
        rows = [("0", f"{b.score:.6g}", b.label) for b in base]
        rows += [(f"{t.alpha:.4g}", f"{t.score:.6g}", "<- best α" if t is self.best else "") for t in self.trials]
        alone = [b for b in self.baselines if b.name != BASE and b.score is not None]
        return rows + [("–", f"{b.score:.6g}", b.label) for b in alone]

    def __str__(self) -> str:
        """The rows under their headings."""
        return "\n".join(f"{a:>8}  {s:<10}  {of}".rstrip() for a, s, of in [("α", "score", ""), *self.rows()])

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "trials": [asdict(trial) for trial in self.trials],
            "best": asdict(self.best),
            "at_the_end": self.at_the_end,
            "baselines": [asdict(baseline) for baseline in self.baselines],
            "beaten_by": [baseline.name for baseline in self.beaten_by],
            "minimize": self.minimize,
            "scale": self.scale,
            "output": self.output,
            "notes": list(self.notes),
        }
