"""Estimates of stages without a rule: ten times the largest change seen, and what is known of the result besides."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from coremerge_ref.analysis.explain.probing import estimate
from coremerge_ref.perturbation.carried import Errors, Level

EPS, STEP = 2.0**-52, 1e-12
LEVEL = Level("input", "float64", EPS, 0.5)


@dataclass(frozen=True)
class Held:
    """As much of a stack, or of a merged matrix, as a stage sees here."""

    M: np.ndarray


class Told:
    """A stage that is a function of M."""

    name, remedy = "told", "nothing"

    def __init__(self, rule: Callable[[np.ndarray], np.ndarray]) -> None:
        self.rule, self.asked = rule, list[np.ndarray]()

    def __call__(self, items: list[Any]) -> list[Held]:
        self.asked.append(items[0].M)
        return [Held(self.rule(items[0].M))]


def errors_of(delta: Any, shape: tuple[int, ...], rank: Any = 1) -> Errors:
    return Errors(LEVEL, (3, 4), np.asarray(delta), np.full(shape, np.inf), np.asarray(rank), (0, 1), False, {}, EPS)


STACK = Held(np.arange(1.0, 25.0).reshape(2, 3, 4))  # norms above 25: changes of √eps of them are above STEP


def test_ten_times_the_largest_change_seen_is_the_estimate_of_a_merge() -> None:
    """Of two tasks, the first known up to STEP and three times that counted: every change of that size moves it so."""
    stage, rank = Told(lambda M: 3 * M[0]), [1, 1]
    errors = errors_of([STEP, 0.0], (2, 3, 4), rank)
    made = estimate(stage, errors, STACK, stage([STACK])[0])
    assert made is errors
    assert made.estimated
    assert float(made.delta) == pytest.approx(
        30 * STEP, rel=1e-2, abs=0
    )  # what rounding makes of STEP beside numbers of 25
    assert made.delta.shape == ()
    assert made.entry.tolist() == np.full((3, 4), made.delta).tolist()
    assert int(made.rank) == 3  # nothing is known of how a function makes ranks grow
    assert not made.doubts
    assert len(stage.asked) == 1 + 2 * 8
    assert all(X.shape == STACK.M.shape for X in stage.asked)


def test_tasks_that_are_exact_are_not_changed_by_the_small_step() -> None:
    stage = Told(lambda M: M[1])
    made = estimate(stage, errors_of([STEP, 0.0], (2, 3, 4), [1, 1]), STACK, stage([STACK])[0], probes=3)
    small, large = stage.asked[1:4], stage.asked[4:]
    assert all(np.array_equal(X[1], STACK.M[1]) for X in small)
    assert not any(np.array_equal(X[1], STACK.M[1]) for X in large)
    sizes = [np.linalg.norm(X - STACK.M, axis=(1, 2)) for X in large]
    np.testing.assert_allclose(sizes, [np.linalg.norm(STACK.M, axis=(1, 2)) * EPS**0.5] * 3, rtol=1e-6)
    assert len(large) == 3
    assert float(made.delta) <= 10 * max(sizes[0]) * STEP / sizes[0][0] * 1.01


def test_a_post_raises_no_rank() -> None:
    before = Held(STACK.M[0])
    stage = Told(lambda M: 2 * M)
    made = estimate(stage, errors_of(STEP, (3, 4), rank=2), before, stage([before])[0])
    assert float(made.delta) == pytest.approx(20 * STEP, rel=1e-2, abs=0)
    assert int(made.rank) == 2


def test_each_task_of_a_transform_has_the_estimate_and_no_factors() -> None:
    stage, errors = Told(lambda M: 2 * M), errors_of([STEP, STEP], (2, 3, 4), [1, 2])
    errors.factors, errors.undivided = "some", "some"
    before = Held(STACK.M[0] * np.array([1.0, -1.0])[:, None, None])
    made = estimate(stage, errors, before, stage([before])[0])
    assert made.delta.shape == (2,)
    assert made.delta[0] == made.delta[1] == pytest.approx(20 * 2**0.5 * STEP, rel=1e-2, abs=0)
    assert made.entry.tolist() == np.full((2, 3, 4), made.delta[0]).tolist()
    assert made.factors is None
    assert made.undivided is None
    assert made.rank.tolist() == [1, 2]
    assert made.estimated


def test_what_grows_with_smaller_changes_is_a_discontinuity() -> None:
    one = Held(np.ones((2, 3, 4)))
    stage = Told(lambda M: np.where(M[0] > 1, 1.0, -1.0))
    made = estimate(stage, errors_of([STEP, STEP], (2, 3, 4), [1, 1]), one, stage([one])[0])
    ((sentence, remedy),) = made.doubts
    assert sentence.startswith("told: the result changes by ")
    assert "float64" in sentence
    assert remedy == "nothing"
    assert 1e-2 < float(sentence.split("changes by ")[1].split()[0]) <= 2  # entries go from −1 to 1, of √12
