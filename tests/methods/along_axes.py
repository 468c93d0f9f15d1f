"""Two tasks of matrices along the axes, and what Iso-CTS makes of errors of which norms alone are known."""

from typing import Any

import numpy as np
from examples import stack_of

import coremerge_ref as cm
from coremerge_ref.core.stack import Stack
from coremerge_ref.perturbation.carried import Errors, Level

WEIGHTS = (1.0, -2.0)
# w_t M_t: diag(8, 0, 2, 0) and diag(0, 4, 0, 1), of which 8 and 4 are the leading ones of the sum
TASKS = np.asarray([np.diag([8.0, 0, 2, 0]), -np.diag([0, 2.0, 0, 0.5])])


def stack(M: Any = TASKS, weights: Any = WEIGHTS, level: float = 1e-15) -> Stack:
    return stack_of(M, np.full(len(M), level), weights)


def errors_of(
    delta: Any,
    rank: Any = (2, 2),
    name: str = "compute",
    eps: float = 2.0**-52,
    q: int = 4,
    shape: Any = (9, 9),
    **given: Any,
) -> Errors:
    """Of arithmetic, for which all is known by norms."""
    level, none, delta = Level(name, "float64", eps, 1.0), np.full((len(rank), q, q), np.inf), np.asarray(delta)
    made = Errors(level, shape, delta, none, np.asarray(rank), (0, 4)[: len(rank)], True, {}, 2.0**-52, lost=3, **given)
    made.columns = dict.fromkeys(("left", "right"), lambda: (9, np.inf))
    return made


def carried(errors: Errors, given: Stack, **stage: Any) -> float:
    """The bound, beside which nothing is known of entries."""
    cts = cm.IsoCts(**stage)
    found = cts.carry(errors, given, cts.apply(given))
    assert found is errors
    assert errors.entry.shape == given.M.shape[1:]
    assert (errors.entry == float(errors.delta)).all()
    return float(errors.delta)


def more(x: float) -> float:
    return x / (1 - 2 * x)
