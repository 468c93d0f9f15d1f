"""Running the checks: all at once, or one pytest case each."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any
from unittest import SkipTest

from coremerge_ref.core.stages import Stage
from coremerge_ref.testing.checks.table import CHECKS

Method = Stage | type[Stage]


@dataclass(frozen=True)
class MethodCheck:
    """One check of a stage with its parameters. reason: why it is known to fail, "" where it should pass."""

    stage: Stage
    name: str
    reason: str = ""

    def __call__(self) -> None:
        """Raises AssertionError where the stage fails the check, SkipTest where there is nothing to check."""
        CHECKS[self.name](self.stage)

    def __str__(self) -> str:
        changed = [
            f"{f.name}={getattr(self.stage, f.name)}"
            for f in fields(self.stage)  # type: ignore[arg-type]
            if getattr(self.stage, f.name) != f.default
        ]
        return f"{self.stage.name}[{','.join(changed)}]-{self.name}" if changed else f"{self.stage.name}-{self.name}"


def settings_of(cls: type[Stage]) -> list[Stage]:
    """The parameters that a class is checked with: the defaults, each dialect's, and each choice that is searched.

    Numbers that are searched are left at their defaults; where the default is none, the one in the middle is taken.
    """
    numbers = {field.name: isinstance(field.default, float | int) for field in fields(cls)}  # type: ignore[arg-type]
    chosen: list[dict[str, Any]] = [{}, *map(dict, cls.dialects.values())]
    for search in cls.searches:
        for grid in (search.grid, search.choices):
            for name, values in grid.get(cls.name, {}).items():
                words = all(isinstance(value, str | None) for value in values)
                middle = [] if numbers[name] else [values[len(values) // 2]]
                chosen += [{name: value} for value in (values if words else middle)]
    return list(dict.fromkeys(cls(**parameters) for parameters in chosen))


def method_checks(method: Method, expected_failures: Mapping[str, str] | None = None) -> Iterator[MethodCheck]:
    """Every check of a stage, or of a class with the parameters of settings_of.

    expected_failures: {name of a check: why it fails}, beside what the stage itself expects to fail.
    """
    for stage in settings_of(method) if isinstance(method, type) else [method]:
        reasons = {**stage.expected_failures, **(expected_failures or {})}
        unknown = reasons.keys() - CHECKS.keys()
        if unknown:
            raise ValueError(
                f"expected_failures: expected checks among {', '.join(CHECKS)}, got {sorted(unknown)[0]!r}"
            )
        yield from (MethodCheck(stage, name, reasons.get(name, "")) for name in CHECKS)


def check_method(method: Method, expected_failures: Mapping[str, str] | None = None) -> dict[str, str]:
    """Checks that a method of your own does what every method here does, as scikit-learn's check_estimator.

    method: a class that derives from coremerge_ref.Stage, which is checked with several parameters, or a stage.
    expected_failures: {name of a check: why it fails}; one that passes after all is a failure, too.

    Returns {check: "passed", "skipped: why" or "failed as expected: why"}. Raises AssertionError listing what failed.
    """
    outcomes: dict[str, str] = {}
    failures: list[str] = []
    for one in method_checks(method, expected_failures):
        try:
            one()
            outcomes[str(one)] = "passed"
            if one.reason:
                failures.append(f"{one}: it passes, though it is expected to fail: {one.reason}")
        except SkipTest as skipped:
            outcomes[str(one)] = f"skipped: {skipped}"
        except Exception as error:
            outcomes[str(one)] = f"failed as expected: {one.reason}"
            if not one.reason:
                failures.append(f"{one}: {type(error).__name__}: {error}")
    if failures:
        raise AssertionError(f"{len(failures)} of {len(outcomes)} checks failed:\n" + "\n".join(failures))
    return outcomes


def parametrize_method_checks(
    methods: Iterable[Method], expected_failures: Callable[[Any], Mapping[str, str]] | None = None
) -> Any:
    """Decorator for a test with the argument `check`, which runs once for every check of every method: check().

    expected_failures: a function from a method to {name of a check: why it fails}; those are strict xfails.
    """
    import pytest

    cases = []
    for method in methods:
        for one in method_checks(method, expected_failures and expected_failures(method)):
            marks = [pytest.mark.xfail(reason=one.reason, strict=True)] if one.reason else []
            cases.append(pytest.param(one, id=str(one), marks=marks))
    return pytest.mark.parametrize("check", cases)
