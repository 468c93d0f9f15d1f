"""How far errors move singular vectors, truncations and polar factors, and what is known of one layer's errors.

All norms are Frobenius unless said otherwise, singular values descend, M' = M + E with ‖E‖ ≤ e. Where first order gives
a relative change x, `beyond` bounds the rest. Sources: Wedin (1972), BIT 12; Stewart and Sun, Matrix Perturbation
Theory (1990), IV and V; Higham, Functions of Matrices (2008), 8. A method's `propagate` says what it makes of errors.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from coremerge_ref.core import linalg

Vector = np.ndarray
FEW = 64  # entries up to which a list is faster than an array
LIMIT = 0.25  # relative change up to which first-order bounds are any (Stewart and Sun, V.2.1)


@dataclass(frozen=True)
class Level:
    """One size of error: every column of B_t and row of A_t is known up to eps · growth of its norm.

    name "compute": the arithmetic's, where a sum of N terms is off by N / 2 eps at worst; "input": what rounding to
    their dtype did to the inputs, half an eps. tiny: absolute error of an entry, where products underflow.
    """

    name: str
    dtype: str
    eps: float
    growth: float
    tiny: float = 0.0

    @property
    def size(self) -> float:
        """The relative error of a column."""
        return self.eps * self.growth

    @property
    def formed(self) -> float:
        """The relative error of a matrix that is formed anew on the way: the arithmetic's alone."""
        return self.size if self.name == "compute" else 0.0

    @property
    def decomposed(self) -> float:
        """The relative error of a matrix whose SVD an SVD is: the arithmetic's, and where the iteration stops.

        LAPACK's xBDSQR lets go of what is beside the diagonal up to max(10, min(100, u^(−1/8))) u of it, u = eps / 2:
        49 eps in float64, which small matrices do reach, 5 eps in float32.
        """
        u = self.eps / 2
        return self.formed + max(10.0, min(100.0, u**-0.125)) * u if self.formed else 0.0


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


def of_task(task: int | None) -> str:
    """'task 2: ', or nothing."""
    return "" if task is None else f"task {task}: "


@dataclass(eq=False)
class Errors:
    """Errors of the matrices of one layer, at one level.

    delta: bound on their norm, (T,) of a stack, () of a merged matrix. entry: on each entry, (T, p, q) or (p, q). rank:
    of exact matrices at most, which errors do not raise. shape: (m, n). gauge_free: frames are defined up to signs.
    unsure: entries that may or may not be there. undecided: entries whose election is open. polar: (turn, spread) of a
    matrix made as U S Vᵀ, bounds for U Vᵀ and S, finer than delta. factors: L, R, b, a (of a stack, of each task) where
    the error is E_L Rᵀ + L E_Rᵀ, columns of E_L up to b and of E_R up to a: small columns bound better than delta does.
    divided: singular values of the stack were divided out of its rows, but not of `factors`. undivided: (delta, entry)
    before that, as long as stages are scalar-weighted sums, to which it does not matter.
    doubts: (sentence, what to do), each a discontinuity within the error; size_doubt: one that only stages with
    relative settings see. jumped: entries may have been taken for zero, so the error is not the arithmetic's alone.
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
    unsure: Any = None
    undecided: Vector | None = None
    polar: tuple[float, float] | None = None
    factors: Any = None
    undivided: Any = None
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
    ) -> None:
        """For a relative change that must stay small: from 1 on a doubt; from LIMIT on there is no bound."""
        if not change < 1:
            self.doubt(stage, sentence, task, remedy and remedy())
        elif change > LIMIT:
            self.lost += 1

    def beside(self, error: Any, level: Any) -> Any:
        """`error` as decisions about zero see it: what counts as zero is twice what arithmetic makes of zero.

        But not where singular values were divided out, which small ones do not bear.
        """
        return np.minimum(error, np.asarray(level) / 2) if self.level.formed and not self.divided else error

    def uses_size(self, stage: Any) -> bool:
        """Called by stages whose settings are relative to the live size: whether that is in doubt."""
        if self.size_doubt:
            self.doubt(stage, self.size_doubt, remedy="give an absolute rank, or use full space, whose size is fixed")
        return bool(self.size_doubt)

    def svd(self, X: Vector) -> tuple[Vector, Vector, Vector]:
        """Thin SVD of X, computed once for all levels."""
        P, S, Qh = self.once((X.shape, X.tobytes()), lambda: np.linalg.svd(X, full_matrices=False))
        return P, S, Qh

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

    def weighted(self, stack: Any) -> tuple[Vector, float]:
        """(|w_t| delta_t of a stack that is decomposed, the norm of all of them)."""
        delta = safely(np.abs(np.asarray(stack.weights)), self.decomposed(stack.M, self.delta))
        return delta, norm(delta)

    def merged(self, delta: float, entry: Vector | None, M: Vector, rank: int | None = None) -> "Errors":
        """These errors as those of a merged M (p, q); entry None: nothing finer than delta is known."""
        self.delta, self.polar, self.factors = np.asarray(float(delta)), None, None
        self.undivided = None
        self.entry = np.full(M.shape, float(delta)) if entry is None else np.minimum(entry, float(delta))
        self.rank = np.asarray(min(*M.shape, int(np.sum(self.rank))) if rank is None else rank)
        return self


def decompose(given: Iterable[tuple[Errors, Vector]]) -> None:
    """The SVDs that `Errors.svd` will be asked for, those of matrices of equal shape in one call."""
    shapes: dict[Any, dict[Any, tuple[Errors, Vector]]] = {}
    for errors, X in given:
        key = (X.shape, X.tobytes())
        if key not in errors.shared:
            shapes.setdefault(X.shape, {})[id(errors.shared), key] = errors, X
    for pairs in shapes.values():
        parts = np.linalg.svd(np.stack([X for _, X in pairs.values()]), full_matrices=False)
        for (_, key), (errors, _), *one in zip(pairs, pairs.values(), *parts, strict=True):
            errors.shared[key] = tuple(one)


def norm(X: Any) -> float:
    """Norm of all entries of X, without overflow or underflow."""
    flat = np.ravel(X)
    if flat.size <= FEW:
        return math.hypot(*flat.tolist())
    with np.errstate(over="ignore", under="ignore"):
        size = math.sqrt(float(flat @ flat)) if flat.dtype == np.float64 else 0.0
    if 1e-140 < size < 1e140:
        return size
    largest = float(np.max(np.abs(flat), initial=0.0))
    return largest * float(np.linalg.norm(flat / largest)) if 0 < largest < math.inf else largest


def coupling(a: Any, b: Any) -> Vector:
    """√(a² + b²) / |a² − b²|: how far singular vectors of the values a and b turn into each other, per unit of error.

    The vectors i and j of M + E mix by (σ_i E_ji + σ_j E_ij) / (σ_i² − σ_j²); Cauchy-Schwarz gives the bound, at most
    1 / |a − b| and at least 1 / max(a, b). Infinite where a = b.
    """
    large, small = np.maximum(a, b), np.minimum(a, b)
    ratio = small / np.where(large > 0, large, 1.0)
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(np.sqrt(1 + ratio**2) / ((large - small) * (1 + ratio)))


def mixing(S: Vector, error: float, own: Vector | None = None) -> tuple[Vector, Vector]:
    """Bounds on K (p, p), which errors E turn the singular vectors of the values S (p) by, and on ‖K_i‖ (p).

    error: ‖E‖; own (p): ‖E v_i‖, less where small values come from small columns. |K_ik| ≤ error · coupling and
    ≤ (σ_i own_i + σ_k own_k) / |σ_i² − σ_k²|, ‖K_i‖ ≤ error times the largest coupling of i. No turn is wider than 2.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        C = coupling(S[:, None], S[None, :])
        widest = K = np.minimum(safely(error, C), 2.0)
        if own is not None and len(S):
            share = S / S[0]
            K = np.minimum(K, safely(((share * own)[:, None] + share * own) / np.hypot(share[:, None], share), C))
    for X in (K, widest):
        np.fill_diagonal(X, 0.0)
    return K, widest.max(axis=1, initial=0.0)


def mixed(K: Vector, widest: Vector, M: Vector) -> Vector:
    """Bounds on the entries of K M (…, p, q), see mixing: Σ_k |K_ik| |M_kj| and ‖K_i‖ ‖M_j‖ at most."""
    columns = np.sqrt(np.sum(M * M, axis=-2, keepdims=True))
    return np.asarray(np.minimum(K @ np.abs(M), widest[:, None] * columns))


def turns(S: Vector, k: int) -> Vector:
    """Turn of each of the first k singular vectors out of their span, (k,), per unit of error; σ_{k+1} = 0 at the end.

    Turns inside the span are left out: truncation, TSV and isotropization do not see them.
    """
    return coupling(S[:k], S[k] if k < len(S) else 0.0)


def truncation(S: Vector, k: int) -> float:
    """Condition number σ_k / (σ_k − σ_{k+1}) of the best rank-k approximation, exactly; 1 where nothing is cut."""
    if k == 0 or k >= len(S) or S[k] == 0:
        return 1.0
    return float(S[k - 1] / (S[k - 1] - S[k])) if S[k - 1] > S[k] else math.inf


def another_rank(S: Vector, k: int) -> str:
    """A remedy: the rank with the widest gap after it, relative, but for k."""
    gaps = (S[:-1] - S[1:]) / np.where(S[:-1] > 0, S[:-1], 1.0)
    gaps[k - 1 : k] = 0.0
    best = int(np.argmax(gaps)) + 1 if len(gaps) else k
    return (
        f"choose another rank, such as k = {best}, with {gaps[best - 1]:.0%} between it and the next"
        if len(gaps)
        else ""
    )


def polar(S: Vector, size: tuple[int, int]) -> float:
    """Condition number of the polar factor over the support, S its singular values, of a matrix of this size.

    1 / σ_r in general; 2 / (σ_r + σ_{r−1}) for a square real matrix of full rank (Higham 2008, theorem 8.9).
    """
    if len(S) == 0:
        return 0.0
    below = S[-1] + (S[-2] if len(S) > 1 else S[-1]) if len(S) == size[0] == size[1] else 2 * S[-1]
    return float(2 / below) if below > 0 else math.inf


def beyond(x: float) -> float:
    """1 / (1 − 2x), at most 2: what second-order terms add where first order gives a relative change x."""
    return 1 / (1 - 2 * min(x, LIMIT))


def safely(a: Any, b: Any) -> Vector:
    """a · b where an infinite factor times zero is zero."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where((np.asarray(a) == 0) | (np.asarray(b) == 0), 0.0, np.asarray(a) * b)


def near(values: Any, level: Any, error: Any) -> Vector:
    """Which `values`, each known up to `error`, lie where those that count as zero are not told from those that do not.

    Up to level + error from above. From below, values beyond their error count as zero without being so, and all do
    where the error exceeds the level.
    """
    level, error = np.asarray(level, dtype=float), np.asarray(error, dtype=float)
    return np.asarray((values > np.minimum(error, level - error)) & (values <= level + error))


def estimate(stage: Any, errors: Errors, before: Any, after: Any, probes: int = 8) -> Errors:
    """Errors after a stage that says nothing of them: an estimate, no bound, and marked as such.

    The stage is run on random changes of the size of the errors, and √eps of the size where that is more, scaled down;
    ten times the largest change seen is taken (small-sample estimation, Kenney and Laub 1994). Above √eps and growing
    with smaller changes it is a discontinuity.
    """
    rng = np.random.default_rng(0)
    errors.estimated = True
    small, root = errors.delta, errors.level.eps**0.5
    large = np.maximum(small, np.sqrt(np.sum(before.M**2, axis=(-2, -1))) * root)

    def change(step: Vector) -> float:
        E = rng.standard_normal(before.M.shape)
        E *= (step / np.maximum(np.sqrt(np.sum(E**2, axis=(-2, -1))), 1e-300))[..., None, None]
        return norm(stage([replace(before, M=(before.M + E).astype(before.M.dtype))])[0].M - after.M)

    fine, coarse = (max(change(step) for _ in range(probes)) for step in (small, large))
    ratio = float(np.max(np.where(small > 0, small, 0.0) / np.where(large > 0, large, 1.0)))
    largest = 10 * max(fine, coarse * ratio)
    if fine > root * norm(after.M):
        errors.doubt(stage, f"the result changes by {fine / (norm(after.M) or 1.0):.1e} of its size")
    if after.M.ndim == 3:  # a transform
        errors.delta, errors.entry = np.full(len(after.M), largest), np.full(after.M.shape, largest)
        errors.factors = errors.undivided = None
        return errors
    return errors.merged(largest, None, after.M, min(after.M.shape) if before.M.ndim == 3 else int(errors.rank))
