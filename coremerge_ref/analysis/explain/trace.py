"""What is known about the errors of one layer while its matrices go through a pipeline."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from coremerge_ref.analysis.explain.formulas import LIMIT, norm


@dataclass(frozen=True)
class Level:
    """One size of error: every factor is known up to eps · growth, relative to its norm.

    name "compute": the rounding of the arithmetic; "input": the rounding of the inputs to their own dtype, were they
    rounded and not exact.
    """

    name: str
    dtype: str
    eps: float
    growth: float

    @property
    def size(self) -> float:
        """The relative error of a factor."""
        return self.eps * self.growth

    def beside(self, error: Any, noise: Any) -> Any:
        """`error` as decisions about zero see it: arithmetic makes no more of it than half of what counts as zero."""
        return np.minimum(error, noise / 2) if self.name == "compute" else error


@dataclass(frozen=True)
class Margin:
    """How far a decision or a division is from going wrong, as a number relative to the values it compares.

    amplifies: the condition number it brings with it; 0 for plain decisions, which hold or do not.
    """

    stage: str
    what: str
    value: float
    task: int | None = None
    amplifies: float = 0.0

    def __str__(self) -> str:
        return f"{self.stage}: {of_task(self.task)}{self.what} is {self.value:.2g}"


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Singular values, how many of them are kept, and the level below which they count as zero (None: no such cut)."""

    stage: str
    what: str
    values: np.ndarray
    kept: int
    cut: float | None = None
    task: int | None = None

    @property
    def title(self) -> str:
        """What they are the singular values of."""
        return f"{self.stage}: {of_task(self.task)}{self.what}"


@dataclass(eq=False)
class Trace:
    """Errors of the matrices of one layer, at one level.

    delta: bound on the Frobenius norm of the error, (T,) of a stack, () of a merged matrix. entry: bounds on the error
    of each entry, (T, p, q) or (p, q). rank: structural bounds of the ranks, which errors do not raise: a product of
    m × r and r × n factors stays of rank r. shape: (m, n) of the layer. gauge_free: the frames are defined up to signs.
    sizes: ‖B_t‖ ‖A_t‖. unsure: entries that may or may not be there. undecided: entries whose election is open.
    polar: (turn, spread) of a merged matrix that was made as U S Vᵀ from singular vectors, bounds on the errors of U Vᵀ
    and S, finer than delta; None where only delta is known. doubts: sentences, each a discontinuity within the error.
    size_doubt: the same for the live sizes, which only stages with relative settings look at. lost: how often errors
    were found too large for first-order bounds.
    """

    level: Level
    shape: tuple[int, int]
    delta: np.ndarray
    entry: np.ndarray
    rank: np.ndarray
    tasks: tuple[int, ...]
    gauge_free: bool
    sizes: tuple[float, ...]
    size_doubt: str = ""
    unsure: np.ndarray | None = None
    undecided: np.ndarray | None = None
    polar: tuple[float, float] | None = None
    doubts: list[str] = field(default_factory=list)
    margins: list[Margin] = field(default_factory=list)
    spectra: list[Spectrum] = field(default_factory=list)
    estimated: bool = False
    lost: int = 0

    def margin(self, stage: Any, what: str, value: float, task: int | None = None, amplifies: float = 0.0) -> None:
        """Notes a margin; `task` counts the tasks that are there."""
        at = None if task is None else self.tasks[task]
        self.margins.append(Margin(name_of(stage), what, float(value), at, float(amplifies)))

    def spectrum(
        self, stage: Any, what: str, values: Any, kept: int, cut: float | None = None, task: int | None = None
    ) -> None:
        """Notes a spectrum and its cut."""
        at = None if task is None else self.tasks[task]
        self.spectra.append(Spectrum(name_of(stage), what, np.asarray(values, dtype=float), int(kept), cut, at))

    def doubt(self, stage: Any, sentence: str, task: int | None = None) -> None:
        """Notes a discontinuity within the error."""
        at = None if task is None else self.tasks[task]
        self.lost += 1
        self.doubts.append(f"{name_of(stage)}: {of_task(at)}{sentence}, within the rounding of {self.level.dtype}")

    def check(self, stage: Any, change: float, sentence: str, task: int | None = None) -> None:
        """For a relative change that must stay small: a doubt from 1 on, where what is small may vanish or swap; from
        LIMIT on there is no discontinuity within the error yet, but no bound either."""
        if not change < 1:
            self.doubt(stage, sentence, task)
        elif change > LIMIT:
            self.lost += 1

    def uses_size(self, stage: Any) -> bool:
        """Called by stages whose settings are relative to the live size: whether that is in doubt."""
        if self.size_doubt:
            self.doubt(stage, self.size_doubt)
        return bool(self.size_doubt)

    def merged(
        self, delta: float, entry: np.ndarray | None, shape: tuple[int, ...], rank: int | None = None
    ) -> "Trace":
        """This trace with the errors of a merged matrix of `shape`; entry None: nothing finer than delta is known."""
        self.delta, self.polar = np.asarray(float(delta)), None
        self.entry = np.full(shape, float(delta)) if entry is None else np.minimum(entry, float(delta))
        self.rank = np.asarray(min(*shape, int(np.sum(self.rank))) if rank is None else rank)
        return self

    def weighted(self, weights: tuple[float, ...]) -> tuple[np.ndarray, float]:
        """(|w_t| delta_t, the norm of all of them)."""
        delta = np.abs(np.asarray(weights)) * self.delta
        return delta, norm(delta)


def of_task(task: int | None) -> str:
    """'task 2: ', or nothing."""
    return "" if task is None else f"task {task}: "


def name_of(stage: Any) -> str:
    """The name of a stage or a space."""
    return stage if isinstance(stage, str) else stage.name
