"""One exception class per kind of mistake, each also the matching builtin.

Messages say what was expected, what came, where (task index, factor, layer name) and what to do.
"""


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
