"""Merges of medium sizes in small: `python -m benchmarks.fuzz.medium` draws others anew."""

import numpy as np
import pytest

pytest.importorskip("mpmath")
import coremerge_ref as cm
from benchmarks.fuzz.medium import MOST_RANK, SIZES, TASKS, draw, findings

FIRST, TRIALS = 20261130, 40
ONE_LEVEL = 2170184431  # trim+pcb of 256 × 48 in full space, float32


@pytest.mark.parametrize("part", range(4))
def test_no_promise_is_broken(part: int) -> None:
    for i in range(part, TRIALS, 4):
        trial = draw(FIRST + i)
        assert findings(trial) == [], trial


def test_one_level_for_all_entries_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(draw(ONE_LEVEL)) == []
    monkeypatch.setattr(cm.Frames, "entry_shares", lambda self: (None, None))
    assert {kind for kind, _ in findings(draw(ONE_LEVEL))} == {"bound exceeded", "false well-posed"}


def test_what_is_drawn_is_of_medium_size_and_of_every_kind() -> None:
    trials = [draw(seed) for seed in range(200)]
    shapes = {side for t in trials for B, A, _ in t.factors for side in (len(B), A.shape[1])}
    assert shapes == set(SIZES)
    assert max(B.shape[1] for t in trials for B, _, _ in t.factors) in range(MOST_RANK - 2, MOST_RANK + 3)
    assert {len(t.factors) for t in trials} >= set(TASKS)
    assert {str(t.factors[0][0].dtype) for t in trials} == {"float64", "float32", "float16", "bfloat16"}
    shared = [t for t in trials if all(np.array_equal(A, t.factors[0][1][: len(A)]) for _, A, _ in t.factors)]
    padded = [t for t in trials if any(len(A) > 2 and not B[:, -2:].any() for B, A, _ in t.factors)]
    assert min(len(shared), len(padded)) > 10
