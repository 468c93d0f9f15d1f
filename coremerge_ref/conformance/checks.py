"""The cases as pytest parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .questions import Case
from .questions import cases as all_cases


def _ask(fn: Callable[[Case], Any], case: Case) -> None:
    """Assert that the answer is right; skip what the implementation does not do."""
    import pytest

    from .asking import check

    result = check(fn, case)
    if result.verdict == "unsupported":
        pytest.skip(result.diagnosis or "unsupported")
    if not result.ok:
        text = result.diagnosis or "not a known mistake"
        pytest.fail(
            f"{case.name}: {result.verdict}, error {result.ratio:.3g} times the tolerance: {text}", pytrace=False
        )


def parametrize_with_checks(
    fn: Callable[[Case], Any], *, only: str | None = None, skip: str | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Any:  # fmt: skip
    """Decorator: the test receives ``check``, a callable that asserts one case.

    @parametrize_with_checks(my_merge, expected_failures={"drm": "not implemented yet"})
    def test_conformance(check):
        check()
    """
    import pytest

    params = []
    for case in all_cases(only, skip):
        reason = next((r for part, r in (expected_failures or {}).items() if part in case.name), None)
        marks = [pytest.mark.xfail(reason=reason, strict=False)] if reason is not None else []
        params.append(pytest.param(partial(_ask, fn, case), id=case.name, marks=marks))
    return pytest.mark.parametrize("check", params)
