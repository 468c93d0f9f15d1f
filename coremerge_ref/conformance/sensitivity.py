"""How much an answer moves with its question, measured on the NumPy model: the condition of a drawn example."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .claims import Claim, Update
from .model import merge
from .questions import Case, norm

STEP = 1e-7


def conditioned(claim: Claim) -> tuple[float, float]:
    """(κ, size): how much a relative change of the updates moves the answer at most, measured on the NumPy model,
    and the size of what goes in."""
    cases = [case for case in (claim.first, claim.second) if case is not None]
    size = max(total(case) for case in cases)
    size = max(size, total(claim.first))
    if claim.second is None:
        return 1.0, size
    return max(sensitivity(case) for case in cases), size


def total(case: Case) -> float:
    """Σ |w_t s_t| ‖B_t‖ ‖A_t‖, the scale of rounding, at least that of weights 1."""
    weights = next((p["weights"] for p in case.params.values() if "weights" in p), [1.0] * len(case.updates))
    return float(sum(max(1.0, abs(w)) * abs(s) * norm(B) * norm(A)
                     for w, (B, A, s) in zip(weights, case.updates, strict=True)))  # fmt: skip


def sensitivity(case: Case, trials: int = 4) -> float:
    """Four times the largest of a few measured amplifications, at least 1, infinite next to a discontinuity. The
    updates move together, (I + hE) B_t and A_t (I + hF), so that what is degenerate stays so."""
    rng, m, n = np.random.default_rng(0), *case.shape
    size, worst = total(case), 1.0
    if size == 0 or case.method in ("ta", "mean"):
        return 1.0
    with np.errstate(all="ignore"):
        before = merge(case)
        for _ in range(trials):
            E, F = (_unit(rng.standard_normal((k, k))) for k in (m, n))
            moved: list[Update] = [(B + STEP * (E @ B), A + STEP * (A @ F), s) for B, A, s in case.updates]
            change = norm(merge(replace(case, updates=moved)) - before)
            worst = max(worst, 4 * change / (STEP * size))
    return worst if np.isfinite(worst) else float("inf")


def _unit(X: np.ndarray) -> np.ndarray:
    return np.asarray(X / np.linalg.norm(X, 2))
