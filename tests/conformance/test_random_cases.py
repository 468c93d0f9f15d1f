"""Cases made at random, judged with bounds computed on the spot: a right implementation never fails one."""

from dataclasses import replace

import numpy as np
import pytest
from doubles import Double

from coremerge_ref.conformance.asking import check
from coremerge_ref.conformance.configs import PRINCIPAL, SPACES, VARIANTS, params_for
from coremerge_ref.conformance.questions import Case, draw, static_size
from coremerge_ref.conformance.solving import solve

CONFIGS = {**PRINCIPAL, **VARIANTS}


def random_case(seed):
    """Two to four tasks of rank 0 to 3, sometimes copied, cancelled, scaled by powers of two, or cut to few bits."""
    rng = np.random.default_rng(seed)
    m, n = rng.integers(1, 8, 2)
    tasks = int(rng.integers(1, 5))
    updates = []
    for _ in range(tasks):
        r = int(rng.integers(0, 4))
        b, a = rng.standard_normal((m, r)), rng.standard_normal((r, n))
        if updates and rng.random() < 0.2:
            b, a = updates[-1][0] * rng.choice([1.0, -1.0, 2.0]), updates[-1][1].copy()
        if rng.random() < 0.3:
            b, a = np.round(b), np.round(a)
        updates.append((b, a * 2.0 ** rng.integers(-3, 4), float(rng.choice([1.0, 0.5, 3.0]))))
    name = str(rng.choice(list(CONFIGS)))
    config, space = CONFIGS[name], str(rng.choice(SPACES))
    params = params_for(config, tasks)
    if "mean" in params and abs(sum(params["mean"]["weights"])) < 0.1:
        params["mean"]["weights"] = [1.0] * tasks
    masks = None
    if "dare" in params:
        masks = draw(str(seed), (tasks, *static_size(updates, space)), params["dare"]["drop"])
    case = Case(f"random/{seed}", "random", name, config[0], space, updates, params, masks)
    expected, record = solve(case, exact_entries=False)
    undecided = None
    if "undecided" in record:
        undecided = np.zeros(record["live"], dtype=bool)
        undecided.flat[record["undecided"]] = True
    return replace(
        case,
        expected=expected,
        bound=record["bound"],
        scale=record["scale"],
        live=tuple(record["live"]),
        reasons=tuple(record["reasons"]),
        undecided=undecided,
    )


@pytest.mark.parametrize("seed", range(40))
def test_a_right_implementation_never_fails(seed):
    case = random_case(seed)
    result = check(Double(), case)
    assert result.verdict in ("pass", "ambiguous"), (
        case.config,
        case.space,
        result.ratio,
        result.diagnosis,
        case.reasons,
    )
