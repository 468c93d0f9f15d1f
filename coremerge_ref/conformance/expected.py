"""Failures that are expected, each for a reason: no entry may name nothing, or what has been mended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .questions import Case
from .report import Result
from .selecting import matches

Reasons = Mapping[str, str] | None


def known(expected: Reasons, cases: Sequence[Case]) -> None:
    """ValueError for an entry that names no case: misspelt, or about cases that are not asked."""
    for pattern in expected or {}:
        if not any(matches(case.name, pattern) for case in cases):
            raise ValueError(
                f"expected failure {pattern!r} names none of the {len(cases)} cases asked; give a part of a name or a "
                "glob of a whole one, such as 'ties/*/generic'"
            )


def reason(expected: Reasons, name: str) -> str:
    """Why the case is expected to fail; empty where it is not."""
    return next((why for pattern, why in (expected or {}).items() if matches(name, pattern)), "")


def stale(expected: Reasons, results: Sequence[Result]) -> list[str]:
    """The entries whose cases no longer fail."""
    failed = [r.case.name for r in results if r.verdict in ("fail", "error")]
    return [pattern for pattern in expected or {} if not any(matches(name, pattern) for name in failed)]
