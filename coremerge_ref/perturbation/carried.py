"""What is known of the errors of one layer, carried from stage to stage: a method's `propagate` says on what terms."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from coremerge_ref.core import linalg
from coremerge_ref.perturbation.theorems import LIMIT, Vector, near, safely, singular_values, thin_svd, value_at

UNDERFLOW = 2.0**10  # smallest normal numbers that products which underflow may add up to


@dataclass(frozen=True)
class Level:
    """One size of error: every column of B_t and row of A_t is known up to eps · growth of its norm.

    name "compute": the arithmetic's, where a sum of N terms is off by N / 2 eps at worst; "input": what rounding to
    their dtype did to the inputs, half an eps. tiny: absolute error of an entry, where products underflow. inner: the
    growth of sums within the space, which may be far smaller than m and n; `growth` where it is None.
    """

    name: str
    dtype: str
    eps: float
    growth: float
    tiny: float = 0.0
    inner: float | None = None

    @property
    def size(self) -> float:
        """The relative error of a column."""
        return self.eps * self.growth

    @property
    def formed(self) -> float:
        """The relative error of a matrix that is formed anew within the space: the arithmetic's alone."""
        return self.eps * (self.growth if self.inner is None else self.inner) if self.name == "compute" else 0.0

    @property
    def framed(self) -> float:
        """The relative error of what a frame takes in or gives back, and of sums over all entries: the arithmetic's
        alone."""
        return self.size if self.name == "compute" else 0.0

    @property
    def stacked(self) -> float:
        """The relative error of the columns of a stack that an SVD is exact for."""
        return self.framed + stopping(self.eps) if self.framed else self.size

    @property
    def decomposed(self) -> float:
        """The relative error of a matrix whose SVD an SVD is: the arithmetic's, and where the iteration stops."""
        return self.formed + stopping(self.eps) if self.formed else 0.0


def stopping(eps: float) -> float:
    """What LAPACK's xBDSQR lets go of beside the diagonal: max(10, min(100, u^(−1/8))) u of it, u = eps / 2.

    49 eps in float64, which small matrices do reach, 5 eps in float32.
    """
    u = eps / 2
    return max(10.0, min(100.0, float(u**-0.125))) * u


@dataclass(frozen=True)
class Margin:
    """How far a decision or a division is from going wrong, relative to the values it compares.

    amplifies: the condition number that it brings; 0 for plain decisions, which hold or do not.
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
    values: Vector
    kept: int
    cut: float | None = None
    task: int | None = None

    @property
    def title(self) -> str:
        """What they are the singular values of."""
        return f"{self.stage}: {of_task(self.task)}{self.what}"

    @property
    def zeros(self) -> int:
        """How many count as zero, where that is what ends those that are kept."""
        above = len(self.values) if self.cut is None else int(np.sum(self.values > self.cut))
        return len(self.values) - above if self.kept == above else 0


def of_task(task: int | None) -> str:
    """'task 2: ', or nothing."""
    return "" if task is None else f"task {task}: "


@dataclass(eq=False)
class Errors:
    """Errors of the matrices of one layer, at one level.

    delta: bound on their norm, (T,) of a stack, () of a merged matrix. entry: on each entry, (T, p, q) or (p, q). rank:
    of exact matrices at most, which errors do not raise. shape: (m, n). gauge_free: frames are defined up to signs.
    unsure: entries that may or may not be there. undecided: entries whose election is open. polar: (turn, spread,
    relative) of a matrix made as U S Vᵀ, bounds for U Vᵀ and S, finer than delta, and on each value of S relative to
    itself. factors: L, R, b, a (of a stack, of each task) where the error is E_L Rᵀ + L E_Rᵀ, columns of
    E_L up to b and of E_R up to a: small columns bound better than delta does; of a merged matrix also a function that
    returns them. apart: bound on the norm, (T,) or (), of what arithmetic adds to that where it forms matrices anew.
    divided: singular values of the stack were divided out of its rows, but not of `factors`. undivided: (delta, entry)
    before that, as long as stages are scalar-weighted sums, to which it does not matter. orthonormal: where rows of
    [N_1 … N_T] are orthonormal, errors or not, N (T, p, q), 1 / σ_i (p), zero at the end, and how far each row turns
    out of the span of all (p); `factors` are of diag(σ) N_t. columns: for each side, how many columns `factors` had at
    first that are not zero, and a bound on how far the span of all turns.
    doubts: (sentence, what to do), each a discontinuity within the error; size_doubt: one that only stages with
    relative settings see, and `live`, for each side between which live sizes it leaves open. jumped: entries may have
    been taken for zero, so the error is not the arithmetic's alone.
    lost: how often no bound held. shared: what was computed once for all levels.
    """

    level: Level
    shape: tuple[int, int]
    delta: Vector
    entry: Vector
    rank: Vector
    tasks: tuple[int, ...]
    gauge_free: bool
    shared: dict[Any, Any]
    unit: float  # eps of the arithmetic, whatever the level: cuts refer to it
    entering: Vector = field(default_factory=lambda: np.zeros(0))
    closed: bool = False
    size_doubt: str = ""
    live: list[tuple[int, int]] = field(default_factory=list)
    unsure: Any = None
    undecided: Vector | None = None
    polar: tuple[float, float, float] | None = None
    factors: Any = None
    apart: Any = 0.0
    undivided: Any = None
    orthonormal: tuple[Vector, Vector, Vector] | None = None
    columns: dict[str, Callable[[], tuple[int, float]]] = field(default_factory=dict)
    divided: bool = False
    jumped: bool = False
    doubts: list[tuple[str, str]] = field(default_factory=list)
    margins: list[Margin] = field(default_factory=list)
    spectra: list[Spectrum] = field(default_factory=list)
    estimated: bool = False
    lost: int = 0

    def margin(self, stage: Any, what: str, value: float, task: int | None = None, amplifies: float = 0.0) -> None:
        """Notes a margin; `task` counts the tasks that are there."""
        at = None if task is None else self.tasks[task]
        self.margins.append(Margin(stage.name, what, float(value), at, float(amplifies)))

    def spectrum(
        self, stage: Any, what: str, values: Any, kept: int, cut: float | None = None, task: int | None = None
    ) -> None:
        """Notes a spectrum and its cut."""
        at = None if task is None else self.tasks[task]
        self.spectra.append(Spectrum(stage.name, what, np.asarray(values, dtype=float), int(kept), cut, at))

    def doubt(self, stage: Any, sentence: str, task: int | None = None, remedy: str | None = None) -> None:
        """Notes a discontinuity within the error, and what to do: `remedy`, or what the stage says."""
        at = None if task is None else self.tasks[task]
        self.lost += 1
        text = f"{stage.name}: {of_task(at)}{sentence}, within the rounding of {self.level.dtype}"
        self.doubts.append((text, getattr(stage, "remedy", "") if remedy is None else remedy))

    def check(
        self,
        stage: Any,
        change: float,
        sentence: str,
        task: int | None = None,
        remedy: Callable[[], str] | None = None,
        limit: float = LIMIT,
    ) -> None:
        """For a relative change that must stay small: from 1 on a doubt; from `limit` on there is no bound."""
        if not change < 1:
            self.doubt(stage, sentence, task, remedy and remedy())
        elif change > limit:
            self.lost += 1

    def beside(self, error: Any, level: Any) -> Any:
        """`error` as decisions about zero see it: what counts as zero is twice what arithmetic makes of zero.

        But not where singular values were divided out, which small ones do not bear, nor where entries that come and go
        make more of it, nor where digits were lost to underflow, of which no level knows.
        """
        if not self.level.formed or self.divided:
            return error
        half = np.minimum(error, np.maximum(np.asarray(level) / 2, UNDERFLOW * self.level.tiny))
        return np.where(error > 4 * np.asarray(level), error, half) if self.jumped else half

    def tied(self, S: Vector) -> Vector:
        """Which singular values S (…, n) the next one equals, as far as an SVD says, however small errors are."""
        return np.asarray(S[..., :-1] - S[..., 1:] <= stopping(self.unit) * S[..., :1])

    def near(self, values: Any, level: Any, error: Any) -> Vector:
        """Which `values`, each known up to `error`, are not told from those that count as zero, up to `level`.

        Rounding of inputs moves both a little; arithmetic also takes for zero what is none, see theorems.near.
        """
        if self.level.formed:
            return near(values, level, error)
        return np.asarray(np.abs(values - np.asarray(level)) < error + 2 * self.level.size * np.asarray(level))

    def uses_size(
        self,
        stage: Any,
        beside: Iterable["Errors"] = (),
        setting: Callable[[int], Any] | None = None,
        of: Callable[[int, int], int] = min,
    ) -> bool:
        """Called by stages whose settings are relative to the live size: whether that is in doubt; or that of another
        of the layers that they look at at once. setting: what becomes of the number of live rows and columns that `of`
        says, their smaller one; where it is the same of all that are open, nothing is."""
        others = (f"in another layer {other.size_doubt}" for other in beside if other.size_doubt)
        sentence = self.size_doubt or next(others, "")
        if sentence and setting is not None and self.live:
            least, most = (of(*ends) for ends in zip(*self.live, strict=True))
            if all(setting(d) == setting(least) for d in range(least, most + 1)):
                return False
        if sentence:
            self.doubt(stage, sentence, remedy="give an absolute rank, or use full space, whose size is fixed")
        return bool(sentence)

    def svd(self, X: Vector) -> tuple[Vector, Vector, Vector]:
        """Thin SVD of X, computed once for all levels."""
        P, S, Qh = self.once(_key(X), lambda: thin_svd(X))
        return P, S, Qh

    def singular_values(self, X: Vector) -> Vector:
        """Those of X alone, computed once for all levels."""
        if _key(X) in self.shared:
            return self.svd(X)[1]
        return np.asarray(self.once(_key(X, "values"), lambda: singular_values(X)))

    def value_at(self, X: Vector, k: int) -> float:
        """σ_k of X, or a little less, computed once for all levels."""
        key = _key(X)
        if ("values", *key) in self.shared:
            return float(self.shared["values", *key][k - 1])
        return float(self.once((k, *key), lambda: value_at(X, k)))

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` returns, made once for all levels."""
        if key not in self.shared:
            self.shared[key] = make()
        return self.shared[key]

    def decomposed(self, M: Vector, delta: Any) -> Vector:
        """`delta` (…) of matrices M (…, p, q), and what their SVD adds, exact for another matrix: the arithmetic's own.

        In frames that are identities delta alone knows nothing of it.
        """
        own = np.asarray(linalg.norm(M)) * self.level.decomposed if self.level.decomposed else 0.0
        return np.asarray(delta + own)

    def ranks(self, weights: Any) -> Vector:
        """`rank` (T,) of w_t M_t: errors give a task of weight 0 none."""
        return np.where(np.asarray(weights) != 0, self.rank, 0)

    def weighted(self, stack: Any) -> tuple[Vector, Vector]:
        """(|w_t| delta_t, |w_t| apart_t) of a stack that is decomposed."""
        w, formed = np.abs(np.asarray(stack.weights)), self.level.decomposed
        if not formed:
            return safely(w, self.delta), np.zeros(len(w))
        own = np.asarray(linalg.norm(stack.M)) * formed
        return safely(w, self.delta + own), safely(w, self.apart + own)

    def merged(self, delta: float, entry: Vector | None, M: Vector, rank: int | None = None) -> "Errors":
        """These errors as those of a merged M (p, q); entry None: nothing finer than delta is known."""
        self.delta, self.polar, self.factors, self.apart = np.asarray(float(delta)), None, None, 0.0
        self.undivided = self.orthonormal = None
        self.entry = np.full(M.shape, float(delta)) if entry is None else np.minimum(entry, float(delta))
        self.rank = np.asarray(min(*M.shape, int(np.sum(self.rank))) if rank is None else rank)
        return self


def _key(X: Vector, *what: str) -> tuple[Any, ...]:
    """By which `Errors.shared` knows what was made of X."""
    return (*what, X.shape, X.tobytes())


def decompose(given: Iterable[tuple[Errors, Vector]], vectors: bool = True) -> None:
    """The SVDs that `Errors.svd`, or `singular_values`, will be asked for, those of equal shape in one call."""
    what, shapes = () if vectors else ("values",), dict[Any, dict[Any, tuple[Errors, Vector]]]()
    for errors, X in given:
        key = _key(X, *what)
        if key not in errors.shared:
            shapes.setdefault(X.shape, {})[id(errors.shared), key] = errors, X
    for pairs in shapes.values():
        stacked = np.stack([X for _, X in pairs.values()])
        parts: Any = zip(*thin_svd(stacked), strict=True) if vectors else singular_values(stacked)
        for (_, key), (errors, _), one in zip(pairs, pairs.values(), parts, strict=True):
            errors.shared[key] = one
