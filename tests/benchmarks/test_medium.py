"""Merges of medium sizes in small: `python -m benchmarks.fuzz.medium` draws others anew."""

from contextlib import nullcontext

import numpy as np
import pytest

pytest.importorskip("mpmath")
import coremerge_ref as cm
from benchmarks.fuzz.medium import MOST_RANK, SIZES, TASKS, draw, findings

FIRST, TRIALS = 20261130, 40
# ta+iso of 48 × 48 in KnOTS without singular values, where 3 of 19 directions are below float32's level, which sixty
# digits with that level say, too; sce in full space, where one entry of one task is
ZEROS = 159739599, 159740809
PARTS = 1582216542  # drm of tasks that share directions but for float32's rounding, which float64 takes for parts
TIED = 190396309  # iso_cts, whose common directions end between equal singular values
ONE_LEVEL = 2170184431  # trim+pcb of 256 × 48 in full space, float32


@pytest.mark.parametrize("part", range(4))
def test_no_promise_is_broken(part: int) -> None:
    for i in range(part, TRIALS, 4):
        trial = draw(FIRST + i)
        assert findings(trial) == [], trial


def test_one_level_for_all_entries_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(draw(ONE_LEVEL)) == []
    monkeypatch.setattr(cm.Frames, "entry_shares", lambda self: (None, None))
    assert {kind for kind, _ in findings(draw(ONE_LEVEL))} == {"false well-posed"}


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


@pytest.mark.parametrize("seed", ZEROS)
def test_what_is_zero_in_float32_alone_is_no_error_of_it(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(draw(seed)) == []
    monkeypatch.setattr("benchmarks.fuzz.medium.zeros_of", lambda precision: nullcontext())
    assert {kind for kind, _ in findings(draw(seed))} >= {"bound exceeded"}


def test_equal_singular_values_at_a_cut_make_no_warning() -> None:
    assert findings(draw(TIED)) == []


def test_where_rounded_inputs_decide_float32_and_float64_may_differ() -> None:
    assert findings(draw(PARTS)) == []
