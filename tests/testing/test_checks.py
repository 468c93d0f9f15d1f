"""Each check of a method finds the method that is wrong in just that way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from array_api_compat import array_namespace

import coremerge_ref as cm
from coremerge_ref.core.stages import MERGE, ORTHOGONAL, SIGNED_PERMUTATION, STAGES, Stage
from coremerge_ref.methods.base import ONE_SPACE, Search
from coremerge_ref.testing import check_method, method_checks, parametrize_method_checks
from coremerge_ref.testing.checks.table import CHECKS


@dataclass(frozen=True)
class Sound(Stage):
    """A sum of the tasks, entry by entry: a method that passes. share: of the sum."""

    share: float = 1.0
    name: ClassVar[str] = "sound"
    kind: ClassVar[str] = MERGE
    commutes_with: ClassVar[str] = SIGNED_PERMUTATION
    source = "these tests"

    def __post_init__(self) -> None:
        self.check_fraction("share")

    def total(self, stack: Any) -> Any:
        return array_namespace(stack.M).sum(stack.M, axis=0)

    def apply(self, item: Any) -> Any:
        stack = item.weighted()
        return stack.merged(self.share * self.total(stack))


class Orthogonal(Sound):
    commutes_with: ClassVar[str] = ORTHOGONAL


class ClaimsTooMuch(Orthogonal):
    def total(self, stack: Any) -> Any:
        return array_namespace(stack.M).max(stack.M, axis=0)


class CountsDeadEntries(Sound):
    def total(self, stack: Any) -> Any:
        return super().total(stack) / stack.M.shape[-1]


class DependsOnFactors(Orthogonal):
    """In full space an orthogonal method runs in small frames, so what it is told of sizes must be all that it uses."""

    def total(self, stack: Any) -> Any:
        return super().total(stack) * (1 + 0.1 * (stack.M.shape[-2] > 7))


class NeedsTwoTasks(Sound):
    def total(self, stack: Any) -> Any:
        return super().total(stack) / (stack.T - 1)


class TakesNullVectors(Sound):
    def total(self, stack: Any) -> Any:
        P, _, Qh = np.linalg.svd(stack.M[0] - stack.M[1] + 0 * stack.M[-1], full_matrices=False)
        return P @ Qh


class AddsSomething(Sound):
    def total(self, stack: Any) -> Any:
        return super().total(stack) + 1.0


class HasAScale(Sound):
    """A sum that is bent; share: of the sum."""

    def total(self, stack: Any) -> Any:
        return array_namespace(stack.M).tanh(super().total(stack))


class DividesByWeights(Sound):
    def apply(self, item: Any) -> Any:
        if item.weights == (1.0,) * item.T:
            return super().apply(item)
        with np.errstate(all="ignore"):
            return item.merged(self.total(item) / np.float64(sum(item.weights) - 2.75))


class ForgetsItsSeed(Sound):
    def total(self, stack: Any) -> Any:
        return super().total(stack) * np.random.default_rng().random()


class LooksAcrossTheBatch(Sound):
    def total(self, stack: Any) -> Any:
        xp = array_namespace(stack.M)
        return super().total(stack) / xp.max(xp.abs(stack.M))


class KnowsNumPyAlone(Sound):
    def total(self, stack: Any) -> Any:
        return np.add.reduce(np.asarray(stack.M), axis=0)


class LooksAtValues(Sound):
    def total(self, stack: Any) -> Any:
        return super().total(stack) * (2.0 if bool(array_namespace(stack.M).any(stack.M > 0)) else 1.0)


class Cancels(Sound):
    def total(self, stack: Any) -> Any:
        xp = array_namespace(stack.M)
        large = 1e4 * xp.max(xp.abs(stack.M))
        return (super().total(stack) + large) - large


class WritesIntoTheStack(Sound):
    def total(self, stack: Any) -> Any:
        stack.M[...] *= 2
        return super().total(stack) / 2


class CannotBeSent(Sound):
    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle this")


class SaysNothing(Sound):
    __doc__ = None
    source = ""


class TakesAnything(Sound):
    def __post_init__(self) -> None:
        pass


class TakesPythonsNumbersAlone(Sound):
    def __post_init__(self) -> None:
        self.check(type(self.share) is float and 0 < self.share <= 1, "share", "a float")


class HasATakenName(Sound):
    name: ClassVar[str] = "ties"


class KnowsADialectThatIsNone(Sound):
    dialects: ClassVar = {"klingon": {"share": 0.5}}


class SearchesWhatIsNoValue(Sound):
    searches = (Search("sound", {"sound": {"share": (0.5, 2.0)}}),)


class SearchesOneSpaceOfMany(Sound):
    searches = (Search("sound+iso", {"iso": {"support": ("size",)}}, spaces=ONE_SPACE),)


PLANTED: dict[type[Stage], str] = {
    ClaimsTooMuch: "check_commutes_as_claimed",
    CountsDeadEntries: "check_dead_directions_do_not_matter",
    NeedsTwoTasks: "check_one_task",
    TakesNullVectors: "check_duplicates_are_stable",
    AddsSomething: "check_zero_tasks",
    HasAScale: "check_scaling",
    DividesByWeights: "check_weights",
    ForgetsItsSeed: "check_deterministic",
    LooksAcrossTheBatch: "check_batch_is_loop",
    KnowsNumPyAlone: "check_libraries_agree",
    LooksAtValues: "check_jit",
    Cancels: "check_single_precision",
    WritesIntoTheStack: "check_nothing_is_mutated",
    CannotBeSent: "check_pickles",
    SaysNothing: "check_documented",
    TakesAnything: "check_refuses_bad_parameters",
    TakesPythonsNumbersAlone: "check_takes_numbers_of_any_type",
    HasATakenName: "check_found_by_name",
    KnowsADialectThatIsNone: "check_dialects_and_searches",
    SearchesWhatIsNoValue: "check_dialects_and_searches",
    SearchesOneSpaceOfMany: "check_dialects_and_searches",
}


@pytest.mark.parametrize("cls", PLANTED, ids=lambda cls: cls.__name__)
def test_what_is_wrong_is_found(cls: type[Stage]) -> None:
    with pytest.raises(Exception, match=r"(?s).+"), np.errstate(all="ignore"):
        CHECKS[PLANTED[cls]](cls())
    CHECKS[PLANTED[cls]](Sound())


def test_every_check_but_those_of_the_core_alone_can_fail() -> None:
    """What these two look at is the core's work, whatever the method; a class that claims too much fails the third."""
    assert CHECKS.keys() - {*PLANTED.values()} == {"check_dtypes", "check_explained", "check_lossless_spaces_agree"}
    with pytest.raises(AssertionError, match="spaces core and"):
        CHECKS["check_lossless_spaces_agree"](DependsOnFactors())


def test_a_sound_method_passes_and_leaves_the_table_alone() -> None:
    before = dict(STAGES)
    outcomes = check_method(Sound)
    assert {name.removeprefix("sound-") for name in outcomes} == CHECKS.keys()
    assert {outcome.split(":")[0] for outcome in outcomes.values()} <= {"passed", "skipped"}
    assert before == STAGES


def test_the_message_lists_what_failed() -> None:
    with pytest.raises(AssertionError, match=r"(?s)^1 of \d+ checks failed:\nsound-check_scaling: Assert"):
        check_method(HasAScale())


def test_failures_may_be_expected_with_a_reason() -> None:
    outcomes = check_method(HasAScale(), {"check_scaling": "tanh"})
    assert outcomes["sound-check_scaling"] == "failed as expected: tanh"
    with pytest.raises(AssertionError, match="sound-check_scaling: it passes, though it is expected to fail: tanh"):
        check_method(Sound(), {"check_scaling": "tanh"})
    with pytest.raises(ValueError, match=r"expected checks among check_commutes_as_claimed, .*, got 'check_scales'"):
        check_method(Sound(), {"check_scales": "tanh"})


def test_a_class_may_say_so_itself() -> None:
    class Known(HasAScale):
        @property
        def expected_failures(self) -> Mapping[str, str]:
            return {"check_scaling": "tanh"}

    one = next(check for check in method_checks(Known()) if check.name == "check_scaling")
    assert (str(one), one.reason) == ("sound-check_scaling", "tanh")


def test_names_are_stable_and_say_what_is_not_the_default() -> None:
    names = [str(check) for check in method_checks(cm.Ties)]
    assert len(set(names)) == len(names)
    assert {"ties-check_pickles", "ties[scope=model]-check_pickles"} <= {*names}


@parametrize_method_checks([Sound(0.5)])
def test_as_pytest_cases(check: Callable[[], None], request: pytest.FixtureRequest) -> None:
    assert f"[sound[share=0.5]-{check.name}]" in request.node.name  # type: ignore[attr-defined]
