"""Which modules a merge takes, and settings that differ between modules: patterns on module paths."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cache
from itertools import product
from typing import Any, Generic, TypeVar

from coremerge_ref.errors import ParameterError, shown

Value = TypeVar("Value")
_REGULAR = frozenset("\\^$()|+{}")  # characters that no glob and no module path has


@cache
def matcher(pattern: str) -> re.Pattern[str]:
    r"""`pattern` as a regular expression to search for in module paths.

    A glob (of letters, digits, ``. _ - * ? [ ]``) must match the whole path or all that follows one of its dots; ``*``
    matches dots too. Anything with one of ``\ ^ $ ( ) | + { }`` is a regular expression, found anywhere in the path.
    ParameterError if it is none.
    """
    if not pattern:
        raise ParameterError("pattern: expected a glob or a regular expression on module paths, got nothing")
    try:
        if _REGULAR.isdisjoint(pattern):
            return re.compile(rf"(?:^|\.)(?:{translate(pattern)})")
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ParameterError(f"pattern {shown(pattern)}: expected a regular expression: {error}") from error


def chosen(path: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether the module at `path` takes part: it matches some of `include`, if any are given, and no `exclude`."""
    return (not include or any(matcher(p).search(path) for p in include)) and not any(
        matcher(p).search(path) for p in exclude
    )


@dataclass(frozen=True)
class PerModule(Generic[Value]):
    """A setting whose value depends on the module: the value of the first rule whose pattern matches, else default.

    rules: (pattern, value) pairs, patterns as in matcher.
    """

    rules: tuple[tuple[str, Value], ...]
    default: Value

    def of(self, path: str) -> Value:
        """The value for the module at `path`."""
        return self.values()[self.index(path)]

    def index(self, path: str) -> int:
        """Which of `values` that is."""
        met = (i for i, (pattern, _) in enumerate(self.rules) if matcher(pattern).search(path))
        return next(met, len(self.rules))

    def values(self) -> list[Value]:
        """All values there are."""
        return [value for _, value in self.rules] + [self.default]

    def map(self, function: Callable[[Value], Any]) -> "PerModule[Any]":
        """The same rules with function(value) for each value."""
        return PerModule(tuple((pattern, function(value)) for pattern, value in self.rules), function(self.default))


@dataclass(frozen=True)
class Combined(Generic[Value]):
    """A setting made of several that depend on the module: function(value of each part), made once for each choice."""

    function: Callable[..., Value]
    parts: tuple[PerModule[Any], ...]
    made: dict[tuple[int, ...], Value] = field(default_factory=dict)

    def of(self, path: str) -> Value:
        """The value for the module at `path`."""
        return self._made(tuple(part.index(path) for part in self.parts))

    def values(self) -> list[Value]:
        """All values there are."""
        return [self._made(choice) for choice in product(*(range(len(part.values())) for part in self.parts))]

    def _made(self, choice: tuple[int, ...]) -> Value:
        if choice not in self.made:
            parts = zip(self.parts, choice, strict=True)
            self.made[choice] = self.function(*(part.values()[i] for part, i in parts))
        return self.made[choice]


def per_module(given: Any, key: str, default: Any) -> PerModule[Any]:
    """`given` as a PerModule: one value for all, or a list of {"match": pattern, key: value}; the rest get `default`.

    ParameterError for a list of something else beside such mappings.
    """
    if isinstance(given, PerModule):
        return given
    if not (isinstance(given, list | tuple) and any(isinstance(rule, Mapping) for rule in given)):
        return PerModule((), default if given is None else given)
    rules = []
    for rule in given:
        if not isinstance(rule, Mapping) or rule.keys() != {"match", key} or not isinstance(rule["match"], str):
            raise ParameterError(f"expected each of a list to be {{match: PATTERN, {key}: …}}, got {shown(repr(rule))}")
        matcher(rule["match"])
        rules.append((rule["match"], rule[key]))
    return PerModule(tuple(rules), default)
