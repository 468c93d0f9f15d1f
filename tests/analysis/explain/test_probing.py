"""Estimates of stages without a rule: ten times the largest change seen, and what is known of the result besides."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.analysis.explain.layers import Group
from coremerge_ref.analysis.explain.probing import estimate, probed
from coremerge_ref.core.pipeline import as_pipeline
from coremerge_ref.core.spaces import as_space
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


@pytest.mark.parametrize("size", [1.0, 2.0**-10, 2.0**10])
def test_what_small_changes_do_not_show_is_seen_in_larger_ones_and_scaled_down(size: float) -> None:
    """A rule that sees no change up to 1e-9 of the norm, and larger ones whole: of √eps, and of STEP so much less."""
    M, norm = size * STACK.M[0], size * float(np.linalg.norm(STACK.M[0]))

    def rule(X: np.ndarray) -> np.ndarray:
        return M + (X - M) * bool(np.linalg.norm(X - M) > 1e-9 * norm)

    made = estimate(Told(rule), errors_of(size * STEP, (3, 4)), Held(M), Held(M))
    assert float(made.delta) == pytest.approx(10 * size * STEP, rel=1e-6, abs=0)
    assert not made.doubts


def test_zeros_that_are_exact_stay_so() -> None:
    zero = Held(np.zeros((2, 3, 4)))
    made = estimate(Told(lambda M: 5 * M[0]), errors_of([0.0, 0.0], (2, 3, 4), [1, 1]), zero, Held(zero.M[0]))
    assert (float(made.delta), made.doubts) == (0.0, [])


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


# ---- whole merges -------------------------------------------------------------------------------------------------
def group_of(layers: list[np.ndarray], space: Any = "full") -> Group:
    """Layers of two tasks: a matrix, and twice as much of it."""
    B, M = np.eye(len(layers[0])), np.stack(layers)
    pairs = [cm.LowRankUpdate(np.stack([x * B] * len(layers)), M) for x in (1.0, 2.0)]
    names = [str(i) for i in range(len(layers))]
    return Group(pairs, as_space(space), "float64", names, [1.0, 1.0], "float64", [1.0])


class Seen:
    """A merge function that notes what it was given: the sums of the tasks."""

    def __init__(self, rule: Callable[[np.ndarray], np.ndarray]) -> None:
        self.rule, self.given = rule, list[np.ndarray]()

    def __call__(self, M: np.ndarray) -> np.ndarray:
        self.given.append(np.asarray(M[0] + M[1]))
        return np.asarray(self.rule(M[0] + M[1]))


FINE, WIDE = Level("input", "float64", 2.0**-40, 0.5), Level("input", "float64", 2.0**-40, 8.0)


def test_a_merge_is_probed_by_changes_of_the_size_of_errors_and_of_the_root_of_eps() -> None:
    """Every entry of every factor by up to that share: of products twice it, and a little of second order."""
    rule, M = Seen(lambda X: X), np.array([[3.0, 4.0], [1.0, 2.0]])
    probed([group_of([M])], as_pipeline(rule), [WIDE], [0.0], probes=5)
    assert len(rule.given) == 1 + 2 * 5
    assert np.array_equal(rule.given[0][0], 3 * M)
    moved = [np.max(np.abs(X[0] / (3 * M) - 1)) for X in rule.given[1:]]
    for size, found in ((WIDE.size, moved[:5]), (2.0**-20, moved[5:])):
        assert max(found) <= 2 * size + size**2 + 1e-15
        assert min(found) > size / 4
    assert len({X.tobytes() for X in rule.given}) == 11


def test_the_estimate_is_ten_times_the_largest_change_of_each_layer() -> None:
    """Of the widest level; a hundred times as large a layer has as much larger changes, and one of zeros has none."""
    M = np.array([[3.0, 4.0], [1.0, 2.0]])
    rule = Seen(lambda X: 7 * X)
    found = probed([group_of([M, 100 * M, 0 * M])], as_pipeline(rule), [FINE, WIDE, FINE], [0.0] * 3)
    sizes = np.array([np.linalg.norm(7 * (X - rule.given[0]), axis=(1, 2)) for X in rule.given[1:]])
    sizes[4:] *= WIDE.size / 2.0**-20
    np.testing.assert_allclose(found, 10 * sizes.max(axis=0), rtol=1e-3, atol=0)
    assert 0 < sizes[:4].max() != sizes[4:].max()


@pytest.mark.parametrize("groups", [1, 2])
def test_groups_are_probed_together_and_their_layers_stand_in_order(groups: int) -> None:
    M = np.array([[3.0, 4.0], [1.0, 2.0]])
    given = [group_of([M, 1e3 * M]), group_of([np.eye(3) * 1e6])][:groups]
    found = probed(given, as_pipeline("ta"), [WIDE] * (groups + 1), [0.0] * (groups + 1))
    assert len(found) == groups + 1
    for one, size in zip(found, (3 * 30**0.5, 3e3 * 30**0.5, 3e6 * 3**0.5), strict=False):
        assert size * WIDE.size < one < 10 * 2.01 * size * WIDE.size


@pytest.mark.parametrize(("jump", "counts"), [(2.0**-15, True), (2.0**-9, False)])
def test_what_larger_changes_alone_show_counts_up_to_a_hundred_times_what_small_ones_do(
    jump: float, counts: bool
) -> None:
    """A sum that jumps where its first entry is changed by more than 2⁻³⁰ of it, beside changes of 2⁻³⁷."""
    M = np.array([[1.0, 1.0], [1.0, 1.0]])
    rule = Seen(lambda X: X + jump * (np.abs(X[..., :1, :1] - 3) > 3 * 2.0**-30))
    found = probed([group_of([M])], as_pipeline(rule), [WIDE], [0.0])[0]
    moved = [np.linalg.norm(rule.rule(X) - rule.rule(rule.given[0])) for X in rule.given[1:]]
    small, large = max(moved[:4]), max(moved[4:]) * WIDE.size * 2.0**20
    assert 2 * small < large < 100 * small if counts else large > 100 * small
    assert found == pytest.approx(10 * large if counts else 1000 * small, rel=1e-3, abs=0)


@pytest.mark.parametrize("noise", [0.0, 2.0**-34, 2.0**-32])
@pytest.mark.parametrize("steep", [False, True])
def test_what_arithmetic_makes_of_a_merge_is_no_change(noise: float, steep: bool) -> None:
    """A merge that is off by 2⁻³³ either way whatever changes, and may jump by 2⁻⁹ with the larger ones, 2⁻²⁰.

    Changes of WIDE.size, 2⁻³⁷, seem to make that much of it. In truth a fraction of that, as the larger ones show; or,
    where those may jump, no more than is seen.
    """
    M, ways = np.array([[1.0, 1.0], [1.0, 1.0]]), iter([0, *[-1, 1] * 4])

    def merged(X: np.ndarray) -> np.ndarray:
        jumps = steep * 2.0**-9 * (np.abs(X[..., :1, :1] - 3) > 3 * 2.0**-30)
        return np.full_like(X, 3.0) + next(ways) * 2.0**-34 + jumps

    found = probed([group_of([M])], as_pipeline(Seen(merged)), [WIDE], [noise])[0]
    seen = 2 * 2.0**-34  # of four entries
    large = 2 * 2.0**-9 * WIDE.size * 2.0**20 if steep else 0.0
    expected = max(seen, min(large, 100 * seen)) if seen > noise else min(large, seen)
    assert found == pytest.approx(10 * expected, rel=0.01, abs=1e-3 * seen)
