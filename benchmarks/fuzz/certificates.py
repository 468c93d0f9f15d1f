"""What certify may not do, checked on one trial: certify what is not finite, or less than the true error."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from mpmath import mp, mpf

import coremerge_ref as cm
from benchmarks.fuzz.judging import terms_of
from benchmarks.fuzz.trials import SPACES, Trial
from coremerge_ref.conformance.definition import DIGITS, exact, merge_exactly
from coremerge_ref.conformance.definition.linalg import Matrix, norm
from coremerge_ref.core.frames import Frames

NOISE = 1e-45  # of the terms: what a spectral method may make of the last of sixty digits
SAME = 1e-9  # of two answers of the definition that are one, but for directions as small as that
Spoilt = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _entry(change: Callable[[float], float]) -> Spoilt:
    """One entry of the array changed."""

    def spoil(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        X = X.copy()
        if X.size:
            at = np.unravel_index(rng.integers(X.size), X.shape)
            X[at] = change(float(X[at]))
        return X

    return spoil


SPOILT: dict[str, Spoilt] = {
    "as it is": lambda X, rng: X,
    "NaN": _entry(lambda x: np.nan),
    "infinity": _entry(lambda x: -np.inf),
    "a bit": _entry(lambda x: float(np.nextafter(x, np.inf))),
    "an entry": _entry(lambda x: 1.001 * x + 1e-3),
    "a column gone": lambda X, rng: np.concatenate([0 * X[:, :1], X[:, 1:]], axis=1),
    "narrow": lambda X, rng: X.astype(np.float16).astype(np.float64),
    "huge": lambda X, rng: 1e150 * X,
    "tiny": lambda X, rng: 1e-200 * X,
}
WHERE = ("merged", "merged", "merged", "U", "V")


def certified(trial: Trial) -> list[tuple[str, str]]:
    """What is wrong with the certificate of this trial's merge, spoilt in a way that its seed draws."""
    rng = np.random.default_rng([trial.seed, 3])
    space, asked = SPACES[trial.space]
    if not space.lossless or asked.get("scaled") is False:  # of other functions
        space, asked = SPACES["core basis=paper"]
    how, where = (str(rng.choice(list(one))) for one in (SPOILT, WHERE))
    try:
        with np.errstate(all="ignore"):
            merged = cm.merge(
                trial.updates, trial.pipeline, space, weights=trial.weights, compute_dtype=trial.precision
            )
            bases = cm.reference_bases(trial.updates, space)
            merged, bases = _spoil(merged, bases, where, lambda X: SPOILT[how](X, rng))
        found = cm.certify(trial.updates, bases, merged, trial.weights, method=trial.pipeline)
    except cm.CoreMergeError:
        return []
    told = f"{how} in {where}"
    given = (found.left, found.right, *found.lossless, *found.sizes, found.merged)
    frames = [X for X in (bases.U, bases.V) if X is not None]
    numbers = [merged.matrix] if isinstance(merged, cm.DenseUpdate) else [merged.B, merged.A]
    if not all(np.isfinite(np.asarray(X, dtype=np.float64)).all() for X in (*numbers, *frames, given)):
        return [("not finite and certified", told)]
    below = [
        (name, float(true / max(bound, 5e-324)))
        for name, bound, true in _pairs(trial, asked, bases, merged, found)
        if true > mpf(bound) * (1 + mpf(2) ** -50) + NOISE * terms_of(trial)
    ]
    return [("certificate below the error", f"{name} {ratio:.3g} times, {told}") for name, ratio in below]


def _spoil(merged: Any, bases: Frames, where: str, change: Callable[[np.ndarray], np.ndarray]) -> tuple[Any, Frames]:
    """The merged update and its bases, one array of them changed; an identity frame stays one."""
    if where == "merged":
        if isinstance(merged, cm.DenseUpdate):
            return cm.DenseUpdate(change(np.asarray(merged.matrix))), bases
        return replace(merged, B=change(np.asarray(merged.B))), bases
    frame = getattr(bases, where)
    changed = {"U": bases.U, "V": bases.V, where: None if frame is None else change(np.asarray(frame))}
    return merged, Frames(changed["U"], changed["V"], bases.rows, bases.cols)


def _pairs(trial: Trial, asked: Any, bases: Frames, merged: Any, found: Any) -> list[tuple[str, float, Any]]:
    """(what, its certificate, what it truly is)."""
    with mp.workdps(DIGITS):
        U, V = (None if X is None else exact(np.asarray(X)[:, : int(n)]) for X, n in (_sides(bases)))
        pairs = [("left", found.left, _distance(U)), ("right", found.right, _distance(V))]
        for (B, A, s), lost, size in zip(trial.factors, found.lossless, found.sizes, strict=True):
            D = exact(B) * exact(A) * mpf(s)
            P = D if U is None else U * (U.T * D)
            P = P if V is None else (P * V) * V.T
            pairs += [("lossless", lost, norm(D - P)), ("size", size, norm(D))]
        # full space takes no small direction for none; ranks relative to its size must be those of the bases
        whole = _merged(trial, {"space": "full"})
        ones = [whole]
        if min(int(n) for _, n in _sides(bases)) < min(whole.rows, whole.cols):
            ones.append(_merged(trial, asked))
            if norm(whole - ones[1]) > SAME * norm(whole):
                return pairs
        own = (
            exact(np.asarray(merged.matrix))
            if isinstance(merged, cm.DenseUpdate)
            else exact(np.asarray(merged.B)) * exact(np.asarray(merged.A)) * mpf(float(merged.scale))
        )
        return [*pairs, ("merged", found.merged, min(norm(own - one) for one in ones))]


def _merged(trial: Trial, asked: Any) -> Matrix:
    return merge_exactly(trial.factors, trial.method, trial.parameters, weights=trial.weights, **asked).matrix


def _sides(bases: Frames) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    return (bases.U, bases.rows), (bases.V, bases.cols)


def _distance(U: Matrix | None) -> Any:
    """‖UᵀU − I‖."""
    return mpf(0) if U is None else norm(U.T * U - mp.eye(U.cols))
