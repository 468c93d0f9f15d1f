"""Registering: a class becomes a method that can be named, once it is checked to be one."""

from dataclasses import MISSING, fields, is_dataclass
from typing import TypeVar

from coremerge_ref.core.spaces import SPACES
from coremerge_ref.core.stages import EQUIVARIANCES, KINDS, STAGES, Stage
from coremerge_ref.errors import ParameterError

StageType = TypeVar("StageType", bound=type[Stage])


def register(cls: StageType) -> StageType:
    """Decorator: makes a stage's class usable by its name wherever methods are named, and returns it.

    Raises ParameterError for what is no frozen dataclass that derives from Stage, for a parameter without a default,
    for a name, kind or commutes_with that is none, and for a name that another class or a space has. A class defined
    again in the same module replaces itself.

    >>> cm.register(cm.Ties) is cm.Ties  # what is registered already replaces itself
    True
    """
    where = getattr(cls, "__qualname__", repr(cls))
    if not (isinstance(cls, type) and issubclass(cls, Stage) and is_dataclass(cls)):
        raise ParameterError(f"register: expected a dataclass that derives from Stage, got {where}")
    if not cls.__dataclass_params__.frozen:
        raise ParameterError(f"register: expected {where} to be a frozen dataclass; write @dataclass(frozen=True)")
    if needed := [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]:
        raise ParameterError(f"register: expected a default for every parameter of {where}, got none for {needed[0]}")
    name = getattr(cls, "name", None)
    if not (isinstance(name, str) and name.isidentifier()):
        raise ParameterError(f"register: expected {where}.name to be a word such as 'ties', got {name!r}")
    for attribute, known in (("kind", KINDS), ("commutes_with", EQUIVARIANCES)):
        value = getattr(cls, attribute, None)
        if value not in known:
            expected = f"{where}.{attribute} to be one of {', '.join(known)}"
            raise ParameterError(f"register: expected {expected}, got {value!r}")
    other = STAGES.get(name, SPACES.get(name))
    if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ParameterError(
            f"register: expected {where}.name to be one that no other stage or space has, got {name!r}, which is "
            f"{other.__module__}.{other.__qualname__}"
        )
    STAGES[name] = cls
    return cls
