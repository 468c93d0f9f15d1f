"""The table of checks: plain functions of a stage with stable names, which raise AssertionError, or SkipTest."""

from collections.abc import Callable

from coremerge_ref.core.stages import Stage

Check = Callable[[Stage], None]
CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Decorator: puts a check into the table."""
    CHECKS[function.__name__] = function
    return function
