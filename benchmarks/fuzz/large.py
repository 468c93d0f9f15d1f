"""Small merges inside large matrices, whose answers 60 digits know: float32 and float64 arithmetic at 64 to 1024 rows
and columns, held against `explain` and `certify`.

    python -m benchmarks.fuzz.large [--trials N] [--seed S]    exit 1 where a promise is broken

B of a few bits times orthonormal columns L of Hadamard's matrix is exact, and so is A Rᵀ. Core space has the same
matrices then, but for signs of its basis, so that ΔW is L times that of the small merge times Rᵀ.
"""

import sys
from dataclasses import replace

import numpy as np

import coremerge_ref as cm
from benchmarks.fuzz import trials
from benchmarks.fuzz.judging import DIGITS, SENSITIVE, answered, distance, exactly, norm, terms_of
from benchmarks.fuzz.running import run
from benchmarks.fuzz.trials import SPACES, Trial

SIZES, BITS = (64, 256, 1024), 7
EXACT = {"float64": 53, "float32": 24}  # bits of a number
RANGE = {"float64": (1e-100, 1e100), "float32": (1e-12, 1e12)}
KNOWN = 1e-14  # of what is compared in float64
CORES = [name for name in SPACES if name.startswith("core")]
BY_SHAPE = ("dare", "della")  # masks are drawn for a shape, that of the frames


def draw(seed: int) -> Trial:
    """The small trial of a seed, in core space, of numbers of a few bits."""
    trial = trials.draw(seed)
    factors = [(rounded(B), rounded(A), s) for B, A, s in trial.factors]
    precision = "float32" if seed % 3 else "float64"
    return replace(trial, factors=factors, space=CORES[seed % len(CORES)], precision=precision)


def rounded(X: np.ndarray) -> np.ndarray:
    """X in float64, to BITS bits."""
    mantissa, exponent = np.frexp(X.astype(np.float64))
    return np.asarray(np.ldexp(np.round(mantissa * 2.0**BITS), exponent - BITS))


def hadamard(size: int) -> np.ndarray:
    """Hadamard's matrix, of a size that is a power of 4, over the root of it: orthonormal, its entries powers of 2."""
    H = np.ones((1, 1))
    while len(H) < size:
        H = np.kron([[0.5, 0.5], [0.5, -0.5]], np.kron([[1.0, 1.0], [1.0, -1.0]], H))
    return H


def enlarged(trial: Trial) -> tuple[Trial, np.ndarray, np.ndarray] | None:
    """(the trial of large factors, L, R); None where these are not exact, or masks would be others."""
    B, A, _ = trial.factors[0]
    m, n, ranks = len(B), A.shape[1], sum(one.shape[1] for one, _, _ in trial.factors)
    if ranks > min(m, n) and any(name in trial.method for name in BY_SHAPE):
        return None
    if not all(is_exact(X, trial.precision) for B, A, _ in trial.factors for X in (B, A.T)):
        return None
    rng = np.random.default_rng([trial.seed, 4])
    H = hadamard(SIZES[rng.integers(len(SIZES))])
    L, R = (H[:, rng.permutation(len(H))[:k]] for k in (m, n))
    return replace(trial, factors=[(L @ B, A @ R.T, s) for B, A, s in trial.factors]), L, R


def is_exact(X: np.ndarray, precision: str) -> bool:
    """Whether sums of the entries of each column of X, of BITS bits, are numbers of this precision."""
    if not X.any():
        return True
    least, most = np.min(np.abs(X[X != 0])), np.max(np.abs(X))
    last = 2.0 ** (np.frexp(least)[1] - BITS)  # all entries are multiples of it
    low, high = RANGE[precision]
    return bool(low < least and most < high and np.max(np.abs(X).sum(axis=0)) / last < 2.0 ** EXACT[precision])


def findings(small: Trial) -> list[tuple[str, str]]:
    """Everything broken by the large merge; a merge that refuses its inputs by an error of ours breaks nothing."""
    made = enlarged(small)
    answer = None if made is None else answered(made[0])
    if made is None or answer is None:
        return []
    (trial, L, R), (merged, e) = made, answer
    computed, exact = np.asarray(merged.to_dense()), exactly(small)
    error, found = distance(computed, L @ exact @ R.T), []
    size, terms = max(norm(exact), norm(computed)), terms_of(small)
    if error > e.bound.relative * size + max(KNOWN * size, DIGITS * terms):
        ratio = error / size / (e.bound.relative or 1.0)
        found.append(("bound exceeded", f"{ratio:.3g} times, verdict {e.verdict}, error {error / size:.3g}"))
    if e.verdict == "well-posed" and error > SENSITIVE * size:
        found.append(("false well-posed", f"error {error / size:.3g}, bound {e.bound.relative:.3g}"))
    try:
        bases = cm.reference_bases(trial.updates, SPACES[trial.space][0])
        certificate = cm.certify(trial.updates, bases, merged, trial.weights, method=trial.pipeline)
    except cm.CoreMergeError:
        return found
    # float32 may take a small direction for none, a certificate does not
    error = distance(computed, L @ exactly(replace(small, precision="float64")) @ R.T)
    if e.verdict != "ill-posed" and error > certificate.merged * (1 + KNOWN) + KNOWN * max(size, terms):
        found.append(("certificate below the error", f"{error:.3g}, certified {certificate.merged:.3g}"))
    return found


if __name__ == "__main__":
    sys.exit(run(draw, findings, __doc__))
