"""One exception class per kind of mistake, each also the matching builtin.

Messages say what was expected, what came, where (task index, factor, layer name) and what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class CoreMergeError(Exception):
    """Base of every error this package raises on purpose.

    >>> issubclass(cm.ShapeError, cm.CoreMergeError)
    True
    """


class ShapeError(CoreMergeError, ValueError):
    """Shapes of factors, masks or stacks do not fit together.

    >>> try:
    ...     cm.LowRankUpdate(np.ones((3, 2)), np.ones((1, 4)))
    ... except cm.ShapeError as error:
    ...     print(error)
    expected B (…, m, r) and A (…, r, n), got B (3, 2) and A (1, 4); is A or B transposed?
    """


class DTypeError(CoreMergeError, TypeError):
    """An array's dtype, or a requested dtype, cannot be used.

    >>> try:
    ...     cm.LowRankUpdate(np.ones((3, 1), dtype=int), np.ones((1, 2)))
    ... except cm.DTypeError as error:
    ...     print(error)
    factor B: expected one of float16, bfloat16, float32, float64, got int64; cast it first
    """


class NamespaceError(CoreMergeError, TypeError):
    """Arrays of two libraries or devices in one call, or something that is no array.

    >>> try:
    ...     cm.merge([(np.ones((3, 1)), [[1.0, 2.0]])])
    ... except cm.NamespaceError as error:
    ...     print(error)
    task 0: expected arrays of one library, got builtins.list, numpy.ndarray; convert them to one library first
    """


class NonFiniteError(CoreMergeError, ValueError):
    """NaN or Inf in an input.

    >>> try:
    ...     cm.merge([(np.ones((3, 1)), np.full((1, 2), np.nan))])
    ... except cm.NonFiniteError as error:
    ...     print(error)
    task 0, factor A: expected finite numbers, got NaN or Inf; find out where they come from
    """


class ParameterError(CoreMergeError, ValueError):
    """A method, space or parameter that does not exist, or a value out of its range.

    >>> try:
    ...     cm.Ties(density=2)
    ... except cm.ParameterError as error:
    ...     print(error)
    ties.density: expected a number above 0 and at most 1, got 2
    """


class AdapterError(CoreMergeError, ValueError):
    """An adapter folder that cannot be read, merged or written.

    >>> from coremerge_ref.adapters import load
    >>> try:
    ...     load("no-such-adapter")
    ... except cm.AdapterError as error:
    ...     print(error)
    'no-such-adapter': expected an adapter folder, but nothing is there; check the path
    """


class ScoreError(CoreMergeError, RuntimeError):
    """A user's own evaluation failed, took too long or gave no number.

    >>> issubclass(cm.ScoreError, cm.CoreMergeError)
    True
    """


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """What a message ends with where `word` is nearly one of the names `known`, else ""."""
    names = {name.casefold(): name for name in known}
    near = get_close_matches(str(word)[:80].casefold(), names, n=1, cutoff=0.55)
    return f"; did you mean {names[near[0]]!r}?" if near else ""


def shown(text: object, limit: int = 160) -> str:
    """`text` quoted for a message: control characters escaped, cut at `limit` characters."""
    plain = text if isinstance(text, str) else str(text)
    quoted = repr(plain[: limit + 1])
    return quoted if len(plain) <= limit and len(quoted) <= limit else quoted[:limit] + "…'"


def reason(error: Exception) -> str:
    """The first line of what went wrong, without a path: the caller names the path."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text[:2000].splitlines() or [type(error).__name__])[0][:200]
