"""Iso-CTS where all directions of all tasks are common, or one task alone has them all: iso on the sum, by hand."""

from typing import Any

import numpy as np
import pytest
from along_axes import TASKS, carried, errors_of, more, stack

import coremerge_ref as cm
from coremerge_ref.core.stack import Merged


def iso_bound(spread: float, condition: float, mean: float) -> float:
    return float(np.hypot(spread, mean * more(spread * condition)))


def test_where_all_directions_are_common_the_result_is_that_of_iso_on_the_sum() -> None:
    """Σ δ_t = 3e-3 of diag(8, 4, 2, 1), over 1, or 2 / (1 + 2) of a square one."""
    for name in ("input", "compute"):
        assert carried(errors_of([1e-3, 1e-3], name=name), stack(), common_fraction=1.0) == pytest.approx(
            iso_bound(3e-3, 1.0, 3.75)
        )
    errors = errors_of([1e-3, 1e-3], shape=(4, 4))
    assert carried(errors, stack(), common_fraction=1.0) == pytest.approx(iso_bound(3e-3, 2 / 3, 3.75))
    assert errors.margins[0].what == "size of the sum relative to its terms"
    assert (errors.lost, int(errors.rank)) == (3, 4)


def test_so_it_is_of_one_task_alone_of_which_nothing_is_cut() -> None:
    """Arithmetic finds those that are not common in what is left of it: 4 D of its norm over the smallest value."""
    D, M = 6 * 2.0**-23, np.asarray([np.diag([4.0, 2, 1, 0]), 0 * TASKS[1]])
    found = carried(errors_of([1e-3, 0.0], (3, 0), "input"), stack(M, (-2.0, 1.0)), common_fraction=0.5)
    assert found == pytest.approx(iso_bound(2e-3, 1 / 2, 14 / 3))
    spread, given = 2e-3 + D * 84**0.5, stack(M[:1], (-2.0,))
    for fraction, rest in ((0.5, 4 * D * 84**0.5 / 2), (1.0, 0.0)):
        errors = errors_of([1e-3], (3,), eps=2.0**-23)
        found = carried(errors, given, common_fraction=fraction)
        assert found == pytest.approx(iso_bound(spread, 1 / 2, 14 / 3) + 14 / 3 * rest, rel=1e-4)
        assert int(errors.rank) == 3


def whole(
    common: int, task: int, S: Any = (8, 4, 2, 1), weights: Any = (1.0, 0.0), rank: Any = (4, 4), off: float = 0.5,
    level: float = 0.01, size: int = 4,
) -> bool:  # fmt: skip
    M = np.zeros((2, 4, size))
    M[0, range(len(S)), range(len(S))] = S
    after = Merged(
        np.zeros((4, size)), np.asarray(level), np.asarray(4.0), np.asarray(4.0), {"common": common, "task": task}
    )
    errors = errors_of([off, off], rank, "input")
    return cm.IsoCts()._is_whole(errors, stack(M, weights, level), after)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"common": 4, "task": 0}, True),
        ({"common": 4, "task": 0, "weights": (1.0, 1.0)}, True),
        ({"common": 5, "task": 0, "weights": (1.0, 1.0)}, True),
        ({"common": 3, "task": 9, "weights": (1.0, 1.0)}, False),  # the other task may have them
        ({"common": 2, "task": 2}, True),
        ({"common": 2, "task": 2, "weights": (1.0, 1.0), "rank": (4, 0), "off": 0.25}, True),
        ({"common": 2, "task": 1}, False),
        ({"common": 2, "task": 0, "S": (8, 4), "rank": (2, 0)}, True),
        ({"common": 2, "task": 3, "rank": (0, 0)}, False),
        ({"common": 4, "task": 0, "S": (8, 4, 2)}, False),  # a fourth is none
        ({"common": 2, "task": 2, "S": (8, 4, 2), "size": 3, "rank": (2, 1)}, True),
        ({"common": 3, "task": 0, "S": (8, 4, 2), "size": 3, "weights": (1.0, 1.0)}, True),  # of three columns
    ],
)  # fmt: skip
def test_directions_whose_number_decides(given: Any, expected: bool) -> None:
    assert whole(**given) is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"common": 4, "task": 0, "S": (8, 4, 2, 0.3), "level": 0.3}, False),
        # 0.1 + 0.1 √85 / (4 − 2 − 2 · 0.5) of what counts as zero beside 1 − 0.5
        ({"common": 2, "task": 2, "level": 0.1}, False),
        ({"common": 2, "task": 2, "level": 0.05}, False),
        ({"common": 2, "task": 2, "level": 0.04}, True),
        ({"common": 2, "task": 2, "off": 0.9, "level": 0.002}, True),  # 0.002 (1 + √85 / 0.2) < 0.1
        ({"common": 2, "task": 2, "off": 0.9, "level": 0.0022}, False),
        ({"common": 2, "task": 2, "off": 1.0, "level": 0.0}, False),
        ({"common": 2, "task": 2, "off": 1.1}, False),
        ({"common": 0, "task": 4, "level": 0.4}, True),  # none is common, so that no gap turns it
        ({"common": 0, "task": 4, "level": 0.6}, False),
        ({"common": 2, "task": 2, "weights": (-2.0, 0.0), "S": (4, 2, 1, 0.5), "off": 0.2, "level": 0.03}, True),
        ({"common": 2, "task": 2, "weights": (-2.0, 0.0), "S": (4, 2, 1, 0.5), "off": 0.6, "level": 0.0}, False),
    ],
)  # fmt: skip
def test_directions_which_rounding_of_the_task_might_turn(given: Any, expected: bool) -> None:
    assert whole(**given) is expected
