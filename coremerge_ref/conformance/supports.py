"""What a function says that it does: ``fn.supports = {"methods": ["ta", "ties"], "spaces": ["core"]}``."""

from __future__ import annotations

from typing import Any

from .configs import EVERY_SPACE, PRINCIPAL, VARIANTS
from .questions import Case
from .text import message_of

METHODS = sorted({method for method, _, _ in (PRINCIPAL | VARIANTS).values()})
STAGES = sorted({stage for method in METHODS for stage in method.split("+")})


def declared(fn: Any) -> dict[str, list[str]] | None:
    """The declaration checked, or None where there is none. ``methods`` holds pipelines (``dare+ties``) or stages:
    a pipeline is supported when it is listed or all its stages are. ValueError for keys or names that do not exist."""
    try:
        given = getattr(fn, "supports", None)
    except Exception as error:  # a property of the function's own
        raise ValueError(f"supports: cannot be read: {message_of(error)}") from error
    return None if given is None else checked(given)


def checked(given: Any) -> dict[str, list[str]]:
    """The declaration with each name known."""
    known = {"methods": {*METHODS, *STAGES}, "spaces": {*EVERY_SPACE}}
    if not isinstance(given, dict) or not set(given) <= set(known):
        raise ValueError(f"supports: expected a dictionary with methods, spaces or both, got {given!r:.200}")
    out = {}
    for key, names in given.items():
        if isinstance(names, str) or not all(isinstance(n, str) for n in names):
            raise ValueError(f"supports: expected a list of {key}, got {names!r:.200}")
        strange = sorted(set(names) - known[key])
        if strange:
            raise ValueError(
                f"supports: no such {key}: {', '.join(strange)}; there are {', '.join(sorted(known[key]))}"
            )
        out[key] = sorted(names)
    return out


def supported(case: Case, supports: dict[str, list[str]] | None) -> bool:
    """Whether the declaration covers the case."""
    supports = supports or {}
    methods = supports.get("methods", METHODS)
    names = case.method in methods or set(case.method.split("+")) <= set(methods)
    return names and case.space in supports.get("spaces", EVERY_SPACE)
