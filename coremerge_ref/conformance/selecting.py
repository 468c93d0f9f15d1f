"""Cases chosen by name: a part of the name, or a glob of the whole of it where the pattern has one of * ? [."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

Patterns = str | Iterable[str] | None


def listed(patterns: Patterns) -> tuple[str, ...]:
    """One pattern, several or none as a tuple; empty ones are left out."""
    return tuple(p for p in ((patterns,) if isinstance(patterns, str) else patterns or ()) if p)


def matches(name: str, pattern: str) -> bool:
    """Whether ``ties/*/generic`` matches the whole name, or ``ties/core`` is a part of it."""
    return fnmatchcase(name, pattern) if any(c in pattern for c in "*?[") else pattern in name


def selects(name: str, only: Patterns = None, skip: Patterns = None) -> bool:
    """Whether the name matches one of ``only`` (any, where there is none) and none of ``skip``."""
    wanted = listed(only)
    return (not wanted or any(matches(name, p) for p in wanted)) and not any(matches(name, p) for p in listed(skip))
