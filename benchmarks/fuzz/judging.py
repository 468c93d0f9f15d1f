"""What may not happen, checked on one trial: each finding is a kind and a sentence."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import coremerge_ref as cm
from benchmarks.fuzz.trials import SPACES, Trial, with_factors
from coremerge_ref.conformance.definition import merge_exactly

EPS = {"float64": 2.0**-52, "float32": 2.0**-23}
SENSITIVE = 1e-3  # a well-posed answer is right to better than this
IDLE = 1000.0
DIGITS = 1e-55  # sixty digits, where all of them cancel
CANCELLED = 1e-9  # of the terms, where most of float64's do
MOST_INPUTS = 90  # entries of factors up to which the worst case is looked for
CLIMBS = 3
ROUNDED = 8  # changes at random by as much as rounding of the inputs is
PROBES = 30  # changes at random where a discontinuity may lie within rounding, which no derivative sees


def findings(trial: Trial, quick: bool = False) -> list[tuple[str, str]]:
    """Everything broken by this trial; a merge that refuses its inputs by an error of ours breaks nothing."""
    answer = answered(trial)
    if answer is None:
        return []
    merged, e = answer
    exact, computed = exactly(trial), np.asarray(merged.to_dense())
    error, size, terms = distance(computed, exact), norm(computed), terms_of(trial)
    found = []
    # a bound above 1 is of no size in particular: all may have cancelled, here and not there
    allowed = e.bound.relative * (size if e.bound.relative < 1 else max(size, norm(exact)))
    if error > allowed and error > DIGITS * terms and not e.estimated:
        ratio = error / allowed if allowed else math.inf
        found.append(("bound exceeded", f"{ratio:.3g} times, verdict {e.verdict}, error {error / (size or 1):.3g}"))
    if e.verdict == "well-posed" and error > SENSITIVE * max(size, norm(exact)):
        found.append(("false well-posed", f"error {error / (size or 1):.3g}, bound {e.bound.relative:.3g}"))
    found += rounded(trial, e, computed)
    if not quick:
        found += searched(trial, e, computed)
    return found


def answered(trial: Trial) -> tuple[Any, Any] | None:
    """The merge, its numbers in float64, and what explain says of it; None where it is refused by an error of ours."""
    space, _ = SPACES[trial.space]
    common = {"space": space, "weights": trial.weights, "compute_dtype": trial.precision}
    try:
        merged = cm.merge(trial.updates, trial.pipeline, out_dtype="float64", **common)
    except cm.CoreMergeError:
        return None
    return merged, cm.explain(trial.updates, trial.pipeline, **common)


def exactly(trial: Trial) -> np.ndarray:
    """ΔW by the definition, correctly rounded."""
    _, asked = SPACES[trial.space]
    return merge_exactly(
        trial.factors, trial.method, trial.parameters, weights=trial.weights, eps=EPS[trial.precision], **asked
    ).array


def terms_of(trial: Trial) -> float:
    """Σ |w_t| ‖B_t‖ ‖A_t‖, of which a merge may cancel the most."""
    return sum(abs(w * s) * norm(B) * norm(A) for w, (B, A, s) in zip(trial.weights, trial.factors, strict=True))


def rounded(trial: Trial, e: Any, computed: np.ndarray) -> list[tuple[str, str]]:
    """Whether rounding of the inputs moves the result further than the bound for it, whatever the verdict: a few ways
    at random, which find what jumps."""
    size, bound = norm(computed), e.input_bound
    if trial.precision != "float64" or e.estimated or not 1e-100 < size < 1e100 or not bound.relative < math.inf:
        return []
    if bound.relative >= 1 and size < CANCELLED * terms_of(trial):
        return []  # a share of what is left by rounding, here and in explain
    most, noise = bound.relative * size, 2 * e.bound.relative * size  # of the arithmetic of two merges
    for change in rounding_at_random(trial, bound.eps, ROUNDED):
        factors = moved_by(trial, change)
        moved = distance(result_of(trial, factors), computed)
        if moved > most * (1 + 1e-9) + noise:  # the merge of these may be one that arithmetic cannot do
            moved = distance(exactly(with_factors(trial, factors)), exactly(trial))
        if moved > most * (1 + 1e-9) + noise:
            return [("input bound exceeded", f"{moved / most:.6g} times, verdict {bound.verdict}, at random")]
    return []


def searched(trial: Trial, e: Any, computed: np.ndarray) -> list[tuple[str, str]]:
    """Whether the bound for rounded inputs lies below the largest change that a search finds, or IDLE times above.

    What is bounded where a discontinuity lies within rounding is a jump, and no small change need find it: even votes
    hang on the signs of basis vectors.
    """
    entries = sum(B.size + A.size for B, A, _ in trial.factors)
    size = norm(computed)
    bound = e.input_bound
    if trial.precision != "float64":  # its own zeros are coarser than the inputs
        return []
    if bound.verdict == "ill-posed" or not 0 < entries <= MOST_INPUTS or size == 0 or not 1e-100 < size < 1e100:
        return []
    if bound.relative > 0.05:
        return []
    most, noise = bound.relative / bound.eps * size, 2 * e.bound.relative * size  # of the arithmetic of two merges
    change, signs = largest_change(trial, computed)
    # half an eps of float64 is too short a step beside the rounding of two merges
    if bound.eps > EPS["float64"] and signs is not None and not e.estimated:
        moved = distance(result_of(trial, moved_by(trial, bound.eps / 2 * signs)), computed)
        if moved > bound.relative * size + noise:
            return [("input bound exceeded", f"{moved / bound.relative / size:.6g} times, verdict {bound.verdict}")]
    if change * IDLE < most:
        change = max(change, (largest_jump(trial, computed, bound.eps) - noise) / bound.eps)
    if change * IDLE < most and not bound.discontinuity:
        return [("idle", f"bound {bound.relative / bound.eps:.3g} eps, found {change / size:.3g} eps")]
    return []


def largest_change(trial: Trial, computed: np.ndarray, step: float = 2.0**-30) -> tuple[float, np.ndarray | None]:
    """The largest change of the result per relative change of every entry, to first order: a climb by differences; and
    which way each entry moves for it.

    Infinite where steps of this size leave what is smooth: duplicates, say, are none any more.
    """
    entries = sum(B.size + A.size for B, A, _ in trial.factors)
    columns, base = [], result_of(trial, moved_by(trial, np.zeros(entries)))
    for i in range(entries):
        ends = [result_of(trial, moved_by(trial, sign * step * (np.arange(entries) == i))) for sign in (1, -1)]
        if norm(ends[0] + ends[1] - 2 * base) > 1e-4 * norm(base):
            return math.inf, None
        columns.append((ends[0] - ends[1]).ravel() / (2 * step))
    J = np.stack(columns, axis=1)  # (m·n, entries): the change for each entry changed by its size
    rng, best, signs = np.random.default_rng(trial.seed), 0.0, None
    for _ in range(CLIMBS):
        y = rng.standard_normal(len(J))
        for _ in range(20):
            way = np.sign(J.T @ y)
            y = J @ way  # every entry moves by its eps, one way or the other
            if not y.any():
                break
            if np.linalg.norm(y) > best:
                best, signs = float(np.linalg.norm(y)), way
    return best / 2, signs  # an entry is rounded by half an eps


def moved_by(trial: Trial, changes: np.ndarray) -> list[Any]:
    """The factors in float64, each entry changed by its share (entries) of itself."""
    made, at = [], 0
    for B, A, s in trial.factors:
        pair = []
        for X in (B, A):
            pair.append(X.astype(np.float64) * (1 + changes[at : at + X.size].reshape(X.shape)))
            at += X.size
        made.append((*pair, s))
    return made


def largest_jump(trial: Trial, computed: np.ndarray, eps: float, probes: int = PROBES) -> float:
    """The largest change of the result as every entry is rounded up or down by half an eps at random."""
    changes = rounding_at_random(trial, eps, probes)
    return max(distance(result_of(trial, moved_by(trial, change)), computed) for change in changes)


def rounding_at_random(trial: Trial, eps: float, probes: int) -> Iterator[np.ndarray]:
    """Half an eps of every entry, up or down at random, so many times."""
    rng, entries = np.random.default_rng(trial.seed), sum(B.size + A.size for B, A, _ in trial.factors)
    return (eps / 2 * rng.choice([-1.0, 1.0], entries) for _ in range(probes))


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
