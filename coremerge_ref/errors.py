"""One exception class per kind of mistake, each also the matching builtin.

Messages say what was expected, what came, where (task index, factor, layer name) and what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class CoreMergeError(Exception):
    """Base of every error this package raises on purpose."""


class ShapeError(CoreMergeError, ValueError):
    """Shapes of factors, masks or stacks do not fit together."""


class DTypeError(CoreMergeError, TypeError):
    """An array's dtype, or a requested dtype, cannot be used."""


class NamespaceError(CoreMergeError, TypeError):
    """Arrays of two libraries or devices in one call, or something that is no array."""


class NonFiniteError(CoreMergeError, ValueError):
    """NaN or Inf in an input."""


class ParameterError(CoreMergeError, ValueError):
    """A method, space or parameter that does not exist, or a value out of its range."""


class AdapterError(CoreMergeError, ValueError):
    """An adapter folder that cannot be read, merged or written."""


class ScoreError(CoreMergeError, RuntimeError):
    """A user's own evaluation failed, took too long or gave no number."""


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """What a message ends with where `word` is nearly one of the names `known`, else ""."""
    names = {name.casefold(): name for name in known}
    near = get_close_matches(str(word)[:80].casefold(), names, n=1, cutoff=0.55)
    return f"; did you mean {names[near[0]]!r}?" if near else ""
