"""Errors as LAPACK's tests state them: in units of what rounding may do, against one threshold."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from coremerge_ref.testing.builders import Factors

THRESHOLD = 50.0  # a ratio above this is a failure, whatever the sizes, dtype and method


def ratio(actual: Any, expected: Any, scale: float, eps: float, kappa: float = 1.0) -> float:
    """‖actual − expected‖_F / (κ · eps · scale) for host arrays of equal shape; compare it with THRESHOLD.

    scale: the size of what went into the computation, such as Σ_t |s_t| ‖B_t‖ ‖A_t‖, not of what came out. eps: that
    of the dtype computed in. kappa: the condition number of the problem. NaN, Inf, other shapes and, where scale is 0,
    any difference at all give inf.

    >>> ratio([1.0, 1.0 + 2.0**-52], [1.0, 1.0], scale=1.0, eps=2.0**-52)
    1.0
    """
    a, b = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if a.shape != b.shape or not np.all(np.isfinite(a)):
        return float("inf")
    unit = scale if scale > 0 else 1.0  # divided out first: squares of small numbers underflow
    error = float(np.linalg.norm(((a - b) / unit).ravel()))
    if error == 0.0:
        return 0.0
    return error / (kappa * eps) if scale > 0 else float("inf")


def size(factors: Sequence[Factors]) -> float:
    """Σ_t |s_t| ‖B_t‖ ‖A_t‖: the scale of rounding in anything linear in the updates."""
    return float(
        sum(np.max(np.abs(s)) * np.linalg.norm(np.ravel(B)) * np.linalg.norm(np.ravel(A)) for B, A, s in factors)
    )


def sensitivity(
    merge: Callable[[list[Factors]], np.ndarray], factors: list[Factors], step: float = 1e-7, trials: int = 4
) -> float:
    """How much larger than `step` the change of merge(factors), relative to Σ_t |s_t| ‖B_t‖ ‖A_t‖, is: at least 1.

    The inputs change by (I + step·E) B_t and A_t (I + step·F), one E and F for all tasks, which keeps what is
    degenerate (duplicates, shared rows, ranks) as it is; the largest of a few random ones counts four times, since
    they are seldom the worst. `merge` should be another implementation than the one tested. A measured κ for ratio():
    large near a discontinuity.
    """
    rng = np.random.default_rng(0)
    before, worst = merge(factors), 1.0
    for _ in range(trials):
        moved = []
        m, n = factors[0][0].shape[-2], factors[0][1].shape[-1]
        E, F = (_unit(rng.standard_normal((k, k))) for k in (m, n))
        for B, A, s in factors:
            moved.append((B + step * (E @ B), A + step * (A @ F), s))
        change = np.linalg.norm(np.ravel(merge(moved) - before))
        worst = max(worst, 4 * float(change) / (step * (size(factors) or 1.0)))
    return worst


def _unit(X: np.ndarray) -> np.ndarray:
    return X / np.linalg.norm(X, 2)
