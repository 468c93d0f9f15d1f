"""Ill-posed verdicts that show, and others: `python -m benchmarks.fuzz.verdicts` counts them."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mpmath")
from benchmarks.fuzz.medium import draw
from benchmarks.fuzz.trials import Trial
from benchmarks.fuzz.verdicts import moved


def trial_of(method: str, space: str) -> Trial:
    """Three tasks with one A, in float32."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((4, 24)).astype(np.float32)
    factors = [(rng.standard_normal((32, 4)).astype(np.float32), A, 1.0) for _ in range(3)]
    given = {"factors": factors, "method": method, "space": space, "weights": [1.0] * 3, "precision": "float64"}
    return replace(draw(0), parameters={}, **given)


def test_a_verdict_that_shows_is_told_by_its_sentence_without_numbers() -> None:
    sentence = "iso: singular value # of the merged matrix is # of the largest, at the level that counts as zero"
    assert moved(trial_of("ta+iso", "full")) == (sentence, True)


def test_what_is_well_posed_is_not_counted() -> None:
    assert moved(trial_of("ta", "full")) is None
