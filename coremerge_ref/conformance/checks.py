"""The cases and the properties as pytest parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from .answers import Function
from .claims import Theorem
from .expected import known, reason
from .isolate import Here, Worker, asker
from .loading import name_of
from .questions import Case
from .questions import cases as all_cases
from .report import UNKNOWN
from .selecting import Patterns


def _ask(way: Here | Worker, case: Case) -> None:
    """Assert that the answer is right; skip what the implementation does not do."""
    import pytest

    from .asking import check_with

    result = check_with(way, case)
    if result.verdict == "unsupported":
        pytest.skip(result.diagnosis or "unsupported")
    if not result.ok:
        text = result.diagnosis or UNKNOWN
        error = f"error {result.ratio:.3g} times the tolerance, relative error {result.relative:.2g}"
        rest = "\n".join(filter(None, [result.traceback, result.printed]))
        pytest.fail(f"{case.name}: {result.verdict}, {error}: {text}\n{rest}".rstrip(), pytrace=False)


def parametrize_with_checks(
    fn: Function | str, *, only: Patterns = None, skip: Patterns = None, precision: str = "float64",
    expected_failures: Mapping[str, str] | None = None, isolate: bool = False, timeout: float | None = None,
) -> Any:  # fmt: skip
    """Decorator: the test receives ``check``, a callable that asserts one case. Expected failures are strict: a case
    that is expected to fail and passes is a failure. isolate, timeout: as in :func:`run`.

    @parametrize_with_checks(my_merge, expected_failures={"drm": "not implemented yet"})
    def test_conformance(check):
        check()
    """
    import pytest

    way, params = asker(fn, isolate, timeout), []
    chosen = all_cases(only, skip, precision)
    known(expected_failures, chosen)
    for case in chosen:
        why = reason(expected_failures, case.name)
        marks = [pytest.mark.xfail(reason=why, strict=True)] if why else []
        params.append(pytest.param(partial(_ask, way, case), id=case.name, marks=marks))
    return pytest.mark.parametrize("check", params)


def _hold(way: Here | Worker, theorem: Theorem, examples: int, seed: int, precision: str, fn: Function | str) -> None:
    """Assert that one property holds; skip what the implementation does not do."""
    import pytest

    from .properties import hold, supported_pairs

    outcome = hold(way, theorem, supported_pairs(way), examples, seed, precision, name_of(fn))
    if outcome.verdict == "unsupported":
        pytest.skip("nothing that it holds for is supported")
    if outcome.verdict == "fail":
        text = f"{outcome.name}: {outcome.sentence}. Fails for {outcome.places()}: {outcome.why} (seed {seed})"
        pytest.fail(f"{text}\n{outcome.code}", pytrace=False)


def parametrize_with_properties(
    fn: Function | str, *, only: Iterable[str] | None = None, examples: int | None = None, seed: int = 0,
    precision: str = "float64", isolate: bool = False, timeout: float | None = None,
) -> Any:  # fmt: skip
    """Decorator: the test receives ``check``, a callable that asserts one theorem on random updates. The seed is fixed,
    so that a test suite gives one result; other seeds draw other examples. Needs Hypothesis.

    @parametrize_with_properties(my_merge)
    def test_properties(check):
        check()
    """
    import pytest

    from .properties import EXAMPLES, theorems

    way, count = asker(fn, isolate, timeout), EXAMPLES if examples is None else examples
    params = [
        pytest.param(partial(_hold, way, theorem, count, seed, precision, fn), id=theorem.name.replace(" ", "-"))
        for theorem in theorems(only)
    ]
    return pytest.mark.parametrize("check", params)
