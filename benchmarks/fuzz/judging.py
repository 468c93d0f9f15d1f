"""What may not happen, checked on one trial: each finding is a kind and a sentence."""

import math
from typing import Any

import numpy as np

import coremerge_ref as cm
from benchmarks.fuzz.trials import SPACES, Trial, with_factors
from coremerge_ref.conformance.definition import merge_exactly

EPS = {"float64": 2.0**-52, "float32": 2.0**-23}
SENSITIVE = 1e-3  # a well-posed answer is right to better than this
IDLE = 1000.0
DIFFERENCES = 1.01  # of which the largest change is known by them
MOST_INPUTS = 90  # entries of factors up to which the worst case is looked for
CLIMBS = 3
PROBES = 30  # changes at random where a discontinuity may lie within rounding, which no derivative sees


def findings(trial: Trial, quick: bool = False) -> list[tuple[str, str]]:
    """Everything broken by this trial; a merge that refuses its inputs by an error of ours breaks nothing."""
    space, asked = SPACES[trial.space]
    common = {"space": space, "weights": trial.weights, "compute_dtype": trial.precision}
    try:
        merged = cm.merge(trial.updates, trial.pipeline, out_dtype="float64", **common)
    except cm.CoreMergeError:
        return []
    e = cm.explain(trial.updates, trial.pipeline, **common)
    exact = merge_exactly(
        trial.factors, trial.method, trial.parameters, weights=trial.weights, eps=EPS[trial.precision], **asked
    ).array
    computed = np.asarray(merged.to_dense())
    error, size = distance(computed, exact), norm(computed)
    found = []
    if error > e.bound.relative * size and error > 0 and not e.estimated:
        ratio = error / (e.bound.relative * size) if e.bound.relative * size else math.inf
        found.append(("bound exceeded", f"{ratio:.3g} times, verdict {e.verdict}, error {error / (size or 1):.3g}"))
    if e.verdict == "well-posed" and error > SENSITIVE * max(size, norm(exact)):
        found.append(("false well-posed", f"error {error / (size or 1):.3g}, bound {e.bound.relative:.3g}"))
    if not quick:
        found += searched(trial, e, computed)
    return found


def searched(trial: Trial, e: Any, computed: np.ndarray) -> list[tuple[str, str]]:
    """Whether the bound for rounded inputs lies below the largest change that a search finds, or IDLE times above."""
    entries = sum(B.size + A.size for B, A, _ in trial.factors)
    size = norm(computed)
    bound = e.input_bound
    if trial.precision != "float64":  # its own zeros are coarser than the inputs
        return []
    if bound.verdict == "ill-posed" or not 0 < entries <= MOST_INPUTS or size == 0 or not 1e-100 < size < 1e100:
        return []
    if bound.relative > 0.05:
        return []
    change, most = largest_change(trial, computed), bound.relative / bound.eps * size
    # steps are longer than half an eps of float64, and so make of zeros what rounding does not
    judged = bound.eps > EPS["float64"] and not e.estimated
    if judged and DIFFERENCES * most < min(change, finer(trial, computed, change)) < math.inf:
        return [("input bound exceeded", f"{change / most:.3g} times, verdict {bound.verdict}")]
    if change * IDLE < most:
        noise = 2 * e.bound.relative * size  # of the arithmetic of two merges
        change = max(change, (largest_jump(trial, computed, bound.eps) - noise) / bound.eps)
    if change * IDLE < most:
        return [("idle", f"bound {bound.relative / bound.eps:.3g} eps, found {change / size:.3g} eps")]
    return []


def largest_change(trial: Trial, computed: np.ndarray, step: float = 2.0**-30) -> float:
    """The largest change of the result per relative change of every entry, to first order: a climb by differences.

    Infinite where steps of this size leave what is smooth: duplicates, say, are none any more.
    """
    wide = [(B.astype(np.float64), A.astype(np.float64), s) for B, A, s in trial.factors]

    columns, base = [], result_of(trial, wide)
    for t, pair in enumerate(wide):
        for side in (0, 1):
            X = pair[side]
            for place in np.ndindex(X.shape):
                if X[place] == 0:
                    continue
                ends = []
                for sign in (1, -1):
                    Y = X.copy()
                    Y[place] *= 1 + sign * step
                    other = list(wide)
                    other[t] = (Y, pair[1], pair[2]) if side == 0 else (pair[0], Y, pair[2])
                    ends.append(result_of(trial, other))
                if norm(ends[0] + ends[1] - 2 * base) > 1e-4 * norm(base):
                    return math.inf
                columns.append((ends[0] - ends[1]).ravel() / (2 * step))
    if not columns:
        return 0.0
    J = np.stack(columns, axis=1)  # (m·n, entries): the change for each entry changed by its size
    rng, best = np.random.default_rng(trial.seed), 0.0
    for _ in range(CLIMBS):
        y = rng.standard_normal(len(J))
        for _ in range(20):
            y = J @ np.sign(J.T @ y)  # every entry moves by its eps, one way or the other
            if not y.any():
                break
        best = max(best, float(np.linalg.norm(y)))
    return best / 2  # an entry is rounded by half an eps


def finer(trial: Trial, computed: np.ndarray, change: float) -> float:
    """`change` where shorter steps find about the same, else 0: a jump that steps make and rounding does not."""
    shorter = largest_change(trial, computed, 2.0**-34)
    return change if abs(shorter - change) < 0.1 * change else 0.0


def largest_jump(trial: Trial, computed: np.ndarray, eps: float) -> float:
    """The largest change of the result as every entry is rounded up or down by half an eps at random."""
    rng, best = np.random.default_rng(trial.seed), 0.0
    for _ in range(PROBES):
        moved: list[Any] = [
            (*(X.astype(np.float64) * (1 + eps / 2 * rng.choice([-1.0, 1.0], X.shape)) for X in (B, A)), s)
            for B, A, s in trial.factors
        ]
        best = max(best, distance(result_of(trial, moved), computed))
    return best


def result_of(trial: Trial, factors: list[Any]) -> np.ndarray:
    """ΔW of the same merge of other factors."""
    moved = with_factors(trial, factors)
    space, _ = SPACES[trial.space]
    return np.asarray(
        cm.merge(moved.updates, trial.pipeline, space, weights=trial.weights, out_dtype="float64").to_dense()
    )


def norm(X: np.ndarray) -> float:
    """Frobenius norm, without underflow."""
    return math.hypot(*np.ravel(X).tolist())


def distance(X: np.ndarray, Y: np.ndarray) -> float:
    """‖X − Y‖."""
    return norm(X - Y)
